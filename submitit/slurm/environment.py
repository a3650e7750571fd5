"""What a job on Slurm knows of itself, and how it asks to run again."""

from __future__ import annotations

import os

from submitit import log
from submitit.orchestrator.environment import JobEnvironment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import ClassVar

    from submitit.orchestrator.interruption import Interruption


class SlurmJobEnvironment(JobEnvironment):
    """The variables that Slurm sets in a job (sbatch.1, srun.1: OUTPUT ENVIRONMENT VARIABLES)."""

    _env: ClassVar[dict[str, str]] = {
        "job_id": "SLURM_JOB_ID",
        "num_tasks": "SLURM_NTASKS",
        "num_nodes": "SLURM_JOB_NUM_NODES",
        "node": "SLURM_NODEID",
        "nodes": "SLURM_JOB_NODELIST",
        "global_rank": "SLURM_PROCID",
        "local_rank": "SLURM_LOCALID",
        "array_job_id": "SLURM_ARRAY_JOB_ID",
        "array_task_id": "SLURM_ARRAY_TASK_ID",
        "attempt": "SLURM_RESTART_COUNT",
    }

    @property
    def hostnames(self) -> Sequence[str]:
        """The names of all nodes of the job, in Slurm's order."""
        from submitit.slurm.nodelist import _parse_node_list

        return _parse_node_list(os.environ.get(self._env["nodes"], self.hostname))

    def _interruption(self) -> Interruption:
        """Ask slurmctld, once: preempted, if it says so or has already counted the restart that is to come.

        Told from a time-out by no clock: a preempted job may be anywhere in its time.
        """
        from submitit import commands
        from submitit.orchestrator.interruption import Interruption
        from submitit.slurm import queries

        try:
            command = queries.show_job_command(self.raw_job_id)
            shown = queries.parse_show_job(commands.query(command, queries.environment(os.environ)))[0]
        except Exception as error:  # noqa: BLE001 - no scontrol in a container, no answer, an answer of a stand-in
            log.say("INFO", f"Slurm could not be asked why this job was signalled: {error}")
            return Interruption.UNKNOWN
        if shown.preempted is not None or (shown.restarts or 0) > self._attempt:
            return Interruption.PREEMPTED
        return Interruption.CANCELLED if shown.word == "CANCELLED" else Interruption.OTHER

    def _requeue(self, countdown: int) -> None:
        """``scontrol requeue``. A refusal is no failure of the function: where Slurm preempts, it has requeued the job already."""
        from submitit import commands
        from submitit.slurm import queries

        try:
            commands.call(queries.requeue_command(self.job_id), timeout_s=commands.QUERY_TIMEOUT_S)
        except Exception as error:  # noqa: BLE001 - whatever scontrol, or what stands in for it, fails with
            log.say("WARNING", f"Slurm refused to requeue job {self.job_id}, or had done so already: {error}")
