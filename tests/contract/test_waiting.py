"""Waiting, callbacks and cancelling, alike for every executor."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

import submitit
from support import calls
from support.backends import Backend


def test_wait_and_as_completed(executor: submitit.AutoExecutor) -> None:
    jobs = executor.map_array(calls.add, range(3), range(3))
    assert submitit.wait(jobs) == (set(jobs), set())
    assert sorted(job.result() for job in submitit.as_completed(jobs)) == [0, 2, 4]

    async def use() -> list[Any]:
        return [await job async for job in submitit.as_completed(jobs)]

    assert sorted(asyncio.run(use())) == [0, 2, 4]


def test_progress_yields_each_and_says_how_they_are(
    executor: submitit.AutoExecutor, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs: list[submitit.Job[Any]] = [*executor.map_array(calls.add, [1, 2], [3, 4]), executor.submit(calls.fail, "so")]
    assert set(submitit.progress(jobs)) == set(jobs)
    *_, summary, failure = capsys.readouterr().out.splitlines()
    assert summary.endswith(": 2 COMPLETED, 1 FAILED")
    assert "3 of 3 jobs over after" in summary
    assert failure.endswith(f"Job {jobs[2].job_id} fail FAILED: ValueError: so")
    html = jobs[2]._repr_html_()
    assert "ValueError: so" in html
    assert "fail</b> job" in html


def test_the_first_exception_ends_the_wait(executor: submitit.AutoExecutor) -> None:
    job = executor.submit(calls.fail, "as asked")
    assert submitit.wait([job], return_when="FIRST_EXCEPTION").done == {job}
    assert not job.cancelled()


def test_jobs_are_awaited(executor: submitit.AutoExecutor) -> None:
    jobs = executor.map_array(calls.add, [1, 2], [1, 2])

    async def use() -> list[Any]:
        return list(await asyncio.gather(*jobs))

    assert asyncio.run(use()) == [2, 4]


def test_callbacks_come_once_and_may_submit(executor: submitit.AutoExecutor) -> None:
    job = executor.submit(calls.add, 1, 2)
    told: list[Any] = []
    both = threading.Event()

    def go_on(first: submitit.Job[Any]) -> None:
        told.append(first.result())
        executor.submit(calls.add, 3, 4).add_done_callback(finish)

    def finish(second: submitit.Job[Any]) -> None:
        told.append(second.result())
        both.set()

    job.add_done_callback(go_on)
    assert both.wait(120)
    assert told == [3, 7]
    job.add_done_callback(told.append)
    assert told == [3, 7, job]


@pytest.mark.needs("separate")
def test_running_and_cancelled(executor: submitit.AutoExecutor, tmp_path: Path) -> None:
    started, told = tmp_path / "started", threading.Event()
    jobs = [executor.submit(calls.touch_and_wait, str(started) + name, str(tmp_path / "go")) for name in "ab"]
    calls.wait_for(lambda: all(Path(f"{started}{name}").exists() for name in "ab"))
    calls.wait_for(lambda: all(job.running() for job in jobs))
    assert not any(job.cancelled() for job in jobs)

    jobs[0].add_done_callback(lambda job: told.set())
    waiting: list[Any] = []
    thread = threading.Thread(target=lambda: waiting.append(submitit.wait(jobs[:1])))
    thread.start()
    submitit.cancel(jobs[:1])
    thread.join(60)
    assert told.wait(60)
    assert waiting == [({jobs[0]}, set())]
    assert jobs[0].cancelled()
    assert not jobs[0].running()
    (tmp_path / "go").write_text("now")
    assert jobs[1].result() == "now"
    assert not jobs[1].running()
    assert not jobs[1].cancelled()
    submitit.cancel(jobs)  # they are over
    assert jobs[1].result() == "now"


@pytest.mark.needs("durable")
def test_jobs_that_were_found_again(backend: Backend, folder: Path, executor: submitit.AutoExecutor) -> None:
    ids = [job.job_id for job in executor.map_array(calls.add, [1, 2], [3, 4])]
    found = [backend.find(folder, job_id) for job_id in ids]
    told: list[Any] = []
    for job in found:
        job.add_done_callback(told.append)
    assert [job.result() for job in found] == [4, 6]
    calls.wait_for(lambda: len(told) == 2)
    again = [backend.find(folder, job_id) for job_id in ids]
    assert submitit.wait(again) == (set(again), set())
    assert [job.key for job in again] == [job.key for job in found]
