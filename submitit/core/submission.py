"""Historic import path: what it names lives in ``submitit.orchestrator.runner``."""
# ruff: noqa: PLC0414 - the alias is how a type checker is told that a name is offered here

from submitit.core._view import view

TYPE_CHECKING = False
if TYPE_CHECKING:
    from submitit.orchestrator.runner import process_job as process_job
    from submitit.orchestrator.runner import submitit_main as submitit_main

view(
    __name__,
    {
        "process_job": "submitit.orchestrator.runner:process_job",
        "submitit_main": "submitit.orchestrator.runner:submitit_main",
    },
)
