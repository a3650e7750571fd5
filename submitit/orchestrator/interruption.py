"""Why a running job is told to end."""

from __future__ import annotations

import enum


class Interruption(enum.Enum):
    """Why a job was signalled, as far as its scheduler can tell."""

    #: Taken away, and in its scheduler's queue again already.
    REQUEUED = enum.auto()
    #: About to be taken away. If it ends by itself before that, nobody runs it again unless it asks for it.
    PREEMPTED = enum.auto()
    #: Its time is up. Nobody runs it again unless it asks for it.
    OUT_OF_TIME = enum.auto()
    #: Ended on purpose: nothing will run again.
    CANCELLED = enum.auto()
    #: Warned that its time will be up, or signalled by hand: nobody runs it again unless it asks for it.
    OTHER = enum.auto()
    #: The scheduler cannot be asked from here.
    UNKNOWN = enum.auto()
