"""Run Python functions as jobs: on Slurm, on this machine, or in this process.

    executor = submitit.AutoExecutor(folder="logs/%j")
    executor.update_parameters(timeout_min=60, cpus_per_task=4)
    job = executor.submit(function, argument)
    job.result()

Every name below is loaded when it is first asked for (PEP 562), so that ``import submitit`` costs next to nothing.
"""

from __future__ import annotations

from submitit import lazy

# Type checkers read any name of this spelling as true; importing `typing` for it would cost more than the rest of this file.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from submitit import auto, client, core, executors, helpers, local, orchestrator, slurm, storage, upkeep, views
    from submitit.client.auto import AutoExecutor
    from submitit.client.cancelling import cancel
    from submitit.client.dependencies import result_of
    from submitit.client.executor import Executor
    from submitit.client.job import Job
    from submitit.client.parameters import UNSET
    from submitit.client.throttling import throttle
    from submitit.client.waiting import as_completed, wait
    from submitit.errors import (
        CorruptFileError,
        FailedJobError,
        FailedSubmissionError,
        JobCancelledError,
        JobDependencyError,
        JobNodeFailError,
        JobOutOfMemoryError,
        JobTimeoutError,
        JobVanishedError,
        SubmissionRefusedError,
        UncompletedJobError,
        UntrustedPickleError,
    )
    from submitit.helpers.progression import progress
    from submitit.local.debug import DebugExecutor, DebugJob
    from submitit.local.local import LocalExecutor, LocalJob
    from submitit.orchestrator.environment import JobEnvironment
    from submitit.orchestrator.retry import MoreMemory, MoreTime, OnException, Retry
    from submitit.slurm.slurm import SlurmExecutor, SlurmJob
    from submitit.views.usage import usage

__version__ = "2.0.0"

__all__ = [
    "AutoExecutor",
    "Executor",
    "SlurmExecutor",
    "LocalExecutor",
    "DebugExecutor",
    "Job",
    "SlurmJob",
    "LocalJob",
    "DebugJob",
    "JobEnvironment",
    "UNSET",
    "as_completed",
    "cancel",
    "progress",
    "throttle",
    "wait",
    "result_of",
    "usage",
    "Retry",
    "MoreMemory",
    "MoreTime",
    "OnException",
    "UncompletedJobError",
    "FailedJobError",
    "FailedSubmissionError",
    "SubmissionRefusedError",
    "JobTimeoutError",
    "JobOutOfMemoryError",
    "JobCancelledError",
    "JobDependencyError",
    "JobNodeFailError",
    "JobVanishedError",
    "UntrustedPickleError",
    "CorruptFileError",
    "auto",
    "client",
    "core",
    "executors",
    "helpers",
    "local",
    "orchestrator",
    "slurm",
    "storage",
    "upkeep",
    "views",
]

#: Where each name lives.
_HOMES = {
    "AutoExecutor": "submitit.client.auto",
    "Executor": "submitit.client.executor",
    "SlurmExecutor": "submitit.slurm.slurm",
    "LocalExecutor": "submitit.local.local",
    "DebugExecutor": "submitit.local.debug",
    "Job": "submitit.client.job",
    "SlurmJob": "submitit.slurm.slurm",
    "LocalJob": "submitit.local.local",
    "DebugJob": "submitit.local.debug",
    "JobEnvironment": "submitit.orchestrator.environment",
    "UNSET": "submitit.client.parameters",
    "as_completed": "submitit.client.waiting",
    "cancel": "submitit.client.cancelling",
    "progress": "submitit.helpers.progression",
    "throttle": "submitit.client.throttling",
    "wait": "submitit.client.waiting",
    "result_of": "submitit.client.dependencies",
    "usage": "submitit.views.usage",
    "Retry": "submitit.orchestrator.retry",
    "MoreMemory": "submitit.orchestrator.retry",
    "MoreTime": "submitit.orchestrator.retry",
    "OnException": "submitit.orchestrator.retry",
    "UncompletedJobError": "submitit.errors",
    "FailedJobError": "submitit.errors",
    "FailedSubmissionError": "submitit.errors",
    "SubmissionRefusedError": "submitit.errors",
    "JobTimeoutError": "submitit.errors",
    "JobOutOfMemoryError": "submitit.errors",
    "JobCancelledError": "submitit.errors",
    "JobDependencyError": "submitit.errors",
    "JobNodeFailError": "submitit.errors",
    "JobVanishedError": "submitit.errors",
    "UntrustedPickleError": "submitit.errors",
    "CorruptFileError": "submitit.errors",
}
_MODULES = (
    "auto",
    "client",
    "core",
    "executors",
    "helpers",
    "local",
    "orchestrator",
    "slurm",
    "storage",
    "upkeep",
    "views",
    "amounts",
    "commands",
    "environ",
    "errors",
    "lazy",
    "log",
    "records",
    "plugins",
    "terminal",
)

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy.attributes(__name__, _MODULES, _HOMES)
