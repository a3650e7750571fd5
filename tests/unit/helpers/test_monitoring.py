"""Waiting for many jobs."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import submitit
from submitit import helpers
from support import calls
from support.fakes import FakeExecutor, FakeJob


def fake_jobs(folder: Path, count: int, tasks: int = 1) -> list[FakeJob[Any]]:
    jobs = FakeExecutor(folder, tasks=tasks).map_array(calls.add, range(count), range(count))
    return [job for job in jobs if isinstance(job, FakeJob)]


def test_what_is_over_comes_first_and_each_once(tmp_path: Path) -> None:
    jobs = fake_jobs(tmp_path, 4)
    jobs[2].finish(1)
    jobs[3].finish(error=ValueError("failed"))
    completed = helpers.as_completed(jobs)
    assert {next(completed), next(completed)} == {jobs[2], jobs[3]}
    jobs[1].finish(2)
    assert next(completed) is jobs[1]
    threading.Timer(0.1, jobs[0].finish, [3]).start()
    assert next(completed) is jobs[0]
    assert list(completed) == []


def test_a_timeout_is_counted_from_the_first_request(tmp_path: Path) -> None:
    jobs = fake_jobs(tmp_path, 3)
    jobs[1].finish(1)
    completed = helpers.as_completed(jobs, timeout=0.2)
    assert next(completed) is jobs[1]
    start = time.monotonic()
    with pytest.raises(TimeoutError, match="2 of 3 jobs are not over after 0.2 seconds"):
        next(completed)
    assert 0.1 < time.monotonic() - start < 5


def test_no_time_at_all_still_gives_what_is_over(tmp_path: Path) -> None:
    jobs = fake_jobs(tmp_path, 2)
    jobs[1].finish(1)
    completed = helpers.as_completed(jobs, timeout=0)
    assert next(completed) is jobs[1]
    with pytest.raises(TimeoutError):
        next(completed)


def test_nothing_to_wait_for() -> None:
    assert list(helpers.as_completed([], timeout=0)) == []


def test_its_defaults_stay_a_pair() -> None:
    assert helpers.as_completed.__defaults__ == (None, 10)


def test_debug_jobs_run_when_they_are_waited_for(tmp_path: Path) -> None:
    jobs = submitit.DebugExecutor(tmp_path).map_array(calls.add, [1, 2], [3, 4])
    assert [job.result() for job in helpers.as_completed(jobs)] == [4, 6]


# ---------------------------------------------------------------- monitor_jobs


def test_it_is_not_asked_too_often(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="You can't refresh too often \\(>= 30s\\) to avoid overloading squeue"):
        helpers.monitor_jobs(fake_jobs(tmp_path, 1), poll_frequency=29)


def test_it_returns_at_once_when_all_are_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = fake_jobs(tmp_path, 3)
    for job in jobs:
        job.finish(1)
    helpers.monitor_jobs(jobs)
    array = jobs[0].job_id.split("_")[0]
    assert capsys.readouterr().out == (
        f"Monitoring 3 jobs from job arrays {array} \n\n"
        "All jobs finished, jobs with indices [] failed\nWhole process is finished, took 0 minutes\n"
    )


def test_no_jobs(capsys: pytest.CaptureFixture[str]) -> None:
    helpers.monitor_jobs([])
    assert capsys.readouterr().out == "There are no jobs to monitor\n"


def test_what_it_says_meanwhile(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = fake_jobs(tmp_path, 5)
    FakeJob.watcher.states.update({jobs[0].job_id: "RUNNING", jobs[1].job_id: "PENDING"})
    jobs[2].finish(1)
    jobs[3].finish(error=ValueError("x"))
    FakeJob.watcher.states[jobs[4].job_id] = "CANCELLED"
    said: list[dict[str, set[int]]] = []

    def custom(start: float, number: int, states: Mapping[str, set[int]]) -> None:
        assert abs(time.time() - start) < 60
        assert number == 5
        said.append({name: set(indices) for name, indices in states.items()})
        if len(said) == 2:
            for job in jobs[:2]:
                job.finish(2)

    helpers.monitor_jobs(jobs, poll_frequency=0.01, test_mode=True, custom_logging=custom)
    assert said[0] == {"RUNNING": {0}, "FAILED": {3, 4}, "DONE": {2, 3, 4}}
    assert said[1] == said[0]
    assert "jobs with indices [3, 4] failed" in capsys.readouterr().out


def test_an_end_of_one_job_is_no_reason_to_speak(tmp_path: Path) -> None:
    jobs = fake_jobs(tmp_path, 3)
    said: list[float] = []
    for number, job in enumerate(jobs):
        threading.Timer(0.1 * (number + 1), job.finish, [1]).start()
    helpers.monitor_jobs(jobs, poll_frequency=60, custom_logging=lambda start, *_: said.append(start))
    assert len(said) == 1


def test_an_end_is_not_waited_out(tmp_path: Path) -> None:
    jobs = fake_jobs(tmp_path, 2)
    jobs[0].finish(1)
    threading.Timer(0.1, jobs[1].finish, [1]).start()
    start = time.monotonic()
    helpers.monitor_jobs(jobs, poll_frequency=60)
    assert time.monotonic() - start < 30


def test_one_failed_task_is_a_failed_job(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (job,) = [FakeJob[Any](tmp_path, "900001", [0, 1])]
    job.finish(1)
    from submitit.storage import outcome

    outcome.write_result(job.task(1).paths.result_pickle, ("error", "trace"), None, outcome.Footer(success=False))
    helpers.monitor_jobs([job])
    assert "jobs with indices [0] failed" in capsys.readouterr().out


@pytest.mark.parametrize(("state", "failed"), [("COMPLETED", "[]"), ("FINISHED", "[]"), ("FAILED", "[0]")])
def test_a_result_of_version_1_is_judged_by_the_scheduler(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], state: str, failed: str
) -> None:
    import pickle

    (job,) = [FakeJob[Any](tmp_path, f"90000{len(state)}")]
    job.paths.result_pickle.write_bytes(pickle.dumps(("success", 3)))
    FakeJob.watcher.states[job.job_id] = state
    helpers.monitor_jobs([job])
    assert f"jobs with indices {failed} failed" in capsys.readouterr().out


def test_the_default_words(capsys: pytest.CaptureFixture[str]) -> None:
    helpers._default_custom_logging(time.time() - 200, 3, {"RUNNING": {0}, "FAILED": {1}, "DONE": {1, 2}})
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("] Launched 3 minutes ago, 1/3 jobs running, 1/3 jobs failed, 1/3 jobs done")
    assert second.endswith("] Failed jobs, indices [1]")
