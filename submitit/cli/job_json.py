"""A job as JSON: what ``--json`` prints, whichever command does.

::

    job_id      "12", or "12_3" for element 3 of array 12
    array       the id of its array, or null
    name        as it was submitted
    function    "module.function"
    backend     "slurm", "local" ...
    folder      the executor's folder; with job_id and backend it names the job
    state       Slurm's word: PENDING, RUNNING, COMPLETED, FAILED ...
    over        whether it has come to its end; only then do succeeded and failed say something
    succeeded   whether that was a good one
    failed      whether it was a bad one (a cancelled job neither succeeded nor failed)
    reason      why, in the scheduler's words, or ""
    exit_code   of the task that ended worst, a signal as a negative number, or null
    attempt     how many times it was started, 1 for a job that was never started again
    tasks       how many processes it has
    node        the node or nodes of its newest attempt, or ""
    submitted, start, end
                seconds since the epoch, or null; the latter two of its newest attempt
    cpu_s, max_rss_mb
                what it has used, or null

What is there stays there, with its name and its meaning; more may come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from submitit.views.entry import JobEntry


def job_json(entry: JobEntry) -> dict[str, Any]:
    """The fields of a job, in the order above."""
    return {
        "job_id": entry.job_id,
        "array": entry.array,
        "name": entry.name,
        "function": entry.function,
        "backend": entry.backend,
        "folder": entry.folder,
        "state": entry.state,
        "over": entry.over,
        "succeeded": entry.succeeded,
        "failed": entry.failed,
        "reason": entry.reason,
        "exit_code": entry.exit_code,
        "attempt": entry.attempt + 1,
        "tasks": entry.tasks,
        "node": entry.node,
        "submitted": entry.submitted,
        "start": entry.start,
        "end": entry.end,
        "cpu_s": entry.cpu_s,
        "max_rss_mb": entry.max_rss_mb,
    }
