"""How jobs ended, in words, theirs and ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from submitit.cli.logfile import last_lines
from submitit.orchestrator import exits
from submitit.storage import outcome

if TYPE_CHECKING:
    from submitit.views.entry import JobEntry


def why(entry: JobEntry) -> str:
    """Why a job is where it is: how it ended, and the reason that is given."""
    # By which signal a job was cancelled is nobody's concern.
    ended = exits.name(entry.exit_code) if entry.over and entry.exit_code and not entry.cancelled else ""
    return ", ".join(filter(None, (ended, entry.reason)))


def again_text(reason: str) -> str:
    """Why another attempt followed, from ``Attempt.again``."""
    if reason == "requeue":
        return "had saved its state"
    return f"retried: {reason.replace('_', ' ')}" if reason else "started again by the scheduler"


class LastWords(NamedTuple):
    """What a job has printed last."""

    #: The task that did, and where: ``"stderr"``, ``"stdout"``; ``""`` if it has printed nothing.
    task: int
    stream: str
    lines: list[str]


def last_words(entry: JobEntry, most: int) -> LastWords:
    """The last lines of a job's first task without a value, of its errors if there are any. Opens its files."""
    task = _failed_task(entry)
    for stream in ("stderr", "stdout"):
        if lines := last_lines(entry.paths(task).locate(stream), most):
            return LastWords(task, stream, lines)
    return LastWords(task, "", [])


def _failed_task(entry: JobEntry) -> int:
    for task in range(entry.tasks):
        footer = outcome.read_footer(entry.paths(task).locate("result_pickle"))
        if footer is None or not footer.success:
            return task
    return 0
