"""Jobs that wait for other jobs, as a user says it: ``result_of`` among the arguments, ``after`` among the parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from submitit.client.job import Job
from submitit.client.parameters import UNSET
from submitit.orchestrator import dependencies
from submitit.orchestrator.dependencies import ResultOf, Upstream, Waits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from submitit.client.executor import Executor
    from submitit.storage.submission import DelayedSubmission

T = TypeVar("T")

#: The parameters that name jobs, and what each is given.
PARAMETERS: Final = {
    "after": "a job, or a list of jobs",
    "after_any": "a job, or a list of jobs",
    "after_each": "a list of jobs, one for each element of the next array",
}


def result_of(job: Job[T]) -> T:
    """What ``job`` returns, as an argument of a job submitted to the same backend, which then waits for it.

    It may be an argument itself, or lie in lists, tuples, dicts (as a value), dataclasses and ``functools.partial``; the function
    gets the result in its place. If the job fails, the one that waits does not run, and raises ``JobDependencyError``. Of a job
    of several tasks ``result_of(job.task(0))`` is the result of one.
    """
    if not isinstance(job, Job):
        raise TypeError(
            f"result_of(job) takes a job that was submitted, and {job!r:.100} is of type {type(job).__name__}"
        )
    upstream = _upstream(job)
    if len(upstream.tasks) > 1:
        raise ValueError(
            f"Job {job.job_id} has {len(upstream.tasks)} tasks, each with a result: result_of(job.task(0)) is that of the first, "
            f"[result_of(job.task(rank)) for rank in range({len(upstream.tasks)})] are all"
        )
    return cast("T", ResultOf(upstream, job))


def kept(backend: Executor, parameters: dict[str, Any]) -> dict[str, Any]:
    """Have the backend keep what is given for ``PARAMETERS``; return the other parameters.

    Raises ``TypeError`` for what is no job, ``ValueError`` for a job that the backend's cannot wait for.
    """
    others = dict(parameters)
    after = dict(backend._after)
    for name in PARAMETERS:
        given = others.pop(name, None)
        if given is None:
            continue
        jobs = [] if given is UNSET else [given] if isinstance(given, Job) else given
        if not isinstance(jobs, (list, tuple)):
            raise TypeError(f"Parameter {name!r} takes {PARAMETERS[name]}, not {given!r:.100}")
        for job in jobs:
            if not isinstance(job, Job):
                raise TypeError(f"Parameter {name!r} takes {PARAMETERS[name]}, but holds {job!r:.100}")
            _check(backend, job)
        after[name] = tuple(jobs)
    backend._after = after
    return others


def attach(backend: Executor, submissions: Sequence[DelayedSubmission]) -> None:
    """Note with each call what it waits for, as ``Executor._internal_process_submissions`` finds it.

    Raises ``ValueError`` for a job that the backend's cannot wait for, and where there are not as many as elements.
    """
    after = {name: [_upstream(job) for job in jobs] for name, jobs in backend._after.items() if jobs}
    ok, ended = _unique(after.get("after", ())), _unique(after.get("after_any", ()))
    each = after.get("after_each")
    if each is not None and len(each) != len(submissions):
        raise ValueError(
            f"Parameter 'after_each' names {len(each)} jobs, one for each element of an array, and {len(submissions)} are submitted"
        )
    for place, submission in enumerate(submissions):
        stand_ins = dependencies.found(submission)
        for stand_in in stand_ins:
            if stand_in.job is not None:
                _check(backend, stand_in.job)
            elif stand_in.upstream.backend != backend.name():  # of a call that was read again
                raise ValueError(_refusal(backend, stand_in.upstream))
        own = _unique([*([each[place]] if each else []), *(stand_in.upstream for stand_in in stand_ins)])
        if stand_ins:
            submission._unresolved = True  # type: ignore[attr-defined]  # of these calls alone
        if ok or ended or own:
            submission._waits = Waits(ok, ended, own)  # type: ignore[attr-defined]


def waiting_for_all(executor: Executor, calls: Sequence[DelayedSubmission]) -> Executor:
    """An executor like this one, each of whose jobs can make any of these calls: it waits for what all of them do."""
    needed: list[Job[Any]] = []
    for call in calls:
        stand_ins = dependencies.found(call)
        if stand_ins:
            call._unresolved = True  # type: ignore[attr-defined]  # of these calls alone
        needed += [stand_in.job for stand_in in stand_ins if stand_in.job is not None]
    if not needed:
        return executor
    made = executor._copy()
    made.update_parameters(after=[*made._backend()._after.get("after", ()), *needed])
    return made


def of_places(backend: Executor, places: Sequence[int], count: int) -> None:
    """Of jobs named for the elements of an array of ``count``, keep those for the elements that are submitted again."""
    each = backend._after.get("after_each", ())
    if len(each) == count:
        backend._after = {**backend._after, "after_each": tuple(each[place] for place in places)}


def _unique(upstreams: Sequence[Upstream]) -> tuple[Upstream, ...]:
    return tuple(dict.fromkeys(upstreams))


def _upstream(job: Job[Any]) -> Upstream:
    return Upstream(dependencies.backend_of(job), str(job.paths._folder), job.job_id, tuple(job._tasks))


def _check(backend: Executor, job: Job[Any]) -> None:
    job_id = job.job_id  # raises in the batch block that collects it
    kinds = (type(job), backend.job_class)
    alike = issubclass(*kinds) or (issubclass(*reversed(kinds)) and type(job) is not Job)
    if not (alike and backend._takes_dependencies):
        raise ValueError(_refusal(backend, Upstream(dependencies.backend_of(job), "", job_id)))


def _refusal(backend: Executor, upstream: Upstream) -> str:
    if not backend._takes_dependencies:
        return f"A job of the {backend.name()!r} executor cannot wait for others ({upstream.job_id}): wait for them first, with job.wait()"
    return (
        f"A job of the {backend.name()!r} executor cannot wait for job {upstream.job_id}, which is one of "
        f"{upstream.backend!r}: submit both to the same, or pass its job.result()"
    )
