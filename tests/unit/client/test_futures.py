"""Futures of jobs that the tests end by hand, of a scheduler that refuses, and of debug jobs that are interrupted."""

from __future__ import annotations

import concurrent.futures
import gc
import threading
import weakref
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pytest

import submitit
from submitit.client.futures import FuturesExecutor
from submitit.client.job import Job
from submitit.storage.submission import DelayedSubmission
from support import calls
from support.fakes import FakeExecutor, FakeJob


class Cancellable(FakeJob[Any]):
    """Its scheduler takes cancellations."""

    _cancel_command = "true"


class CancellableExecutor(FakeExecutor):
    job_class = Cancellable

    def _internal_process_submissions(self, delayed_submissions: list[DelayedSubmission]) -> list[Job[Any]]:
        jobs = super()._internal_process_submissions(delayed_submissions)
        return [Cancellable(self.folder, job.job_id) for job in jobs]


class SlowExecutor(CancellableExecutor):
    """Its scheduler takes its time."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.asked, self.answer = threading.Event(), threading.Event()

    def _internal_process_submissions(self, delayed_submissions: list[DelayedSubmission]) -> list[Job[Any]]:
        self.asked.set()
        assert self.answer.wait(60)
        return super()._internal_process_submissions(delayed_submissions)


def end(future: concurrent.futures.Future[Any], value: Any) -> None:
    job = future.job  # type: ignore[attr-defined]
    assert isinstance(job, FakeJob)
    job.finish(value)


def test_no_future_has_a_thread_of_its_own_and_map_is_one_submission(tmp_path: Path) -> None:
    executor = FakeExecutor(tmp_path)
    futures = executor.as_futures()
    before = threading.active_count()
    values = futures.map(calls.add, range(300), range(300))
    assert [len(sent) for sent in executor.sent] == [300]
    assert threading.active_count() <= before + 1
    for number, future in enumerate(sorted(futures._unfinished, key=lambda one: int(one.job.job_id.split("_")[1]))):
        end(future, number)
    assert list(values) == list(range(300))
    futures.shutdown()


def test_a_scheduler_that_refuses_to_cancel(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    future = FakeExecutor(tmp_path).as_futures().submit(calls.add, 1, 2)
    assert not future.cancel()
    assert "Not all of 1 jobs were cancelled: [Errno 2]" in caplog.text
    assert not future.done()
    end(future, 3)
    assert future.result(60) == 3


def test_what_a_finished_future_held_is_not_held_by_the_executor(tmp_path: Path) -> None:
    futures = FakeExecutor(tmp_path).as_futures()
    future = futures.submit(calls.add, 1, 2)
    end(future, 3)
    assert future.result(60) == 3
    futures.shutdown()
    reference = weakref.ref(future)
    del future
    gc.collect()
    assert reference() is None


def test_a_submission_that_fails_leaves_nothing_to_wait_for(tmp_path: Path) -> None:
    class Refusing(FakeExecutor):
        def _internal_process_submissions(self, delayed_submissions: list[DelayedSubmission]) -> list[Job[Any]]:
            raise submitit.FailedSubmissionError("no")

    futures = Refusing(tmp_path).as_futures()
    with pytest.raises(submitit.FailedSubmissionError):
        futures.submit(calls.add, 1, 2)
    with pytest.raises(TypeError, match="executor.submit"):
        futures.submit(3)  # type: ignore[arg-type]
    futures.shutdown()


@pytest.mark.parametrize("cancels", [False, True])
def test_shutdown_while_another_thread_submits(tmp_path: Path, cancels: bool) -> None:
    executor = SlowExecutor(tmp_path)
    futures = executor.as_futures()
    made: list[concurrent.futures.Future[Any]] = []
    submitting = threading.Thread(target=lambda: made.append(futures.submit(calls.add, 1, 2)))
    submitting.start()
    assert executor.asked.wait(60)
    futures.shutdown(wait=False, cancel_futures=cancels)
    waiting = threading.Thread(target=futures.shutdown)
    waiting.start()
    executor.answer.set()
    submitting.join(60)
    if cancels:
        with pytest.raises(CancelledError):
            made[0].result(60)
    else:
        assert waiting.is_alive()
        end(made[0], 3)
        assert made[0].result(60) == 3
    waiting.join(60)
    assert not waiting.is_alive()


def test_many_threads_cancel_one_future(tmp_path: Path) -> None:
    for _ in range(20):
        future = CancellableExecutor(tmp_path).as_futures().submit(calls.add, 1, 2)
        seen: list[object] = []
        future.add_done_callback(seen.append)
        start = threading.Barrier(4)
        answers: list[bool] = []

        def cancel(future: Any = future, start: Any = start, answers: Any = answers) -> None:
            start.wait()
            answers.append(future.cancel())

        threads = [threading.Thread(target=cancel) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert answers == [True] * 4
        assert seen == [future]
        assert concurrent.futures.wait([future], 60).done == {future}


def test_a_debug_job_runs_at_its_submission(tmp_path: Path) -> None:
    futures = submitit.DebugExecutor(tmp_path).as_futures()
    seen: list[int] = []
    future = futures.submit(seen.append, threading.get_ident())
    assert future.done()
    assert seen == [threading.get_ident()]


def test_ctrl_c_in_a_debug_job_is_raised_by_submit(tmp_path: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    futures: FuturesExecutor = submitit.DebugExecutor(tmp_path).as_futures()
    with pytest.raises(KeyboardInterrupt):
        futures.submit(interrupt)
    futures.shutdown()
