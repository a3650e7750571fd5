"""Historic import path: what it names lives in ``submitit.client.auto``."""
# ruff: noqa: PLC0414 - the alias is how a type checker is told that a name is offered here

from submitit.core._view import view

TYPE_CHECKING = False
if TYPE_CHECKING:
    from submitit.client.auto import AutoExecutor as AutoExecutor
    from submitit.client.auto import flexible_init as flexible_init
    from submitit.client.executor import Executor as Executor
    from submitit.client.job import Job as Job
    from submitit.storage.submission import DelayedSubmission as DelayedSubmission

view(
    __name__,
    {
        "AutoExecutor": "submitit.client.auto:AutoExecutor",
        "DelayedSubmission": "submitit.storage.submission:DelayedSubmission",
        "Executor": "submitit.client.executor:Executor",
        "Job": "submitit.client.job:Job",
        "_convert_deprecated_args": "submitit.client.auto:_convert_deprecated_args",
        "flexible_init": "submitit.client.auto:flexible_init",
        "plugins": "submitit.plugins",
    },
)
