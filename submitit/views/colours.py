"""The colour of each state, the same wherever jobs are shown. It only helps the eye: the state's word is always beside it."""

from __future__ import annotations

from submitit.orchestrator.state import JobState, StateKind

#: The number in ECMA-48's "select graphic rendition" of each style, which are also words of rich.
SGR = {"green": 32, "cyan": 36, "yellow": 33, "red": 31, "magenta": 35, "dim": 2}
#: The style of each kind of states: one of the keys of ``SGR``.
STYLES = {
    StateKind.COMPLETED: "green",
    StateKind.FAILED: "red",
    StateKind.CANCELLED: "magenta",
    StateKind.RUNNING: "cyan",
    StateKind.PENDING: "yellow",
    StateKind.UNKNOWN: "dim",
}


def style_of(state: str) -> str:
    """The style for the word of a state."""
    return STYLES[JobState.read(state).kind]
