"""States as people look at them: few kinds, those that have a colour in common."""

from __future__ import annotations

import enum
from functools import lru_cache
from typing import TYPE_CHECKING

from submitit.views.colours import style_of

if TYPE_CHECKING:
    from submitit.views.entry import JobEntry


class Group(enum.Enum):
    """The kinds of states, with their styles, in the order in which a person wants to see them."""

    FAILED = "red"
    RUNNING = "cyan"
    PENDING = "yellow"
    CANCELLED = "magenta"
    COMPLETED = "green"
    UNKNOWN = "dim"

    @property
    def rank(self) -> int:
        """The place in the order above."""
        return _RANKS[self]


_RANKS = {group: rank for rank, group in enumerate(Group)}


@lru_cache(maxsize=256)  # asked for thousands of jobs
def _group(state: str) -> Group:
    return Group(style_of(state))


def group_of(entry: JobEntry) -> Group:
    """The kind of state that a job is in."""
    return _group(entry.state)
