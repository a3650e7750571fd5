"""Waiting for many jobs: each is handed out once, and nobody is asked without need."""

from __future__ import annotations

import itertools
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from submitit.orchestrator import tracker
from support.told import ToldCluster


@pytest.fixture
def cluster(tmp_path: Path) -> ToldCluster:
    return ToldCluster(tmp_path)


def test_each_job_is_handed_out_once(cluster: ToldCluster) -> None:
    jobs = [cluster.job(str(number)) for number in range(5)]
    waiter = tracker.Waiter(jobs)
    cluster.record("3", "x")
    assert waiter.ended() == [jobs[3]]
    assert waiter.ended(timeout=0.05) == []
    for number in (0, 1, 2, 4):
        cluster.record(str(number), "x")
    rest: list[Any] = []
    while waiter.pending:
        rest += waiter.ended()
    assert sorted(job.job_id for job in rest) == ["0", "1", "2", "4"]
    assert waiter.ended() == []


def test_a_job_given_twice_is_handed_out_once(cluster: ToldCluster) -> None:
    job = cluster.job()
    cluster.record("1", "x")
    assert tracker.wait([job, job]) == [job]


def test_two_waiters_of_one_directory_both_hear_everything(cluster: ToldCluster) -> None:
    jobs = [cluster.job(str(number)) for number in range(2)]
    first, second = tracker.Waiter(jobs), tracker.Waiter(jobs)
    cluster.record("0", "x")
    assert first.ended() == [jobs[0]]
    assert second.ended() == [jobs[0]]


def test_several_threads_wait_for_the_same_job(cluster: ToldCluster) -> None:
    job = cluster.job()
    results: list[object] = []
    threads = [threading.Thread(target=lambda: results.append(job.result())) for _ in range(4)]
    for thread in threads:
        thread.start()
    cluster.record("1", "shared")
    for thread in threads:
        thread.join(60)
    assert results == ["shared"] * 4


def test_waiting_looks_at_no_file_of_a_job(cluster: ToldCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [cluster.job(str(number)) for number in range(200)]
    touched: list[str] = []

    def noting(real: Any) -> Any:
        def call(path: Any, *args: Any, **kwargs: Any) -> Any:
            touched.append(os.fspath(path) if isinstance(path, (str, os.PathLike)) else "")
            return real(path, *args, **kwargs)

        return call

    waiter = tracker.Waiter(jobs)
    for name in ("stat", "listdir", "scandir"):
        monkeypatch.setattr(os, name, noting(getattr(os, name)))
    monkeypatch.setattr(os.path, "exists", noting(os.path.exists))
    assert waiter.ended(timeout=0.3) == []
    assert {path for path in touched if path} <= {str(cluster.events.path)}


def test_no_scheduler_is_asked_while_markers_come(cluster: ToldCluster) -> None:
    jobs = [cluster.job(str(number)) for number in range(20)]
    for job in jobs:
        cluster.start(job.job_id)
        cluster.record(job.job_id, "x")
        cluster.end(job.job_id)
    assert len(tracker.wait(jobs)) == 20
    assert cluster.watcher.num_calls == 0


def test_one_question_is_about_all_suspects(cluster: ToldCluster) -> None:
    jobs = [cluster.job(str(number)) for number in range(50)]
    for job in jobs:
        cluster.start(job.job_id)
        cluster.end(job.job_id, 0, 1)
        cluster.watcher.say(job.job_id, "FAILED")
    assert len(tracker.wait(jobs)) == 50
    assert cluster.watcher.num_calls == 1


def test_a_silent_death_is_found_by_the_regular_question(cluster: ToldCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker, "FIRST_QUESTION_S", 0.05)
    job = cluster.job()
    cluster.watcher.say("1", "CANCELLED by 0")
    assert "CANCELLED" in str(job.exception())


def test_a_timeout_ends_the_wait_alone(cluster: ToldCluster) -> None:
    job = cluster.job()
    with pytest.raises(TimeoutError, match="1"):
        job.result(timeout=0.05)
    cluster.record("1", "later")
    assert job.result(timeout=60) == "later"


def test_questions_become_rare(cluster: ToldCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    asked = tracker.Questions(cluster.watcher)
    times = []
    for _ in range(2000):
        now[0] += 1
        if asked.ask(suspicious=False):
            times.append(now[0] - 1000)
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert times[0] == 30
    assert gaps == sorted(gaps)
    assert gaps[-1] == 180
