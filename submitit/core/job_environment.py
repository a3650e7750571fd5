"""Historic import path of what a running job knows and of its signal handlers."""
# ruff: noqa: PLC0414 - the alias is how a type checker is told that a name is offered here

from submitit.core._view import view

TYPE_CHECKING = False
if TYPE_CHECKING:
    from submitit.orchestrator.environment import _PREEMPT_SIG_ENV as _PREEMPT_SIG_ENV
    from submitit.orchestrator.environment import JobEnvironment as JobEnvironment
    from submitit.orchestrator.signals import SignalHandler as SignalHandler
    from submitit.storage.paths import JobPaths as JobPaths
    from submitit.storage.submission import DelayedSubmission as DelayedSubmission

view(
    __name__,
    {
        "DelayedSubmission": "submitit.storage.submission:DelayedSubmission",
        "JobEnvironment": "submitit.orchestrator.environment:JobEnvironment",
        "JobPaths": "submitit.storage.paths:JobPaths",
        "SignalHandler": "submitit.orchestrator.signals:SignalHandler",
        "_PREEMPT_SIG_ENV": "submitit.orchestrator.environment:_PREEMPT_SIG_ENV",
    },
)
