"""One job, by each of those that tell of it: a controller, its markers, its results, a scheduler."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from submitit.orchestrator.state import JobState
from submitit.storage import outcome

if TYPE_CHECKING:
    from submitit.local.records import Record
    from submitit.orchestrator import sources
    from submitit.slurm.watcher import SlurmInfoWatcher
    from submitit.views.entry import JobEntry

#: For how long a job that has left no trace, and that nobody knows, may still be on its way.
GRACE_S = 60.0


def by_record(entry: JobEntry, record: Record | None) -> JobEntry:
    """A local job, by its controller's journal."""
    from submitit.local.records import worst

    if record is None:
        lost = time.time() - entry.submitted > GRACE_S
        return entry._replace(state="UNKNOWN", over=True, reason="no controller has it") if lost else entry
    return entry._replace(
        state=record.state,
        over=record.over,
        attempt=record.attempt,
        exit_code=worst(record.exits),
        reason=record.reason or record.memory_kill,
        node=record.node,
        start=record.start or None,
        end=record.end or None,
        cpu_s=record.cpu_s if record.end else None,
        max_rss_mb=record.peak_mb or None,
    )


def by_markers(entry: JobEntry, told: sources.Attempt | None) -> tuple[JobEntry, bool]:
    """A job by the markers of its newest attempt; and whether they are all there is to know."""
    if told is None:
        return entry, False
    codes = [128 - code if code > 128 else code for code in told.exits.values()]
    worst = min(codes, key=lambda code: (code >= 0, code == 0), default=None)
    known = entry._replace(attempt=told.number, exit_code=worst, reason="")  # that for which it waited is past
    if told.retried or told.requeued:
        return known._replace(state="REQUEUED", reason=told.retried), False
    if "batch" not in told.exits:
        begun = bool(told.started or told.recorded)
        return known._replace(state="RUNNING" if begun else entry.state, exit_code=worst or None), False
    if not told.exits["batch"] and len(told.recorded - {"batch"}) >= entry.tasks:
        return known._replace(state="COMPLETED", over=True), True
    # Of what was told to end, or killed, the scheduler knows why; and whether what it has told to end runs again.
    settled = not told.terminated and worst is not None and worst > 0
    return known._replace(state="FAILED", over=not told.terminated), settled


def by_results(entry: JobEntry) -> JobEntry:
    """A job of a backend that leaves no markers: it is over when every task has left a result."""
    found = [entry.paths(task).locate("result_pickle") for task in range(entry.tasks)]
    if not all(map(os.path.exists, found)):
        return entry
    footers = [outcome.read_footer(path) for path in found]
    success = all(footer is not None and footer.success for footer in footers)
    return entry._replace(state="COMPLETED" if success else "FAILED", over=True)


def by_scheduler(entry: JobEntry, watcher: SlurmInfoWatcher) -> JobEntry:
    """A job by what Slurm has answered. Where it knows nothing, markers and results decide."""
    from submitit.slurm import queries

    info = watcher.get_info(entry.job_id, mode="cache")
    state = JobState.read(info.get("State", ""))
    if state is JobState.UNKNOWN or info.get("Vanished"):
        if entry.over or not watcher.told_by_scheduler or time.time() - entry.submitted < GRACE_S:
            return entry
        if entry.state == "FAILED":
            return entry._replace(over=True)  # and does not run again, or it would know it
        found = by_results(entry)
        return found if found.over else entry._replace(state="UNKNOWN", reason="Slurm does not know it any more")
    if state is JobState.PENDING and entry.state == "RUNNING":
        return entry  # a marker is quicker
    code, _, signal = info.get("ExitCode", "").partition(":")
    told = -int(signal) if signal.strip("0").isdecimal() else int(code) if code.isdecimal() else None
    exit_code = entry.exit_code or told  # a task's own says more than that of the script around it
    return entry._replace(
        state=state.value,
        over=state.final or watcher.is_done(entry.job_id, mode="cache"),
        exit_code=exit_code if state.final else None,
        reason=_reason(info.get("Reason", "")),
        node=info.get("NodeList", "") or entry.node,
        # of a job that waits it is when Slurm means to start it
        start=(queries.timestamp(info.get("Start", "")) if state.begun or state.final else None) or entry.start,
        end=(queries.timestamp(info.get("End", "")) if state.final else None) or entry.end,
        # of what was killed nobody else knows
        max_rss_mb=used / 1024**2 if (used := queries.memory_bytes(info.get("MaxRSS", ""))) else entry.max_rss_mb,
    )


def _reason(text: str) -> str:
    return "" if text in ("None", "(null)") else text


def by_plugin(entry: JobEntry) -> JobEntry:
    """A job of another distribution's backend that has left no result, by what that says of it."""
    from submitit import plugins

    try:
        job: Any = plugins.executor_class(entry.backend).job_class(entry.folder, entry.job_id)
        word = job.state
    except Exception:  # noqa: BLE001 - it is not installed here, or somebody else's code has failed
        return entry._replace(reason=f"the backend {entry.backend!r} does not answer here")
    state = JobState.read(word)
    return entry if state is JobState.UNKNOWN else entry._replace(state=state.value, over=state.final)
