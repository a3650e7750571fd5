"""Functions whose calls tests map over jobs. Jobs import this module: the tests' own are not importable there."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from support import calls


def tenfold(number: int) -> int:
    return 10 * number


def halve(number: int) -> float:
    """Fails for odd numbers."""
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number / 2


def job_of_call(_: int) -> str:
    import submitit

    return submitit.JobEnvironment().job_id


def noted(number: int, directory: str, waits_at: int) -> int:
    """A line a call in the file ``made``; the call ``waits_at`` then tells its process id and waits for the file ``go``."""
    place = Path(directory)
    with (place / "made").open("a") as file:
        file.write(f"{number}\n")
    if number == waits_at:
        calls.touch_and_wait(str(place / f"started-{number}"), str(place / "go"))
    return 10 * number


def made(directory: Path) -> list[int]:
    """The calls of ``noted`` that were begun, in order."""
    return [int(line) for line in (directory / "made").read_text().split()]


def until_started(directory: Path, number: int) -> int:
    """Wait until a call of ``noted`` waits; return its process id."""
    path = directory / f"started-{number}"
    calls.wait_for(path.exists)
    return int(path.read_text())


def awkward(number: int) -> Any:
    """Values and endings of all kinds, by the number of the call."""
    kinds: list[Any] = [
        lambda: None,
        lambda: threading.Lock(),
        lambda: calls.exit_with(3),
        lambda: bytes(5 << 20),
        lambda: calls.fail_with_unpicklable(),
        lambda: calls.fail_with_demanding(),
        lambda: {"a": [1, (2, "x" * 1000)]},
        lambda: "short",
        lambda: "long" * 1000,
        lambda: calls.fail_from_cause(),
        lambda: calls.recursion(),
        lambda: next(iter(())),
        lambda: True,
        lambda: growing(number),
        lambda: growing(number),
    ]
    return kinds[number]()


#: What a call has changed is not what the one before it returned.
GROWING: list[int] = []


def growing(number: int) -> list[int]:
    GROWING.append(number)
    return GROWING


def length_of(text: bytes, number: int) -> int:
    return len(text) + number


def die_at(number: int, victim: int) -> int:
    """The call ``victim`` kills its process."""
    if number == victim:
        time.sleep(0.2)  # what ended before is noted within 0.05 s
        os.kill(os.getpid(), 9)
    return number


def swallow(directory: str, number: int) -> str:
    """Waits for ``go``, and passes by whatever is to end it meanwhile."""
    while True:
        try:
            with (Path(directory) / "made").open("a") as file:
                file.write(f"{number}\n")
            return calls.touch_and_wait(str(Path(directory) / f"started-{number}"), str(Path(directory) / "go"))
        except SystemExit:
            return "swallowed"


def slow(number: int, seconds: float) -> int:
    time.sleep(seconds)
    return number


def fork_and_exit(_: int) -> int:
    """What the exit code of a forked process is that ends as a program does."""
    child = os.fork()
    if not child:
        sys.exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def interrupted(_: int) -> None:
    raise KeyboardInterrupt


def holding(lock: object) -> Any:
    """A function that is sent by value, with what it holds."""

    def held(_: int) -> str:
        return repr(lock)

    held.__module__ = "__main__"
    return held


def joined(text: str, other: object) -> str:
    return f"{text}{other}"
