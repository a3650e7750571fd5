"""Jobs that wait for other jobs, and for their results."""

from __future__ import annotations

import concurrent.futures
import pickle
from pathlib import Path
from typing import Any

import pytest

import submitit
from submitit import result_of
from submitit.orchestrator import dependencies
from support import calls, dependents
from support.backends import DEBUG, LOCAL, Backend
from support.local_processes import put

pytestmark = pytest.mark.needs("distinct")


def test_results_are_found_where_they_may_lie(backend: Backend, executor: submitit.AutoExecutor) -> None:
    first = executor.submit(calls.add, 1, 2)
    args, kwargs = dependents.nested(result_of(first))
    job = executor.submit(dependents.given, *args, **kwargs)
    expected = dependents.nested(3)
    assert dependents.flat(job.result()) == dependents.flat(expected)
    submitted = job.submission()
    assert repr(submitted.args[0][0]) == f"<result of job {first.job_id}>", "the call is as it was submitted"
    assert repr(args[0][0]) == f"<result of job {first.job_id}>", "so are the user's own objects"
    if backend.durable:
        assert executor.submit(dependents.kind_of_job, first).result() == type(first).__name__, "a job stays a job"


def test_each_element_waits_for_its_own_and_failures_name_the_first(executor: submitit.AutoExecutor) -> None:
    """Arrays in step, a fan-in, and what comes of one element that fails."""
    first = executor.map_array(calls.add, [1, "a", 3, 4], [10] * 4)  # type: ignore[arg-type]
    second = executor.map_array(calls.add, [result_of(job) for job in first], [100] * 4)
    third = executor.map_array(calls.add, [result_of(job) for job in second[1:]], [1000] * 3)
    good = executor.submit(dependents.add_all, [result_of(job) for job in (*first[2:], *third[1:])])
    bad = executor.submit(dependents.add_all, [result_of(job) for job in third])
    assert [job.result() for job in (second[0], *second[2:])] == [111, 113, 114]
    assert [job.result() for job in third[1:]] == [1113, 1114]
    assert good.result() == 13 + 14 + 1113 + 1114
    for job in (second[1], third[0], bad):
        error = job.exception()
        assert type(dependents.first_failure(error)) is TypeError
        assert f"Job {job.job_id} did not run, because job {first[1].job_id}, which it depends on" in str(error)
        with pytest.raises(submitit.JobDependencyError):
            job.result()


def test_after_success_and_after_any_end(backend: Backend, folder: Path, tmp_path: Path) -> None:
    notes = str(tmp_path / "notes")
    plain = backend.executor(folder)
    first, failed = plain.submit(dependents.note, notes, "first"), plain.submit(calls.fail, "as asked")
    after = backend.executor(folder, after=first, after_any=[failed])
    second = after.submit(dependents.note, notes, "second")
    after.update_parameters(after=[first, second], after_any=[], after_each=[first, failed])
    third = after.map_array(dependents.note, [notes] * 2, ["third", "never"])
    assert second.result() == "first second "
    assert third[0].result() == "first second third "
    assert type(dependents.first_failure(third[1].exception())) is ValueError
    after.update_parameters(after=submitit.UNSET, after_each=[])
    assert after.submit(calls.add, 1, 2).result() == 3


def test_a_job_that_ended_is_waited_for_no_more(
    backend: Backend, folder: Path, executor: submitit.AutoExecutor
) -> None:
    first, failed = executor.submit(calls.add, 1, 2), executor.submit(calls.fail, "as asked")
    assert first.result() == 3
    assert failed.exception() is not None
    if backend.durable:
        first, failed = backend.find(folder, first.job_id), backend.find(folder, failed.job_id)
    waited = executor.submit(calls.add, result_of(first), 1)
    assert waited.result() == 4
    assert waited.resubmit().result() == 4
    bad = executor.submit(dependents.plus, result_of(failed), 1)
    assert type(dependents.first_failure(bad.exception())) is ValueError


@pytest.mark.needs("durable")
def test_a_call_that_waits_is_submitted_again(executor: submitit.AutoExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    first = executor.submit(calls.add, 1, 2)
    job = executor.submit(calls.add, result_of(first), 4)
    call = pickle.loads(pickle.dumps(job)).submission()
    assert executor.submit(call.function, *call.args).result() == 7
    monkeypatch.setattr("submitit.orchestrator.dependencies.VISIBLE_S", 0.0)
    first.paths.result_pickle.unlink()
    with pytest.raises(submitit.JobDependencyError, match=f"The result of job {first.job_id}.*is not there"):
        submitit.orchestrator.dependencies.resolved(call)


@pytest.mark.needs("durable")
def test_a_job_submitted_once_more_waits_for_the_same(executor: submitit.AutoExecutor, tmp_path: Path) -> None:
    go, ready = tmp_path / "go", executor.submit(calls.add, 1, 2)
    gate = executor.submit(calls.wait_for_file, str(go))
    executor.update_parameters(after=ready, after_any=ready, after_each=[gate])
    job = executor.submit(dependents.exists, str(go))
    again = pickle.loads(pickle.dumps(job)).resubmit()
    assert job.resubmit(after=ready).result() is False, "what is said anew holds in the place of what was said"
    put(go, "now")
    assert [job.result(), again.result()] == [True, True]


def test_what_has_failed_of_a_list_waits_for_its_own(executor: submitit.AutoExecutor, tmp_path: Path) -> None:
    notes = [str(tmp_path / name) for name in "abc"]
    first = executor.map_array(dependents.note, notes, "xyz")
    executor.update_parameters(after_each=first)
    jobs = executor.map_array(dependents.plus, ["", 1, ""], ["a", "b", "c"])
    assert [job.exception() is None for job in jobs] == [True, False, True]
    again = executor.retry_failed(jobs)
    assert [one is other for one, other in zip(again, jobs, strict=True)] == [True, False, True]
    error = again[1].exception()
    assert type(error) is type(jobs[1].exception())
    assert not isinstance(error, submitit.JobDependencyError), "it was made, after its own"


def test_futures_and_calls_of_a_map_wait(backend: Backend, folder: Path) -> None:
    """In chunks of their own, and in those that several jobs share."""
    executor = backend.executor(folder)
    first, failed = executor.map_array(dependents.plus, [1, "as asked"], [2, 3])
    told: list[Any] = []
    with executor.as_futures() as pool:
        good, bad = [pool.submit(calls.add, result_of(job), 1) for job in (first, failed)]
        bad.add_done_callback(told.append)
    assert good.result() == 4
    error = bad.exception()
    assert isinstance(error, submitit.JobDependencyError)
    assert isinstance(error, concurrent.futures.BrokenExecutor)
    assert told == [bad]
    for parallelism in (8, 2):
        executor = backend.executor(folder, slurm_array_parallelism=parallelism, local_array_parallelism=parallelism)
        values = executor.map(calls.add, [result_of(first), 5, result_of(first)], [10, 20, 30], chunksize=1)
        assert list(values) == [13, 25, 33]
        if backend.durable:
            (waited_for,) = dependencies.upstream_jobs(values.jobs[0])["after"]
            assert waited_for.job_id == first.job_id


def test_a_batch_waits_for_jobs_outside_of_it(executor: submitit.AutoExecutor) -> None:
    first = executor.submit(calls.add, 1, 2)
    with executor.batch():
        jobs = [executor.submit(calls.add, result_of(first), k) for k in range(3)]
        with pytest.raises(AttributeError, match="within 'with executor.batch"):
            result_of(jobs[0])
    assert [job.result() for job in jobs] == [3, 4, 5]


def test_what_cannot_be_waited_for_is_refused(
    backend: Backend, executor: submitit.AutoExecutor, tmp_path: Path
) -> None:
    other = LOCAL if backend is DEBUG else DEBUG
    foreign = other.executor(tmp_path / "other").submit(calls.add, 1, 2)
    words = (
        rf"A job of the '{backend.name}' executor cannot wait for job {foreign.job_id}, which is one of '{other.name}'"
    )
    with pytest.raises(ValueError, match=words):
        executor.submit(calls.add, result_of(foreign), 1)
    with pytest.raises(ValueError, match=words):
        executor.update_parameters(after=foreign)
    foreign.wait()
    with pytest.raises(TypeError, match=r"result_of\(job\) takes a job that was submitted, and 3 is of type int"):
        result_of(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="Parameter 'after' takes a job, or a list of jobs, but holds '12'"):
        executor.update_parameters(after=["12"])
    with pytest.raises(TypeError, match="Parameter 'after' takes a job, or a list of jobs, not '12'"):
        executor.update_parameters(after="12")
    job = executor.submit(calls.add, 1, 2)
    executor.update_parameters(after_each=[job])
    with pytest.raises(ValueError, match="'after_each' names 1 jobs.*and 2 are submitted"):
        executor.map_array(calls.add, [1, 2], [3, 4])
    executor.update_parameters(after_each=[])
    with pytest.raises(TypeError, match="unhashable"):
        executor.submit(dependents.add_all, {result_of(job)})
    if backend.separate:
        with pytest.raises(TypeError, match=rf"args\[0\]\.inside: the <result of job {job.job_id}> stands where"):
            executor.submit(dependents.add_all, dependents.Opaque(result_of(job)))
    assert job.result() == 3


@pytest.mark.needs("multi_task")
def test_the_result_of_one_of_several_tasks(backend: Backend, folder: Path) -> None:
    job = backend.executor(folder, tasks_per_node=2).submit(calls.my_rank)
    with pytest.raises(ValueError, match=r"has 2 tasks.*result_of\(job\.task\(0\)\)"):
        result_of(job)
    ranks: list[Any] = [result_of(job.task(rank)) for rank in range(2)]
    assert backend.executor(folder).submit(dependents.given, ranks).result()[0] == ([0, 1],)


def test_a_dry_run_shows_what_is_waited_for(backend: Backend, executor: submitit.AutoExecutor) -> None:
    job = executor.submit(calls.add, 1, 2)
    shown = str(executor.dry_run(calls.add, result_of(job), 1))
    if backend.name == "slurm":
        assert f"#SBATCH --dependency=afterok:{job.job_id}\n" in shown
        assert "#SBATCH --kill-on-invalid-dep=yes\n" in shown
    elif backend.name == "local":
        assert f"after the success of job {job.job_id}" in shown
    assert job.result() == 3
