"""The tables of docs/performance.md, each between `<!-- measured: NAME -->` and `<!-- end -->`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from machine import REFERENCE
from report import cell, duration, number, size, words_of_target
from samples import Figure, Growth, Race, Sample, fitted_exponent, one_more

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from results import Group

PART = re.compile(r"(<!-- measured: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
#: What each library does for a call: runs it in a process of its own; keeps its result on disk; keeps its log; and what it takes to run the
#: same on Slurm.
DIFFERENCES = {
    "submitit": ("new, forked", "yes", "yes", "the same line"),
    "process pool": ("kept", "no", "no", "-"),
    "process pool, a process a call": ("new, spawned", "no", "no", "-"),
    "joblib/loky": ("kept", "no", "no", "-"),
    "dask.distributed": ("kept", "no", "the worker's", "another package"),
    "parsl": ("kept", "no", "the worker's", "another provider"),
    "executorlib": ("new, spawned", "on request", "errors, on request", "another executor"),
}


def fill(text: str, groups: Mapping[str, Group]) -> str:
    """The page with its tables anew."""
    tables = {
        "reference": _beside_reference(groups.values()),
        "peers": _peers(
            [outcome for group in groups.values() for outcome in group.outcomes if isinstance(outcome, Race)]
        ),
        "growth": _growth(
            [outcome for group in groups.values() for outcome in group.outcomes if isinstance(outcome, Growth)]
        ),
        "context": _context(groups),
    }
    return PART.sub(lambda found: f"{found[1]}{_shown(tables[found[2]])}\n{found[3]}", text)


def _beside_reference(groups: Iterable[Group]) -> str:
    figures = [
        figure
        for group in groups
        for figure in group.outcomes
        if isinstance(figure, Figure) and figure.ours is not None and (figure.reference or figure.target)
    ]
    return _table(
        ["", "ours", "1.5.4", "ratio", "target"],
        [
            [
                figure.name,
                cell(figure.ours, figure.unit),
                cell(figure.reference, figure.unit) + ("" if figure.beside == REFERENCE else f", {figure.beside}"),
                "" if figure.ratio is None else f"{number(figure.ratio)}x",
                _aim(figure),
            ]
            for figure in figures
        ],
    )


def _aim(figure: Figure) -> str:
    return words_of_target(figure.target, figure.unit) + (", **missed**" if figure.met is False else "")


def _peers(races: Sequence[Race]) -> str:
    if not races:
        return "Not measured yet."
    names = ["submitit", *dict.fromkeys(name for race in races for name in race.others)]
    rows = []
    for name in names:
        cells = [_entry(race, race.ours if name == "submitit" else race.others.get(name)) for race in races]
        rows.append([f"**{name}**" if name == "submitit" else name, *cells, *DIFFERENCES.get(name, ())])
    headings = [race.name.removeprefix("peers: ") for race in races]
    notes = dict.fromkeys(f"- {race.name.removeprefix('peers: ')}: {note}" for race in races for note in race.notes)
    table = _table(["", *headings, "process of a call", "result on disk", "log", "on Slurm"], rows)
    return "\n".join([table, "", *notes]) if notes else table


def _entry(race: Race, sample: Sample | None) -> str:
    if sample is None:
        return "-"
    text = cell(sample, race.unit)
    if race.ours is None or sample is race.ours:
        return text
    return f"{text}, {number(sample.median / race.ours.median)}x"


def _growth(growths: Sequence[Growth]) -> str:
    if not growths:
        return "Not measured yet."
    counts = sorted({count for growth in growths for count in (*growth.ours, *growth.reference)})
    rows = []
    for growth in growths:
        for name, samples in ((growth.name, growth.ours), ("the same, 1.5.4", growth.reference)):
            exponent = fitted_exponent(samples)
            if samples:
                words = size if growth.unit in ("bytes", "MB") else duration
                cells = [words(samples[count].median) if count in samples else "-" for count in counts]
                each = one_more(samples)
                cells.append("" if exponent is None else f"{exponent:.2f}")
                rows.append([name, *cells, "" if each is None else words(each)])
    notes = [f"- {growth.name}: {note}" for growth in growths for note in growth.notes]
    table = _table(["", *(f"{count:,}" for count in counts), "exponent", "one job more"], rows)
    return "\n".join([table, "", *notes]) if notes else table


def _context(groups: Mapping[str, Group]) -> str:
    """What all groups have in common once, and by group what they have not."""
    rows = []
    for key in dict.fromkeys(key for group in groups.values() for key in group.context):
        values = {name: group.context[key] for name, group in groups.items() if key in group.context}
        if len(set(values.values())) == 1:
            rows.append([key, next(iter(values.values()))])
        else:
            rows.append([key, "; ".join(f"{name}: {value}" for name, value in values.items())])
    rows += [[f"not measured, {name}", problem] for name, group in groups.items() for problem in group.problems]
    return _table(["", ""], rows) if rows else "Nothing was measured yet."


def _shown(text: str) -> str:
    """What could be read as a tag is not."""
    return text.replace("<", "&lt;")


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(text.replace("|", r"\|") for text in line) + " |" for line in lines)
