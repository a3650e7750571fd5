"""Functions that tests submit. Jobs import this module: the tests' own are not importable there."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def add(a: float, b: float) -> float:
    return a + b


def fail(message: str) -> None:
    raise ValueError(message)


class Unpicklable(Exception):  # noqa: N818 - what it is called is the point
    """An exception that cannot be pickled."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.lock = threading.Lock()


class Demanding(Exception):  # noqa: N818 - as above
    """An exception that pickles, and does not unpickle: its arguments are not those of ``__init__``."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} {two}")


def fail_with_unpicklable() -> None:
    raise Unpicklable("has a lock")


def fail_with_demanding() -> None:
    raise Demanding("one", "two")


def fail_from_cause() -> None:
    try:
        raise KeyError("inner")
    except KeyError as error:
        raise ValueError("outer") from error


def unpicklable_result() -> dict[str, Any]:
    return {"fine": 1, "bad": [threading.Lock()]}


def exit_with(code: object) -> None:
    sys.exit(code)  # type: ignore[arg-type]


def exit_at_once(code: int) -> None:
    os._exit(code)


def my_rank() -> int:
    import submitit

    return submitit.JobEnvironment().global_rank


def crash() -> None:
    import ctypes

    ctypes.string_at(0)


def out_of_memory_error() -> None:
    raise MemoryError("no memory left")


def recursion() -> int:
    return recursion()


def print_and_wait(path: str) -> str:
    """Print without a flush, then wait until ``path`` exists."""
    print("seen while running")
    wait_for(lambda: Path(path).exists())
    return "went on"


def wait_for(is_true: Callable[[], object], timeout_s: float = 60.0) -> None:
    """Return when ``is_true`` is; raise TimeoutError after a time that only a deadlock reaches."""
    deadline = time.monotonic() + timeout_s
    while not is_true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{is_true} was not true within {timeout_s} s")
        time.sleep(0.01)


def wait_for_output(job: Any, words: str, times: int = 1) -> None:
    """Return when ``words`` stand in the job's output so often: srun brings the last lines after the result is there."""
    wait_for(lambda: (job.stdout() or "").count(words) == times)


def wait_for_file(path: str) -> str:
    """What ``path`` holds, once it holds something."""
    wait_for(lambda: Path(path).exists() and Path(path).stat().st_size, 120)
    return Path(path).read_text()


def touch_and_wait(started: str, go: str) -> str:
    """Write this process's id to ``started``, whole as soon as it is there; return what ``go`` holds once it exists."""
    whole = Path(f"{started}.{os.getpid()}")
    whole.write_text(str(os.getpid()))
    whole.replace(started)
    return wait_for_file(go)


def environment() -> dict[str, str]:
    return dict(os.environ)


def describe() -> dict[str, Any]:
    """What a job knows of itself."""
    import submitit

    env = submitit.JobEnvironment()
    return {
        "job_id": env.job_id,
        "raw_job_id": env.raw_job_id,
        "array_job_id": env.array_job_id,
        "array_task_id": env.array_task_id,
        "num_tasks": env.num_tasks,
        "num_nodes": env.num_nodes,
        "node": env.node,
        "global_rank": env.global_rank,
        "local_rank": env.local_rank,
        "hostnames": list(env.hostnames),
        "repr": repr(env),
        "cwd": os.getcwd(),
        "isatty": sys.stdout.isatty(),
        "cpus": len(os.sched_getaffinity(0)),
    }


class Counter:
    """Checkpointable: counts to ``target`` over as many attempts as it takes, and notes each attempt's start."""

    def __init__(self, target: int, notes: str) -> None:
        self.target = target
        self.notes = notes
        self.count = 0

    def __call__(self) -> int:
        with Path(self.notes).open("a") as file:
            file.write(f"start {self.count}\n")
        wait_for(lambda: self.count >= self.target or Path(self.notes + ".go").exists(), 120)
        return self.count

    def checkpoint(self) -> Any:
        import submitit

        self.count += 1
        return submitit.helpers.DelayedSubmission(self)


def fail_on_ranks(ranks: list[int]) -> int:
    rank = my_rank()
    if rank in ranks:
        raise ValueError(f"this is rank {rank}")
    return rank


def note_line(path: str, line: str) -> str:
    """Add a line to a file, and return it: what a function does to the world, to be counted."""
    with open(path, "a") as file:
        file.write(line + "\n")
    return line


def exit_when_told(go: str, code: int) -> None:
    """End without a result once there is a file ``go``."""
    wait_for_file(go)
    os._exit(code)


def print_until(go: str) -> None:
    """Print a line, and another once a file is there."""
    print("first line", flush=True)
    deadline = time.monotonic() + 60
    while not os.path.exists(go):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    print("last line", flush=True)
