"""What type checkers must accept and reject of `map`; see `api.py` for how it is said."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from typing_extensions import assert_type

import submitit
from submitit.client.map_results import ChunkProgress, MapResults

T = TypeVar("T")


def one(number: int) -> str:
    return str(number)


def two(number: int, text: str = "") -> bytes:
    return f"{number}{text}".encode()


def sweep(executor: submitit.AutoExecutor, fn: Callable[..., T], *iterables: Iterable[Any]) -> Iterator[T]:
    """What wraps it need not know how many iterables there are."""
    return executor.map(fn, *iterables)


def accepted(executor: submitit.AutoExecutor, local: submitit.LocalExecutor) -> None:
    results = executor.map(one, [1, 2], chunksize=10, timeout=3.5, ordered=False)
    assert_type(results, MapResults[str])
    assert_type(next(results), str)
    assert_type(list(results), list[str])
    assert_type(results.jobs, list[submitit.Job[Any]])
    assert_type(results.progress(), list[ChunkProgress])
    assert_type(executor.map(two, range(3)), MapResults[bytes])
    assert_type(local.map(two, range(3), "abc", chunksize=None, timeout=None), MapResults[bytes])
    assert_type(executor.map(max, [1], [2], [3], [4], [5], [6], [7]), MapResults[Any])
    for text in executor.map(lambda number: f"{number:x}", [10, 11]):
        assert_type(text, str)
    wider: MapResults[object] = results
    print(wider, sweep(executor, two, [1], "a"))


def rejected(executor: submitit.AutoExecutor) -> None:
    executor.map(one, 3)  # type: ignore[call-overload]
    executor.map(one, ["1"])  # type: ignore[arg-type]
    executor.map(one, [1], ["a"])  # type: ignore[arg-type]
    executor.map(two, [1], [2])  # type: ignore[arg-type]
    executor.map(one(3), [1])  # type: ignore[call-overload]
    executor.map(one, [1], chunksize="10")  # type: ignore[call-overload]
    executor.map(one, [1], 10)  # type: ignore[call-overload]
    numbers: list[int] = list(executor.map(one, [1]))  # type: ignore[arg-type]
    print(numbers)
