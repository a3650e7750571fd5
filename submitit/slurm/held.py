"""Jobs that wait for a person: Slurm will not start them by itself, and whoever waits for them would wait for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

from submitit.orchestrator.state import JobState
from submitit.slurm import job_ids

if TYPE_CHECKING:
    from collections.abc import Iterable

    from submitit.slurm.queries import JobRecord

_RELEASE = "`scontrol release {job}` lets it try again"
#: What squeue gives as the reason (job_reason_codes.shtml), in the spelling of `_spell`: why, and what can be done.
_ADVICE = {
    "jobheldadmin": "it is held by an administrator, or by Slurm: `scontrol release {job}` if you may, else ask them",
    "jobholdmaxrequeue": f"it was requeued too often (MaxBatchRequeue): {_RELEASE}",
    "launch_failed_requeued_held": f"its node could not start it: {_RELEASE}",
    "job_requeued_in_held_state": f"it was requeued and held: {_RELEASE}",
    "dependencyneversatisfied": (
        "a job that it depends on has not ended as it had to: `scancel {job}` ends it, "
        "`scontrol update jobid={job} dependency=...` lets it wait for something else"
    ),
    "badconstraints": "no node can ever meet its constraints: `scancel {job}`, and submit it with others",
    "invalidaccount": "its account is not valid any more: `scontrol update jobid={job} account=...`",
    "invalidqos": "its QOS is not valid any more: `scontrol update jobid={job} qos=...`",
}
#: The hold that a submission asks for or the owner sets: on purpose, so it is no reason to warn.
_ON_PURPOSE = {"jobhelduser": "it is held by its owner: `scontrol release {job}` lets it start"}
_HELD_STATES = frozenset({JobState.REQUEUE_HOLD, JobState.SPECIAL_EXIT, JobState.RESV_DEL_HOLD})
_WAITING = _HELD_STATES | {JobState.PENDING}


def reason_to_wait_for_ever(record: JobRecord) -> str:
    """Why a job will not start before somebody acts, in Slurm's word; ``""`` if it may start by itself.

    Elements that wait together are one record with all their reasons, ``"JobHeldUser,JobHeldAdmin"``: the gravest counts.
    """
    state = JobState.read(record.state)
    if state not in _WAITING:
        return ""
    reasons = record.reason.split(",")
    for table in (_ADVICE, _ON_PURPOSE):
        found = next((reason for reason in reasons if _spell(reason) in table), "")
        if found:
            return found
    return state.value if state in _HELD_STATES else ""


def is_on_purpose(reason: str) -> bool:
    """Whether the owner wanted it so."""
    return _spell(reason) in _ON_PURPOSE


def words(reason: str, ids: Iterable[str]) -> str:
    """What a user is told of the jobs that wait for this reason."""
    jobs = job_ids.ranges(ids)
    advice = (_ADVICE | _ON_PURPOSE).get(_spell(reason), f"it is held: {_RELEASE}")
    those = "job" if len(jobs) == 1 and "[" not in jobs[0] else "jobs"
    more = f" and {len(jobs) - _NAMED} more" if len(jobs) > _NAMED else ""
    return (
        f"Slurm will not start {those} {', '.join(jobs[:_NAMED])}{more} by itself ({reason}): "
        f"{advice.format(job=jobs[0])}. This is said once."
    )


_NAMED = 10


def _spell(reason: str) -> str:
    # Older versions print "launch failed requeued held".
    return reason.strip().lower().replace(" ", "_")


class HeldJobs:
    """Tells the user of held jobs, of each job or array once for each reason."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str]] = set()
        self._found: dict[str, dict[str, None]] = {}

    def note(self, job_id: str, reason: str) -> None:
        """A job that somebody waits for is held, or a whole range of them."""
        self._found.setdefault(reason, {})[job_id] = None

    def tell(self) -> None:
        """Log what was noted since the last time and is new."""
        found, self._found = self._found, {}
        for reason, ids in found.items():
            new = [job_id for job_id in ids if (job_ids.main_id(job_id), reason) not in self._told]
            if not new:
                continue
            self._told.update((job_ids.main_id(job_id), reason) for job_id in new)
            from submitit import log

            say = log.get_logger().info if is_on_purpose(reason) else log.get_logger().warning
            say("%s", words(reason, sorted(new)))
