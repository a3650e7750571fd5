"""What becomes of a job that has failed under a policy: why it has, and how it is started again."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, NamedTuple

from submitit.local import records
from submitit.orchestrator import retry
from submitit.storage import outcome
from submitit.storage.paths import JobPaths

if TYPE_CHECKING:
    from collections.abc import Mapping

    from submitit.local.jobs import StartedJob
    from submitit.local.protocol import Launch


class Again(NamedTuple):
    """Another attempt."""

    reason: str
    launch: Launch
    delay_s: float


def again(job: StartedJob, state: str, before: Mapping[str, int]) -> Again | None:
    """How a job that has ended in ``state`` is started again; ``None``: it is over.

    ``before`` says how often it was, for each reason.
    """
    launch = job.batch.launch
    if launch.retry is None or state in (records.COMPLETED, records.CANCELLED):
        return None
    policy = retry.Retry.read(launch.retry)
    reason = _reason(job, state)
    if not reason or before.get(reason, 0) >= policy.times(reason):
        return None
    if reason == retry.OUT_OF_MEMORY:
        # Of a job that has asked for nothing it is known what it had.
        more_gb = policy.out_of_memory.after(launch.mem_gb or job.usage.peak_mb / 1024)
        if more_gb is None:
            return None
        launch = launch._replace(mem_gb=more_gb)
    elif reason == retry.TIMEOUT:
        more_min = policy.timeout.after(launch.timeout_s / 60)
        if more_min is None:
            return None
        launch = launch._replace(timeout_s=more_min * 60)
    return Again(reason, launch, policy.delay_s)


_BY_STATE = {
    records.OUT_OF_MEMORY: retry.OUT_OF_MEMORY,
    records.TIMEOUT: retry.TIMEOUT,
    records.LOST: retry.NODE_FAIL,
}


def _reason(job: StartedJob, state: str) -> str:
    """The policy's word for a failure; empty for one that it says nothing of, and where all tasks have succeeded."""
    recorded = [outcome.read_footer(path) for path in _results(job)]
    if all(footer is not None and footer.success for footer in recorded):
        return ""
    if any(footer is not None and footer.success is False and footer.attempt == job.attempt for footer in recorded):
        return ""  # not what the function raised: its value could not be written, or its state not be saved
    if state in _BY_STATE:
        return _BY_STATE[state]
    raised = [outcome.read_footer(path) for path in _set_aside(job) if os.path.exists(path)]
    if raised:
        return retry.EXCEPTION if all(footer is not None and footer.covered for footer in raised) else ""
    # What could not be started has not died without a word.
    return "" if job.stopped == records.FAILED else retry.KILLED


def settle(job: StartedJob) -> None:
    """No other attempt follows: what its tasks have raised is their result."""
    for result, aside in zip(_results(job), _set_aside(job), strict=True):
        if not os.path.exists(result):
            with contextlib.suppress(OSError):
                os.replace(aside, result)


def _results(job: StartedJob) -> list[str]:
    launch = job.batch.launch
    return [JobPaths(launch.folder, job.id, rank).locate("result_pickle") for rank in range(launch.tasks)]


def _set_aside(job: StartedJob) -> list[str]:
    return [outcome.set_aside_path(result, job.attempt) for result in _results(job)]
