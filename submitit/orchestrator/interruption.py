"""Why a running job is told to end."""

from __future__ import annotations

import enum


class Interruption(enum.Enum):
    """Why a job was signalled, as far as its scheduler can tell."""

    #: Taken away, and the scheduler runs it again by itself.
    PREEMPTED = enum.auto()
    #: Ended on purpose: nothing will run again.
    CANCELLED = enum.auto()
    #: Out of time, or signalled by hand: nobody runs it again unless the job asks for it.
    OTHER = enum.auto()
    #: The scheduler cannot be asked from here.
    UNKNOWN = enum.auto()
