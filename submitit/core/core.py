"""Historic import path of executors, jobs and watchers."""
# ruff: noqa: PLC0414 - the alias is how a type checker is told that a name is offered here

from submitit.core._view import view

TYPE_CHECKING = False
if TYPE_CHECKING:
    from submitit.client.awaitable import AsyncJobProxy as AsyncJobProxy
    from submitit.client.batch import DelayedJob as DelayedJob
    from submitit.client.executor import Executor as Executor
    from submitit.client.job import Job as Job
    from submitit.client.job import R as R
    from submitit.client.parameters import EquivalenceDict as EquivalenceDict
    from submitit.core import utils as utils
    from submitit.executors.pickling import PicklingExecutor as PicklingExecutor
    from submitit.orchestrator.watcher import InfoWatcher as InfoWatcher

view(
    __name__,
    {
        "AsyncJobProxy": "submitit.client.awaitable:AsyncJobProxy",
        "DelayedJob": "submitit.client.batch:DelayedJob",
        "EquivalenceDict": "submitit.client.parameters:EquivalenceDict",
        "Executor": "submitit.client.executor:Executor",
        "InfoWatcher": "submitit.orchestrator.watcher:InfoWatcher",
        "Job": "submitit.client.job:Job",
        "PicklingExecutor": "submitit.executors.pickling:PicklingExecutor",
        "R": "submitit.client.job:R",
        "subprocess": "subprocess",
        "utils": "submitit.core.utils",
    },
)
