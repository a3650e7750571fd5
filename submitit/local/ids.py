"""The ids of local jobs: small numbers, given out once each, whoever else submits in the same folder.

An id is taken by making what can only be made once: the job's own directory where the folder's name holds the id, else the
job's first log file. A file in ``.submitit`` remembers where to go on, so that not even a removed job's id comes again.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from submitit.storage.atomic import DIRECTORY_MODE, FILE_MODE, make_directory
from submitit.storage.paths import JobPaths, absolute, layout_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_WIDTH = 20


def reserve(folder: str | os.PathLike[str], count: int) -> list[str]:
    """Take ``count`` ids for jobs of an executor's folder.

    Raises ``OSError`` if the folder cannot be written, ``ValueError`` if its tags make no sense outside an array.
    """
    taken: list[str] = []
    template = absolute(folder)
    layout = layout_of(folder)
    with _next_id(layout.locate("local")) as (first, go_on_with):
        # One listing is cheaper than a look for each job.
        present = set(os.listdir(layout.root)) if count > 20 and "%" not in template else None
        number = first
        while len(taken) < count:
            if _take(template, str(number), present):
                taken.append(str(number))
            number += 1
        go_on_with(number)
    return taken


def _take(template: str, job_id: str, present: set[str] | None) -> bool:
    """Whether the id was free; it is not any more. ``present``: what there is in a folder without tags."""
    try:
        if present is not None:
            return not _used(present, job_id) and _make_log(f"{template}/{job_id}_0_log.out")
        paths = JobPaths(template, job_id, 0)
        directory = paths.locate("folder")
        own = _own_directory(template, directory)
        if own:
            try:
                os.mkdir(own, DIRECTORY_MODE)
            except FileNotFoundError:
                make_directory(os.path.dirname(own))
                os.mkdir(own, DIRECTORY_MODE)
            if own != directory:
                make_directory(directory)
            return True
        if any(os.path.lexists(paths.locate(name)) for name in ("submitted_pickle", "result_pickle")):
            return False
        return _make_log(paths.locate("stdout"))
    except FileExistsError:
        return False


def _used(present: set[str], job_id: str) -> bool:
    # What is left of a job whose log was removed would be taken for the new one's.
    return f"{job_id}_submitted.pkl" in present or f"{job_id}_0_result.pkl" in present


def _make_log(path: str) -> bool:
    """Make a file that must not exist."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        os.close(os.open(path, flags, FILE_MODE))
    except FileNotFoundError:
        make_directory(os.path.dirname(path))
        os.close(os.open(path, flags, FILE_MODE))
    return True


def _own_directory(template: str, directory: str) -> str:
    """The leading part of a job's directory down to the first name that holds its id; empty if none does."""
    for index, part in enumerate(template.split("/")):
        if "%j" in part or "%A" in part:
            return "/".join(directory.split("/")[: index + 1])
    return ""


@contextlib.contextmanager
def _next_id(directory: str) -> Iterator[tuple[int, _Counter]]:
    """Where to begin, and what to tell where the next caller begins. Others wait meanwhile, where locks exist."""
    import fcntl

    make_directory(directory)
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(os.path.join(directory, "next-id"), flags, FILE_MODE)
    try:
        with contextlib.suppress(OSError):  # a network file system without locks: making the files settles it
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        text = os.pread(descriptor, _WIDTH, 0).decode("ascii", "replace").strip()
        yield max(1, int(text) if text.isdecimal() else 1), _Counter(descriptor)
    finally:
        # A process that was forked meanwhile has the descriptor too, and with it the lock.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


class _Counter:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __call__(self, number: int) -> None:
        os.pwrite(self._descriptor, f"{number:>{_WIDTH}}".encode("ascii"), 0)
