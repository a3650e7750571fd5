"""What became of each attempt of a job: by its markers, by what its tasks have written down, and by the accounts.

The markers carry the number of the attempt. The accounts have a record for each, if they are asked for duplicates.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from submitit import commands
from submitit.client.attempt import Attempt
from submitit.orchestrator import retry
from submitit.orchestrator.state import JobState
from submitit.slurm import queries
from submitit.storage import outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from submitit.orchestrator import sources
    from submitit.orchestrator.sources import MarkerSource
    from submitit.slurm.queries import JobRecord
    from submitit.storage.paths import JobPaths

    Handle = Any  # a SlurmJob, which imports this module

#: The state in which an attempt has ended that failed for a reason.
_STATES = {
    retry.OUT_OF_MEMORY: "OUT_OF_MEMORY",
    retry.TIMEOUT: "TIMEOUT",
    retry.NODE_FAIL: "NODE_FAIL",
    retry.PREEMPTED: "PREEMPTED",
    retry.EXCEPTION: "FAILED",
    retry.KILLED: "FAILED",
}


def attempts(job: Handle, source: MarkerSource | None) -> list[Attempt]:
    """All attempts of a job, the first one first. Asks the accounts, once."""
    marked = [] if source is None else source.attempts(job.job_id)
    accounted = _accounted(job.job_id)
    count = max(marked[-1].number + 1 if marked else 0, len(accounted), 1)
    records = dict(enumerate(accounted))  # they lag: it is the last one that may be missing
    by_number = {attempt.number: attempt for attempt in marked}
    result = job.paths.locate("result_pickle")
    final = outcome.read_footer(result)
    found = []
    for number in range(count):
        attempt = _by_record(number, records.get(number), job.paths)
        if source is not None and number in by_number:
            attempt = by_markers(attempt, by_number[number], source.node(job.job_id, str(job._tasks[0]), number))
        footer = outcome.read_footer(outcome.set_aside_path(result, number))
        # That of a job which took this one's place counts its own attempts.
        refused = number in by_number and by_number[number].refused
        if footer is None and final is not None and final.attempt == number and not refused:
            footer = final
        attempt = attempt.told_by(footer)
        if number == count - 1 and not refused:
            attempt = attempt._replace(state=_last_state(job, attempt, footer), again="")
        found.append(attempt)
    return found


def _last_state(job: Handle, attempt: Attempt, footer: outcome.Footer | None) -> str:
    """The state of a job's last attempt. Of one that is over, the accounts and the job itself may know before its client does."""
    if JobState.read(attempt.state).final:
        return attempt.state
    if footer is not None and job._recorded():
        return "COMPLETED" if footer.success else "FAILED"
    return str(job.state)


def _by_record(number: int, record: JobRecord | None, paths: JobPaths) -> Attempt:
    if record is None:
        return Attempt(number, "UNKNOWN", paths=paths)
    signal = record.signal if record.signal not in (None, 0, 125) else None
    return Attempt(
        number,
        "OUT_OF_MEMORY" if record.out_of_memory else record.word,
        node=record.node_list,
        exit_code=-signal if signal else record.exit_code,
        start=record.start,
        end=record.end,
        cpu_s=queries.duration(record.columns.get("TotalCPU", "")),
        max_rss_mb=None if record.max_rss is None else record.max_rss / 1024**2,
        paths=paths,
    )


def by_markers(attempt: Attempt, told: sources.Attempt, node: str) -> Attempt:
    """An attempt with what its markers tell: what it ended as and with which code, why another followed, and where it ran."""
    codes = [_signed(code) for task, code in told.exits.items() if task != "batch"]
    reason = told.retried or told.refused or ("requeue" if told.requeued else "")
    state = _STATES.get(told.retried or told.refused, "")
    return attempt._replace(
        state=state or ("REQUEUED" if told.requeued else attempt.state),
        again=reason,
        node=attempt.node or node,
        exit_code=min(codes, key=lambda code: (code >= 0, code == 0)) if codes else attempt.exit_code,
    )


def _signed(code: int) -> int:
    """A shell's 128 + n as -n."""
    return 128 - code if code > 128 else code


def _accounted(job_id: str) -> Sequence[JobRecord]:
    try:
        told = commands.query(queries.sacct_attempts_command(job_id), queries.environment(os.environ))
    except Exception:  # noqa: BLE001 - no accounts, or no answer: the markers know most of it
        return []
    records = [record for record in queries.parse_sacct(told) if record.job_id == job_id]
    return sorted(records, key=lambda record: (record.submit or 0, record.start or float("inf")))
