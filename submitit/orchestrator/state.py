"""The state of a job: what the scheduler says of it now."""

from __future__ import annotations

import enum
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class StateKind(enum.Enum):
    """What a state means for who looks at many jobs, from what is over to what has not begun. Views have a colour for each."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    RUNNING = "running"
    PENDING = "pending"
    UNKNOWN = "unknown"


class JobState(enum.Enum):
    """Slurm's states (job_state_codes.shtml), and for each whether a job in it will ever leave it again.

    ``final`` is about the word alone. PREEMPTED, NODE_FAIL, BOOT_FAIL and REVOKED are not final by themselves, because Slurm
    may run the job again: they are an end only for a job that has left the queue.
    """

    def __new__(cls, word: str, final: bool) -> JobState:
        member = object.__new__(cls)
        member._value_ = word
        member.final = final
        return member

    _value_: str
    final: bool

    PENDING = ("PENDING", False)
    CONFIGURING = ("CONFIGURING", False)
    EXPEDITING = ("EXPEDITING", False)
    POWER_UP_NODE = ("POWER_UP_NODE", False)
    REQUEUED = ("REQUEUED", False)
    REQUEUE_FED = ("REQUEUE_FED", False)
    REQUEUE_HOLD = ("REQUEUE_HOLD", False)
    SPECIAL_EXIT = ("SPECIAL_EXIT", False)
    RESV_DEL_HOLD = ("RESV_DEL_HOLD", False)
    RUNNING = ("RUNNING", False)
    COMPLETING = ("COMPLETING", False)
    STAGE_OUT = ("STAGE_OUT", False)
    RESIZING = ("RESIZING", False)
    SIGNALING = ("SIGNALING", False)
    SUSPENDED = ("SUSPENDED", False)
    STOPPED = ("STOPPED", False)
    UPDATE_DB = ("UPDATE_DB", False)
    COMPLETED = ("COMPLETED", True)
    FAILED = ("FAILED", True)
    CANCELLED = ("CANCELLED", True)
    TIMEOUT = ("TIMEOUT", True)
    DEADLINE = ("DEADLINE", True)
    OUT_OF_MEMORY = ("OUT_OF_MEMORY", True)
    LAUNCH_FAILED = ("LAUNCH_FAILED", True)
    RECONFIG_FAIL = ("RECONFIG_FAIL", True)
    NODE_FAIL = ("NODE_FAIL", False)
    BOOT_FAIL = ("BOOT_FAIL", False)
    PREEMPTED = ("PREEMPTED", False)
    REVOKED = ("REVOKED", False)
    UNKNOWN = ("UNKNOWN", False)

    @classmethod
    def read(cls, word: str) -> JobState:
        """The state that a scheduler printed; UNKNOWN for a word that nobody knows.

        ``CANCELLED by 1000`` and the cut ``CANCELLED+`` are CANCELLED (sacct.1).
        """
        found = _BY_WORD.get(word)
        if found is not None:
            return found
        first = word.split(None, 1)[0].rstrip("+").upper() if word.strip() else ""
        return _BY_WORD.get(first, cls.UNKNOWN)

    @property
    def begun(self) -> bool:
        """Whether a job in this state has been started and is not over."""
        return self in _BEGUN

    @property
    def kind(self) -> StateKind:
        """What the state means for who looks at many jobs."""
        return _KINDS.get(self, StateKind.PENDING)

    @property
    def over_if_gone(self) -> bool:
        """Whether a job in this state is over once it has left the queue."""
        return self.final or self in _OVER_IF_GONE


_OVER_IF_GONE = frozenset({JobState.NODE_FAIL, JobState.BOOT_FAIL, JobState.PREEMPTED, JobState.REVOKED})
_BEGUN = frozenset(
    {
        JobState.RUNNING,
        JobState.COMPLETING,
        JobState.STAGE_OUT,
        JobState.RESIZING,
        JobState.SIGNALING,
        JobState.SUSPENDED,
        JobState.STOPPED,
    }
)
_KINDS = {
    **dict.fromkeys(_BEGUN, StateKind.RUNNING),
    **dict.fromkeys((state for state in JobState if state.over_if_gone), StateKind.FAILED),
    JobState.COMPLETED: StateKind.COMPLETED,
    JobState.CANCELLED: StateKind.CANCELLED,
    JobState.UPDATE_DB: StateKind.UNKNOWN,
    JobState.UNKNOWN: StateKind.UNKNOWN,
}
# FINISHED and INTERRUPTED are what local jobs of version 1 print; OUT_OF_ME is sacct's cut word.
_BY_WORD = {state.value: state for state in JobState} | {
    "FINISHED": JobState.COMPLETED,
    "INTERRUPTED": JobState.CANCELLED,
    "OUT_OF_ME": JobState.OUT_OF_MEMORY,
    "CANCELED": JobState.CANCELLED,
}


def count_states(words: Iterable[str] | Mapping[str, int]) -> dict[str, int]:
    """How many there are of each state, in the order of ``StateKind``: what is over first.

    ``words`` are those of all jobs, or how often each occurs.
    """
    found: dict[JobState, int] = {}
    for word, count in Counter[str](words).items():
        state = JobState.read(word)
        found[state] = found.get(state, 0) + count
    return {state.value: found[state] for state in sorted(found, key=_PLACES.__getitem__)}


_KIND_ORDER = list(StateKind)
_PLACES = {state: (_KIND_ORDER.index(state.kind), place) for place, state in enumerate(JobState)}
