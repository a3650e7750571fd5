"""Functions that fail in their first attempts, each in its own way. Jobs import this module.

Each start leaves a file ``NAME.ATTEMPT`` in a directory, and each success a file ``NAME.ATTEMPT.done``.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import submitit
from support.calls import my_rank, wait_for

#: More than a job of this module's tests may have that asks for `SMALL_GB`.
GREED_MB = 330
SMALL_GB = 0.2


class FlakyError(OSError):
    """What fails today may succeed tomorrow."""


def attempt() -> int:
    """How many times the job was started before."""
    return submitit.JobEnvironment()._attempt


def note(directory: str, name: object, word: str = "") -> None:
    Path(directory, f"{name}.{attempt()}{word}").touch()


def fail(way: str) -> None:
    if way == "memory":
        take(GREED_MB)
    elif way == "exception":
        raise FlakyError("not today")
    elif way == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif way == "time":
        time.sleep(3600)
    elif way:
        raise KeyError(way)


def take(megabytes: int) -> int:
    """Use so much memory, and say how much it was."""
    taken = bytearray(megabytes << 20)
    for place in range(0, len(taken), 4096):
        taken[place] = 1
    return len(taken) >> 20


def first_by(directory: str, name: object, way: str, times: int = 1) -> str:
    """Fail in the first attempts, then return the name with the number of the attempt."""
    note(directory, name)
    if attempt() < times:
        fail(way)
    note(directory, name, ".done")
    return f"{name} {attempt()}"


def greedy(directory: str) -> int:
    """Use more memory than a small job may have, in every attempt."""
    note(directory, "greedy")
    return take(GREED_MB)


def one_rank_first(directory: str, way: str) -> int:
    """In the first attempt rank 1 fails when all others have begun, and they go on for ever."""
    rank = my_rank()
    note(directory, rank)
    if not attempt():
        if rank == 1:
            count = submitit.JobEnvironment().num_tasks
            wait_for(lambda: all(Path(directory, f"{other}.0").exists() for other in range(count)))
            fail(way)
        time.sleep(3600)
    note(directory, rank, ".done")
    return rank


class Counting:
    """Saves how far it came, and goes on from there; fails once in the middle."""

    def __init__(self, directory: str, way: str, start: int = 0) -> None:
        self.directory, self.way, self.start = directory, way, start

    def __call__(self) -> int:
        note(self.directory, f"from-{self.start}")
        if self.start == 0:  # told to save its state
            time.sleep(3600)
        if attempt() == 1:
            fail(self.way)
        return self.start

    def checkpoint(self) -> submitit.helpers.DelayedSubmission:
        return submitit.helpers.DelayedSubmission(Counting(self.directory, self.way, self.start + 1))


def starts(directory: Path) -> dict[str, list[int]]:
    """The attempts in which each name was started."""
    found: dict[str, list[int]] = {}
    for path in directory.iterdir():
        name, _, number = path.name.rpartition(".")
        if number.isdecimal():
            found.setdefault(name, []).append(int(number))
    return {name: sorted(numbers) for name, numbers in found.items()}


def successes(directory: Path) -> dict[str, list[int]]:
    """The attempts in which each name has succeeded."""
    found: dict[str, list[int]] = {}
    for path in directory.glob("*.done"):
        name, number, _ = path.name.rsplit(".", 2)
        found.setdefault(name, []).append(int(number))
    return found
