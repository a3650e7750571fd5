"""The end of a job's log, which may be of any size, and hold anything."""

from __future__ import annotations

import os
import stat

from submitit import terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from os import PathLike


def end_of(path: str | PathLike[str], most_bytes: int) -> str:
    """The last bytes of a log; ``""`` where there is none. What only bears a log's name, a pipe say, is not waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return ""
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return ""
        return os.pread(descriptor, most_bytes, max(0, status.st_size - most_bytes)).decode(errors="replace")
    except OSError:
        return ""
    finally:
        os.close(descriptor)


def lines_of(text: str) -> list[str]:
    """The lines of a piece of a log, fit for a terminal. A carriage return ends one too: of a progress bar each state is one."""
    return terminal.harmless("\n".join(text.splitlines())).split("\n")
