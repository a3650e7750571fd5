"""Another attempt where the cluster refuses to requeue a job: a client that waits for it submits it anew.

::

    .submitit/again/JOB.ATTEMPT        claimed by its creation (O_EXCL), holds the token of the submission that follows
    .submitit/again/JOB.ATTEMPT.job    the id of the job that came of it

Clients may come at the same time, or one after another has died in the middle. Whoever makes the claim submits, with a token
that is part of its script's path. Whoever finds the claim follows: to the noted job, or to the one that Slurm has under that
token. Nobody submits a second time: a claim whose client has died before it submitted leaves the job failed.
"""

from __future__ import annotations

import dataclasses
import os
import time
from typing import TYPE_CHECKING, Any

from submitit import log
from submitit.client import resubmission
from submitit.orchestrator import retry
from submitit.slurm import attempts, parameters, queries
from submitit.storage import atomic, names, paths

if TYPE_CHECKING:
    from submitit.orchestrator.sources import Attempt
    from submitit.storage.submission import DelayedSubmission

    Handle = Any  # a SlurmJob, which imports this module

#: How long a claim is believed to lead to a submission that Slurm does not show yet.
PATIENCE_S = 2 * attempts.PATIENCE_S


def find(job: Handle, attempt: Attempt) -> str | None:
    """The id of the job that takes the place of one that was refused another attempt, submitted if need be.

    ``""``: it may come, from another client. ``None``: there is none, and there will be none.
    """
    directory = paths.layout_of(job.paths._folder).locate("again")
    claim = f"{directory}/{job.job_id}.{attempt.number}"
    noted = _read(f"{claim}.job")
    if noted:
        return noted
    if os.path.exists(claim):
        return _claimed(claim)
    try:
        executor, call = resubmission.executor_of(job)._executor, job.submission()
    except Exception as error:  # noqa: BLE001 - somebody else's folder, say: its own client may still submit it
        log.get_logger().warning("Job %s cannot be submitted anew after a refused requeue: %s", job.job_id, error)
        return None
    token = names.unique_name()
    atomic.make_directory(directory)
    try:
        descriptor = os.open(claim, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, atomic.FILE_MODE)
    except FileExistsError:
        return _claimed(claim)
    with os.fdopen(descriptor, "w") as file:
        file.write(token)
        file.flush()
        os.fsync(file.fileno())
    try:
        submitted: str = _submit(executor, call, attempt.refused, token).job_id
    except Exception as error:  # noqa: BLE001 - the job has failed, and that is what its user is to see
        log.get_logger().warning("Job %s cannot be submitted anew after a refused requeue: %s", job.job_id, error)
        atomic.write_text(f"{claim}.job", "none")
        return None
    atomic.write_text(f"{claim}.job", submitted)
    log.get_logger().warning(
        "Job %s has failed (%s) and Slurm refuses to requeue it: it was submitted anew, as job %s.",
        job.job_id,
        attempt.refused,
        submitted,
    )
    return submitted


def _claimed(claim: str) -> str | None:
    """What came of another client's claim."""
    noted = _read(f"{claim}.job")
    if noted:
        return None if noted == "none" else noted
    token = _read(claim)
    try:
        found = attempts.look(token) if token else None
        old = time.time() - os.stat(claim).st_mtime > PATIENCE_S
    except Exception:  # noqa: BLE001 - Slurm does not answer now
        return ""
    if found is not None:
        atomic.write_text(f"{claim}.job", found)
        return found
    return None if old else ""


def _submit(executor: Any, call: DelayedSubmission, reason: str, token: str) -> Any:
    policy = executor.parameters["retry"]
    changes: dict[str, Any] = {"retry": _less(policy, reason)}
    if reason == retry.OUT_OF_MEMORY:
        changes |= _more_memory(executor.parameters, policy)
    elif reason == retry.TIMEOUT:
        minutes = parameters.time_limit_min(executor.parameters.get("time", parameters.SlurmParameters().time))
        more = None if minutes is None else policy.timeout.after(minutes)
        if more is None:
            raise ValueError("it has no more time to be given")
        changes["time"] = int(more)
    executor._internal_update_parameters(**changes)
    if policy.delay_s and executor.parameters.get("begin") is None:
        executor._internal_update_parameters(begin=f"now+{int(policy.delay_s)}")
    executor._token = token
    return executor._process([call])[0]


def _more_memory(given: dict[str, Any], policy: retry.Retry) -> dict[str, str]:
    for name in ("mem", "mem_per_cpu", "mem_per_gpu"):
        value = str(given.get(name) or "")
        size = queries.memory_bytes(f"{value}M" if value.isdecimal() else value)
        more_gb = policy.out_of_memory.after(size / 1024**3) if size else None
        if more_gb is not None:
            return {name: f"{int(more_gb * 1024)}M"}
    raise ValueError("it has no more memory to be given")


def _less(policy: retry.Retry, reason: str) -> retry.Retry:
    """The policy for what is left of its attempts."""
    value = getattr(policy, reason)
    left: Any = value - 1 if isinstance(value, int) else dataclasses.replace(value, times=value.times - 1)
    return dataclasses.replace(policy, **{reason: left})


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""


def adopt(job: Handle, successor: Handle) -> None:
    """The results of the job that took this one's place are found under this one's name as well."""
    for task in job._tasks:
        theirs, ours = successor._result_path(task), job._result_path(task)
        if os.path.exists(theirs) and not os.path.exists(ours):
            atomic.link_or_copy(theirs, ours)
