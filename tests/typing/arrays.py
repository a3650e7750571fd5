"""What type checkers must accept and reject of `map_array` and `submit_array`; see `api.py` for how it is said."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from typing_extensions import assert_type

import submitit

S = TypeVar("S")
T = TypeVar("T")


def none() -> int:
    return 0


def one(number: int) -> str:
    return str(number)


def two(number: int, text: str = "") -> str:
    return f"{number}{text}"


def five(a: int, b: str, c: float, d: bytes, e: bool) -> float:
    return a + float(b) + c + len(d) + e


def many(*numbers: float) -> float:
    return sum(numbers)


def keyword(number: int, *, base: int) -> int:
    return number + base


def identity(value: T) -> T:
    return value


def sweep(executor: submitit.AutoExecutor, fn: Callable[..., T], *iterables: Iterable[Any]) -> list[submitit.Job[T]]:
    """What wraps it need not know how many iterables there are."""
    return executor.map_array(fn, *iterables)


def sweep_one(executor: submitit.Executor, fn: Callable[[S], T], iterable: Iterable[S]) -> list[submitit.Job[T]]:
    return executor.map_array(fn, iterable)


class Model:
    def __init__(self, path: str | Path) -> None:
        self.path = path

    def __call__(self, number: int) -> bytes:
        return bytes(number)

    def fit(self, rate: float) -> float:
        return rate


def every_executor(
    auto: submitit.AutoExecutor,
    slurm: submitit.SlurmExecutor,
    local: submitit.LocalExecutor,
    debug: submitit.DebugExecutor,
    base: submitit.Executor,
) -> None:
    for executor in (auto, slurm, local, debug, base):
        assert_type(executor.map_array(one, [1, 2]), list[submitit.Job[str]])
    auto.map_array(one, ["1", "2"])  # type: ignore[arg-type]
    slurm.map_array(one, ["1", "2"])  # type: ignore[arg-type]
    local.map_array(one, ["1", "2"])  # type: ignore[arg-type]
    debug.map_array(one, ["1", "2"])  # type: ignore[arg-type]
    base.map_array(one, ["1", "2"])  # type: ignore[arg-type]


def iterables(executor: submitit.AutoExecutor, numbers: Iterator[int], texts: Iterable[str], anything: Any) -> None:
    for jobs in (
        executor.map_array(one, range(3)),
        executor.map_array(one, numbers),
        executor.map_array(one, (n * n for n in numbers)),
        executor.map_array(one, {1, 2}),
        executor.map_array(one, {1: "one"}),
        executor.map_array(one, []),
        executor.map_array(one, anything),
        executor.map_array(one, [True]),
        executor.map_array(two, [1, 2]),
        executor.map_array(two, numbers, texts),
        executor.map_array(two, [1, 2], "ab"),
    ):
        assert_type(jobs, list[submitit.Job[str]])
    assert_type(executor.map_array(one, [1])[0].result(), str)
    assert_type([job.result() for job in executor.map_array(many, [1, 2], [0.5])], list[float])
    assert_type(executor.map_array(five, [1], ["2"], [3.0], [b"4"], [True]), list[submitit.Job[float]])
    # More than five are passed as they are.
    assert_type(executor.map_array(many, [1], [2], [3], [4], [5], [6], [7]), list[submitit.Job[float]])
    pairs: list[tuple[int, str]] = [(1, "a"), (2, "b")]
    executor.map_array(two, *zip(*pairs))  # noqa: B905
    lists: list[list[int]] = [[1, 2], [3, 4]]
    assert_type(executor.map_array(many, *lists), list[submitit.Job[float]])


def wrong_arguments(executor: submitit.AutoExecutor, texts: Iterable[str], maybe: list[int | None]) -> None:
    executor.map_array(one, 3)  # type: ignore[call-overload]
    executor.map_array(one, ["a"])  # type: ignore[arg-type]
    executor.map_array(one, texts)  # type: ignore[arg-type]
    executor.map_array(one, maybe)  # type: ignore[arg-type]
    executor.map_array(one, [1.5])  # type: ignore[arg-type]
    executor.map_array(two, [1], [2])  # type: ignore[arg-type]
    executor.map_array(two, ["a"], [1])  # type: ignore[arg-type]
    executor.map_array(five, [1], ["2"], [3.0], ["4"], [True])  # type: ignore[arg-type]
    executor.map_array(many, ["a"])  # type: ignore[arg-type]


def wrong_numbers(executor: submitit.AutoExecutor) -> None:
    executor.map_array(one)  # type: ignore[call-overload]
    executor.map_array(one, [1], [2])  # type: ignore[arg-type]
    executor.map_array(none, [1])  # type: ignore[arg-type]
    executor.map_array(five, [1])  # type: ignore[arg-type]
    executor.map_array(two, [1], ["a"], [2])  # type: ignore[arg-type]
    executor.map_array(keyword, [1])  # type: ignore[arg-type]
    executor.map_array(one, [1], base=[2])  # type: ignore[call-overload]


def callables(executor: submitit.AutoExecutor, anything: Any) -> None:
    model = Model("x")
    assert_type(executor.map_array(model, [1]), list[submitit.Job[bytes]])
    assert_type(executor.map_array(model.fit, [1, 0.5]), list[submitit.Job[float]])
    assert_type(executor.map_array(Model, ["x", "y"]), list[submitit.Job[Model]])
    assert_type(executor.map_array(Model, [Path("x")]), list[submitit.Job[Model]])
    assert_type(executor.map_array(identity, ["a"]), list[submitit.Job[str]])
    assert_type(executor.map_array(lambda number: number + 1, [1, 2]), list[submitit.Job[int]])
    assert_type(executor.map_array(lambda a, b: (b, a), [1], ["a"]), list[submitit.Job[tuple[str, int]]])
    assert_type(executor.map_array(functools.partial(keyword, base=2), [1]), list[submitit.Job[int]])
    assert_type(executor.map_array(anything, [1])[0].result(), Any)
    assert_type(sweep(executor, two, [1], ["b"]), list[submitit.Job[str]])
    assert_type(sweep_one(executor, one, [1]), list[submitit.Job[str]])
    executor.map_array(model, ["1"])  # type: ignore[arg-type]
    executor.map_array(Model, [1])  # type: ignore[arg-type]
    executor.map_array(model.fit, ["0.5"])  # type: ignore[arg-type]
    executor.map_array(one(1), [1])  # type: ignore[call-overload]


def functions_without_arguments(executor: submitit.AutoExecutor) -> None:
    assert_type(executor.submit_array([none, none]), list[submitit.Job[int]])
    assert_type(executor.submit_array((lambda: [1.5], lambda: [0.5])), list[submitit.Job[list[float]]])
    assert_type(executor.submit_array([functools.partial(one, 1), functools.partial(one, 2)]), list[submitit.Job[str]])
    executor.submit_array(none)  # type: ignore[arg-type]
    executor.submit_array([one])  # type: ignore[list-item]
    executor.submit_array([1])  # type: ignore[arg-type]
    executor.submit_array(none for _ in range(3))  # type: ignore[arg-type]


class Counting(submitit.LocalExecutor):
    """An executor that was written for 1.x overrides with its signature."""

    count = 0

    def map_array(self, fn: Any, *iterable: Iterable[Any]) -> list[submitit.Job[Any]]:
        self.count += 1
        return super().map_array(fn, *iterable)
