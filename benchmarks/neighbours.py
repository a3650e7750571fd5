"""What a client of other libraries does in a measurement: one process a call, as this library's local backend has it.

They write no logs and keep no result. Runs in a process of its own, see `serving`; the calls' processes import it too.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any

import serving

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor


def trivial() -> int:
    return 42


def process_pool() -> Executor:
    once: dict[str, Any] = {"max_tasks_per_child": 1}  # from Python 3.11 on
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=context, **once)


def executorlib() -> Executor:
    from executorlib import SingleNodeExecutor  # type: ignore[import-not-found]  # in an environment of its own

    made: Executor = SingleNodeExecutor(max_workers=len(os.sched_getaffinity(0)), block_allocation=False)
    return made


EXECUTORS: dict[str, Callable[[], Executor]] = {"process_pool": process_pool, "executorlib": executorlib}


def round_trips(library: str, times: int) -> dict[str, float]:
    """The median of the seconds from submission to result, one after the other, after a first that does not count."""
    seconds = []
    with EXECUTORS[library]() as executor:
        for _ in range(times + 1):
            start = time.perf_counter()
            value = executor.submit(trivial).result()
            seconds.append(time.perf_counter() - start)
            assert value == 42
    return {"wall": statistics.median(seconds[1:])}


def burst(library: str, count: int) -> dict[str, float]:
    """Seconds a call of so many that are submitted at once."""
    with EXECUTORS[library]() as executor:
        assert executor.submit(trivial).result() == 42
        start = time.perf_counter()
        values = [future.result() for future in [executor.submit(trivial) for _ in range(count)]]
        seconds = time.perf_counter() - start
    assert values == [42] * count
    return {"wall": seconds / count}


if __name__ == "__main__":
    serving.serve((round_trips, burst))
