"""What every executor does alike: debug, local, the real Slurm and a third-party one."""

from __future__ import annotations

import asyncio
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

import submitit
from submitit import helpers
from submitit.core import utils
from support import calls
from support.backends import Backend

# ---------------------------------------------------------------- submitting and results


def test_submit_returns_the_value(executor: submitit.AutoExecutor) -> None:
    job = executor.submit(calls.add, 1, b=2)
    assert job.result() == 3
    assert job.done()
    assert job.exception() is None
    assert job.results() == [3]


def test_a_closure_of_main_is_carried_along(executor: submitit.AutoExecutor) -> None:
    factor = 7

    def times(x: int) -> int:
        return factor * x

    times.__module__ = "__main__"
    assert executor.submit(times, 6).result() == 42


def test_map_array_zips_and_keeps_the_order(executor: submitit.AutoExecutor) -> None:
    jobs = executor.map_array(calls.add, [1, 2, 3], [10, 20, 30, 40])
    assert [job.result() for job in jobs] == [11, 22, 33]
    assert len({job.job_id for job in jobs}) == 3


def test_an_empty_map_array_warns(executor: submitit.AutoExecutor) -> None:
    with pytest.warns(UserWarning, match="empty job array"):
        assert executor.map_array(calls.add, [], []) == []


def test_submit_array_takes_functions(executor: submitit.AutoExecutor) -> None:
    functions = [helpers.FunctionSequence() for _ in range(2)]
    for number, function in enumerate(functions):
        function.add(calls.add, number, 1)
    assert [job.result() for job in executor.submit_array(functions)] == [[1], [2]]


def test_an_array_of_one(executor: submitit.AutoExecutor) -> None:
    (job,) = executor.map_array(calls.add, [1], [2])
    assert job.result() == 3


def test_batch_submits_at_its_end(executor: submitit.AutoExecutor) -> None:
    with executor.batch():
        jobs = [executor.submit(calls.add, number, number) for number in range(3)]
        with pytest.raises(AttributeError, match="batch"):
            _ = jobs[0].job_id
    assert [job.result() for job in jobs] == [0, 2, 4]
    assert all(type(job) is executor._executor.job_class for job in jobs)


def test_batch_of_different_functions(executor: submitit.AutoExecutor) -> None:
    with executor.batch():
        good = executor.submit(calls.add, 1, 2)
        bad = executor.submit(calls.fail, "as asked")
    assert good.result() == 3
    assert "as asked" in str(bad.exception())


def test_an_exception_drops_the_batch(executor: submitit.AutoExecutor) -> None:
    with pytest.raises(KeyError), executor.batch():
        job = executor.submit(calls.add, 1, 2)
        raise KeyError("changed my mind")
    with pytest.raises(AttributeError):
        job.result()


# ---------------------------------------------------------------- once more


def only_if(path: str, *others: object) -> str:
    """The path, where there is such a file."""
    if not Path(path).exists():
        raise FileNotFoundError(path)
    return path


only_if.__module__ = "__main__"


def test_the_same_call_once_more(executor: submitit.AutoExecutor, tmp_path: Path) -> None:
    path = str(tmp_path / "now")
    job = executor.submit(only_if, path)
    assert job.exception() is not None
    Path(path).touch()
    again = job.resubmit(timeout_min=3)
    assert again.result() == path
    assert again.job_id != job.job_id
    assert job.exception() is not None


def test_what_has_failed_of_a_list_once_more(executor: submitit.AutoExecutor, tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in "abc"]
    Path(paths[1]).touch()
    jobs = executor.map_array(only_if, paths, [b"in common" * 1000] * 3)
    for job in jobs:
        job.wait()
    for path in paths:
        Path(path).touch()
    again = executor.retry_failed(jobs, timeout_min=3)
    assert [job.result() for job in again] == paths
    assert again[1] is jobs[1]
    assert executor.retry_failed(again) == again
    assert executor.parameters.get("timeout_min", executor.parameters.get("time", 10)) == 10


# ---------------------------------------------------------------- failures


@pytest.mark.needs("separate")
def test_an_exception_is_carried_over(executor: submitit.AutoExecutor) -> None:
    job = executor.submit(calls.fail, "bad luck")
    error = job.exception()
    assert type(error) is utils.FailedJobError
    assert "bad luck" in str(error)
    assert "calls.py" in str(error)
    assert type(error.__cause__) is ValueError
    assert error.__cause__.args == ("bad luck",)
    with pytest.raises(utils.FailedJobError, match="bad luck"):
        job.result()
    assert job._get_outcome_and_result()[0] == "error"


def test_one_failure_leaves_the_others(executor: submitit.AutoExecutor) -> None:
    jobs = executor.map_array(calls.add, [1, "a"], [2, 3])  # type: ignore[arg-type]
    assert jobs[0].result() == 3
    assert jobs[1].exception() is not None


@pytest.mark.needs("separate")
def test_cause_and_context_stay_in_the_text(executor: submitit.AutoExecutor) -> None:
    text = str(executor.submit(calls.fail_from_cause).exception())
    assert "KeyError: 'inner'" in text
    assert "ValueError: outer" in text
    assert "direct cause" in text


def test_an_unpicklable_function_is_named(backend: Backend, executor: submitit.AutoExecutor) -> None:
    if not backend.separate:
        assert executor.submit(lambda: 1).result() == 1
        return
    import threading

    with pytest.raises(Exception, match="lock") as raised:
        executor.submit(calls.add, {"deep": [threading.Lock()]}, 1)  # type: ignore[arg-type]
    assert "args[0]['deep'][0]" in str(raised.value)


@pytest.mark.needs("separate")
def test_a_submission_that_fails_leaves_no_file(executor: submitit.AutoExecutor, tmp_path: Path) -> None:
    import threading

    with pytest.raises(Exception, match="lock"):
        executor.map_array(calls.add, [1, threading.Lock()], [1, 1])  # type: ignore[arg-type]
    assert [path for path in (tmp_path / "jobs").rglob("*") if path.is_file()] == []


@pytest.mark.needs("separate")
def test_a_payload_over_the_limit_is_refused(executor: submitit.AutoExecutor, tmp_path: Path) -> None:
    executor._executor.max_pickle_size_gb = 1e-6  # type: ignore[attr-defined]
    submits = (
        lambda: executor.submit(len, "x" * 5000),
        lambda: executor.map_array(len, ["x" * 5000] * 2),
    )
    for submit in submits:
        with pytest.raises(RuntimeError, match="max_pickle_size_gb"):
            submit()
    assert [path for path in (tmp_path / "jobs").rglob("*") if path.is_file()] == []


# ---------------------------------------------------------------- waiting


def test_as_completed_yields_each_once(executor: submitit.AutoExecutor) -> None:
    jobs = executor.map_array(calls.add, range(5), range(5))
    assert sorted(job.result() for job in helpers.as_completed(jobs)) == [0, 2, 4, 6, 8]


def test_awaitable_gives_the_result(executor: submitit.AutoExecutor) -> None:
    jobs = executor.map_array(calls.add, [1, 2], [1, 2])

    async def gather() -> list[Any]:
        return list(await asyncio.gather(*(job.awaitable().result() for job in jobs)))

    assert asyncio.run(gather()) == [2, 4]


@pytest.mark.needs("separate")
def test_as_completed_has_a_timeout(executor: submitit.AutoExecutor, tmp_path: Path) -> None:
    job = executor.submit(calls.wait_for_file, str(tmp_path / "go"))
    with pytest.raises(TimeoutError):
        list(helpers.as_completed([job], timeout=0.2))
    (tmp_path / "go").write_text("now")
    assert job.result() == "now"


@pytest.mark.needs("separate")
def test_result_has_a_timeout_and_the_job_goes_on(executor: submitit.AutoExecutor, tmp_path: Path) -> None:
    job = executor.submit(calls.wait_for_file, str(tmp_path / "go"))
    with pytest.raises(TimeoutError, match=job.job_id):
        job.result(timeout=0.1)
    assert not job.done()
    (tmp_path / "go").write_text("now")
    assert job.result() == "now"


def test_monitor_jobs_returns_when_all_are_over(
    executor: submitit.AutoExecutor, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = executor.map_array(calls.add, [1, 2], [1, "x"])  # type: ignore[arg-type]
    helpers.monitor_jobs(jobs, poll_frequency=0.1, test_mode=True)
    assert all(job.done() for job in jobs)
    capsys.readouterr()


# ---------------------------------------------------------------- states and cancelling


@pytest.mark.needs("separate")
def test_states_of_a_life(executor: submitit.AutoExecutor, tmp_path: Path) -> None:
    started, go = tmp_path / "started", tmp_path / "go"
    job = executor.submit(calls.touch_and_wait, str(started), str(go))
    calls.wait_for(started.exists)
    calls.wait_for(lambda: job.state == "RUNNING")
    assert not job.done()
    go.write_text("done")
    assert job.result() == "done"
    calls.wait_for(lambda: job.state in ("COMPLETED", "FINISHED"))
    assert job.job_id in repr(job)


@pytest.mark.needs("separate")
def test_a_cancelled_job_is_over_at_once(executor: submitit.AutoExecutor, tmp_path: Path) -> None:
    started = tmp_path / "started"
    job = executor.submit(calls.touch_and_wait, str(started), str(tmp_path / "never"))
    calls.wait_for(started.exists)
    job.cancel()
    with pytest.raises(utils.UncompletedJobError, match="has not produced any output"):
        job.result()
    assert job.done()
    calls.wait_for(lambda: not _alive(int(started.read_text())))
    assert type(job.exception()).__name__ == "JobCancelledError"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_an_unknown_job_is_unknown(backend: Backend, folder: Path) -> None:
    if not backend.durable:
        return
    job = backend.find(folder, "987654")
    assert job.state == "UNKNOWN"
    assert not job.done()


# ---------------------------------------------------------------- files and handles


@pytest.mark.needs("separate")
def test_logs_are_read_while_running_and_after(executor: submitit.AutoExecutor, tmp_path: Path) -> None:
    go = tmp_path / "go"
    job = executor.submit(calls.print_and_wait, str(go))
    calls.wait_for(lambda: "seen while running" in (job.stdout() or ""))
    go.touch()
    assert job.result() == "went on"
    assert "Starting with JobEnvironment(job_id=" in (job.stdout() or "")
    assert job.stderr() == ""


@pytest.mark.needs("separate")
def test_stderr_may_go_to_stdout(backend: Backend, folder: Path) -> None:
    job = backend.executor(folder, stderr_to_stdout=True).submit(calls.fail, "seen in stdout")
    assert job.exception() is not None
    calls.wait_for(lambda: "seen in stdout" in (job.stdout() or ""))
    assert not job.stderr()


@pytest.mark.needs("durable")
def test_a_job_is_found_again_from_folder_and_id(
    backend: Backend, folder: Path, executor: submitit.AutoExecutor
) -> None:
    job = executor.submit(calls.add, 20, 22)
    found = backend.find(folder, job.job_id)
    assert found.result() == 42
    assert found.submission().args == (20, 22)
    assert found.paths.result_pickle == job.paths.result_pickle


@pytest.mark.needs("durable")
def test_an_element_is_found_again(backend: Backend, folder: Path, executor: submitit.AutoExecutor) -> None:
    jobs = executor.map_array(calls.add, [1, 2], [3, 4])
    found = backend.find(folder, jobs[1].job_id)
    assert found.result() == 6
    assert found.submission().args == (2, 4)


@pytest.mark.needs("durable")
def test_a_handle_survives_pickling(executor: submitit.AutoExecutor) -> None:
    job = executor.submit(calls.add, 20, 22)
    assert pickle.loads(pickle.dumps(job)).result() == 42


def test_an_executor_survives_pickling(executor: submitit.AutoExecutor) -> None:
    again = pickle.loads(pickle.dumps(executor))
    assert again.submit(calls.add, 1, 2).result() == 3


@pytest.mark.needs("separate")
@pytest.mark.parametrize(
    "name",
    ["with space", "quote's", 'double"quote', "back\\slash", "dollar$HOME", "per%cent", "ünï", "semi;colon & more"],
)
def test_folders_of_any_name(backend: Backend, tmp_path: Path, name: str) -> None:
    job = backend.executor(tmp_path / name / "%j").submit(calls.add, 1, 2)
    assert job.result() == 3, job.stderr()
    calls.wait_for_output(job, "Starting with")
    assert (tmp_path / name / job.job_id / f"{job.job_id}_0_log.out").exists()


@pytest.mark.needs("separate")
def test_the_job_runs_where_it_was_submitted(executor: submitit.AutoExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_VALUE", "with 'quotes' and $signs")
    described = executor.submit(calls.describe)
    assert described.result()["cwd"] == os.getcwd()
    assert described.result()["job_id"] == described.job_id
    assert executor.submit(calls.environment).result()["A_VALUE"] == "with 'quotes' and $signs"


@pytest.mark.needs("multi_task")
def test_tasks_have_ranks_and_results(backend: Backend, folder: Path) -> None:
    job = backend.executor(folder, tasks_per_node=3).submit(calls.describe)
    ranks = job.results()
    assert [rank["global_rank"] for rank in ranks] == [0, 1, 2]
    assert {rank["num_tasks"] for rank in ranks} == {3}
    assert job.num_tasks == 3
    assert job.task(1).result()["local_rank"] == 1
    with pytest.raises(AssertionError, match=r"results\(\)"):
        job.result()
    with pytest.raises(ValueError, match="must be between 0 and 2"):
        job.task(3)
    calls.wait_for_output(job, "Starting with", 3)


@pytest.mark.needs("multi_task")
def test_the_first_failing_task_is_the_jobs_error(backend: Backend, folder: Path) -> None:
    job = backend.executor(folder, tasks_per_node=3).submit(calls.fail_on_ranks, [1, 2])
    error = job.exception()
    assert isinstance(error, utils.FailedJobError)
    assert "rank 1" in str(error)
    assert job.task(0).result() == 0


def test_files_on_disk_are_where_the_contract_says(backend: Backend, executor: submitit.AutoExecutor) -> None:
    if not backend.separate:
        return
    job = executor.submit(calls.add, 1, 2)
    assert job.result() == 3
    with job.paths.result_pickle.open("rb") as file:
        assert pickle.load(file) == ("success", 3)
    assert utils.DelayedSubmission.load(job.paths.submitted_pickle).result() == 3
