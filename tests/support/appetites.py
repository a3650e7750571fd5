"""Functions that use much memory or CPU time, by themselves or by processes that they start. Jobs import this module."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from support.calls import my_rank, wait_for, wait_for_file

_HOLD = """
import os, sys, time
held = b"1" * (int(sys.argv[1]) << 20)
with open(sys.argv[2] + ".new", "w") as file:
    file.write(str(os.getpid()))
os.rename(sys.argv[2] + ".new", sys.argv[2])
while not os.path.exists(sys.argv[3]):
    time.sleep(0.01)
"""


def hold(megabytes: int, started: str, go: str) -> subprocess.Popen[bytes]:
    """A process that holds so much memory until ``go`` exists; ``started`` tells that it does."""
    return subprocess.Popen([sys.executable, "-c", _HOLD, str(megabytes), started, go])


def hold_in_children(megabytes: list[int], directory: str) -> None:
    """Children that hold so much each, all at the same time, until the file ``go`` exists; each is waited for."""
    children = [hold(size, f"{directory}/held{k}", f"{directory}/go") for k, size in enumerate(megabytes)]
    assert [child.wait() for child in children] == [0] * len(children)


def burn(seconds: float) -> None:
    """Use CPU time."""
    while time.process_time() < seconds:
        pass


def burn_in_child(seconds: float) -> None:
    """Have a child use CPU time, and wait for it."""
    pid = os.fork()
    if pid == 0:
        burn(seconds)
        os._exit(0)
    os.waitpid(pid, 0)


def leave_a_child(megabytes: int, directory: str) -> None:
    """Return while a child that nobody waits for holds memory."""
    hold(megabytes, f"{directory}/held", f"{directory}/go")
    wait_for(Path(directory, "held").exists)


def take(megabytes: int) -> int:
    """Fill so much memory at once."""
    return len(b"1" * (megabytes << 20))


def one_rank_takes(rank: int, megabytes: int, go: str) -> str | int:
    """One rank fills memory; the others return what ``go`` holds once it exists."""
    return take(megabytes) if my_rank() == rank else wait_for_file(go)
