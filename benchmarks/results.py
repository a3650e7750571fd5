"""What was measured, as JSON and back: groups of outcomes, each with the machine and the versions that it was measured with."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from samples import Figure, Growth, Outcome, Race, Sample, Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


@dataclass
class Group:
    """The outcomes of one part of the benchmark."""

    #: The machine, the versions, the time and the load, each as it is printed.
    context: dict[str, str]
    outcomes: list[Outcome] = field(default_factory=list)
    #: Why something was not measured.
    problems: list[str] = field(default_factory=list)


def figures(groups: Iterable[Group]) -> list[Figure]:
    """All outcomes as lines of the table."""
    found: list[Figure] = []
    for outcome in (outcome for group in groups for outcome in group.outcomes):
        found.extend([outcome] if isinstance(outcome, Figure) else outcome.figures())
    return found


def write(path: Path, groups: Mapping[str, Group]) -> None:
    """All values in seconds, bytes and numbers of things."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({name: _record_group(group) for name, group in groups.items()}, indent=1) + "\n")


def read(path: Path) -> dict[str, Group]:
    """What `write` wrote; nothing where there is no file."""
    if not path.exists():
        return {}
    return {name: _group(record) for name, record in json.loads(path.read_text()).items()}


def _record_group(group: Group) -> dict[str, Any]:
    return {
        "context": group.context,
        "problems": group.problems,
        "outcomes": [_record(outcome) for outcome in group.outcomes],
    }


def _group(record: dict[str, Any]) -> Group:
    return Group(record["context"], [_outcome(outcome) for outcome in record["outcomes"]], record["problems"])


def _record(outcome: Outcome) -> dict[str, Any]:
    about = {"kind": type(outcome).__name__.lower(), "name": outcome.name, "unit": outcome.unit, "notes": outcome.notes}
    if isinstance(outcome, Figure):
        return {
            **about,
            "ours": _values(outcome.ours),
            "reference": _values(outcome.reference),
            "beside": outcome.beside,
            "ratio": outcome.ratio and _short(outcome.ratio),
            "target": _record_target(outcome.target),
            "met": outcome.met,
        }
    targets = {str(key): _record_target(target) for key, target in outcome.targets.items()}
    if isinstance(outcome, Race):
        others = {name: _values(sample) for name, sample in outcome.others.items()}
        return {**about, "ours": _values(outcome.ours), "others": others, "targets": targets}
    sides = {"ours": outcome.ours, "reference": outcome.reference}
    return {
        **about,
        **{side: {str(size): _values(sample) for size, sample in found.items()} for side, found in sides.items()},
        "targets": targets,
    }


def _outcome(record: dict[str, Any]) -> Outcome:
    name, unit, notes = record["name"], record["unit"], record["notes"]
    if record["kind"] == "figure":
        sides = _sample(record["ours"]), _sample(record["reference"])
        return Figure(name, unit, *sides, _target(record["target"]), notes, record["beside"])
    if record["kind"] == "race":
        others = {other: Sample(values) for other, values in record["others"].items()}
        aims = {other: Target(**target) for other, target in record["targets"].items()}
        return Race(name, unit, _sample(record["ours"]), others, notes, aims)
    ours, reference = (
        {int(size): Sample(values) for size, values in record[side].items()} for side in ("ours", "reference")
    )
    targets = {int(size): Target(**target) for size, target in record["targets"].items()}
    return Growth(name, unit, ours, reference, notes, targets)


def _values(sample: Sample | None) -> list[float] | None:
    return None if sample is None else [_short(value) for value in sample.values]


def _short(value: float) -> float:
    """Six digits are more than any clock here is good for."""
    return float(f"{value:.6g}")


def _sample(values: list[float] | None) -> Sample | None:
    return None if values is None else Sample(values)


def _record_target(target: Target | None) -> dict[str, Any] | None:
    return None if target is None else {"limit": target.limit, "of": target.of}


def _target(record: dict[str, Any] | None) -> Target | None:
    return None if record is None else Target(**record)
