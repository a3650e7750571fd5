"""Functions that end badly, oddly or never. Jobs import this module."""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from submitit.helpers import Checkpointable, DelayedSubmission
from support.calls import describe, my_rank, wait_for, wait_for_file


def announce(path: str) -> None:
    """Let a file appear that holds this process's number."""
    beside = f"{path}.{os.getpid()}"
    Path(beside).write_text(str(os.getpid()))
    Path(beside).rename(path)


def die_by(number: int) -> None:
    """Print something on both streams and end by a signal."""
    print("last words")
    os.write(2, b"last words on stderr\n")
    os.kill(os.getpid(), number)
    time.sleep(3600)


def access_nowhere() -> None:
    """Crash the interpreter."""
    ctypes.string_at(0)


def one_rank_dies(rank: int, directory: str) -> int:
    """Kill the process of one rank once the others are there; these wait for the file ``go`` and return their rank."""
    announce(f"{directory}/{my_rank()}")
    if my_rank() == rank:
        import submitit

        count = submitit.JobEnvironment().num_tasks
        wait_for(lambda: all(Path(directory, str(other)).exists() for other in range(count)))
        die_by(signal.SIGKILL)
    wait_for_file(f"{directory}/go")
    return my_rank()


def thread_without_end() -> int:
    """Return this process's number, and leave a thread that keeps the process from ending."""
    threading.Thread(target=time.sleep, args=(3600,)).start()
    return os.getpid()


def exit_handler_without_end() -> int:
    """Return this process's number, and leave an exit handler that keeps the process from ending."""
    atexit.register(time.sleep, 3600)
    return os.getpid()


def wait_in_the_first_attempt(directory: str, rank: int) -> int:
    """Return how many times the job was started before; one rank does not in the first attempt."""
    announce(f"{directory}/started-{my_rank()}-{restarts()}")
    if my_rank() == rank and not restarts():
        time.sleep(3600)
    return restarts()


def restarts() -> int:
    return int(os.environ.get("SLURM_RESTART_COUNT", "0"))


def recurse(depth: int = 0) -> int:
    return recurse(depth + 1)


def print_and_exit(megabytes: int) -> None:
    """Print a lot, line by line, and end without a result."""
    line = "x" * 1023
    for _ in range(megabytes * 1024):
        print(line)
    print("the last line")
    os._exit(5)


def print_unreadable_bytes(code: int) -> None:
    """Print what is no UTF-8 on both streams, and end without a result."""
    os.write(1, b"caf\xe9 on stdout\n")
    os.write(2, b"caf\xe9 on stderr\n")
    os._exit(code)


def fill_memory(megabytes: int) -> int:
    """Use 150 MB for long enough that Slurm, which looks once a second, has seen it; then use more."""
    held = bytearray(150_000_000)
    time.sleep(2.5)
    return len(held + bytearray(megabytes * 1_000_000))


def wait_between(started: str, go: str) -> dict[str, Any]:
    """Announce this process, wait for ``go``, and return what became of the signals meanwhile."""
    announce(started)
    return {"pid": os.getpid(), "text": wait_for_file(go)}


def describe_allocation() -> dict[str, Any]:
    """What a job knows of itself, and what was granted to each of its tasks."""
    return {**describe(), "cpus_per_task": os.environ.get("SLURM_CPUS_PER_TASK")}


def submit_and_wait(folder: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What this job and one that it submits know of themselves. Only rank 0 submits."""
    import submitit

    outer = describe_allocation()
    if my_rank():
        return outer, {}
    executor = submitit.AutoExecutor(folder, cluster="slurm")
    executor.update_parameters(timeout_min=10)
    return outer, executor.submit(describe_allocation).result()


def submit_from_here(folder: str, use_srun: bool) -> dict[str, Any]:
    """Submit a job and an array, as anybody would, from wherever this runs; return what they and this job know of themselves."""
    import submitit

    executor = submitit.AutoExecutor(f"{folder}/{my_rank()}/%j", cluster="slurm")
    executor.update_parameters(timeout_min=10, slurm_use_srun=use_srun)
    single = executor.submit(describe_allocation)
    elements = executor.map_array(restarts_and, [1, 2])
    return {
        "outer": describe_allocation(),
        "single": single.result(),
        "elements": [job.result() for job in elements],
        "ids": [single.job_id, *(job.job_id for job in elements)],
    }


def restarts_and(number: int) -> tuple[int, int, str | None]:
    """How many times the job was started before, the number, and the index in the array."""
    return restarts(), number, os.environ.get("SLURM_ARRAY_TASK_ID")


class Saving:
    """Waits in each attempt but the last; ``directory`` gets a file an attempt, with the process's number."""

    def __init__(self, attempts: int, directory: str) -> None:
        self.attempts = attempts
        self.directory = directory
        self.done = 0

    def __call__(self) -> int:
        announce(f"{self.directory}/attempt-{self.done}")
        wait_for(lambda: self.done + 1 >= self.attempts, 3600)
        return self.done

    def checkpoint(self) -> Any:
        self.done += 1
        return DelayedSubmission(self)


def note_start(directory: str, index: int) -> int:
    """Leave a file ``<index>.<attempt>``; return ``index``."""
    Path(directory, f"{index}.{os.environ.get('SLURM_RESTART_COUNT', '0')}").touch()
    return index


def wait_calmly(started: str, go: str) -> str:
    """Announce this process and wait for ``go``, with a look twice a second: a hundred of them run at once."""
    announce(started)
    while not Path(go).exists():
        time.sleep(0.5)
    return started


class Running:
    """Announces each attempt by number and waits for the file ``go``."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        #: How many times its state was saved, where it can be.
        self.saved = 0

    def __call__(self) -> dict[str, int]:
        announce(f"{self.directory}/attempt-{restarts()}")
        self.wait()
        return {"saved": self.saved, "restarts": restarts()}

    def wait(self) -> None:
        wait_for(lambda: Path(self.directory, "go").exists(), 3600)


class Checkpointed(Running, Checkpointable):
    def checkpoint(self, *args: Any, **kwargs: Any) -> DelayedSubmission:
        self.saved += 1
        return super().checkpoint(*args, **kwargs)


class Hooked(Running):
    """Has the one method that asks for no import of this library."""

    def __submitit_checkpoint__(self) -> Any:
        self.saved += 1
        return DelayedSubmission(self)


#: What can be submitted, by how it saves its state: a job of each is started with a directory.
KINDS: dict[str, Callable[[str], Running]] = {
    "plain": Running,
    "checkpointable": Checkpointed,
    "`__submitit_checkpoint__`": Hooked,
}


class InC(Checkpointed):
    """In its first attempt it waits in code that no signal handler of Python interrupts, for the file ``out``."""

    def wait(self) -> None:
        if restarts():
            super().wait()
            return
        library, mutex = (
            ctypes.CDLL(None),
            ctypes.create_string_buffer(64),
        )  # as long as any mutex; all zero is unlocked
        library.pthread_mutex_lock(mutex)

        def let_out() -> None:
            wait_for(lambda: Path(self.directory, "out").exists(), 3600)
            library.pthread_mutex_unlock(mutex)

        threading.Thread(target=let_out, daemon=True).start()
        library.pthread_mutex_lock(mutex)
        super().wait()


class Greedy(Running):
    def __call__(self) -> dict[str, int]:
        fill_memory(600)
        return super().__call__()


class GreedyCheckpointed(Greedy, Checkpointed): ...


class GreedyHooked(Greedy, Hooked): ...


GREEDY: dict[str, Callable[[str], Running]] = {
    "plain": Greedy,
    "checkpointable": GreedyCheckpointed,
    "`__submitit_checkpoint__`": GreedyHooked,
}
