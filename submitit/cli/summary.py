"""The states of jobs, in the order in which a person wants to see them, and as a cell of a table."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from submitit.orchestrator.state import JobState, StateKind
from submitit.terminal import one_line
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


def ranked(states: Iterable[str]) -> list[tuple[str, int]]:
    """The states, and how many there are of each, in the order of ``KINDS``; of one kind the most frequent first."""
    number = Counter(states)
    return sorted(number.items(), key=lambda item: (rank(item[0]), -item[1], item[0]))


def listed(states: Iterable[str]) -> str:
    """How many there are of each state: ``"4 FAILED, 2 COMPLETED"``."""
    return ", ".join(f"{number:,} {one_line(state)}" for state, number in ranked(states))


def state_cell(state: str) -> Cell:
    """The word of a state, in its colour."""
    return [(one_line(state), style_of(state))]


def counts(entries: Iterable[JobEntry]) -> Cell:
    """How many jobs are in which state; of one job its state."""
    found = ranked(entry.state for entry in entries)
    if sum(number for _, number in found) == 1:
        return state_cell(found[0][0])
    pieces: Cell = []
    for state, number in found:
        pieces += [(", ", "")] * bool(pieces) + [(f"{number:,} {one_line(state)}", style_of(state))]
    return pieces
