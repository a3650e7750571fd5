"""How jobs ended, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from submitit.views.entry import JobEntry


def why(entry: JobEntry) -> str:
    """Why a job is where it is: how it ended, and the reason that is given."""
    ended = exit_text(entry.exit_code) if entry.over and entry.exit_code else ""
    return ", ".join(filter(None, (ended, entry.reason)))


def exit_text(code: int) -> str:
    """An exit code, or a signal as a negative number: ``exit code 3``, ``SIGKILL(-9)``."""
    if code >= 0:
        return f"exit code {code}"
    from submitit.orchestrator.collector import exit_name

    return exit_name(128 - code)


def again_text(reason: str) -> str:
    """Why another attempt followed, from ``Attempt.again``."""
    if reason == "requeue":
        return "had saved its state"
    return f"retried: {reason.replace('_', ' ')}" if reason else "started again by the scheduler"
