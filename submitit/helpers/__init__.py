"""Tools around jobs: checkpoints, waiting for many jobs, snapshots of code, distributed training.

Everything is loaded when it is first asked for. Pickles name the classes by this package, whatever module defines them.
"""

from __future__ import annotations

from submitit import lazy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from submitit.commands import CommandFunction
    from submitit.environ import environment_variables
    from submitit.helpers.checkpointing import Checkpointable, FunctionSequence
    from submitit.helpers.command import Command, CommandFailedError
    from submitit.helpers.distributed import TorchDistributedEnvironment
    from submitit.helpers.environment import clean_env
    from submitit.helpers.monitoring import _default_custom_logging, as_completed, monitor_jobs
    from submitit.helpers.processes import run_cmd
    from submitit.helpers.snapshot import RsyncSnapshot, clean_snapshots
    from submitit.orchestrator.environment import JobEnvironment
    from submitit.storage.snapshots import Snapshot
    from submitit.storage.submission import DelayedSubmission

__all__ = [
    "Checkpointable",
    "Command",
    "CommandFailedError",
    "CommandFunction",
    "DelayedSubmission",
    "FunctionSequence",
    "JobEnvironment",
    "RsyncSnapshot",
    "Snapshot",
    "TorchDistributedEnvironment",
    "_default_custom_logging",
    "as_completed",
    "clean_env",
    "clean_snapshots",
    "environment_variables",
    "monitor_jobs",
    "run_cmd",
]

_HOMES = {
    "Checkpointable": "submitit.helpers.checkpointing",
    "Command": "submitit.helpers.command",
    "CommandFailedError": "submitit.helpers.command",
    "CommandFunction": "submitit.commands",
    "DelayedSubmission": "submitit.storage.submission",
    "FunctionSequence": "submitit.helpers.checkpointing",
    "JobEnvironment": "submitit.orchestrator.environment",
    "RsyncSnapshot": "submitit.helpers.snapshot",
    "Snapshot": "submitit.storage.snapshots",
    "TorchDistributedEnvironment": "submitit.helpers.distributed",
    "_default_custom_logging": "submitit.helpers.monitoring",
    "as_completed": "submitit.helpers.monitoring",
    "clean_env": "submitit.helpers.environment",
    "clean_snapshots": "submitit.helpers.snapshot",
    "environment_variables": "submitit.environ",
    "monitor_jobs": "submitit.helpers.monitoring",
    "run_cmd": "submitit.helpers.processes",
}

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy.attributes(
        __name__,
        ("archives", "checkpointing", "command", "distributed", "environment", "monitoring", "processes", "snapshot"),
        _HOMES,
    )
