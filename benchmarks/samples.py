"""Repeated measurements: taken in turns, summarised, compared with a target."""

from __future__ import annotations

import math
import random
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Base unit of a value -> the factor to, and the name of, the unit that is printed.
UNITS: Final = {
    "µs": 1e6,
    "ms": 1e3,
    "s": 1.0,
    "bytes": 1.0,
    "MB": 1e-6,
    "files": 1.0,
    "%": 1e2,
    "commands": 1.0,
    "jobs": 1.0,
}
Unit = Literal["µs", "ms", "s", "bytes", "MB", "files", "%", "commands", "jobs"]


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


@dataclass
class Race:
    """One thing that every library does in its own way, ours among them."""

    name: str
    unit: Unit
    ours: Sample | None
    others: dict[str, Sample] = field(default_factory=dict)
    #: Who is missing, and why.
    notes: list[str] = field(default_factory=list)
    targets: dict[str, Target] = field(default_factory=dict)

    def add(self, name: str, series: Series, *, key: str = "wall") -> None:
        """Takes what was measured of one of the others; notes why there is nothing."""
        sample = series.sample(key)
        if sample is not None:
            self.others[name] = sample
        if series.failure is not None:
            self.notes.append(f"{name}: {series.failure}")

    def figures(self) -> list[Figure]:
        """The race as lines of the table, one for each of the others."""
        lines = [
            Figure(f"{self.name}, beside {name}", self.unit, self.ours, sample, self.targets.get(name), beside=name)
            for name, sample in self.others.items()
        ]
        lines = lines or [Figure(self.name, self.unit, self.ours)]
        lines[-1].notes.extend(self.notes)
        return lines


@dataclass
class Growth:
    """One thing at several sizes: what it takes, and by which power of the size that grows."""

    name: str
    unit: Unit
    ours: dict[int, Sample] = field(default_factory=dict)
    reference: dict[int, Sample] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    #: At the size that it is named for.
    targets: dict[int, Target] = field(default_factory=dict)

    def add(self, size: int, ours: Series, reference: Series | None = None, *, key: str, share: float = 1.0) -> None:
        """Takes what was measured at one size, as a share of it; notes why there is nothing."""
        for whose, series, samples in (("ours", ours, self.ours), ("1.5.4", reference, self.reference)):
            if series is None:
                continue
            sample = series.sample(key)
            if sample is not None:
                samples[size] = Sample([value * share for value in sample.values])
            if series.failure is not None:
                self.notes.append(f"{whose}, {size:,}: {series.failure}")

    def figures(self) -> list[Figure]:
        """The growth as lines of the table, one for each size."""
        lines = [
            Figure(f"{self.name}, {size:,}", self.unit, sample, self.reference.get(size), self.targets.get(size))
            for size, sample in sorted(self.ours.items())
        ]
        lines = lines or [Figure(self.name, self.unit, None)]
        for whose, samples in (("ours", self.ours), ("1.5.4", self.reference)):
            exponent = fitted_exponent(samples)
            if exponent is not None:
                lines[-1].notes.append(f"{whose}: grows as n to the power of {exponent:.2f}, from {min(samples):,} on")
        lines[-1].notes.extend(self.notes)
        return lines


#: What a group of measurements gives.
Outcome = Figure | Race | Growth


def fitted_exponent(samples: dict[int, Sample]) -> float | None:
    """The slope of the line through the medians, both axes logarithmic, by least squares. None for fewer than three sizes."""
    points = [(math.log(size), math.log(sample.median)) for size, sample in samples.items() if sample.median > 0]
    if len(points) < 3:
        return None
    return statistics.linear_regression(*zip(*points, strict=True)).slope


def one_more(samples: dict[int, Sample]) -> float | None:
    """What one job more takes: the slope between the least and the greatest size. None where there is but one, or no growth."""
    if len(samples) < 2:
        return None
    least, greatest = min(samples), max(samples)
    slope = (samples[greatest].median - samples[least].median) / (greatest - least)
    return slope if slope > 0 else None
