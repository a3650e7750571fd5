"""What a program that was run has left running."""

from __future__ import annotations

import os
import time
from pathlib import Path

#: A controller ends by itself soon after its client. Reached only where one does not.
DEADLINE_S = 30


def processes_naming(text: str) -> list[str]:
    """The processes whose command line, working directory or open files name `text`: whatever a run started there."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
            links = [os.readlink(process / "cwd"), *(os.readlink(file) for file in (process / "fd").iterdir())]
        except OSError:
            continue
        if state != "Z" and any(text in name for name in (command, *links)):
            found.append(f"{process.name} {command}")
    return found


def assert_nothing_is_left(folder: Path) -> None:
    """No process has anything to do with `folder`, or soon none will."""
    deadline = time.monotonic() + DEADLINE_S
    while left := processes_naming(str(folder)):
        assert time.monotonic() < deadline, f"still running: {left}"
        time.sleep(0.05)
