"""One job as a folder's files tell of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from submitit.orchestrator.state import JobState, StateKind
from submitit.storage.paths import JobPaths

if TYPE_CHECKING:
    from typing import Any

    from submitit.storage.journal import Submission


class JobEntry(NamedTuple):
    """A job at one moment. What is not known is ``None``, or ``""``.

    Texts are as somebody wrote them: they pass through ``terminal.harmless`` before they reach a terminal, and are escaped
    before they reach a page.
    """

    #: The record of the call that submitted it: one object for all jobs of an array.
    submission: Submission
    job_id: str
    #: One of ``JobState``'s words. PENDING is also what has left no trace yet.
    state: str = "PENDING"
    #: Whether it has come to its end.
    over: bool = False
    #: The number of its newest attempt: 0 for the first.
    attempt: int = 0
    #: Of the task that ended worst; a signal is a negative number.
    exit_code: int | None = None
    #: Why, where the state does not say it; in the scheduler's words.
    reason: str = ""
    # What follows is known of local jobs, and of others once ``Folder.detailed`` has looked.
    #: The node, or nodes, of its newest attempt.
    node: str = ""
    #: Of its newest attempt, in seconds since the epoch.
    start: float | None = None
    end: float | None = None
    #: CPU seconds of all its tasks.
    cpu_s: float | None = None
    #: The most memory of its processes on a node, or of its largest task, in MB (1024²).
    max_rss_mb: float | None = None

    @property
    def name(self) -> str:
        """The job's name, as the executor was given it."""
        return self.submission.get("name", "")

    @property
    def function(self) -> str:
        """``module.qualname`` of what it runs."""
        return self.submission.get("function", "")

    @property
    def backend(self) -> str:
        """``"slurm"``, ``"local"`` …"""
        return self.submission.get("backend", "")

    @property
    def folder(self) -> str:
        """The executor's folder, tags and all: with the id it names the job."""
        return self.submission["folder"]

    @property
    def submitted(self) -> float:
        """When, in seconds since the epoch."""
        return self.submission["time"]

    @property
    def tasks(self) -> int:
        """How many processes it has."""
        return self.submission.get("tasks", 1)

    @property
    def parameters(self) -> dict[str, Any]:
        """The executor's, in its backend's words."""
        return self.submission.get("parameters", {})

    @property
    def array(self) -> str | None:
        """The id of its array on Slurm; ``None`` outside of one."""
        array, _, index = self.job_id.partition("_")
        return array if index else None

    @property
    def kind(self) -> StateKind:
        """What its state means for who looks at many jobs."""
        return JobState.read(self.state).kind

    @property
    def succeeded(self) -> bool:
        """Whether it has come to a good end."""
        return self.over and JobState.read(self.state) is JobState.COMPLETED

    @property
    def failed(self) -> bool:
        """Whether it has come to any other end than a good one, or its being cancelled."""
        return self.over and JobState.read(self.state) not in (JobState.COMPLETED, JobState.CANCELLED)

    @property
    def cancelled(self) -> bool:
        """Whether it was cancelled; its processes may still be coming to their end."""
        return JobState.read(self.state) is JobState.CANCELLED

    @property
    def running(self) -> bool:
        """Whether it has begun and is not over."""
        return not self.over and JobState.read(self.state).begun

    def ran_s(self, now: float) -> float | None:
        """For how many seconds its newest attempt has run, up to now where it runs; ``None`` if that is not known, or it waits."""
        if self.start is None or (self.end is None and not self.running):
            return None
        return max(0.0, (now if self.end is None else self.end) - self.start)

    def paths(self, task: int = 0) -> JobPaths:
        """Where the files of one of its tasks lie."""
        return JobPaths(self.folder, self.job_id, task)
