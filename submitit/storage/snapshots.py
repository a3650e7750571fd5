"""Copies of git work trees that jobs run in, named by what is in them.

::

    work tree ─ its index, copied and brought up to date ─ git write-tree ─▶ name ─ is it there? ─ git checkout-index ─▶ store/<name>/

What git writes meanwhile (the index, the objects of modified files) lies in a scratch directory: the repository is only read.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from submitit import commands, environ
from submitit.storage import atomic, names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    StrPath = str | os.PathLike[str]

#: In each copy: what it was made of, and the names of its files.
DESCRIPTION: Final = ".submitit-snapshot.json"
_GITLINK: Final = "160000"
#: Variables by which git is told of another repository or index than the one that lies there.
_OF_ANOTHER_REPOSITORY: Final = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_PREFIX",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
)


class Snapshot:
    """The code of a git work tree as it is now, or as it was at a commit, to run jobs from: ``AutoExecutor(…, snapshot=Snapshot(…))``.

    It holds the files that git tracks with their uncommitted changes, links and executable bits, less those that were deleted.
    Submissions of the same content share one copy, which lies beside the jobs' files, below ``.submitit/snapshots``. Its files are
    read-only; its directories are not, so that what a job writes beside them is written.

    Making one raises ``RuntimeError`` where there is no git or no repository, or with git's own words.

    Parameters
    ----------
    root: path, optional
        the work tree, or a directory in it; default: the one around the working directory, at each submission
    commit: str, optional
        what git understands as a commit: its files are taken instead of those of the work tree
    submodules: bool
        take the files of submodules too
    include: sequence of paths
        files and directories below the root to take though git does not track them
    """

    def __init__(
        self,
        root: StrPath | None = None,
        commit: str | None = None,
        submodules: bool = True,
        include: Sequence[StrPath] = (),
    ) -> None:
        if isinstance(include, (str, os.PathLike)):
            raise TypeError(f"Snapshot(include=…) takes a list of paths, not {include!r}: write include=[{include!r}]")
        self.root = None if root is None else os.path.abspath(os.path.expanduser(root))
        self.commit = commit
        self.submodules = submodules
        self.include = [os.fspath(path) for path in include]

    def __repr__(self) -> str:
        given = {name: value for name, value in vars(self).items() if value != getattr(Snapshot(), name)}
        return f"Snapshot({', '.join(f'{name}={value!r}' for name, value in given.items())})"

    def make(self, store: StrPath) -> environ.Copy:
        """The copy below the directory ``store``, made now if no submission has made the same before."""
        cwd = os.getcwd()
        root = _top_of(self.root or cwd)
        with tempfile.TemporaryDirectory(prefix="submitit-snapshot-") as scratch:
            parts = list(self._parts(root, scratch))
            name = _name(parts)
            target = os.path.join(store, name)
            while not _in_use_from_now(target):
                self._warn_about_untracked(root)
                _place(parts, root, target)
        below = os.path.relpath(os.path.realpath(cwd), root)
        directory = os.path.normpath(target if below.startswith(os.pardir) else os.path.join(target, below))
        atomic.make_directory(directory)  # it may hold nothing that git tracks
        return environ.Copy(root, target, directory)

    def _parts(self, root: str, scratch: str, below: str = "", commit: str | None = None) -> Iterator[_Part]:
        """The work tree and its submodules, each with an index of what is to be taken."""
        part = _Part(os.path.join(root, below), below, os.path.join(scratch, names.temporary_name()))
        part.prepare()
        commit = commit or self.commit
        if commit is None:
            part.git("add", "--update")
        else:
            part.git("read-tree", commit)
        if not below and self.include:
            part.git("add", "--force", "--", *self.include)
        entries = part.entries()
        yield part
        for mode, blob, name in entries if self.submodules else ():
            inner = os.path.join(below, name)
            if mode == _GITLINK and os.path.exists(os.path.join(root, inner, ".git")):
                yield from self._parts(root, scratch, inner, commit and blob)

    def _warn_about_untracked(self, root: str) -> None:
        """Say which modules the jobs will not find."""
        if self.commit is not None:
            return
        listed = _git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", "*.py").split("\0")
        included = [os.path.normpath(os.path.join(root, path)) for path in self.include]
        missing = [
            name for name in listed if name and not any(f"{root}/{name}/".startswith(f"{path}/") for path in included)
        ]
        if missing:
            from submitit import log

            shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
            log.get_logger().warning(
                "The snapshot of %s leaves out what git does not track: %s (`git add` them, or name them in "
                "Snapshot(include=[…]))",
                root,
                shown,
            )


Snapshot.__module__ = "submitit.helpers"


class _Part(NamedTuple):
    """A work tree, and what is to be taken of it."""

    #: where it lies
    root: str
    #: below which path of the snapshot it goes; empty for the outermost
    below: str
    #: a directory for the index and new objects
    scratch: str

    def prepare(self) -> None:
        """Start from the repository's own index, which knows what has not changed since it was written."""
        located = _git(self.root, "rev-parse", "--git-path", "index", "--git-path", "objects").splitlines()
        index, objects = (os.path.join(self.root, path) for path in located)
        information = os.path.join(self.scratch, "objects", "info")
        os.makedirs(information)
        atomic.write_text(os.path.join(information, "alternates"), f"{objects}\n")
        with contextlib.suppress(FileNotFoundError):  # nothing was ever added
            shutil.copy2(index, os.path.join(self.scratch, "index"))

    def git(self, *words: str) -> str:
        own = {"INDEX_FILE": "index", "OBJECT_DIRECTORY": "objects"}
        env = {f"GIT_{name}": os.path.join(self.scratch, file) for name, file in own.items()}
        return _git(self.root, *words, env={**env, "GIT_LITERAL_PATHSPECS": "1"})

    def tree(self) -> str:
        return self.git("write-tree").strip()

    def entries(self) -> list[tuple[str, str, str]]:
        """Mode, object and name of each."""
        found = []
        for line in self.git("ls-files", "--stage", "-z").split("\0"):
            if line:
                words, _, name = line.partition("\t")
                mode, blob, _ = words.split(" ")
                found.append((mode, blob, name))
        return found


def _name(parts: Sequence[_Part]) -> str:
    content = [[part.below, part.tree()] for part in parts]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:20]


def _place(parts: Sequence[_Part], root: str, target: str) -> None:
    """``target`` is the copy, whole: this one, or another that came first."""
    store = os.path.dirname(target)
    atomic.make_directory(store)
    copy = os.path.join(store, names.temporary_name())
    os.mkdir(copy, atomic.DIRECTORY_MODE)
    try:
        files: list[str] = []
        for part in parts:
            part.git("checkout-index", "--all", f"--prefix={os.path.join(copy, part.below)}/")
            files += [os.path.join(part.below, name) for mode, _, name in part.entries() if mode != _GITLINK]
        for name in files:
            path = os.path.join(copy, name)
            if not os.path.islink(path) and os.path.exists(path):  # a sparse work tree has not all of its files
                os.chmod(path, os.stat(path).st_mode & ~0o222)
        described = {"root": root, "host": os.uname().nodename, "time": round(time.time(), 3), "files": files}
        atomic.write_text(os.path.join(copy, DESCRIPTION), json.dumps(described))
        os.rename(copy, target)
    except BaseException as error:
        shutil.rmtree(copy, ignore_errors=True)
        if not (isinstance(error, OSError) and os.path.isdir(target)):
            raise


def _in_use_from_now(target: str) -> bool:
    """Whether the copy is there. It is as good as new then, and nobody who cleans up takes it."""
    try:
        os.utime(target)
        os.stat(target)
    except FileNotFoundError:
        return False
    return True


# ---------------------------------------------------------------- removing


def listed(store: StrPath) -> list[tuple[str, float]]:
    """The copies in a store by their paths, each with the time of its last use."""
    if not os.path.isdir(store):
        return []
    found = [(entry.path, entry.stat().st_mtime) for entry in os.scandir(store) if "." not in entry.name]
    return sorted(found, key=lambda copy: copy[1])


def remove(target: str, unused_since: float) -> str | None:
    """Remove a copy, but for what jobs wrote into it, and return the directory where that is left, if any.

    Does nothing to a copy that was used after ``unused_since``.
    """
    aside = f"{target}.{names.temporary_name().strip('.')}"
    os.rename(target, aside)
    if os.stat(aside).st_mtime > unused_since:
        try:
            os.rename(aside, target)  # a submission has come in between
        except OSError:
            shutil.rmtree(aside)  # and has made its own
        return None
    for name in (*_files_of(aside), DESCRIPTION):
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(aside, name))
    for directory, _, left in os.walk(aside, topdown=False):
        if os.path.basename(directory) == "__pycache__":
            for name in left:
                os.unlink(os.path.join(directory, name))
        with contextlib.suppress(OSError):
            os.rmdir(directory)
    return aside if os.path.exists(aside) else None


def _files_of(copy: str) -> list[str]:
    try:
        with open(os.path.join(copy, DESCRIPTION), encoding="utf-8") as file:
            return [str(name) for name in json.load(file)["files"]]
    except (OSError, ValueError, KeyError):
        return []


# ---------------------------------------------------------------- git


def _top_of(directory: str) -> str:
    """The work tree that a directory lies in."""
    try:
        return os.path.realpath(_git(directory, "rev-parse", "--show-toplevel").rstrip("\n"))
    except RuntimeError as error:
        if "not a git repository" not in str(error):
            raise
        raise RuntimeError(
            f"A snapshot is a copy of the git work tree that you submit from, but {directory} is in none: submit from "
            "inside your repository, or name it with snapshot=submitit.helpers.Snapshot(root=…)"
        ) from None


def _git(directory: str, *words: str, env: Mapping[str, str] | None = None) -> str:
    whole = {name: value for name, value in os.environ.items() if name not in _OF_ANOTHER_REPOSITORY}
    whole.update({"LC_ALL": "C", **(env or {})})
    # Neither starts a daemon nor writes beside the repository's own index.
    command = ["git", "-C", directory, "-c", "core.fsmonitor=false", "-c", "core.splitIndex=false", *words]
    try:
        return commands.read(command, whole)
    except FileNotFoundError as error:
        raise RuntimeError("A snapshot needs git, and there is none on PATH") from error
    except RuntimeError as error:
        raise RuntimeError(f"No snapshot of {directory} could be made: git {words[0]} says: {error}") from error
