"""Several calls in one job: what runs there. The job loads this module, and with it nothing else."""

from __future__ import annotations

import os
import time
from itertools import islice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any, TypeVar

    R = TypeVar("R")
    Call = tuple[Callable[..., Any], Sequence[Any], dict[str, Any]]
    #: Of a call: how many positional arguments it has, and the names of the others.
    Shape = tuple[int, tuple[str, ...]]


def call_each(fn: Callable[..., R], arguments: Iterable[Sequence[Any]]) -> list[R]:
    """What ``fn`` returns for each tuple of arguments; raises what the first raises that does."""
    return [fn(*args) for args in arguments]


def flat(calls: Sequence[Call]) -> tuple[list[Shape], list[Any]]:
    """The shapes of the calls, and their functions and arguments in a row.

    As arguments of ``call_flat``, those that many jobs of an array have in common are written once for all of them.
    """
    shapes = [(len(args), tuple(kwargs)) for _, args, kwargs in calls]
    return shapes, [value for fn, args, kwargs in calls for value in (fn, *args, *kwargs.values())]


def call_flat(shapes: list[Shape], cpus: int, *values: Any) -> tuple[float, list[Any]]:
    """Make the calls; return how many seconds that took, and their values. joblib uses at most so many CPUs in them."""
    os.environ.setdefault("LOKY_MAX_CPU_COUNT", str(cpus))
    begin = time.monotonic()
    rest = iter(values)
    results = []
    for count, names in shapes:
        fn, args = next(rest), list(islice(rest, count))
        results.append(fn(*args, **{name: next(rest) for name in names}))
    return time.monotonic() - begin, results
