"""Repeated measurements: taken in turns, summarised, compared with a target."""

from __future__ import annotations

import random
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Base unit of a value -> the factor to, and the name of, the unit that is printed.
UNITS: Final = {"ms": 1e3, "s": 1.0, "MB": 1e-6, "files": 1.0, "%": 1e2, "commands": 1.0, "jobs": 1.0}
Unit = Literal["ms", "s", "MB", "files", "%", "commands", "jobs"]


#: What one measurement gives: its quantities by name, all of them numbers but for what is told about an error.
Answer = dict[str, Any]


class NoFigureError(Exception):
    """A measurement gave no value; the message says why."""


@dataclass(frozen=True)
class Sample:
    """At least one value, in base units."""

    values: Sequence[float]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def worst(self) -> float:
        return max(self.values)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The lower and the upper one; of fewer than four values the least and the greatest."""
        if len(self.values) < 4:
            return min(self.values), max(self.values)
        lower, _, upper = statistics.quantiles(self.values, n=4, method="inclusive")
        return lower, upper


class Series:
    """One thing, measured again and again. The first failure ends it; what was measured before is kept."""

    def __init__(self, times: int, measure: Callable[[], Answer]) -> None:
        self.times: Final = times
        self.values: Final[list[Answer]] = []
        self.failure: str | None = None
        self._measure = measure

    def take(self) -> None:
        if self.failure is None:
            try:
                self.values.append(self._measure())
            except NoFigureError as error:
                self.failure = str(error)

    def sample(self, key: str) -> Sample | None:
        """The values of one key of the answers. None if there is none."""
        return Sample([value[key] for value in self.values]) if self.values else None

    def above(self, baseline: Series, key: str = "wall") -> Sample | None:
        """The differences to what was measured in the same round."""
        pairs = zip(self.values, baseline.values, strict=False)
        values = [value[key] - base[key] for value, base in pairs]
        return Sample(values) if values else None


def take_turns(*series: Series) -> None:
    """Measures all series, the shorter ones evenly among the longer ones, in a new order in each round.

    So what disturbs the machine for a while disturbs all of them alike.
    """
    rounds = max(one.times for one in series)
    order = list(series)
    for number in range(rounds):
        random.shuffle(order)
        for one in order:
            if number * one.times // rounds != (number + 1) * one.times // rounds:
                one.take()


@dataclass(frozen=True)
class Target:
    """At most `limit` for our median or our worst value, or at least `limit` times better than the reference."""

    limit: float
    of: Literal["median", "worst", "ratio"] = "median"


@dataclass
class Figure:
    """One line of the table."""

    name: str
    unit: Unit
    ours: Sample | None
    reference: Sample | None = None
    target: Target | None = None
    notes: list[str] = field(default_factory=list)
    #: What the reference is.
    beside: str = "1.5.4"

    @property
    def ratio(self) -> float | None:
        """How many times less than the reference's our median is."""
        if self.ours is None or self.reference is None or self.ours.median <= 0:
            return None
        return self.reference.median / self.ours.median

    @property
    def met(self) -> bool | None:
        """None where there is no target, or nothing was measured."""
        if self.target is None or self.ours is None:
            return None
        if self.target.of == "ratio":
            return None if self.ratio is None else self.ratio >= self.target.limit
        value = self.ours.median if self.target.of == "median" else self.ours.worst
        return value <= self.target.limit

    def note_failures(self, ours: Series | None = None, reference: Series | None = None) -> Figure:
        """Adds why there is no value, or fewer than planned; returns the figure itself."""
        for whose, series in (("ours", ours), (self.beside, reference)):
            if series is not None and series.failure is not None:
                self.notes.append(f"{whose}: {len(series.values)} of {series.times} measured: {series.failure}")
        return self
