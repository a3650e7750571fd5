"""Jobs for asyncio."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import submitit
from support import calls
from support.fakes import FakeExecutor, FakeJob


def fake_jobs(folder: Path, count: int, tasks: int = 1) -> list[FakeJob[Any]]:
    jobs = FakeExecutor(folder, tasks=tasks).map_array(calls.add, range(count), range(count))
    return [job for job in jobs if isinstance(job, FakeJob)]


def test_result_results_and_wait(tmp_path: Path) -> None:
    (job,) = fake_jobs(tmp_path, 1)

    async def use() -> list[Any]:
        proxy = job.awaitable()
        assert proxy.job is job
        threading.Timer(0.1, job.finish, [3]).start()
        await proxy.wait()
        assert job.done()
        return [await proxy.result(), await proxy.results(0.5), await proxy.result(poll_interval=0.1)]

    assert asyncio.run(use()) == [3, [3], 3]


def test_errors_are_those_of_the_job(tmp_path: Path) -> None:
    failed, several = fake_jobs(tmp_path, 1)[0], fake_jobs(tmp_path, 1, tasks=2)[0]
    failed.finish(error=ValueError("bad"))
    several.finish(1)

    async def use() -> None:
        with pytest.raises(submitit.FailedJobError, match="bad"):
            await failed.awaitable().result()
        with pytest.raises(submitit.FailedJobError):
            await failed.awaitable().results()
        with pytest.raises(AssertionError, match="results"):
            await several.awaitable().result()
        assert await several.awaitable().results() == [1, 1]

    asyncio.run(use())


def test_the_loop_goes_on_while_a_job_is_awaited(tmp_path: Path) -> None:
    (job,) = fake_jobs(tmp_path, 1)

    async def use() -> int:
        waiting = asyncio.ensure_future(job.awaitable().result())
        ticks = 0
        while not waiting.done():
            await asyncio.sleep(0.01)
            ticks += 1
            if ticks == 20:
                job.finish(1)
        return ticks

    assert asyncio.run(use()) >= 20


def test_many_jobs_are_waited_for_together(tmp_path: Path) -> None:
    jobs = fake_jobs(tmp_path, 200)
    before = threading.active_count()

    async def use() -> list[Any]:
        waiting = asyncio.gather(*(job.awaitable().result() for job in jobs))
        await asyncio.sleep(0.05)
        assert threading.active_count() == before + 1
        for number, job in enumerate(jobs):
            job.finish(number)
        return await waiting

    assert asyncio.run(use()) == list(range(200))


def test_a_loop_sleeps_while_nothing_happens(tmp_path: Path) -> None:
    (job,) = fake_jobs(tmp_path, 1)

    async def use() -> int:
        waiting = asyncio.ensure_future(job.awaitable().wait())
        await asyncio.sleep(0.1)
        loop = asyncio.get_running_loop()
        rounds = 0
        select = loop._selector.select  # type: ignore[attr-defined]

        def counted(timeout: float | None) -> Any:
            nonlocal rounds
            rounds += 1
            return select(timeout)

        loop._selector.select = counted  # type: ignore[attr-defined]
        await asyncio.sleep(0.5)
        slept = rounds
        job.finish(1)
        await waiting
        return slept

    assert asyncio.run(use()) <= 2


def test_await_gives_what_result_gives(tmp_path: Path) -> None:
    good, bad, several = *fake_jobs(tmp_path, 2), fake_jobs(tmp_path, 1, tasks=2)[0]
    good.finish(3)
    bad.finish(error=ValueError("bad"))

    async def use() -> None:
        assert await good == 3
        assert list(await asyncio.gather(good, good)) == [3, 3]
        with pytest.raises(submitit.FailedJobError, match="bad"):
            await bad
        with pytest.raises(AssertionError, match=r"await job\.awaitable\(\)\.results\(\)"):
            await several  # at once: it is not over

    asyncio.run(use())


def test_two_loops_await_one_job(tmp_path: Path) -> None:
    (job,) = fake_jobs(tmp_path, 1)
    values: list[Any] = []

    async def use() -> None:
        values.append(await job)

    threads = [threading.Thread(target=lambda: asyncio.run(use())) for _ in range(3)]
    for thread in threads:
        thread.start()
    job.finish(5)
    for thread in threads:
        thread.join(60)
    assert values == [5, 5, 5]


def test_a_loop_that_is_closed_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (job,) = fake_jobs(tmp_path, 1)
    loop = asyncio.new_event_loop()
    waiting = job.awaitable().wait()
    # one step, and nobody cancels it when the loop is closed
    task = loop.create_task(waiting)
    loop.run_until_complete(asyncio.sleep(0))
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()
    told = threading.Event()
    job.add_done_callback(lambda _: told.set())
    job.finish(1)
    assert told.wait(60)
    assert not caplog.records
    waiting.close()


def test_a_job_that_is_awaited_later_is_seen_as_well(tmp_path: Path) -> None:
    never, soon = fake_jobs(tmp_path, 2)

    async def use() -> Any:
        first = asyncio.ensure_future(never.awaitable().wait())
        await asyncio.sleep(0.1)
        soon.finish(7)
        start = time.monotonic()
        value = await soon.awaitable().result()
        assert time.monotonic() - start < 5
        first.cancel()
        return value

    assert asyncio.run(use()) == 7


def test_cancelling_the_wait_is_not_cancelling_the_job(tmp_path: Path) -> None:
    (job,) = fake_jobs(tmp_path, 1)

    async def use() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(job.awaitable().result(), 0.05)
        # nobody waits any more, so nobody looks
        calls.wait_for(lambda: not [thread for thread in threading.enumerate() if thread.name == "submitit-notifier"])
        job.finish(1)
        assert await job.awaitable().result() == 1

    asyncio.run(use())


def test_two_coroutines_may_await_one_job_and_one_of_them_give_up(tmp_path: Path) -> None:
    (job,) = fake_jobs(tmp_path, 1)

    async def use() -> Any:
        impatient = asyncio.ensure_future(asyncio.wait_for(job.awaitable().wait(), 0.05))
        patient = asyncio.ensure_future(job.awaitable().result())
        with pytest.raises(asyncio.TimeoutError):
            await impatient
        job.finish(5)
        return await patient

    assert asyncio.run(use()) == 5


def test_tasks_as_they_complete(tmp_path: Path) -> None:
    (job,) = fake_jobs(tmp_path, 1, tasks=3)

    async def use() -> list[Any]:
        values = []
        order = iter([2, 0, 1])
        from submitit.storage import outcome

        for future in job.awaitable().results_as_completed():
            number = next(order)
            outcome.write_result(
                job.task(number).paths.result_pickle, ("success", number), None, outcome.Footer(success=True)
            )
            values.append(await future)
        return values

    assert asyncio.run(use()) == [2, 0, 1]


def test_an_error_while_asking_reaches_who_waits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good, broken = fake_jobs(tmp_path, 2)

    async def use() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(broken, "done", lambda force_check=False: 1 // 0)
            waiting = asyncio.ensure_future(good.awaitable().result())
            with pytest.raises(ZeroDivisionError):
                await broken.awaitable().result()
        good.finish(3)
        broken.finish(4)
        assert await waiting == 3
        assert await broken.awaitable().result() == 4

    asyncio.run(use())
    assert "is tried again" in caplog.text


def test_each_loop_has_its_own(tmp_path: Path) -> None:
    for value in range(2):
        (job,) = fake_jobs(tmp_path, 1)
        job.finish(value)
        assert asyncio.run(job.awaitable().result()) == value


def test_debug_jobs(tmp_path: Path) -> None:
    job = submitit.DebugExecutor(tmp_path).submit(calls.add, 1, 2)
    assert asyncio.run(job.awaitable().result()) == 3
