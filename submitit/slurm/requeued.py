"""Jobs that have requeued themselves start again as soon as there is room for them.

Slurm keeps every requeued job from starting for two minutes (``BeginTime``). After a preemption that leaves its place to those
that it was taken away for; a job that was out of time, or that its user told to save its state, waits for nobody. Whoever waits
for such a job has just seen it in the queue, and moves its start. A job cannot do this for itself: Slurm sets the time once more
when the job's last process is gone.
"""

from __future__ import annotations

import os
import threading

from submitit import commands, log
from submitit.slurm import queries

#: Set to 0, every job waits as long as Slurm has it wait.
VARIABLE = "SUBMITIT_START_REQUEUED"

_asked: set[tuple[str, str, int]] = set()
_asking = threading.Lock()


def start_soon(client: str, job_id: str, attempt: int, info: dict[str, str]) -> bool:
    """Ask Slurm to let a waiting job, which requeued itself in ``attempt``, start now; once a process.

    ``client`` tells jobs of the same id on several clusters apart. ``False`` if Slurm does not say yet what the job waits for.
    """
    reason = info.get("Reason", "")
    if reason in ("", "None"):
        return False
    if reason != "BeginTime" or os.environ.get(VARIABLE, "1").strip() == "0":
        return True
    with _asking:
        if (client, job_id, attempt) in _asked:
            return True
        _asked.add((client, job_id, attempt))
    try:
        commands.query(queries.start_soon_command(job_id))
    except Exception as error:  # noqa: BLE001 - it starts by itself, later; somebody else may have started it
        log.get_logger().info("Job %s, which was requeued, starts when Slurm lets it: %s", job_id, error)
    return True
