"""Any executor as one of ``concurrent.futures``, whose own documentation says how all of this behaves.

::

    submit ─ a job ─ job.add_done_callback ─ (the job is over) ─ its outcome ─ set_result, set_exception
    running, cancel ─ look at what the job has told by itself; the scheduler is not asked
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import itertools
import threading
import time
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from submitit import log
from submitit.client import packed
from submitit.client.cancelling import cancel
from submitit.errors import FailedJobError, UncompletedJobError
from submitit.orchestrator.sources import MarkerSource
from submitit.orchestrator.state import JobState
from submitit.storage.submission import DelayedSubmission

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from submitit.client.job import Job

P = ParamSpec("P")
R = TypeVar("R")


class _Callbacks(threading.local):
    """Whether this thread is at the callbacks of a future."""

    running = False


_callbacks = _Callbacks()


class JobFuture(concurrent.futures.Future[R]):
    """The future of a job, ``future.job``.

    It is running from the job's begin on, whatever becomes of the job then (it may be requeued and wait again), and cannot be
    cancelled any more: ``future.job.cancel()`` ends a job that has begun. The result of a job of several tasks is the list of
    the ranks' values.

    What the function raised is raised as it is; its cause is the ``FailedJobError`` that holds the remote traceback. Whatever
    else keeps the job from giving its value is an ``UncompletedJobError`` of the subclass for the cause, which is also a
    ``concurrent.futures.BrokenExecutor``.
    """

    def __init__(self, job: Job[R], let_go: Callable[[JobFuture[Any]], None]) -> None:
        super().__init__()
        self.job = job
        self._let_go = let_go
        self._being_cancelled = False

    def running(self) -> bool:
        """Whether the job has begun, and the future has no result yet."""
        self._look()
        return super().running()

    def cancel(self) -> bool:
        """Cancel the job, unless it has begun or is over; whether it is cancelled.

        Also ``False``, with a warning in the log, where the scheduler refuses.
        """
        _cancel([self])
        return self.cancelled()

    def _cancellable(self) -> bool:
        """Whether the job waits, as far as it has told."""
        self._look()
        return not self.done() and not super().running()

    def _look(self) -> None:
        if not (self.done() or super().running() or self._being_cancelled) and _has_begun(self.job):
            self._begin()

    def _begin(self) -> bool:
        """It runs from now on, if it did not yet; ``False`` for one that was cancelled or is finished."""
        with self._condition:
            if not self.done() and not super().running():
                self.set_running_or_notify_cancel()
            return super().running()

    def _become_cancelled(self) -> None:
        """Nobody will be told a result any more, unless it has begun or is over."""
        with _at_callbacks():
            if not super().cancel():
                return
        with self._condition:
            # Several threads may come here; those who wait in `concurrent.futures.wait` are told once.
            if self._state == "CANCELLED":
                self.set_running_or_notify_cancel()
        self._let_go(self)

    def _finish(self, job: Job[R]) -> None:
        """The job is over."""
        try:
            value, error = (None, None) if self.done() else _outcome(job)
            if error is not None and self._being_cancelled:
                self._become_cancelled()
            if self._begin():
                with _at_callbacks():
                    self.set_result(value) if error is None else self.set_exception(error)  # type: ignore[arg-type]
        finally:
            self._let_go(self)


class FuturesExecutor(concurrent.futures.Executor):
    """Submits jobs as ``executor.submit`` does, and hands out their futures.

    It holds nothing that has to be freed: where it is not shut down, and when the interpreter ends, the jobs go on.
    """

    def __init__(
        self,
        process: Callable[[list[DelayedSubmission]], list[Job[Any]]],
        check_callable: Callable[[object, str], None],
    ) -> None:
        # Not the executor, which makes these and so cannot be imported here.
        self._process = process
        self._check_callable = check_callable
        self._changed = threading.Condition()
        self._unfinished: set[JobFuture[Any]] = set()
        #: How many threads are about to add to them.
        self._submitting = 0
        self._is_shut_down = False
        self._cancels = False

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> JobFuture[R]:
        """Submit the call as a job, also within ``executor.batch()``; raises what the executor's own ``submit`` raises.

        A debug job runs here and now.
        """
        self._check_callable(fn, "submit(fn, …)")
        return self._submit([_call(fn, *args, **kwargs)])[0]

    def map(
        self,
        fn: Callable[..., R],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
    ) -> Iterator[R]:
        """The values of ``fn`` for each tuple of ``zip(*iterables)``, in order. All are submitted at once, as one array.

        With ``chunksize`` so many calls are one job, which raises as soon as one of them does.
        """
        self._check_callable(fn, "map(fn, …)")
        if chunksize < 1:
            raise ValueError(f"chunksize must be at least 1, not {chunksize}")
        deadline = None if timeout is None else time.monotonic() + timeout
        calls = zip(*iterables)  # noqa: B905 - the shortest wins, as in zip
        if chunksize == 1:
            return _values(self._submit([_call(fn, *args) for args in calls]), deadline)
        chunks = iter(lambda: list(itertools.islice(calls, chunksize)), [])
        futures = self._submit([_call(packed.call_each, fn, chunk) for chunk in chunks])
        return _each(_values(futures, deadline))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls. With ``wait``, return when all jobs are over; with ``cancel_futures``, cancel those that wait.

        Raises ``RuntimeError`` for a ``wait`` in a callback of a future, which would be for itself.
        """
        with self._changed:
            self._is_shut_down = True
            self._cancels = self._cancels or cancel_futures
            unwanted = list(self._unfinished) if cancel_futures else []
        _cancel(unwanted)
        if not wait:
            return
        if _callbacks.running:
            raise RuntimeError("A callback of a future cannot wait for all futures: use shutdown(wait=False)")
        with self._changed:
            self._changed.wait_for(lambda: not self._unfinished and not self._submitting)

    def _submit(self, calls: list[DelayedSubmission]) -> list[JobFuture[Any]]:
        # No lock is held while the scheduler takes its time: others may shut down meanwhile, or see a future end.
        with self._changed:
            if self._is_shut_down:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._submitting += 1
        futures: list[JobFuture[Any]] = []
        try:
            jobs = self._process(calls) if calls else []
            futures = [JobFuture(job, self._let_go) for job in jobs]
        finally:
            with self._changed:
                self._unfinished.update(futures)
                self._submitting -= 1
                self._changed.notify_all()
        begun = 0
        try:
            for future in futures:
                begun += 1
                future.job.add_done_callback(future._finish)
        except BaseException:  # Ctrl-C in a debug job, which has just run
            for future in futures[begun - 1 :]:
                self._let_go(future)
            raise
        if self._cancels:
            _cancel(futures)
        return futures

    def _let_go(self, future: JobFuture[Any]) -> None:
        with self._changed:
            self._unfinished.discard(future)
            self._changed.notify_all()


def _call(fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> DelayedSubmission:
    call = DelayedSubmission(fn, *args)
    call.kwargs = kwargs  # one may be called "function"
    return call


def _values(futures: list[JobFuture[R]], deadline: float | None) -> Iterator[R]:
    futures.reverse()

    def results() -> Iterator[R]:
        try:
            while futures:
                left = None if deadline is None else deadline - time.monotonic()
                futures[-1].result(left)
                yield futures.pop().result()  # what is handed out is not kept
        finally:
            _cancel(futures)

    return results()


def _each(chunks: Iterator[list[R]]) -> Iterator[R]:
    for chunk in chunks:
        yield from chunk


def _cancel(futures: Iterable[JobFuture[Any]]) -> None:
    """Cancel the jobs that wait, with one question to the scheduler for all."""
    waiting = [future for future in futures if future._cancellable()]
    if not waiting:
        return
    for future in waiting:
        future._being_cancelled = True
    try:
        cancel([future.job for future in waiting])
    except Exception as error:  # noqa: BLE001 - whatever the scheduler's command fails with, the jobs go on
        log.get_logger().warning("Not all of %d jobs were cancelled: %s", len(waiting), error)
        for future in waiting:
            future._being_cancelled = future.job._cancelled
    for future in waiting:
        if future._being_cancelled:
            future._become_cancelled()


@contextlib.contextmanager
def _at_callbacks() -> Iterator[None]:
    outer, _callbacks.running = _callbacks.running, True
    try:
        yield
    finally:
        _callbacks.running = outer


def _has_begun(job: Job[Any]) -> bool:
    """Whether a job runs or has run, as far as it has told; only a plugin's scheduler is asked, as rarely as for ``job.state``."""
    source = job._source()
    if source is None:
        return job.running()
    source.refresh()
    if isinstance(source, MarkerSource):
        begun = source.has(job.job_id)
    else:
        begun = JobState.read(job.watcher.get_state(job.job_id, mode="cache")).begun
    return begun or job._look()


def _outcome(job: Job[R]) -> tuple[R | list[R] | None, BaseException | None]:
    """The value of a job that is over, or what is raised in its place."""
    try:
        values = job.results()
        return values if job.num_tasks > 1 else values[0], None
    except FailedJobError as failure:
        return None, _raised(failure)
    except UncompletedJobError as failure:
        return None, _broken(failure)
    except BaseException as error:  # noqa: BLE001 - a value may do anything while it is loaded
        return None, error


def _raised(failure: FailedJobError) -> BaseException:
    """What the function raised, with the text of the remote traceback before what caused it; ``failure`` if that is all there is."""
    remote = failure.__cause__
    if remote is None:
        return failure
    failure.__cause__ = remote.__cause__
    remote.__cause__ = failure
    return remote


def _broken(failure: UncompletedJobError) -> UncompletedJobError:
    """The same error, which who expects a ``BrokenExecutor`` recognises as well."""
    failure.__class__ = _broken_class(type(failure))  # type: ignore[arg-type]  # typeshed's exceptions are not hashable, types are
    return failure


@functools.cache
def _broken_class(kind: type[UncompletedJobError]) -> type[UncompletedJobError]:
    return type(
        kind.__name__,
        (kind, concurrent.futures.BrokenExecutor),
        {
            "__module__": kind.__module__,
            "__qualname__": kind.__qualname__,
            "__doc__": kind.__doc__,
            "__reduce__": _reduce,
        },
    )


def _reduce(failure: UncompletedJobError) -> tuple[Any, ...]:
    return _rebuilt, (type(failure).__bases__[0], failure.args, vars(failure))


def _rebuilt(kind: type[UncompletedJobError], args: tuple[Any, ...], state: dict[str, Any]) -> UncompletedJobError:
    failure = kind(*args)
    vars(failure).update(state)
    return _broken(failure)
