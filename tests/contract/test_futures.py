"""Every executor as one of ``concurrent.futures``: what CPython's documentation promises of those."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import gc
import operator
import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, BrokenExecutor, CancelledError, Future
from pathlib import Path
from typing import Any

import pytest

import submitit
from submitit.client.futures import FuturesExecutor, JobFuture
from support import calls
from support.backends import Backend

pytestmark = pytest.mark.needs("distinct")


@pytest.fixture
def futures(executor: submitit.AutoExecutor) -> FuturesExecutor:
    return executor.as_futures()


class Blocked:
    """A job that runs until ``end``, and an executor whose jobs wait."""

    def __init__(self, backend: Backend, folder: Path, tmp_path: Path) -> None:
        started, self._go = tmp_path / "started", tmp_path / "go"
        self.running = _begun(backend.executor(folder).as_futures(), started, self._go)
        self.executor = backend.executor(folder, **backend.waiting)

    def end(self) -> None:
        self._go.write_text("done")
        assert self.running.result(60) == "done"


@pytest.fixture
def blocked(backend: Backend, folder: Path, tmp_path: Path) -> Iterator[Blocked]:
    made = Blocked(backend, folder, tmp_path)
    yield made
    made.end()


def _begun(executor: FuturesExecutor, started: Path, go: Path) -> JobFuture[str]:
    """Of a job that returns what ``go`` holds, once it exists."""
    future = executor.submit(calls.touch_and_wait, str(started), str(go))
    calls.wait_for(started.exists)
    calls.wait_for(future.running)
    return future


# ---------------------------------------------------------------- results and exceptions


def test_what_futures_give_and_raise(backend: Backend, futures: FuturesExecutor) -> None:
    future = futures.submit(calls.add, 1, b=2)
    names = futures.submit(dict, self=1, fn=2, function=3)
    failed = futures.submit(calls.fail_from_cause)
    told = futures.submit(calls.fail_with_unpicklable)

    assert isinstance(future, Future)
    assert future.result(60) == 3
    assert future.exception() is None
    assert future.job.result() == 3
    assert future.done()
    assert not future.running()
    assert not future.cancel()
    assert not future.cancelled()
    assert names.result(60) == {"self": 1, "fn": 2, "function": 3}

    with pytest.raises(ValueError, match="outer") as raised:
        failed.result(60)
    assert failed.exception() is raised.value
    if not backend.separate:
        assert type(raised.value.__cause__) is KeyError
        assert type(told.exception(60)) is calls.Unpicklable
        return
    remote = raised.value.__cause__
    assert isinstance(remote, submitit.FailedJobError)
    assert "in fail_from_cause" in str(remote)
    assert str(failed.job.paths.stderr) in str(remote)
    assert type(remote.__cause__) is KeyError

    error = told.exception(60)
    assert type(error) is submitit.FailedJobError
    assert "has a lock" in str(error)


@pytest.mark.needs("separate")
def test_a_job_that_dies_is_broken_and_the_executor_goes_on(futures: FuturesExecutor, tmp_path: Path) -> None:
    future = futures.submit(calls.exit_at_once, 3)
    cancelled = _begun(futures, tmp_path / "started", tmp_path / "never")
    cancelled.job.cancel()
    with pytest.raises(BrokenExecutor, match="exit code 3") as raised:
        future.result(60)
    assert isinstance(raised.value, submitit.UncompletedJobError)
    assert type(raised.value).__name__ == "UncompletedJobError"
    again = pickle.loads(pickle.dumps(raised.value))
    assert type(again) is type(raised.value)
    assert str(again) == str(raised.value)

    # the job was, not the future
    error = cancelled.exception(60)
    assert isinstance(error, submitit.JobCancelledError)
    assert isinstance(error, BrokenExecutor)
    assert not cancelled.cancelled()
    (tmp_path / "never").write_text("Slurm lets it go on for a while")
    assert futures.submit(calls.add, 1, 2).result(60) == 3


@pytest.mark.needs("multi_task", "prompt")
def test_of_several_tasks_there_are_several_values(backend: Backend, folder: Path) -> None:
    values: object = backend.executor(folder, tasks_per_node=2).as_futures().submit(calls.my_rank).result(60)
    assert values == [0, 1]


@pytest.mark.needs("prompt")
def test_submit_does_not_wait_for_the_end_of_a_batch_block(executor: submitit.AutoExecutor) -> None:
    with executor.batch():
        assert executor.as_futures().submit(calls.add, 1, 2).result(60) == 3
        job = executor.submit(calls.add, 1, 1)
    assert job.result() == 2


# ---------------------------------------------------------------- pending, running, cancelled


@pytest.mark.needs("separate")
def test_a_future_runs_from_its_jobs_begin_on_and_cannot_be_cancelled_then(
    futures: FuturesExecutor, tmp_path: Path
) -> None:
    started, go = tmp_path / "started", tmp_path / "go"
    future = _begun(futures, started, go)
    assert not future.cancel()
    assert not future.done()
    assert future.running()
    assert "running" in repr(future)
    with pytest.raises(concurrent.futures.TimeoutError):
        future.result(0.01)
    futures.shutdown(wait=False, cancel_futures=True)
    assert not future.cancelled()
    go.write_text("done")
    assert future.result(60) == "done"
    assert not future.running()


@pytest.mark.needs("waiting")
def test_a_future_whose_job_waits_is_cancelled_with_it(blocked: Blocked, tmp_path: Path) -> None:
    futures = blocked.executor.as_futures()
    future = futures.submit(calls.touch_and_wait, str(tmp_path / "never"), str(tmp_path / "go"))
    seen: list[Future[str]] = []
    future.add_done_callback(seen.append)
    assert not future.running()
    assert future.cancel()
    assert seen == [future]
    assert future.cancelled()
    assert future.done()
    assert not future.running()
    assert future.cancel()
    with pytest.raises(CancelledError):
        future.result()
    with pytest.raises(CancelledError):
        future.exception()
    assert concurrent.futures.wait([future], 60).done == {future}
    assert future.job.state == "CANCELLED"
    assert isinstance(future.job.exception(), submitit.JobCancelledError)

    async def give_up() -> None:
        wrapped = asyncio.wrap_future(awaited)
        wrapped.cancel()
        with pytest.raises(asyncio.CancelledError):
            await wrapped

    awaited = futures.submit(calls.add, 1, 2)
    asyncio.run(give_up())
    assert awaited.cancelled()

    left = futures.submit(calls.add, 1, 2)
    futures.shutdown(wait=False)
    assert not left.done()
    with pytest.raises(RuntimeError, match="after shutdown"):
        futures.submit(calls.add, 1, 2)
    futures.shutdown(wait=True, cancel_futures=True)
    assert left.cancelled()
    blocked.end()
    assert not (tmp_path / "never").exists()


# ---------------------------------------------------------------- callbacks and waiting


@pytest.mark.needs("prompt")
def test_callbacks_are_called_in_order_and_their_exceptions_are_logged(
    futures: FuturesExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    future = futures.submit(calls.add, 1, 2)
    seen: list[Any] = []
    over = threading.Event()
    future.add_done_callback(seen.append)
    future.add_done_callback(lambda _: operator.truediv(1, 0))
    future.add_done_callback(lambda _: seen.append(future.result()))
    future.add_done_callback(lambda _: over.set())
    assert over.wait(60)
    assert seen == [future, 3]
    assert "exception calling callback" in caplog.text
    assert "ZeroDivisionError" in caplog.text
    future.add_done_callback(lambda _: seen.append(threading.get_ident()))
    assert seen[2] == threading.get_ident()
    assert futures.submit(calls.add, 1, 3).result(60) == 4


def test_the_standard_library_takes_futures_and_executor(futures: FuturesExecutor) -> None:
    made: list[Future[Any]] = [futures.submit(calls.add, number, 1) for number in range(2)]
    made.append(futures.submit(calls.fail, "as asked"))

    async def use() -> list[Any]:
        call = functools.partial(calls.add, 1, b=2)
        run = asyncio.get_running_loop().run_in_executor(futures, call)
        wrapped = [asyncio.wrap_future(future) for future in made]
        return await asyncio.wait_for(asyncio.gather(run, *wrapped, return_exceptions=True), 60)

    *values, error = asyncio.run(use())
    assert values == [3, 1, 2]
    assert isinstance(error, ValueError)
    assert sorted(future.result() for future in concurrent.futures.as_completed(made[:2], 60)) == [1, 2]
    assert made[2] in concurrent.futures.wait(made, 60, FIRST_EXCEPTION).done


# ---------------------------------------------------------------- map


def test_map_keeps_the_order_and_raises_in_its_place(futures: FuturesExecutor) -> None:
    values = futures.map(calls.add, [1, "a"], [2, 3])
    chunks = futures.map(_describe, range(4), chunksize=3, timeout=60)
    assert list(futures.map(calls.add, [1, 2], [10, 20, 30], timeout=60)) == [11, 22]
    assert list(futures.map(calls.add, [], [])) == []
    assert next(values) == 3
    with pytest.raises(TypeError):
        next(values)
    with pytest.raises(StopIteration):
        next(values)
    first, *others = chunks
    assert [number for number, *_ in [first, *others]] == [0, 1, 2, 3]
    assert [job == first[1] for _, job in others] == [True, True, False]
    with pytest.raises(ValueError, match="chunksize"):
        futures.map(_describe, [1], chunksize=0)


def _describe(number: int) -> tuple[int, str]:
    return number, submitit.JobEnvironment().job_id


_describe.__module__ = "__main__"


def _step(what: str, started: str, go: str) -> str:
    if what == "wait":
        return calls.touch_and_wait(started, go)
    if what == "fail":
        raise ValueError("as asked")
    return what


_step.__module__ = "__main__"


@pytest.mark.needs("waiting")
def test_map_cancels_what_waits_when_it_raises(backend: Backend, folder: Path, tmp_path: Path) -> None:
    _end_early("error", backend, folder, tmp_path)


@pytest.mark.needs("waiting", "prompt")
@pytest.mark.parametrize("end", ["timeout", "close"])
def test_map_cancels_what_waits_when_it_is_given_up(backend: Backend, folder: Path, tmp_path: Path, end: str) -> None:
    _end_early(end, backend, folder, tmp_path)


def _end_early(end: str, backend: Backend, folder: Path, tmp_path: Path) -> None:
    """One job at a time: when ``map`` ends, the last of three has not begun."""
    executor = backend.executor(folder, **{f"{backend.name}_array_parallelism": 1}).as_futures()
    started, go = tmp_path / "started", tmp_path / "go"
    steps = ["fail" if end == "error" else "value", "wait", "never"]
    values = executor.map(_step, steps, [str(started)] * 3, [str(go)] * 3, timeout=0.2 if end == "timeout" else None)
    last = max(executor._unfinished, key=lambda future: (len(future.job.job_id), future.job.job_id))
    if end == "error":
        with pytest.raises(ValueError, match="as asked"):
            next(values)
    elif end == "close":
        assert next(values) == "value"
        values.close()  # type: ignore[attr-defined]
    else:
        with pytest.raises(concurrent.futures.TimeoutError):
            list(values)
    assert last.cancelled()
    assert last.job.state == "CANCELLED"
    go.write_text("done")
    executor.shutdown()


# ---------------------------------------------------------------- shutdown


def test_shutdown_waits_for_results_and_their_callbacks(executor: submitit.AutoExecutor) -> None:
    over: list[float] = []
    entered, leave = threading.Event(), threading.Event()

    def called(future: Future[float]) -> None:
        entered.set()
        leave.wait(60)
        over.append(future.result())

    def use() -> None:
        with executor.as_futures() as futures:
            futures.submit(calls.add, 1, 2).add_done_callback(called)

    block = threading.Thread(target=use)
    block.start()
    assert entered.wait(60)
    assert block.is_alive()
    leave.set()
    block.join(60)
    assert not block.is_alive()
    assert over == [3]


def test_after_shutdown_there_are_no_more_calls(executor: submitit.AutoExecutor) -> None:
    futures = executor.as_futures()
    futures.shutdown()
    futures.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        futures.submit(calls.add, 1, 2)
    with pytest.raises(RuntimeError, match="after shutdown"):
        futures.map(calls.add, [], [])


@pytest.mark.needs("prompt", "separate")
def test_a_callback_cannot_wait_for_all_futures(futures: FuturesExecutor, tmp_path: Path) -> None:
    future = _begun(futures, tmp_path / "started", tmp_path / "go")
    raised: list[BaseException] = []

    def shut_down(_: object) -> None:
        try:
            futures.shutdown()
        except RuntimeError as error:
            raised.append(error)

    future.add_done_callback(shut_down)
    (tmp_path / "go").write_text("done")
    futures.shutdown()
    assert "wait=False" in str(raised[0])


@pytest.mark.needs("prompt")
def test_futures_outlive_their_executor(executor: submitit.AutoExecutor) -> None:
    future = executor.as_futures().submit(calls.add, 1, 2)
    gc.collect()
    assert future.result(60) == 3
