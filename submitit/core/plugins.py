"""Historic import path: what it names lives in ``submitit.plugins``."""
# ruff: noqa: PLC0414 - the alias is how a type checker is told that a name is offered here

from submitit.core._view import view

TYPE_CHECKING = False
if TYPE_CHECKING:
    from submitit.plugins import _get_plugins as _get_plugins
    from submitit.plugins import _iter_submitit_entrypoints as _iter_submitit_entrypoints
    from submitit.plugins import get_executors as get_executors
    from submitit.plugins import get_job_environment as get_job_environment
    from submitit.plugins import get_job_environments as get_job_environments

view(
    __name__,
    {
        "_get_plugins": "submitit.plugins:_get_plugins",
        "_iter_submitit_entrypoints": "submitit.plugins:_iter_submitit_entrypoints",
        "get_executors": "submitit.plugins:get_executors",
        "get_job_environment": "submitit.plugins:get_job_environment",
        "get_job_environments": "submitit.plugins:get_job_environments",
    },
)
