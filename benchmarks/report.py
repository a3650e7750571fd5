"""Figures as a table for people and as JSON for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from machine import REFERENCE
from samples import UNITS, Figure, Sample, Target, Unit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

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


def write_json(path: Path, figures: Sequence[Figure], context: Mapping[str, Any]) -> None:
    """All values in seconds, bytes and files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**context, "figures": [_record(figure) for figure in figures]}, indent=1) + "\n")


def _row(figure: Figure) -> tuple[str, ...]:
    ratio = "" if figure.ratio is None else f"{figure.ratio:.1f}x"
    verdict = {True: "yes", False: "NO", None: "" if figure.target is None else "not measured"}[figure.met]
    of_worst = figure.target is not None and figure.target.of == "worst"
    return (
        figure.name,
        _cell(figure.ours, figure.unit, of_worst=of_worst),
        _cell(figure.reference, figure.unit) + (f", {figure.beside}" if figure.beside != REFERENCE else ""),
        ratio,
        _target(figure.target, figure.unit),
        verdict,
    )


def _cell(sample: Sample | None, unit: Unit, *, of_worst: bool = False) -> str:
    if sample is None:
        return "-"
    factor = UNITS[unit]
    median = f"{_number(sample.median * factor)} {unit}"
    if len(sample.values) == 1:
        return median
    if of_worst:
        return f"{median} (worst {_number(sample.worst * factor)}, n={len(sample.values)})"
    lower, upper = (_number(value * factor) for value in sample.quartiles)
    return f"{median} ({lower} to {upper}, n={len(sample.values)})"


def _target(target: Target | None, unit: Unit) -> str:
    if target is None:
        return ""
    if target.of == "ratio":
        return f">= {target.limit:g}x"
    worst = ", worst" if target.of == "worst" else ""
    return f"<= {_number(target.limit * UNITS[unit])} {unit}{worst}"


def _number(value: float) -> str:
    """Three digits that mean something, never an exponent."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _record(figure: Figure) -> dict[str, Any]:
    return {
        "name": figure.name,
        "unit": figure.unit,
        "ours": None if figure.ours is None else list(figure.ours.values),
        "reference": None if figure.reference is None else list(figure.reference.values),
        "beside": figure.beside,
        "ratio": figure.ratio,
        "target": None if figure.target is None else {"limit": figure.target.limit, "of": figure.target.of},
        "met": figure.met,
        "notes": figure.notes,
    }
