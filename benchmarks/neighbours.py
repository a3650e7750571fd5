"""What a client of another library does in a measurement. Runs in a process of its own (see `serving`), in that library's environment.

Each is used as its own introduction has it, with a worker for each CPU. Their workers import this module as well.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import statistics
import time
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CORES = len(os.sched_getaffinity(0))


def trivial() -> int:
    return 42


def square(number: int) -> int:
    return number * number


class Library:
    """One that is open: how a call is submitted, and how many are mapped."""

    def __init__(
        self,
        submit: Callable[[Callable[[], int]], Callable[[], int]],
        map_: Callable[[Callable[[int], int], int], list[int]],
    ) -> None:
        #: Takes a function, gives what waits for its value.
        self.submit = submit
        #: Takes a function and a number n, gives its values for 0 to n - 1.
        self.map = map_


# What is imported below is installed in the environment of that library alone.


@contextlib.contextmanager
def process_pool() -> Iterator[Library]:
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(CORES) as pool:
        yield Library(
            lambda fn: pool.submit(fn).result, lambda fn, count: list(pool.map(fn, range(count), chunksize=1000))
        )


@contextlib.contextmanager
def fresh_process_pool() -> Iterator[Library]:
    """The same with a new process for each call."""
    from concurrent.futures import ProcessPoolExecutor

    once: dict[str, Any] = {"max_tasks_per_child": 1}  # from Python 3.11 on
    with ProcessPoolExecutor(CORES, mp_context=multiprocessing.get_context("spawn"), **once) as pool:
        yield Library(lambda fn: pool.submit(fn).result, lambda fn, count: list(pool.map(fn, range(count))))


@contextlib.contextmanager
def joblib() -> Iterator[Library]:
    import joblib as library  # type: ignore[import-untyped, import-not-found, unused-ignore]
    import loky  # type: ignore[import-not-found]

    def map_(fn: Callable[[int], int], count: int) -> list[int]:
        with library.parallel_config(n_jobs=CORES):
            return list(library.Parallel()(library.delayed(fn)(number) for number in range(count)))

    with loky.get_reusable_executor(CORES) as pool:
        yield Library(lambda fn: pool.submit(fn).result, map_)


@contextlib.contextmanager
def dask() -> Iterator[Library]:
    from distributed import Client, LocalCluster  # type: ignore[import-not-found]

    with LocalCluster(CORES, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        # Not pure: else the same call is made but once.
        yield Library(
            lambda fn: client.submit(fn, pure=False).result,
            lambda fn, count: list(client.gather(client.map(fn, range(count), pure=False))),
        )


@contextlib.contextmanager
def parsl() -> Iterator[Library]:
    import parsl as library  # type: ignore[import-not-found]
    from parsl.config import Config  # type: ignore[import-not-found]
    from parsl.executors import HighThroughputExecutor  # type: ignore[import-not-found]
    from parsl.providers import LocalProvider  # type: ignore[import-not-found]

    provider = LocalProvider(init_blocks=1, max_blocks=1)
    executor = HighThroughputExecutor(address="127.0.0.1", max_workers_per_node=CORES, provider=provider)
    with library.load(Config(executors=[executor], usage_tracking=0)):
        apps = {fn.__name__: library.python_app(fn) for fn in (trivial, square)}
        yield Library(
            lambda fn: apps[fn.__name__]().result,
            lambda fn, count: [future.result() for future in [apps[fn.__name__](number) for number in range(count)]],
        )


@contextlib.contextmanager
def executorlib() -> Iterator[Library]:
    from executorlib import SingleNodeExecutor  # type: ignore[import-not-found]

    with SingleNodeExecutor(max_workers=CORES) as executor:
        yield Library(
            lambda fn: executor.submit(fn).result,
            lambda fn, count: [
                future.result() for future in [executor.submit(partial(fn, number)) for number in range(count)]
            ],
        )


LIBRARIES: dict[str, Callable[[], contextlib.AbstractContextManager[Library]]] = {
    "process pool": process_pool,
    "process pool, a process a call": fresh_process_pool,
    "joblib/loky": joblib,
    "dask.distributed": dask,
    "parsl": parsl,
    "executorlib": executorlib,
}


def versions(packages: list[str]) -> dict[str, str]:
    return {name: version(name) for name in packages}


def first(library: str) -> dict[str, float]:
    """Seconds from nothing, the library not even imported, to the first result."""
    start = time.perf_counter()
    with LIBRARIES[library]() as opened:
        assert opened.submit(trivial)() == 42
        return {"wall": time.perf_counter() - start}


def round_trips(library: str, times: int) -> dict[str, float]:
    """The median of the seconds from submission to result, one after the other, after three that do not count."""
    seconds = []
    with LIBRARIES[library]() as opened:
        for _ in range(times + 3):
            start = time.perf_counter()
            value = opened.submit(trivial)()
            seconds.append(time.perf_counter() - start)
            assert value == 42
    return {"wall": statistics.median(seconds[3:])}


def burst(library: str, count: int) -> dict[str, float]:
    """Seconds a call of so many that are submitted one by one, before the first is waited for."""
    with LIBRARIES[library]() as opened:
        assert opened.submit(trivial)() == 42
        start = time.perf_counter()
        values = [result() for result in [opened.submit(trivial) for _ in range(count)]]
        seconds = time.perf_counter() - start
    assert values == [42] * count
    return {"wall": seconds / count}


def mapped(library: str, count: int) -> dict[str, float]:
    """Seconds a call of so many that are mapped in the library's own way."""
    with LIBRARIES[library]() as opened:
        opened.map(square, 4)
        start = time.perf_counter()
        values = opened.map(square, count)
        seconds = time.perf_counter() - start
    assert values == [number * number for number in range(count)]
    return {"wall": seconds / count}


if __name__ == "__main__":
    serving.serve((versions, first, round_trips, burst, mapped))
