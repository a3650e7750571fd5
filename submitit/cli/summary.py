"""The states of jobs in a cell of a table."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from submitit.cli import output
from submitit.views.colours import style_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from submitit.cli.table import Cell
    from submitit.views.entry import JobEntry

#: By the style of a state: what is looked for comes first.
_ORDER = {"red": 0, "dim": 1, "cyan": 2, "yellow": 3, "magenta": 4, "green": 5}


def state_cell(state: str) -> Cell:
    """The word of a state, in its colour."""
    return [(output.one_line(state), style_of(state))]


def counts(entries: Iterable[JobEntry]) -> Cell:
    """How many jobs are in which state, bad ends first, good ones last; of one job its state."""
    number = Counter(entry.state for entry in entries)
    if sum(number.values()) == 1:
        return state_cell(next(iter(number)))
    pieces: Cell = []
    for state in sorted(number, key=lambda state: (_ORDER[style_of(state)], state)):
        pieces += [(", ", "")] * bool(pieces) + [(f"{number[state]} {output.one_line(state)}", style_of(state))]
    return pieces
