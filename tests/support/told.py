"""Jobs whose scheduler says what a test tells it to: for what happens between a client and a scheduler's words."""

from __future__ import annotations

from pathlib import Path

from submitit.client.job import Job
from submitit.orchestrator.sources import MarkerSource, Source
from submitit.orchestrator.watcher import InfoWatcher
from submitit.storage import outcome
from submitit.storage.events import EventDirectory


class ToldWatcher(InfoWatcher):
    """Answers each question from ``answers``, which a test fills."""

    def __init__(self) -> None:
        super().__init__(delay_s=1000)
        self.answers: dict[str, dict[str, str]] = {}

    def update(self) -> None:
        self._num_calls += 1
        self._info_dict.update({job_id: dict(info) for job_id, info in self.answers.items()})

    def say(self, job_id: str, state: str, **more: str) -> None:
        self.answers[job_id] = {"JobID": job_id, "State": state, "NodeList": "n1", **more}


class ToldJob(Job[object]):
    """A job of the told scheduler, which leaves markers in a real directory."""

    watcher: ToldWatcher
    _submitted_here = True
    _results_timeout_s = 0.0

    def __init__(self, folder: Path, job_id: str, tasks: tuple[int, ...] = (0,)) -> None:
        super().__init__(folder, job_id, tasks)

    def _source(self) -> Source | None:
        assert self._events_path is not None
        return self._feed

    _feed: MarkerSource


class ToldCluster:
    """A folder, a directory of markers and a scheduler that a test speaks for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events = EventDirectory(folder / ".submitit" / "events" / "me")
        self.events.make()
        self.watcher = ToldWatcher()
        self._feed = MarkerSource(str(self.events.path))

    def job(self, job_id: str = "1", tasks: int = 1) -> ToldJob:
        """A job that has just been submitted."""
        job = ToldJob.__new__(ToldJob)
        job.watcher = self.watcher
        job._events_path = str(self.events.path)
        job._feed = self._feed
        ToldJob.__init__(job, self.folder, job_id, tuple(range(tasks)))
        for handle in job._sub_jobs:
            assert isinstance(handle, ToldJob)
            handle.watcher = self.watcher
            handle._events_path, handle._feed = job._events_path, job._feed
        return job

    def start(self, job_id: str, task: int = 0, attempt: int = 0) -> None:
        self.events.mark(job_id, task, attempt, "run", "n1")

    def record(self, job_id: str, value: object, task: int = 0, attempt: int = 0) -> None:
        """What a task does that returns ``value``."""
        path = self.folder / f"{job_id}_{task}_result.pkl"
        footer = outcome.Footer(host="n1", pid=1, attempt=attempt, success=True)
        outcome.write_result(path, ("success", value), None, footer)
        self.events.mark(job_id, task, attempt, "done", "n1")

    def end(self, job_id: str, task: object = "batch", code: int = 0, attempt: int = 0) -> None:
        self.events.mark(job_id, str(task), attempt, f"exit-{code}", "n1")

    def terminate(self, job_id: str, task: object = 0, attempt: int = 0) -> None:
        self.events.mark(job_id, str(task), attempt, "term", "n1")
