"""Where the files of a job, and of a folder of jobs, lie.

A folder may hold ``%j`` (job id), ``%t`` (task), ``%A`` (array id) and ``%a`` (index in the array). All work is done on
plain strings: clients hold thousands of these objects, and a job that starts needs no ``pathlib``.
"""

from __future__ import annotations

import os
from functools import lru_cache

from submitit.storage import atomic
from submitit.storage.names import client_name, unique_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    StrPath = str | os.PathLike[str]

__all__ = ["JobPaths", "Layout", "client_name", "layout_of", "unique_name"]

_TAGS = ("%j", "%t", "%A", "%a")

#: The name of each file of a job.
_FILES = {
    "submission_file": "%A_submission.sh",
    "submitted_pickle": "%j_submitted.pkl",
    "result_pickle": "%j_%t_result.pkl",
    "stdout": "%j_%t_log.out",
    "stderr": "%j_%t_log.err",
    # of a job that makes the calls of a map: how each ended
    "calls": "%j_%t_calls.bin",
}


class JobPaths:
    """The files of one task of a job.

    Without a job id the tags stay in the paths.

    Parameters
    ----------
    folder: Path or str
        may be relative, may begin with ``~`` and hold tags
    job_id: str, optional
        ``"12"``, or ``"12_3"`` for element 3 of array 12
    task_id: int, optional
        rank of the task; default: 0
    """

    def __init__(self, folder: StrPath, job_id: str | None = None, task_id: int | None = None) -> None:
        self._template = absolute(folder)
        self.job_id = job_id
        self.task_id = task_id or 0

    @property
    def _folder(self) -> Path:
        """The folder as given, made absolute, tags and all. The same object for all jobs of a folder: one in their pickle."""
        return _as_path(self._template)

    @property
    def folder(self) -> Path:
        """The folder of this job; ``ValueError`` where it holds ``%a`` and the job is not in an array."""
        return self._format_id(self._template)

    @property
    def submission_file(self) -> Path:
        """The batch script as sent; one for a whole array."""
        return self._path("submission_file")

    @property
    def submitted_pickle(self) -> Path:
        """The pickled submission: of a job outside an array, and of every job that has come to a checkpoint."""
        return self._path("submitted_pickle")

    @property
    def result_pickle(self) -> Path:
        """The result file of this task."""
        return self._path("result_pickle")

    @property
    def stdout(self) -> Path:
        """What this task prints."""
        return self._path("stdout")

    @property
    def stderr(self) -> Path:
        """What this task prints as errors."""
        return self._path("stderr")

    def locate(self, name: str) -> str:
        """The path of ``"folder"``, ``"result_pickle"`` … as a string, which costs less than the property of that name."""
        if name == "folder":
            return self._fill(self._template)
        return self._fill(_joined(self._template, self._file(name)))

    def entry(self, name: str) -> tuple[str, str]:
        """The untagged directory above a file, and the entry of that directory which is the file or leads to it.

        As long as the directory lists no such entry the file is not there: one listing tells it of thousands of jobs.
        """
        root = tagless_root(self._template)
        below = f"{self._template}/{self._file(name)}"[len(root) :].lstrip("/")
        return root, self._fill(below.partition("/")[0])

    def move_temporary_file(self, tmp_path: StrPath, name: str, keep_as_symlink: bool = False) -> None:
        """Moves an existing file to its place in the job's folder, which is made where it is missing.

        ``name`` says where to, by a property: ``"submission_file"``, ``"submitted_pickle"`` … ``keep_as_symlink`` leaves a
        symbolic link to the new place at the old one.
        """
        target = os.fspath(getattr(self, name))
        atomic.make_directory(os.path.dirname(target))
        try:
            os.replace(tmp_path, target)
        except OSError as error:
            import errno

            if error.errno != errno.EXDEV:
                raise
            atomic.link_or_copy(tmp_path, target)
            os.unlink(tmp_path)
        if keep_as_symlink:
            os.symlink(target, tmp_path)

    @staticmethod
    def get_first_id_independent_folder(folder: StrPath) -> Path:
        """The longest leading part of the folder without a tag, absolute."""
        from pathlib import Path

        return Path(tagless_root(folder))

    def _path(self, name: str) -> Path:
        from pathlib import Path

        return Path(self.locate(name))

    def _file(self, name: str) -> str:
        # Before there is an id, the script of an array and the script of a job have the same name.
        return "%j_submission.sh" if name == "submission_file" and self.job_id is None else _FILES[name]

    def _format_id(self, path: StrPath) -> Path:
        """The path with the tags filled in; ``ValueError`` for ``%a`` outside an array."""
        from pathlib import Path

        return Path(self._fill(os.fspath(path)))

    def _fill(self, text: str) -> str:
        if self.job_id is None:
            return text
        job_id = str(self.job_id)
        array, _, index = job_id.partition("_")
        form, indexed = _form(text)
        if indexed and not index:
            raise ValueError("%a is in the folder path but this is not a job array")
        return form % {"j": job_id, "t": self.task_id, "A": array, "a": index}

    def __getstate__(self) -> dict[str, Any]:
        # What version 1 keeps, so that jobs pickled by either are read by both.
        return {"_folder": self._folder, "job_id": self.job_id, "task_id": self.task_id}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        self._template = os.fspath(state.pop("_folder"))
        self.__dict__.update(state)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.locate('folder')})"


class Layout:
    """Where the files of a folder of jobs lie that belong to no single job: all below ``<root>/.submitit``."""

    __slots__ = ("_root",)

    def __init__(self, root: StrPath) -> None:
        self._root = absolute(root)

    @property
    def root(self) -> Path:
        """The longest leading part of the executor's folder without a tag."""
        return self._path()

    @property
    def state(self) -> Path:
        """All of the below."""
        return self._path(".submitit")

    @property
    def payloads(self) -> Path:
        """Functions and arguments, one file for a whole array."""
        return self._path(".submitit", "payloads")

    @property
    def journals(self) -> Path:
        """What each client has submitted."""
        return self._path(".submitit", "journal")

    @property
    def events(self) -> Path:
        """A directory of markers for each client."""
        return self._path(".submitit", "events")

    @property
    def batch(self) -> Path:
        """What the batch steps themselves print."""
        return self._path(".submitit", "batch")

    @property
    def snapshots(self) -> Path:
        """Copies of code that jobs run in; made by the first."""
        return self._path(".submitit", "snapshots")

    def make(self) -> None:
        """All of these directories but the last exist and can be written.

        Raises:
            OSError: of the fitting type, naming the directory and what to do.
        """
        names = ("", "payloads", "journal", "events", "batch")
        for path in (self._root, *(self.locate(name).rstrip("/") for name in names)):
            if os.access(path + "/", os.W_OK | os.X_OK):
                continue  # as at every submission but the first
            try:
                atomic.make_directory(path)
            except OSError as error:
                raise type(error)(
                    error.errno,
                    f"{error.strerror} (jobs keep their files there: choose a folder that you can write to)",
                    error.filename or path,
                ) from error
            if not os.access(path, os.W_OK | os.X_OK):
                raise PermissionError(
                    13,
                    "No permission to write (jobs keep their files there: choose a folder that you can write to)",
                    path,
                )

    def locate(self, name: str) -> str:
        """The path of one of the directories, by its name on disk, as a string."""
        return os.path.join(self._root, ".submitit", name)

    def _path(self, *parts: str) -> Path:
        from pathlib import Path

        return Path(self._root, *parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Layout) and self._root == other._root

    def __hash__(self) -> int:
        return hash(self._root)

    def __repr__(self) -> str:
        return f"Layout({self._root!r})"


def layout_of(folder: StrPath) -> Layout:
    """The layout of an executor's or a job's folder, tags in it or not."""
    return Layout(tagless_root(folder))


def absolute(folder: StrPath) -> str:
    """The folder as an absolute path, with ``~`` resolved; ``..`` and symbolic links stay as they are."""
    text = os.fspath(folder)
    if text.startswith("~"):
        text = os.path.expanduser(text)
    if not text.startswith("/"):
        text = os.path.join(os.getcwd(), text)
    return _normal(text) if "//" in text or "/." in text or text.endswith("/") else text


@lru_cache(maxsize=256)  # thousands of jobs have the same
def _normal(path: str) -> str:
    return "/" + "/".join(part for part in path.split("/") if part and part != ".")


@lru_cache(maxsize=1024)
def _joined(template: str, file: str) -> str:
    return os.path.join(template, file)


@lru_cache(maxsize=1024)
def _form(text: str) -> tuple[str, bool]:
    """A text with tags as a format of their values, and whether it has ``%a``."""
    form = text.replace("%", "%%")
    for tag in _TAGS:
        form = form.replace(f"%{tag}", f"%({tag[1]})s")
    return form, "%a" in text


@lru_cache(maxsize=256)
def _as_path(path: str) -> Path:
    from pathlib import Path

    return Path(path)


def tagless_root(folder: StrPath) -> str:
    """The longest leading part of the folder without a tag, absolute."""
    return _tagless(absolute(folder))


@lru_cache(maxsize=256)
def _tagless(template: str) -> str:
    parts = template.split("/")
    for index, part in enumerate(parts):
        if any(tag in part for tag in _TAGS):
            return "/".join(parts[:index]) or "/"
    return "/".join(parts) or "/"
