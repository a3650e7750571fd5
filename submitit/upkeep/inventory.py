"""What lies on disk in a folder of jobs: every file, what it is, and which job it belongs to."""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING, NamedTuple

from submitit.storage import events
from submitit.storage.paths import JobPaths, Layout

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from submitit.views.entry import JobEntry
    from submitit.views.folder import Folder

    Key = tuple[str, str]

#: The kinds of files, in the order in which people are shown them.
KINDS = {
    "results": "what the functions returned or raised",
    "logs": "what the jobs printed",
    "payloads": "the functions and arguments, pickled",
    "scripts": "the batch scripts as sent",
    "snapshots": "copies of code that jobs run in",
    "markers": "signs of life that the jobs left",
    "journals": "what was submitted",
    "temporaries": "left half-written by a process that was killed",
    "others": "what the jobs themselves wrote into their folders",
}
_OF_A_JOB = re.compile(
    r"(?s)(?P<job>.+?)(?:"
    r"_submission\.sh|_submitted\.pkl|_(?P<task>\d+)_(?:result\.pkl|log\.out|log\.err|calls\.bin|attempt_\d+\.pkl))"
)
_KINDS_BY_END = {
    "_submission.sh": "scripts",
    "_submitted.pkl": "payloads",
    "_result.pkl": "results",
    "_log.out": "logs",
    "_log.err": "logs",
    "_calls.bin": "results",
}
_TEMPORARY = re.compile(r"\.submitit-.+-\d+-[0-9a-f]+\.tmp|\.submission_file_.+\.sh|.+_submitted\.pkl\.save_tmp")


class File(NamedTuple):
    """One file."""

    path: str
    #: One of `KINDS`.
    kind: str
    #: The job that it belongs to, by its executor's folder and its id; an array's script belongs to the id of the array.
    job: Key | None
    #: What it takes of the disk.
    size: int
    #: The same for all its names; and how many it has.
    inode: tuple[int, int]
    links: int
    owner: int
    mtime: float


class Inventory(NamedTuple):
    """The files of one folder of jobs."""

    files: list[File]
    #: The copies of code: each with what it takes, and its last use.
    snapshots: dict[str, tuple[int, float]]

    def of_jobs(self) -> dict[Key, list[File]]:
        """The files of each job."""
        found: dict[Key, list[File]] = {}
        for file in self.files:
            if file.job is not None:
                found.setdefault(file.job, []).append(file)
        return found


def take(folder: Folder) -> Inventory:
    """List a folder of jobs as it was at its last ``refresh``: the files of its jobs and of clients and controllers.

    Below the folder itself only what the names of jobs lead to is looked at: it may be somebody's home.
    """
    return _Taking(folder).take()


def size_of(files: Iterable[File]) -> int:
    """What files take together; one that has several names counts once."""
    return sum({file.inode: file.size for file in files}.values())


def freed_by(files: Iterable[File]) -> int:
    """How much of the disk is free when these are gone: a file of which a name is left takes what it took."""
    names: dict[tuple[int, int], set[str]] = {}
    known: dict[tuple[int, int], File] = {}
    for file in files:
        names.setdefault(file.inode, set()).add(file.path)
        known[file.inode] = file
    return sum(file.size for inode, file in known.items() if len(names[inode]) >= file.links)


class _Taking:
    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._layout = Layout(folder.root)
        self._files: list[File] = []
        self._snapshots: dict[str, tuple[int, float]] = {}
        #: The job whose files lie in a directory under an id; and where nothing else does, the job of a directory.
        self._homes: dict[tuple[str, str], Key] = {}
        self._tenants: dict[str, Key | None] = {}
        #: Jobs by client and id, as their markers name them; and by id.
        self._by_client: dict[tuple[str, str], Key] = {}
        self._by_id: dict[str, Key] = {}

    def take(self) -> Inventory:
        root = self._folder.root
        tops = {self._note(entry) for entry in (*self._folder.cleaned, *self._folder.entries)} - {""}
        self._list_jobs(root, recursive=False)
        for top in sorted(tops):
            self._list_jobs(os.path.join(root, top), recursive=True)
        self._list_state()
        return Inventory(self._files, self._snapshots)

    def _note(self, entry: JobEntry) -> str:
        """Remember where the files of a job lie; returns the name below the root that leads there, if the folder has tags."""
        key, root = (entry.folder, entry.job_id), self._folder.root
        self._by_client[self._folder.client(entry), entry.job_id] = key
        self._by_id[entry.job_id] = key
        tagged = "%" in entry.folder
        try:
            directories = [entry.paths(task).locate("folder") for task in range(entry.tasks)] if tagged else [root]
        except ValueError:  # the index of an array is asked for that there is not
            return ""
        for directory in directories:
            self._homes[directory, entry.job_id] = key
            if tagged:
                self._tenants[directory] = None if self._tenants.get(directory, key) != key else key
        if (array := entry.array) is not None:
            place = root if "%a" in entry.folder else JobPaths(entry.folder, array).locate("folder")
            self._homes[place, array] = entry.folder, array
        top = os.path.relpath(directories[0], root).split("/")[0]
        return "" if top in (os.curdir, os.pardir) else top

    # ---- beside the jobs

    def _list_jobs(self, directory: str, *, recursive: bool, tenant: Key | None = None) -> None:
        tenant = self._tenants.get(directory, tenant)
        for item in _scan(directory):
            if item.is_dir(follow_symlinks=False):
                if recursive:
                    self._list_jobs(item.path, recursive=True, tenant=tenant)
                continue
            kind, job_id = kind_of(item.name)
            job = self._homes.get((directory, job_id)) if kind else None
            if kind == "temporaries":
                # A link to a script lies there for a scheduler that reads it when the job starts.
                self._add(item, "scripts" if item.is_symlink() and os.path.exists(item.path) else kind, None)
            elif kind and (job is not None or not recursive):
                self._add(item, kind, job)
            elif recursive:
                self._add(item, "others", tenant)

    # ---- below `.submitit`

    def _list_state(self) -> None:
        state = self._layout.locate("").rstrip("/")
        for item in _scan(state):
            if item.name == "snapshots":
                self._list_snapshots(item.path)
            elif item.name == "events":
                for client in _scan(item.path):
                    self._list_markers(client)
            elif item.is_dir(follow_symlinks=False):
                kind = {"payloads": "payloads", "journal": "journals", "batch": "logs"}.get(item.name, "markers")
                self._list_kind(item.path, kind)

    def _list_kind(self, directory: str, kind: str) -> None:
        for item in _scan(directory):
            if item.is_dir(follow_symlinks=False):
                self._list_kind(item.path, kind)
            elif _TEMPORARY.fullmatch(item.name):
                self._add(item, "temporaries", None)
            else:
                stem = item.name.removesuffix(".log") if kind == "logs" else item.name.partition(".")[0]
                self._add(item, kind, self._by_id.get(stem) if kind in ("logs", "markers") else None)

    def _list_markers(self, client: os.DirEntry[str]) -> None:
        for item in _scan(client.path):
            marker = events.parse_marker(item.name)
            self._add(item, "markers", None if marker is None else self._by_client.get((client.name, marker.job_id)))

    def _list_snapshots(self, store: str) -> None:
        for item in _scan(store):
            before = len(self._files)
            self._list_kind(item.path, "snapshots")
            mine = self._files[before:]
            if "." in item.name:  # left by who was killed while it made or removed one
                self._files[before:] = [file._replace(kind="temporaries") for file in mine]
            else:
                self._snapshots[item.path] = size_of(mine), item.stat(follow_symlinks=False).st_mtime

    def _add(self, item: os.DirEntry[str], kind: str, job: Key | None) -> None:
        try:
            status = item.stat(follow_symlinks=False)
        except OSError:  # gone meanwhile
            return
        if stat.S_ISDIR(status.st_mode):
            return
        size = status.st_blocks * 512
        inode = status.st_dev, status.st_ino
        self._files.append(File(item.path, kind, job, size, inode, status.st_nlink, status.st_uid, status.st_mtime))


def kind_of(name: str) -> tuple[str, str]:
    """What a file beside the jobs is by its name, and the id of its job; ``("", "")`` for what is none of this library's."""
    if _TEMPORARY.fullmatch(name):
        return "temporaries", ""
    found = _OF_A_JOB.fullmatch(name)
    if found is None:
        return "", ""
    kind = next((kind for end, kind in _KINDS_BY_END.items() if name.endswith(end)), "results")
    return kind, found["job"]


def _scan(directory: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as listed:
            yield from listed
    except OSError:  # gone, or not ours to look at
        return
