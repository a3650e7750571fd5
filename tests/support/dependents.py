"""Functions for jobs that wait for others, in what results may lie, and how those jobs are seen to fail."""

from __future__ import annotations

import functools
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import submitit


@dataclass(frozen=True)
class Settings:
    """A frozen dataclass, in a job's arguments."""

    size: int
    others: list[Any]


class Pair(NamedTuple):
    """A named tuple, in a job's arguments."""

    left: Any
    right: Any


class Opaque:
    """Nobody looks into its attributes."""

    def __init__(self, inside: Any) -> None:
        self.inside = inside


def given(*args: Any, **kwargs: Any) -> tuple[Any, ...]:
    """What the function was called with."""
    return args, kwargs


def kind_of_job(job: submitit.Job[Any]) -> str:
    assert isinstance(job, submitit.Job)
    return type(job).__name__


def nested(value: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments with a value everywhere where a result may lie."""
    shared = [value]
    args = ([value, (1, value)], Settings(value, [{"deep": value}]), Pair(shared, shared))
    return args, {"ordered": OrderedDict(a=value), "call": functools.partial(max, value, 0)}


def flat(seen: Any) -> Any:
    """The arguments that a function was called with, to compare."""
    args, kwargs = seen
    call = kwargs["call"]
    assert type(args[2]) is Pair
    assert type(kwargs["ordered"]) is OrderedDict
    assert args[2].left is args[2].right
    return args, {**kwargs, "call": (call.func, call.args)}


def plus(one: Any, other: Any) -> Any:
    return one + other


def note(path: str, word: str) -> str:
    """Append a word to a file; return all that stands there."""
    with Path(path).open("a") as file:
        file.write(f"{word} ")
    return Path(path).read_text()


def exists(path: str) -> bool:
    return Path(path).exists()


def add_all(*numbers: Any) -> int:
    return sum(sum(n) if isinstance(n, list) else n for n in numbers)


def first_failure(error: BaseException | None) -> BaseException:
    """What the first job of those that failed has raised."""
    assert type(error) is submitit.JobDependencyError, repr(error)
    while error.__cause__ is not None:
        error = error.__cause__
    return error
