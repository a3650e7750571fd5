"""``wait``, ``as_completed`` and ``cancel`` for jobs whose ends a test brings about."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import subprocess
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import submitit
from submitit import helpers
from submitit.client.waiting import AsCompleted
from submitit.orchestrator import collector
from submitit.storage import outcome
from support import calls
from support.fakes import FakeJob
from support.told import ToldCluster, ToldJob


@pytest.fixture
def cluster(tmp_path: Path) -> ToldCluster:
    return ToldCluster(tmp_path)


@pytest.fixture
def jobs(cluster: ToldCluster) -> list[ToldJob]:
    return [cluster.job(str(number)) for number in range(4)]


def fail(cluster: ToldCluster, job: ToldJob) -> None:
    path = job.paths.result_pickle
    outcome.write_result(path, ("error", "Traceback"), ValueError("bad"), outcome.Footer(success=False))
    cluster.events.mark(job.job_id, 0, 0, "done")


# ---------------------------------------------------------------- wait


def test_wait_returns_both_sets(cluster: ToldCluster, jobs: list[ToldJob]) -> None:
    for job in jobs[:3]:
        cluster.record(job.job_id, 1)
    result = submitit.wait(iter(jobs), timeout=0)
    assert (result.done, result.not_done) == (set(jobs[:3]), {jobs[3]})
    timer = threading.Timer(0.05, cluster.record, ["3", 1])
    timer.start()
    assert submitit.wait([*jobs, *jobs]) == (set(jobs), set())
    timer.join()


@pytest.mark.parametrize("timeout", [0, -1, 0.05])
def test_a_wait_has_an_end(jobs: list[ToldJob], timeout: float) -> None:
    assert submitit.wait(jobs, timeout=timeout) == (set(), set(jobs))


def test_nothing_to_wait_for() -> None:
    none: list[submitit.Job[int]] = []
    for when in ("ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION"):
        assert submitit.wait(none, return_when=when) == (set(), set())
    assert list(submitit.as_completed([])) == []
    submitit.cancel([])


def test_the_first_is_enough(cluster: ToldCluster, jobs: list[ToldJob]) -> None:
    timer = threading.Timer(0.05, cluster.record, ["2", 1])
    timer.start()
    assert submitit.wait(jobs, return_when="FIRST_COMPLETED").done == {jobs[2]}
    timer.join()
    cluster.record("1", 1)
    calls.wait_for(jobs[1].done)
    assert submitit.wait(jobs, return_when="FIRST_COMPLETED").done == {jobs[1], jobs[2]}


def test_the_first_exception_is_enough(
    cluster: ToldCluster, jobs: list[ToldJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ToldJob, "_cancel_command", "true")
    cluster.record("0", 1)
    jobs[1].cancel()  # is none, as in the standard library
    assert submitit.wait(jobs, timeout=0.05, return_when="FIRST_EXCEPTION").done == set(jobs[:2])
    timer = threading.Timer(0.05, fail, [cluster, jobs[2]])
    timer.start()
    assert submitit.wait(jobs, return_when="FIRST_EXCEPTION") == (set(jobs[:3]), {jobs[3]})
    timer.join()
    cluster.record("3", 1)
    assert submitit.wait(jobs[:2] + jobs[3:], return_when="FIRST_EXCEPTION").not_done == set()


def test_what_is_no_job_is_named(jobs: list[ToldJob]) -> None:
    verbs: list[Any] = [submitit.wait, submitit.as_completed, submitit.cancel, lambda jobs: submitit.throttle(jobs, 1)]
    for verb, name in zip(verbs, ["wait", "as_completed", "cancel", "throttle"], strict=True):
        with pytest.raises(TypeError, match=rf"^{name}\(jobs\) takes jobs, .* at place 1 there is '12' of type str$"):
            verb([jobs[0], "12"])
        with pytest.raises(TypeError, match=rf"not a single one: write {name}\(\[job\]\)"):
            verb(jobs[0])
        with pytest.raises(TypeError, match=rf"^{name}\(jobs\) takes a list of jobs, not 3 of type int$"):
            verb(3)
    with pytest.raises(ValueError, match="'FIRST_EXCEPTION' or 'ALL_COMPLETED', not 'first'"):
        submitit.wait(jobs, return_when="first")
    with pytest.raises(TypeError, match="timeout is a number of seconds, or None, not '5'"):
        submitit.wait(jobs, timeout="5")  # type: ignore[arg-type]


def test_ctrl_c_ends_the_wait_and_the_iterator_goes_on(cluster: ToldCluster, jobs: list[ToldJob]) -> None:
    def interrupt_when(waiting: Any) -> threading.Thread:
        def run() -> None:
            calls.wait_for(waiting)
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    completed = submitit.as_completed(jobs)
    for wait in (lambda: submitit.wait(jobs), lambda: next(completed)):
        thread = interrupt_when(lambda: cluster._feed._sleepers)
        with pytest.raises(KeyboardInterrupt):
            wait()
        thread.join()
        assert cluster._feed._sleepers == []
    for job in jobs:
        cluster.record(job.job_id, 1)
    assert set(completed) == set(jobs)


# ---------------------------------------------------------------- as_completed


def in_order(cluster: ToldCluster, jobs: list[ToldJob], order: list[int]) -> Iterator[ToldJob]:
    """Lets one job after the other end, each when it is asked for the next."""
    for number in order:
        cluster.record(str(number), number)
        yield jobs[number]


def test_jobs_come_as_they_end(cluster: ToldCluster, jobs: list[ToldJob]) -> None:
    ends = in_order(cluster, jobs, [2, 0, 3, 1])
    expected = [next(ends)]
    seen = []
    for job in submitit.as_completed(jobs + jobs):
        seen.append(job)
        expected += [end for end in [next(ends, None)] if end is not None]
    assert seen == expected


def test_jobs_come_as_they_end_to_a_loop(cluster: ToldCluster, jobs: list[ToldJob]) -> None:
    async def use() -> None:
        ends = in_order(cluster, jobs, [2, 0, 3, 1])
        expected = [next(ends)]
        seen = []
        async for job in submitit.as_completed(job for job in jobs + jobs):
            seen.append(await job)
            expected += [end for end in [next(ends, None)] if end is not None]
        assert seen == [job.result() for job in expected]

    asyncio.run(use())


def test_who_asks_in_both_ways_gets_each_once(cluster: ToldCluster, jobs: list[ToldJob]) -> None:
    completed = submitit.as_completed(jobs)
    for number in (0, 1):
        cluster.record(str(number), 1)
    seen = [next(completed)]

    async def rest() -> None:
        seen.append(await completed.__anext__())

    asyncio.run(rest())
    for number in (2, 3):
        cluster.record(str(number), 1)
    asyncio.run(rest())
    seen += list(completed)
    assert sorted(job.job_id for job in seen) == ["0", "1", "2", "3"]


def test_too_late(cluster: ToldCluster, jobs: list[ToldJob]) -> None:
    cluster.record("1", 1)
    for make in (submitit.as_completed, helpers.as_completed):
        completed = make(jobs, timeout=0.05)
        assert next(completed) is jobs[1]
        with pytest.raises(TimeoutError, match="^3 of 4 jobs are not over after 0.05 seconds$"):
            next(completed)

    async def use() -> None:
        completed = submitit.as_completed(jobs, timeout=0.05)
        assert await completed.__anext__() is jobs[1]
        with pytest.raises(TimeoutError, match="^3 of 4 jobs are not over after 0.05 seconds$"):
            await completed.__anext__()
        for job in jobs:
            cluster.record(job.job_id, 1)
        calls.wait_for(lambda: all(job.done() for job in jobs))
        assert {job async for job in completed} == {jobs[0], jobs[2], jobs[3]}

    asyncio.run(use())


def test_what_is_over_comes_even_without_time(cluster: ToldCluster, jobs: list[ToldJob]) -> None:
    for job in jobs:
        cluster.record(job.job_id, 1)
    assert set(submitit.as_completed(jobs, timeout=0)) == set(jobs)

    async def use() -> set[Any]:
        return {job async for job in submitit.as_completed(jobs, timeout=-1)}

    assert asyncio.run(use()) == set(jobs)


def test_a_loop_that_breaks_off_leaves_no_thread(cluster: ToldCluster, jobs: list[ToldJob]) -> None:
    async def use() -> None:
        async for _ in submitit.as_completed(jobs):
            break

    cluster.record("1", 1)
    asyncio.run(use())
    calls.wait_for(lambda: not [thread for thread in threading.enumerate() if thread.name == "submitit-notifier"])


def test_cancelling_the_loop_is_not_cancelling_the_jobs(cluster: ToldCluster, jobs: list[ToldJob]) -> None:
    async def use() -> AsCompleted[Any]:
        completed = submitit.as_completed(jobs)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(completed.__anext__(), 0.05)
        return completed

    completed = asyncio.run(use())
    for job in jobs:
        cluster.record(job.job_id, 1)
    assert set(completed) == set(jobs)
    assert not any(job.cancelled() for job in jobs)


def test_debug_jobs_run_one_at_a_time_when_asked_for(tmp_path: Path) -> None:
    ran: list[int] = []
    made = submitit.DebugExecutor(tmp_path).map_array(ran.append, range(4))
    over = FakeJob[Any](tmp_path, "1")
    over.finish(1)
    assert submitit.wait([*made, over], return_when="FIRST_COMPLETED").done == {over}
    assert ran == []
    completed = submitit.as_completed(made)
    assert next(completed) is made[0]
    assert ran == [0]

    async def use() -> None:
        await completed.__anext__()
        assert ran == [0, 1]
        await made[2]

    asyncio.run(use())
    assert len(submitit.wait(made, return_when="FIRST_COMPLETED").done) == 1
    assert ran == [0, 1, 2]
    assert repr(made[3]).endswith('state="QUEUED">')
    submitit.cancel(made)
    told: list[Any] = []
    made[3].add_done_callback(told.append)
    assert told == [made[3]]
    assert [job.cancelled() for job in made] == [False, False, False, True]
    assert ran == [0, 1, 2]


# ---------------------------------------------------------------- cancel


def test_a_refusal_is_raised_after_all_were_asked(tmp_path: Path) -> None:
    asked: list[str] = []

    class Refusing(FakeJob[Any]):
        def cancel(self, check: bool = True) -> None:
            asked.append(self.job_id)
            if check and self.job_id == "1":
                raise subprocess.CalledProcessError(1, "cancel")

    jobs = [Refusing(tmp_path, number) for number in "123"]
    over = Refusing(tmp_path, "4")
    over.finish(1)
    assert over.done()
    debug = submitit.DebugExecutor(tmp_path).submit(len, "x")
    with pytest.raises(subprocess.CalledProcessError):
        submitit.cancel([*jobs, over, debug, jobs[0]])
    assert asked == ["1", "2", "3"]
    assert debug.cancelled()
    submitit.cancel(jobs, check=False)


# ---------------------------------------------------------------- handles


def test_keys_sort_naturally(tmp_path: Path) -> None:
    ids = ["abc", "x_7", "9", "10", "10_2", "10_10"]
    jobs = [FakeJob[Any](tmp_path, job_id) for job_id in (*ids[3:], *ids[:3])]
    several = FakeJob[Any](tmp_path, "11", (0, 1))
    assert [job.job_id for job in sorted(jobs, key=lambda job: job.key)] == ids
    assert several.key < several.task(0).key < several.task(1).key
    assert jobs[1].key == (str(tmp_path), 10, "", 2, 0)
    assert jobs[0].key == FakeJob[Any](tmp_path, "10").key
    assert jobs[0] != FakeJob[Any](tmp_path, "10")


def test_a_handle_is_shown_without_asking(cluster: ToldCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    job = cluster.job()
    cluster.watcher.say("1", "RUNNING")

    def touched(*_: Any, **__: Any) -> Any:
        raise AssertionError("a file was looked at")

    with monkeypatch.context() as patch:
        for name in ("stat", "listdir", "open"):
            patch.setattr(os, name, touched)
        assert repr(job) == 'ToldJob<job_id=1, task_id=0, state="PENDING">'
    assert cluster.watcher.num_calls == 0
    job.get_info()
    assert 'state="RUNNING"' in repr(job)
    assert job.running()
    cluster.record("1", 1)
    assert job.result() == 1
    assert 'state="COMPLETING"' in repr(job)
    assert not job.running()


def test_handles_are_small(tmp_path: Path) -> None:
    class Once(FakeJob[int]):
        """Of a class that nothing else has given attributes to."""

        def _register_in_watcher(self) -> None:
            """A watcher's memory is not a handle's."""

    folder = str(tmp_path / "%j")
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        jobs = [Once(folder, f"7_{number}", (0,)) for number in range(1000)]
        for job in jobs:  # what a wait sets
            job._sighting, job._ending, job._cancelled = None, collector.RECORDED, True
        held = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert held / len(jobs) < 600
    same = [FakeJob[int](folder, job.job_id) for job in jobs]
    assert len(pickle.dumps(same)) / len(jobs) < 200
    again = pickle.loads(pickle.dumps(same))
    assert [job.key for job in again] == [job.key for job in jobs]
    assert again[0].paths._folder is again[1].paths._folder
