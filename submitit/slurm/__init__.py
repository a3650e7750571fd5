"""The Slurm backend: parameters to a batch script, commands to Slurm, their answers to states."""

from __future__ import annotations

from submitit import lazy

TYPE_CHECKING = False
if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy.attributes(
        __name__,
        (
            "again",
            "attempts",
            "dependencies",
            "environment",
            "history",
            "job_ids",
            "limits",
            "nodelist",
            "options",
            "parameters",
            "queries",
            "room",
            "sbatch",
            "sending",
            "shield",
            "slurm",
            "successors",
            "waiting",
            "watcher",
        ),
    )
