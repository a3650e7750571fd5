"""Several calls in one job: what runs there. The job loads this module, and with it nothing else."""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any, TypeVar

    R = TypeVar("R")
    #: A call whose function and arguments are numbers: places in a list of values.
    Placed = tuple[int, list[int], dict[str, int]]


def call_each(fn: Callable[..., R], arguments: Iterable[Sequence[Any]]) -> list[R]:
    """What ``fn`` returns for each tuple of arguments; raises what the first raises that does."""
    return [fn(*args) for args in arguments]


def placed(calls: Iterable[tuple[Callable[..., Any], Sequence[Any], dict[str, Any]]]) -> tuple[list[Placed], list[Any]]:
    """The calls, and the values that they are about, each once.

    As arguments of their own, values that many jobs of an array have are written once for all of them.
    """
    values: list[Any] = []
    places: dict[int, int] = {}

    def place(value: Any) -> int:
        if id(value) not in places:
            places[id(value)] = len(values)
            values.append(value)
        return places[id(value)]

    plan = [
        (place(fn), [place(value) for value in args], {name: place(value) for name, value in kwargs.items()})
        for fn, args, kwargs in calls
    ]
    return plan, values


def call_placed(plan: list[Placed], cpus: int, *values: Any) -> tuple[float, list[Any]]:
    """Make the calls; return how many seconds that took, and their values. joblib uses at most so many CPUs in them."""
    os.environ.setdefault("LOKY_MAX_CPU_COUNT", str(cpus))
    begin = time.monotonic()
    results = [
        values[fn](*(values[place] for place in args), **{name: values[place] for name, place in kwargs.items()})
        for fn, args, kwargs in plan
    ]
    return time.monotonic() - begin, results
