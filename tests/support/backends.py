"""The executors that the contract suite runs over, each with what it can do."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import submitit


class Backend(NamedTuple):
    """One executor under test."""

    name: str
    #: constructor arguments of AutoExecutor beside the folder and the cluster
    arguments: dict[str, Any]
    #: parameters of every job
    parameters: dict[str, Any] = {}  # noqa: RUF012 - never changed
    #: what its tests are called by, if it is not the name
    label: str = ""
    #: whether jobs run in processes of their own, with logs, beside the client
    separate: bool = True
    #: whether a job may have several tasks
    multi_task: bool = True
    #: whether a job can be found again from its folder and id
    durable: bool = True
    #: whether a function can save its state and be run again
    requeues: bool = True
    #: whether its jobs wait for one another, in a way of its own
    dependent: bool = True

    def executor(self, folder: Path, **parameters: Any) -> submitit.AutoExecutor:
        """An executor with room for every test's jobs."""
        executor = submitit.AutoExecutor(folder=folder, cluster=self.name, **self.arguments)
        executor.update_parameters(timeout_min=10, **{**self.parameters, **parameters})
        return executor

    def find(self, folder: Path, job_id: str, tasks: tuple[int, ...] = (0,)) -> submitit.Job[Any]:
        """A new handle of a job, as another process would make it."""
        made: submitit.Job[Any] = self.executor(folder)._executor.job_class(folder, job_id, tasks)
        return made


DEBUG = Backend("debug", {}, separate=False, multi_task=False, durable=False, requeues=False)
LOCAL = Backend("local", {})
#: Lines of shell before the command need a new interpreter: the task is not forked.
LOCAL_FRESH = Backend("local", {}, {"local_setup": [":"]}, "local fresh", dependent=False)
SLURM = Backend("slurm", {})
PLUGIN = Backend("queue", {}, multi_task=False, requeues=False, dependent=False)

ALL = (DEBUG, LOCAL, LOCAL_FRESH, SLURM, PLUGIN)
