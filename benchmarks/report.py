"""Figures as a table for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from machine import REFERENCE
from samples import UNITS, Figure, Sample, Target, Unit

if TYPE_CHECKING:
    from collections.abc import Sequence

HEADINGS = ("figure", "ours", "1.5.4, or what is named", "ratio", "target", "met")


def table(figures: Sequence[Figure]) -> str:
    """One line a figure, its notes below; medians with their quartiles and how often each was measured."""
    rows = [_row(figure) for figure in figures]
    widths = [max(len(row[column]) for row in [HEADINGS, *rows]) for column in range(len(HEADINGS))]

    def line(cells: Sequence[str]) -> str:
        return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()

    lines = [line(HEADINGS), line(["-" * width for width in widths])]
    for figure, row in zip(figures, rows, strict=True):
        lines.append(line(row))
        lines += [f"    {note}" for note in figure.notes]
    return "\n".join(lines)


def summary(figures: Sequence[Figure]) -> str:
    aimed = [figure for figure in figures if figure.target is not None]
    missed = [figure.name for figure in aimed if figure.met is False]
    unknown = [figure.name for figure in aimed if figure.met is None]
    parts = [f"{sum(figure.met is True for figure in aimed)} of {len(aimed)} targets met"]
    parts += [
        f"{words}: {', '.join(names)}" for words, names in (("not met", missed), ("not measured", unknown)) if names
    ]
    return "; ".join(parts)


def _row(figure: Figure) -> tuple[str, ...]:
    ratio = "" if figure.ratio is None else f"{number(figure.ratio)}x"
    verdict = {True: "yes", False: "NO", None: "" if figure.target is None else "not measured"}[figure.met]
    of_worst = figure.target is not None and figure.target.of == "worst"
    return (
        figure.name,
        cell(figure.ours, figure.unit, of_worst=of_worst),
        cell(figure.reference, figure.unit) + (f", {figure.beside}" if figure.beside != REFERENCE else ""),
        ratio,
        words_of_target(figure.target, figure.unit),
        verdict,
    )


def cell(sample: Sample | None, unit: Unit, *, of_worst: bool = False) -> str:
    """The median with its spread, or the worst value where that is what counts."""
    if sample is None:
        return "-"
    factor = UNITS[unit]
    median = f"{number(sample.median * factor)} {unit}"
    if len(sample.values) == 1:
        return median
    if of_worst:
        return f"{median} (worst {number(sample.worst * factor)}, n={len(sample.values)})"
    lower, upper = (number(value * factor) for value in sample.quartiles)
    return f"{median} ({lower} to {upper}, n={len(sample.values)})"


def words_of_target(target: Target | None, unit: Unit) -> str:
    """What is aimed at."""
    if target is None:
        return ""
    if target.of == "ratio":
        return f">= {target.limit:g}x"
    worst = ", worst" if target.of == "worst" else ""
    return f"<= {number(target.limit * UNITS[unit])} {unit}{worst}"


def number(value: float) -> str:
    """Two or three digits that mean something, never an exponent."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 0.1:
        return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
    return f"{value:.4f}".rstrip("0")


def duration(seconds: float) -> str:
    """In the unit that fits."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 0.9995:
            return f"{_short(seconds * factor)} {unit}"
    return f"{_short(seconds * 1e9)} ns"


def size(bytes_: float) -> str:
    """In the unit that fits."""
    for unit, factor in (("GB", 1e-9), ("MB", 1e-6), ("kB", 1e-3)):
        if bytes_ * factor >= 0.9995:
            return f"{_short(bytes_ * factor)} {unit}"
    return f"{_short(bytes_)} B"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 9.95 or abs(value - round(value)) < 0.01 else f"{value:.1f}"
