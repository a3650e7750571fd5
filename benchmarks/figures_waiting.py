"""Waiting for very many jobs: what it takes when all are over, when none is, and when one ends; and what the handles weigh.

No scheduler takes part. Jobs leave their endings with the functions that a job's runner, and the shells and the controller around
it, leave them with; a client waits for the handles that a submission makes.
"""

from __future__ import annotations

import gc
import os
import pickle
import random
import resource
import sys
import time
import tracemalloc
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import serving
from processes import Client
from samples import Figure, Series, Target

import submitit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from machine import Bench

MANY: Final = 100_000
UNFINISHED: Final = 10_000


# ---------------------------------------------------------------- what is measured, by run.py


def measure(bench: Bench) -> Iterator[Figure]:
    count, unfinished = bench.times(MANY, 2000), bench.times(UNFINISHED, 500)
    place = (bench.in_memory or bench.work) / "waiting"
    with ExitStack() as stack:

        def client(name: str) -> Client:
            return stack.enter_context(Client(bench.ours, place / name, program=Path(__file__)))

        for backend in ("slurm", "local"):
            folder = str(place / backend)
            client(f"ending-{backend}").call("end_jobs", backend=backend, folder=folder, count=count, patience=900)
            waiting = [
                client(f"waiting-{backend}-{turn}").call(
                    "wait_for_all", backend=backend, folder=folder, count=count, patience=300
                )
                for turn in range(bench.times(3, 1))
            ]
            over = Series(len(waiting), iter(waiting).__next__)
            for _ in waiting:
                over.take()
            name = f"waiting, {backend}: {count:,} jobs that are over"
            yield Figure(f"{name}, all handed out", "s", over.sample("wall"), None, Target(1.5))
            yield Figure(f"{name}, the client's peak memory", "MB", over.sample("peak"), None, Target(150e6))
            yield _one(
                client(f"idle-{backend}"),
                f"waiting, {backend}: {unfinished:,} jobs of which none ends, of a core",
                "%",
                Target(0.002),
                "idle",
                backend=backend,
                folder=f"{folder}-idle",
                count=unfinished,
                seconds=bench.times(25, 5),
            )
            handles = client(f"handles-{backend}").call(
                "weigh", backend=backend, folder=f"{folder}-handles", count=count, patience=300
            )
            weighed = Series(1, lambda handles=handles: handles)  # type: ignore[misc]
            weighed.take()
            name = f"waiting, {backend}: {count:,} handles"
            yield Figure(f"{name}, memory", "MB", weighed.sample("bytes"), None, Target(count * 1e3))
            yield Figure(f"{name}, pickled and loaded", "s", weighed.sample("pickled"), None, Target(2.0))
            yield Figure(f"{name}, shown", "s", weighed.sample("shown"))
        for longest, limit in ((1.0, Target(0.020)), (15.0, Target(0.5, "worst"))):
            waker = client(f"waking-{longest:g}")
            woken = Series(
                bench.times(40 if longest == 1 else 4, 2),
                lambda waker=waker, longest=longest: waker.call(  # type: ignore[misc]
                    "wake", folder=str(place / f"waking-{longest:g}"), longest=longest
                ),
            )
            for _ in range(woken.times):
                woken.take()
            name = f"waiting: marker to result(), after up to {longest:g} s"
            yield Figure(name, "ms", woken.sample("wall"), None, limit).note_failures(woken)


def _one(client: Client, name: str, unit: Any, target: Target, action: str, **arguments: object) -> Figure:
    series = Series(1, lambda: client.call(action, patience=900, **arguments))
    series.take()
    return Figure(name, unit, series.sample("share"), None, target).note_failures(series)


# ---------------------------------------------------------------- what the clients do


def _handles(backend: str, folder: str, count: int) -> list[Any]:
    """Handles as a submission makes them; of local jobs, as another process finds them again."""
    if backend == "local":
        return [submitit.LocalJob(f"{folder}/%j", str(number)) for number in range(1, count + 1)]
    from submitit.storage.submission import DelayedSubmission

    executor = _slurm(folder)
    first: Any = submitit.SlurmJob(executor.folder, "12")
    events = f"{folder}/.submitit/events/client"
    executor._events_path = lambda: events  # type: ignore[method-assign]  # each process would have its own
    call = DelayedSubmission(len, "x")
    return executor._handles(first, count, Path(folder, "payload.pkl"), 0, [call] * count)


def _slurm(folder: str) -> submitit.SlurmExecutor:
    class Here(submitit.SlurmExecutor):
        """There need be no Slurm."""

        @classmethod
        def affinity(cls) -> int:
            return 1

    return Here(f"{folder}/%j")


def end_jobs(backend: str, folder: str, count: int) -> dict[str, int]:
    """All jobs leave a result, and whoever tells of it tells."""
    from submitit.storage import atomic, events, outcome

    now = time.time()
    footer = outcome.Footer(
        True, host="node12", pid=1234, attempt=0, start=now, end=now, cpu_s=0.1, python="3", submitit="2"
    )
    directory = events.EventDirectory(f"{folder}/.submitit/events/client")
    tell = _journal(folder) if backend == "local" else None
    for job in _handles(backend, folder, count):
        path = job._result_path(0)
        atomic.make_directory(os.path.dirname(path))
        if tell is None:
            directory.mark(job.job_id, 0, 0, "run", "node12")
        outcome.write_result(path, ("success", 1), None, footer)
        if tell is None:
            directory.mark(job.job_id, 0, 0, "done", "node12")
            directory.mark(job.job_id, 0, 0, "exit-0")
            directory.mark(job.job_id, "batch", 0, "exit-0")
        else:
            tell(job.job_id, over=True)
    return {"count": count}


def _journal(folder: str) -> Any:
    from submitit.local import processes, records
    from submitit.storage.journal import Journal

    journal = Journal(f"{folder}/.submitit/journal/bench.jsonl")
    me = processes.identify(os.getpid())
    journal.append(records.Header("bench", f"{folder}/.submitit/local/bench", me, me).write())

    def tell(job_id: str, *, over: bool) -> None:
        now = time.time()
        state = records.Record(job_id, "RUNNING", time=now, start=now, node="here", pids=[(me.pid, me.started)])
        journal.append(state.write())
        if over:
            journal.append(state._replace(state="COMPLETED", over=True, end=now, exits=[0], recorded=[0]).write())

    return tell


def wait_for_all(backend: str, folder: str, count: int) -> dict[str, float]:
    handles = _handles(backend, folder, count)
    start = time.perf_counter()
    done, not_done = submitit.wait(handles)
    seconds = time.perf_counter() - start
    assert (len(done), len(not_done)) == (count, 0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {"wall": seconds, "peak": peak}


def idle(backend: str, folder: str, count: int, seconds: float) -> dict[str, float]:
    """The share of a core that waiting takes, from when the first look is over; before a scheduler would be asked."""
    if backend == "local":
        executor = submitit.LocalExecutor(f"{folder}/%j")
        executor.update_parameters(max_jobs=1)
        handles: list[Any] = executor.map_array(time.sleep, [600.0] * count)
    else:
        handles = _handles(backend, folder, count)
        Path(folder, ".submitit", "events", "client").mkdir(parents=True)
    try:
        submitit.wait(handles, timeout=0)
        from submitit.orchestrator.tracker import Waiter

        waiter = Waiter(handles)
        waiter.ended(2.5)
        used = time.process_time()
        start = time.perf_counter()
        assert waiter.ended(seconds) == []
        return {"share": (time.process_time() - used) / (time.perf_counter() - start)}
    finally:
        if backend == "local":
            submitit.cancel(handles)
            submitit.wait(handles)


def weigh(backend: str, folder: str, count: int) -> dict[str, float]:
    """Bytes that the handles keep, and seconds to pickle and load them, and to show them."""
    _handles(backend, folder, 10)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    handles = _handles(backend, folder, count)
    gc.collect()
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    start = time.perf_counter()
    again = pickle.loads(pickle.dumps(handles))
    pickled = time.perf_counter() - start
    assert len(again) == count
    start = time.perf_counter()
    repr(handles)
    return {"bytes": held, "pickled": pickled, "shown": time.perf_counter() - start}


def wake(folder: str, longest: float) -> dict[str, float]:
    """Seconds from a job's last marker to the return of `result()`, which began up to `longest` seconds before."""
    from submitit.storage import events, outcome

    started = Path(folder)
    started.mkdir(parents=True, exist_ok=True)
    handles = _handles("slurm", f"{folder}/{time.monotonic_ns()}", 2)
    job = handles[0]
    directory = events.EventDirectory(job._events_path)
    directory.make()
    told, tell = os.pipe()
    pid = os.fork()
    if not pid:
        time.sleep(longest * random.uniform(0.1, 1.0))
        Path(job._result_path(0)).parent.mkdir(parents=True, exist_ok=True)
        outcome.write_result(job._result_path(0), ("success", 42), None, outcome.Footer(True))
        now = time.monotonic_ns()
        directory.mark(job.job_id, 0, 0, "done", "here")
        os.write(tell, str(now).encode())
        os._exit(0)
    value = job.result()
    end = time.monotonic_ns()
    os.waitpid(pid, 0)
    assert value == 42
    marked = int(os.read(told, 100))
    os.close(told)
    os.close(tell)
    return {"wall": (end - marked) / 1e9}


if __name__ == "__main__":
    serving.serve((end_jobs, wait_for_all, idle, weigh, wake))
