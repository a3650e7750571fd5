"""Where this user has submitted from: a small file for each folder of jobs, in the user's directory for such things.

``$XDG_STATE_HOME/submitit/folders``, or ``~/.local/state/submitit/folders`` (XDG Base Directory Specification). It serves
those who ask "which jobs have I got", and is a hint: a folder that cannot be noted, or was deleted, is left out.
"""

from __future__ import annotations

import os
from contextlib import suppress

from submitit.records import NamedTuple
from submitit.storage import atomic


class Folder(NamedTuple):
    """A folder of jobs, without tags; and when a process first submitted to it most recently, in seconds since the epoch."""

    root: str
    time: float


_noted: set[tuple[int, str]] = set()


def directory() -> str:
    """Where the files lie; it may not exist."""
    state = os.environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(state):  # as the specification has it
        state = os.path.expanduser("~/.local/state")
    return os.path.join(state, "submitit", "folders")


def note(root: str) -> None:
    """``folders`` names the folder, newest of all. Costs one look-up but for the first call of a process; never raises ``OSError``."""
    key = os.getpid(), root
    if key in _noted:
        return
    _noted.add(key)
    path = _path(root)
    with suppress(OSError):  # a home that cannot be written to is no reason for a job not to be sent
        atomic.make_directory(os.path.dirname(path))
        atomic.write_text(path, root)


def _path(root: str) -> str:
    from hashlib import sha256

    return os.path.join(directory(), sha256(os.fsencode(root)).hexdigest()[:24])


def forget(root: str) -> None:
    """``folders`` does not name the folder any more; never raises ``OSError``."""
    with suppress(OSError):
        os.unlink(_path(root))


def folders() -> list[Folder]:
    """All folders of jobs that are still there, the one that was submitted to last first."""
    found = []
    try:
        entries = list(os.scandir(directory()))
    except OSError:
        return []
    for entry in entries:
        try:
            with open(entry.path, encoding="utf-8", errors="surrogateescape") as file:
                root = file.read(4096)
            moment = entry.stat().st_mtime
        except OSError:
            continue
        if os.path.isabs(root) and os.path.isdir(os.path.join(root, ".submitit")):
            found.append(Folder(root, moment))
    return sorted(found, key=lambda folder: (-folder.time, folder.root))
