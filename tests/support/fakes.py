"""An executor that sends nothing: tests end its jobs by hand, with the files that a real job leaves."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

from submitit.client.executor import Executor
from submitit.client.job import Job, R
from submitit.orchestrator.watcher import InfoWatcher
from submitit.storage import outcome
from submitit.storage.submission import DelayedSubmission

#: Watchers are shared by the jobs of a class, so no two have the same id.
_NUMBERS = itertools.count(1000)


class ScriptedWatcher(InfoWatcher):
    """Knows the states that a test gives it."""

    def __init__(self) -> None:
        super().__init__(delay_s=0)
        self.states: dict[str, str] = {}

    def update(self) -> None:
        self._num_calls += 1
        self._info_dict = {job_id: {"JobID": job_id, "State": state} for job_id, state in self.states.items()}


class FakeJob(Job[R]):
    """A job that ends when a test says so."""

    watcher: ScriptedWatcher = ScriptedWatcher()
    _results_timeout_s = 0

    def finish(self, value: Any = None, error: BaseException | None = None) -> None:
        """Leave the result of every task."""
        for number in range(self.num_tasks):
            path = self.task(number).paths.result_pickle
            path.parent.mkdir(parents=True, exist_ok=True)
            result = ("success", value) if error is None else ("error", f"Traceback of {error!r}")
            outcome.write_result(path, result, error, outcome.Footer(success=error is None))
        self.watcher.states[self.job_id] = "COMPLETED" if error is None else "FAILED"


class FakeExecutor(Executor):
    """Notes what is submitted. Ids are numbers; ``10_0``, ``10_1`` … for more than one call at once."""

    job_class = FakeJob

    def __init__(self, folder: str | os.PathLike[str], tasks: int = 1) -> None:
        super().__init__(folder)
        self.sent: list[list[DelayedSubmission]] = []
        self.tasks = tasks

    @classmethod
    def _valid_parameters(cls) -> set[str]:
        return {"colour", "minutes"}

    def _internal_process_submissions(self, delayed_submissions: list[DelayedSubmission]) -> list[Job[Any]]:
        self.sent.append(delayed_submissions)
        number = str(next(_NUMBERS))
        ids = [number] if len(delayed_submissions) == 1 else [f"{number}_{k}" for k in range(len(delayed_submissions))]
        return [FakeJob(self.folder, job_id, list(range(self.tasks))) for job_id in ids]


def files_below(folder: Path) -> list[str]:
    """The paths of all files, relative to ``folder``."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())
