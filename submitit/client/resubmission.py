"""The call of a job, submitted once more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from submitit.client.auto import AutoExecutor
    from submitit.client.job import Job
    from submitit.storage.journal import Submission
    from submitit.storage.submission import DelayedSubmission


def executor_of(job: Job[Any]) -> AutoExecutor:
    """An executor that submits as the one did that submitted ``job``: its backend, its folder and its parameters.

    They are those that the journal of the job's folder holds. ``LookupError`` if none does, ``UntrustedPickleError`` if somebody
    else could have written it: lines of shell are among them.
    """
    import submitit
    from submitit.orchestrator.retry import Retry

    record = _record(job)
    executor = submitit.AutoExecutor(job.paths._folder, cluster=record["backend"])
    own = executor._executor
    for name, value in record.get("arguments", {}).items():
        setattr(own, name, value)
    parameters = dict(record["parameters"])
    if isinstance(parameters.get("retry"), dict):
        parameters["retry"] = Retry.read(parameters["retry"])
    own._internal_update_parameters(**parameters)
    return executor


def _record(job: Job[Any]) -> Submission:
    from submitit.storage import journal
    from submitit.storage.paths import layout_of

    layout = layout_of(job.paths._folder)
    record = journal.find_submission(layout, job.job_id, trust=job._trust)
    if record is None:
        raise LookupError(
            f"No journal in {layout.journals} says how job {job.job_id} was submitted: submit its call by "
            "executor.retry_failed([job]), which takes the executor's own parameters"
        )
    return record


def resubmit(job: Job[Any], overrides: dict[str, Any]) -> Job[Any]:
    """A new job that makes the same call, see ``Job.resubmit``."""
    executor = executor_of(job)
    executor.update_parameters(**{**_waited_for(job), **overrides})
    return executor._process([job.submission()])[0]


def resubmit_together(jobs: Sequence[Job[Any]]) -> list[Job[Any]]:
    """New jobs that make the same calls as those of one submission, as one array again. Those that waited for others are submitted
    one by one, since each may have waited for its own. Raises what ``Job.resubmit`` raises.
    """
    if {"after", "after_any", "after_own"} & _record(jobs[0]).keys():
        return [resubmit(job, {}) for job in jobs]
    return executor_of(jobs[0])._process(calls(jobs))


def _waited_for(job: Job[Any]) -> dict[str, list[Job[Any]]]:
    """The parameters by which another job waits for what this one has waited for."""
    if not {"after", "after_any", "after_own"} & _record(job).keys():
        return {}
    from submitit.orchestrator import dependencies

    return dependencies.upstream_jobs(job)


def failed(jobs: Iterable[Job[Any]]) -> list[int]:
    """The places of the jobs that are over and have no value to give."""
    return [place for place, job in enumerate(jobs) if job.done() and job.exception() is not None]


def calls(jobs: Sequence[Job[Any]]) -> list[DelayedSubmission]:
    """What each job's ``submission()`` gives. What the elements of an array share is one object again."""
    from submitit.storage import payload

    shared: dict[tuple[str, bool], list[tuple[int, int]]] = {}
    found: dict[int, DelayedSubmission] = {}
    for place, job in enumerate(jobs):
        reference = None if job.paths.submitted_pickle.exists() else job._payload_reference()
        if reference is None:
            found[place] = job.submission()
        else:
            shared.setdefault((reference[0], job._trust), []).append((place, reference[1]))
    for (path, trust), elements in shared.items():
        with payload.Payload(path, trust) as file:
            found.update((place, file.submission(index)) for place, index in elements)
    return [found[place] for place in range(len(jobs))]
