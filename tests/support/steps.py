"""Ends a process at one step of what it does: before it opens, makes, renames or removes something below a directory, and before
it starts or tells another process.

Python tells of each (audit events, PEP 578). A job is told to by variables: its interpreter finds this module as `sitecustomize`.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

#: Below which directory steps are counted, and which step is the last, from 1.
BELOW, LAST = "TESTS_STEPS_BELOW", "TESTS_LAST_STEP"

_ON_FILES = frozenset({"open", "os.rename", "os.link", "os.symlink", "os.remove", "os.mkdir", "os.rmdir", "os.listdir", "os.truncate"})  # fmt: skip
_ON_PROCESSES = frozenset(
    {"subprocess.Popen", "os.fork", "os.posix_spawn", "os.exec", "socket.sendmsg", "socket.connect"}
)

_wanted: list[tuple[bytes, int]] = []
_taken = 0


def end_at(step: int, below: str | os.PathLike[str]) -> None:
    """From now on count steps, and be killed before the one of this number. Called again, the counting begins anew."""
    global _taken  # noqa: PLW0603 - of the process
    first = not _wanted
    _taken = 0
    _wanted[:] = [(os.fsencode(below), step)]
    if first:
        sys.addaudithook(_count)


def go_on() -> None:
    """Count no more."""
    _wanted[:] = [(b"\0", 0)]


def _count(event: str, arguments: tuple[Any, ...]) -> None:
    global _taken  # noqa: PLW0603
    below, last = _wanted[0]
    if event in _ON_FILES:
        paths = [os.fsencode(path) for path in arguments[:2] if isinstance(path, (str, bytes, os.PathLike))]
        if not any(os.path.abspath(path).startswith(below) for path in paths):
            return
    elif event not in _ON_PROCESSES or below == b"\0":
        return
    _taken += 1
    if _taken == last:
        os.kill(os.getpid(), signal.SIGKILL)


def lines_of_setup(directory: Path, below: Path, step: int) -> list[str]:
    """Lines of shell after which the job's interpreter ends at this step; ``directory`` is made for it."""
    directory.mkdir(exist_ok=True)
    hook = directory / "sitecustomize.py"
    if not hook.exists():
        hook.write_text(Path(__file__).read_text())
    variables = {"PYTHONPATH": directory, BELOW: below, LAST: step}
    return [f"export {name}={str(value)!r}" for name, value in variables.items()]


if __name__ == "sitecustomize" and LAST in os.environ:
    end_at(int(os.environ[LAST]), os.environ[BELOW])
