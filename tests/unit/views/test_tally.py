"""Counting the jobs that somebody waits for."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from submitit.storage import outcome
from submitit.views.tally import ENOUGH_TIMES, MOST_FAILURES, Tally
from support import calls
from support.fakes import FakeExecutor, FakeJob


def fake_jobs(folder: Path, count: int) -> list[FakeJob[Any]]:
    jobs = FakeExecutor(folder).map_array(calls.add, range(count), range(count))
    return [job for job in jobs if isinstance(job, FakeJob)]


def end(tally: Tally, job: FakeJob[Any], error: Exception | None = None) -> None:
    job.finish(1, error)
    assert job.done()
    tally.end(job)


def run(job: FakeJob[Any], seconds: float) -> None:
    """The job has run for so long, and ended well."""
    job.paths.folder.mkdir(exist_ok=True)
    footer = outcome.Footer(success=True, start=1000.0, end=1000.0 + seconds)
    outcome.write_result(job.paths.result_pickle, ("success", 1), None, footer)
    assert job.done()


def say(jobs: list[FakeJob[Any]], state: str) -> None:
    """The scheduler has answered."""
    FakeJob.watcher.states.update(dict.fromkeys((job.job_id for job in jobs), state))
    FakeJob.watcher.update()


def test_states_are_counted_as_they_are_known(tmp_path: Path) -> None:
    jobs = fake_jobs(tmp_path, 6)
    tally = Tally(jobs)
    assert (tally.total, tally.over, tally.counts) == (6, 0, {"PENDING": 6})
    end(tally, jobs[0])
    end(tally, jobs[1], ValueError("so"))
    say(jobs[2:4], "RUNNING")
    say(jobs[4:], "PENDING")
    tally.look()
    assert list(tally.counts.items()) == [("COMPLETED", 1), ("FAILED", 1), ("RUNNING", 2), ("PENDING", 2)]
    assert (tally.over, tally.failed) == (2, 1)
    say(jobs[4:], "CANCELLED")
    for job in jobs[4:]:
        assert job.done()
        tally.end(job)
    assert tally.counts == {"COMPLETED": 1, "FAILED": 1, "CANCELLED": 2, "RUNNING": 2}
    assert (tally.over, tally.failed) == (4, 1)


def test_news_are_heard_at_once_and_the_scheduler_is_not_asked(tmp_path: Path) -> None:
    jobs = fake_jobs(tmp_path, 3)
    tally = Tally(jobs)
    say(jobs, "PENDING")
    tally.look()
    say(jobs[:2], "RUNNING")
    asked = FakeJob.watcher.num_calls
    tally.look([jobs[1]])
    assert tally.counts == {"RUNNING": 1, "PENDING": 2}
    assert FakeJob.watcher.num_calls == asked


def test_failures_are_told_newest_first_and_the_oldest_are_forgotten(tmp_path: Path) -> None:
    jobs = fake_jobs(tmp_path, MOST_FAILURES + 3)
    tally = Tally(jobs)
    for number, job in enumerate(jobs):
        end(tally, job, ValueError(f"number {number}"))
    first, second = tally.failures(2)
    assert (first.job_id, second.job_id) == (jobs[-1].job_id, jobs[-2].job_id)
    assert first.state == "FAILED"
    assert len(tally.failures()) == MOST_FAILURES
    assert tally.failed == len(jobs)


def test_how_long_it_may_take_is_said_where_there_is_a_base(tmp_path: Path) -> None:
    jobs = fake_jobs(tmp_path, ENOUGH_TIMES + 12)
    ended, running = jobs[:ENOUGH_TIMES], jobs[ENOUGH_TIMES : ENOUGH_TIMES + 2]
    tally = Tally(jobs)
    for job in ended[1:]:
        run(job, 100.0)
        tally.end(job)
    say(running, "RUNNING")
    tally.look()
    assert tally.left_s() is None, "too few have run"
    run(ended[0], 100.0)
    tally.end(ended[0])
    # two run, and ten wait that will run two at a time
    assert tally.left_s() == pytest.approx((2 * 100 + 10 * 100) / 2, rel=0.05)
    for job in jobs[ENOUGH_TIMES + 2 :]:
        run(job, 100.0)
        tally.end(job)
    assert tally.left_s() == pytest.approx(100, rel=0.1)
    for job in running:
        tally._since[job] = time.time() - 500
    assert tally.left_s() is None, "they take longer than all before them"


def test_nothing_is_concluded_while_nothing_runs(tmp_path: Path) -> None:
    jobs = fake_jobs(tmp_path, ENOUGH_TIMES + 1)
    tally = Tally(jobs)
    for job in jobs[:-1]:
        run(job, 100.0)
        tally.end(job)
    assert tally.left_s() is None
