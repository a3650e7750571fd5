"""Callbacks: one thread of the process waits for all jobs that nobody else waits for."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

from submitit.orchestrator import notifier, tracker
from support import calls
from support.told import ToldCluster, ToldJob

NAME = "submitit-notifier"
HOUR_S = 3600.0


@pytest.fixture
def cluster(tmp_path: Path) -> ToldCluster:
    return ToldCluster(tmp_path)


@pytest.fixture
def sleepers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits looks once, and then only if woken."""
    monkeypatch.setattr(tracker, "_QUICKEST_S", HOUR_S)
    monkeypatch.setattr(tracker, "_SLOWEST_S", HOUR_S)


class Told:
    """What was called back."""

    def __init__(self) -> None:
        self.jobs: list[Any] = []
        self.threads: list[str] = []

    def __call__(self, job: Any) -> None:
        self.threads.append(threading.current_thread().name)
        self.jobs.append(job)

    def wait(self, count: int) -> None:
        calls.wait_for(lambda: len(self.jobs) >= count)


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == NAME]


def wait_until_it_is_gone() -> None:
    calls.wait_for(lambda: not threads())


# ---------------------------------------------------------------- calling


def test_each_job_is_told_once_by_one_thread_that_ends(cluster: ToldCluster) -> None:
    jobs = [cluster.job(str(number)) for number in range(50)]
    told = Told()
    for job in jobs:
        job.add_done_callback(told)
    (thread,) = threads()
    assert thread.daemon
    for job in jobs:
        cluster.record(job.job_id, 1)
    told.wait(50)
    wait_until_it_is_gone()
    assert set(told.jobs) == set(jobs)
    assert len(told.jobs) == 50
    assert set(told.threads) == {NAME}


def test_a_job_that_is_over_is_told_at_once_by_the_caller(cluster: ToldCluster) -> None:
    job, told = cluster.job(), Told()
    cluster.record("1", "x")
    job.add_done_callback(told)
    assert told.jobs == [job]
    assert told.threads == [threading.current_thread().name]
    assert not threads()


def test_callbacks_of_a_job_come_in_order_and_their_errors_go_to_the_log(
    cluster: ToldCluster, caplog: pytest.LogCaptureFixture
) -> None:
    job, told = cluster.job(), Told()
    order: list[str] = []
    job.add_done_callback(lambda _: order.append("first"))
    job.add_done_callback(lambda _: 1 // 0)
    job.add_done_callback(lambda _: sys.exit(3))
    job.add_done_callback(lambda _: order.append("last"))
    job.add_done_callback(told)
    cluster.record("1", "x")
    told.wait(1)
    assert order == ["first", "last"]
    assert "ZeroDivisionError" in caplog.text
    job.add_done_callback(lambda _: os.environ["OF_NO_SUCH_NAME"])
    assert "KeyError" in caplog.text
    assert all(record.levelno == logging.ERROR and "job 1" in record.getMessage() for record in caplog.records)


def test_what_is_no_function_is_refused(cluster: ToldCluster) -> None:
    with pytest.raises(TypeError, match="takes a function that is given the job, not 3"):
        cluster.job().add_done_callback(3)  # type: ignore[arg-type]


def test_a_callback_may_add_callbacks_to_any_job(cluster: ToldCluster) -> None:
    first, second, told = cluster.job("1"), cluster.job("2"), Told()

    def go_on(job: Any) -> None:
        job.add_done_callback(told)
        second.add_done_callback(told)

    first.add_done_callback(go_on)
    cluster.record("1", 1)
    told.wait(1)
    cluster.record("2", 2)
    told.wait(2)
    assert told.jobs == [first, second]


def test_two_threads_that_look_do_not_take_an_end_back(cluster: ToldCluster) -> None:
    """The handle is waited for by a thread, by callbacks and by whoever asks, all at the same time."""
    jobs = [cluster.job(str(number)) for number in range(200)]
    told = Told()
    results: list[list[Any]] = []
    for job in jobs:
        job.add_done_callback(told)
    waiting = [threading.Thread(target=lambda: results.append([job.result() for job in jobs])) for _ in range(3)]
    for thread in waiting:
        thread.start()
    for job in jobs:
        cluster.record(job.job_id, job.job_id)
    for thread in waiting:
        thread.join(60)
    told.wait(200)
    assert results == [[job.job_id for job in jobs]] * 3
    assert all(job.done() for job in jobs)


# ---------------------------------------------------------------- waking


@pytest.mark.usefixtures("sleepers")
def test_a_job_that_is_added_wakes_the_thread(cluster: ToldCluster, tmp_path: Path) -> None:
    other = ToldCluster(tmp_path / "other")
    never, told = cluster.job("never"), Told()
    never.add_done_callback(told)
    calls.wait_for(lambda: cluster._feed._sleepers)
    job = other.job("1")
    notifier.notifier().add([job], told)
    calls.wait_for(lambda: other._feed._sleepers)
    other.record("1", 1)
    other._feed.refresh()  # whoever takes in the news wakes the others
    told.wait(1)
    assert told.jobs == [job]
    notifier.notifier().discard([never], told)
    wait_until_it_is_gone()


@pytest.mark.usefixtures("sleepers")
def test_news_that_one_thread_takes_wake_the_others(cluster: ToldCluster) -> None:
    job = cluster.job()
    results: list[Any] = []
    waiting = [threading.Thread(target=lambda: results.append(job.result())) for _ in range(3)]
    for thread in waiting:
        thread.start()
    calls.wait_for(lambda: len(cluster._feed._sleepers) == 3)
    cluster.record("1", "x")
    assert job.done()
    for thread in waiting:
        thread.join(60)
    assert results == ["x"] * 3
    assert cluster._feed._sleepers == []


@pytest.mark.usefixtures("sleepers")
def test_a_cancellation_wakes_who_waits(cluster: ToldCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ToldJob, "_cancel_command", "true")
    job, told = cluster.job(), Told()
    job.add_done_callback(told)
    calls.wait_for(lambda: cluster._feed._sleepers)
    job.cancel()
    told.wait(1)
    assert job.cancelled()
    assert not job.running()


@pytest.mark.usefixtures("sleepers")
def test_a_callback_that_is_taken_back_is_not_waited_for(cluster: ToldCluster) -> None:
    job, told = cluster.job(), Told()
    job.add_done_callback(told)
    job.add_done_callback(print)
    notifier.notifier().discard([job], told)
    notifier.notifier().discard([job], told)  # no more of it: nothing happens
    notifier.notifier().discard([job], print)
    wait_until_it_is_gone()
    assert told.jobs == []


def test_without_a_descriptor_left_one_still_looks(cluster: ToldCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> int:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        for name in ("eventfd", "pipe"):
            patch.setattr(os, name, none, raising=False)
        job = cluster.job()
        timer = threading.Timer(0.05, cluster.record, ["1", "x"])
        timer.start()
        assert job.result() == "x"
        timer.join()


def test_a_pipe_wakes_as_well(cluster: ToldCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "eventfd")
    test_news_that_one_thread_takes_wake_the_others(cluster)


# ---------------------------------------------------------------- forks and the end of the process


def _in_a_child(function: Any) -> int:
    pid = os.fork()
    if not pid:
        code = 99
        try:
            code = function()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_forked_child_has_a_thread_of_its_own(cluster: ToldCluster) -> None:
    never, told = cluster.job("never"), Told()
    never.add_done_callback(told)
    calls.wait_for(lambda: cluster._feed._sleepers)

    def child() -> int:
        mine = Told()
        job = cluster.job("1")
        job.add_done_callback(mine)
        cluster.record("1", 1)
        cluster.record("never", 1)
        mine.wait(1)
        never.result()
        return 10 * len(mine.jobs) + len(told.jobs)

    assert _in_a_child(child) == 10, "the parent's callbacks are the parent's"
    told.wait(1)
    wait_until_it_is_gone()


def test_a_fork_while_another_thread_is_in_the_middle_of_everything(cluster: ToldCluster) -> None:
    job = cluster.job()
    cluster.start("1")
    asked = tracker.questions(cluster.watcher)
    made = notifier.notifier()
    cluster._feed.poll()  # a thread that has read the markers, and has not said so yet
    cluster.record("1", "x")
    asked._asking_since = float("inf")
    cluster.watcher.say("2", "FAILED")

    def child() -> int:
        told = Told()
        job.add_done_callback(told)
        told.wait(1)
        tracker.FIRST_QUESTION_S = asked._next = 0.0
        lost = cluster.job("2")
        return 0 if lost.exception(60) is not None else 1

    with asked._choosing, cluster._feed._refreshing, cluster._feed._sleeping, made._lock, notifier._making:
        results: list[int] = []
        # not by the thread that holds the locks
        forking = threading.Thread(target=lambda: results.append(_in_a_child(child)))
        forking.start()
        forking.join(60)
    asked.forked()
    assert results == [0]


def test_a_copy_lists_what_a_thread_was_reading(cluster: ToldCluster) -> None:
    source = cluster._feed
    cluster.record("1", "x")
    source.poll()  # its news went with the thread

    def child() -> int:
        source.refresh()
        return 0 if source.news == ["1"] else 1

    assert _in_a_child(child) == 0


EXIT = """
    import sys, threading
    sys.path[:0] = [{tests!r}]
    from pathlib import Path
    from support.told import ToldCluster
    cluster = ToldCluster(Path({folder!r}))
    never, now = cluster.job("never"), cluster.job("now")
    begun = threading.Event()
    def slow(job):
        print("called", flush=True)
        begun.set()
        {slow}
    never.add_done_callback(lambda job: print("not to be called"))
    now.add_done_callback(slow)
    cluster.record("now", 1)
    assert begun.wait(60)
    print("the end", flush=True)
"""


@pytest.mark.parametrize("slow", ["pass", "threading.Event().wait(3600)"])
def test_the_end_of_the_process_is_not_disturbed(tmp_path: Path, slow: str) -> None:
    program = textwrap.dedent(EXIT).format(tests=str(Path(__file__).parents[2]), folder=str(tmp_path), slow=slow)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("called\nthe end\n", "", 0)
