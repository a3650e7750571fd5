"""The colour of each state, the same wherever jobs are shown. It only helps the eye: the state's word is always beside it."""

from __future__ import annotations

from submitit.orchestrator.state import JobState

#: The number in ECMA-48's "select graphic rendition" of each style that ``style_of`` gives, which are also words of rich.
SGR = {"green": 32, "cyan": 36, "yellow": 33, "red": 31, "magenta": 35, "dim": 2}
_ENDED = {JobState.COMPLETED: "green", JobState.CANCELLED: "magenta", JobState.UNKNOWN: "dim"}
_LOST = frozenset({JobState.NODE_FAIL, JobState.BOOT_FAIL, JobState.PREEMPTED, JobState.REVOKED})


def style_of(state: str) -> str:
    """One of the keys of ``SGR`` for the word of a state: what waits is yellow, what runs cyan, and a bad end red."""
    read = JobState.read(state)
    if read in _ENDED:
        return _ENDED[read]
    if read.begun:
        return "cyan"
    return "red" if read.final or read in _LOST else "yellow"
