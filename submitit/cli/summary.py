"""The states of jobs, in the order in which a person wants to see them, and as a cell of a table."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from submitit.cli import output
from submitit.orchestrator.state import JobState, StateKind
from submitit.views.colours import style_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from submitit.cli.table import Cell
    from submitit.views.entry import JobEntry

#: The kinds of states: bad ends first, good ones last.
KINDS = [
    StateKind.FAILED,
    StateKind.RUNNING,
    StateKind.PENDING,
    StateKind.CANCELLED,
    StateKind.COMPLETED,
    StateKind.UNKNOWN,
]


def rank(state: str) -> int:
    """The place of a state's kind in ``KINDS``."""
    return KINDS.index(JobState.read(state).kind)


def ranked(entries: Iterable[JobEntry]) -> list[tuple[str, int]]:
    """The states that jobs are in, and how many in each, in the order of ``KINDS``; of one kind the most frequent first."""
    number = Counter(entry.state for entry in entries)
    return sorted(number.items(), key=lambda item: (rank(item[0]), -item[1], item[0]))


def state_cell(state: str) -> Cell:
    """The word of a state, in its colour."""
    return [(output.one_line(state), style_of(state))]


def counts(entries: Iterable[JobEntry]) -> Cell:
    """How many jobs are in which state; of one job its state."""
    found = ranked(entries)
    if sum(number for _, number in found) == 1:
        return state_cell(found[0][0])
    pieces: Cell = []
    for state, number in found:
        pieces += [(", ", "")] * bool(pieces) + [(f"{number:,} {output.one_line(state)}", style_of(state))]
    return pieces
