"""What a job on Slurm knows of itself, and how it asks to run again."""

from __future__ import annotations

import os
import time

from submitit import log
from submitit.orchestrator.environment import JobEnvironment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import ClassVar

    from submitit.orchestrator.interruption import Interruption
    from submitit.slurm.queries import JobRecord


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
        """Ask slurmctld, once. Told from a time-out by no clock: a preempted job may be anywhere in its time."""
        from submitit.orchestrator.interruption import Interruption

        shown = self._shown()
        if shown is None:
            return Interruption.UNKNOWN
        if self._is_requeued(shown):
            return Interruption.REQUEUED
        if shown.preempted is not None:
            return Interruption.PREEMPTED
        ending = shown.word in ("COMPLETING", "TIMEOUT", "CANCELLED")
        if ending and shown.reason == "TimeLimit":
            return Interruption.OUT_OF_TIME
        return Interruption.CANCELLED if ending else Interruption.OTHER

    def _shown(self) -> JobRecord | None:
        """What slurmctld knows of this job; ``None`` where it cannot be asked."""
        from submitit import commands
        from submitit.slurm import queries

        try:
            command = queries.show_job_command(self.raw_job_id)
            return queries.parse_show_job(commands.query(command, queries.environment(os.environ)))[0]
        except Exception as error:  # noqa: BLE001 - no scontrol in a container, no answer, an answer of a stand-in
            log.say("INFO", f"Slurm could not be asked about job {self.job_id}: {error}")
            return None

    def _is_requeued(self, shown: JobRecord) -> bool:
        """Whether slurmctld has counted the restart that is to come."""
        return (shown.restarts or 0) > self._attempt

    def _requeue(self, countdown: int) -> bool:
        """``scontrol requeue``, until Slurm has done it; ``False`` if it is not known to have.

        A refusal is no failure of the function where Slurm runs the job again nevertheless: it has requeued it already, or
        will at the end of the grace time in which it is preempted. That end is waited for: a job that ends before it is not run
        again (22.05). Raises ``UncompletedJobError`` where nobody will run it again.
        """
        from submitit import commands
        from submitit.errors import UncompletedJobError
        from submitit.slurm import queries

        pauses = iter(REFUSED_PAUSES_S)
        while True:
            try:
                commands.call(queries.requeue_command(self.job_id), timeout_s=commands.QUERY_TIMEOUT_S)
            except Exception as error:  # noqa: BLE001 - whatever scontrol, or what stands in for it, fails with
                refusal = error
            else:
                return True
            shown = self._shown()
            if shown is not None and self._is_requeued(shown):
                log.say("INFO", f"Slurm had requeued job {self.job_id} already")
                return False
            log.say("WARNING", f"Slurm refused to requeue job {self.job_id}: {refusal}")
            if shown is not None and shown.columns.get("Requeue") == "0":
                words = "it may not be requeued (--no-requeue, or JobRequeue=0 of the cluster)"
                raise UncompletedJobError(f"Job not requeued because: {words}. {_SAVED}")
            pause = next(pauses, None)
            if pause is None and shown is not None and shown.preempted is not None:
                pause = REFUSED_PAUSES_S[-1]
            if pause is None and shown is not None:
                raise UncompletedJobError(f"Job not requeued because: Slurm refuses to ({refusal}). {_SAVED}")
            if pause is None or isinstance(refusal, (OSError, ValueError)):  # there is no scontrol here
                return False
            time.sleep(pause)


#: How long to wait before a refused requeue is asked for again: slurmctld may be restarting.
REFUSED_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
_SAVED = "Its state is saved: job.submission() gives it"
