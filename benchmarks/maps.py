"""What a client does in a measurement of `map`: the same calls by this library's jobs, and by a process pool.

Runs in a process of its own, see `serving`; the pool's processes are forked from it.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ProcessPoolExecutor
from functools import cache

import serving

import submitit


def trivial(number: int) -> int:
    return number


@cache
def executor(folder: str) -> submitit.AutoExecutor:
    """One that has run a job: its controller is there."""
    local = submitit.AutoExecutor(folder=folder, cluster="local")
    assert local.submit(trivial, 42).result() == 42
    return local


def by_jobs(folder: str, calls: int, chunksize: int) -> dict[str, float]:
    """Seconds until all results are there."""
    local = executor(folder)
    start = time.perf_counter()
    values = list(local.map(trivial, range(calls), chunksize=chunksize))
    seconds = time.perf_counter() - start
    assert values == list(range(calls))
    return {"wall": seconds}


def by_pool(calls: int, chunksize: int) -> dict[str, float]:
    """The same, from the start of the pool's processes on."""
    start = time.perf_counter()
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        values = list(pool.map(trivial, range(calls), chunksize=chunksize))
        seconds = time.perf_counter() - start
    assert values == list(range(calls))
    return {"wall": seconds}


if __name__ == "__main__":
    serving.serve((by_jobs, by_pool))
