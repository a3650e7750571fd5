"""Waiting for many jobs at once, with the verbs of ``concurrent.futures``."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from submitit.client.job import Job
from submitit.orchestrator.tracker import Waiter

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

R = TypeVar("R")

FIRST_COMPLETED = "FIRST_COMPLETED"
FIRST_EXCEPTION = "FIRST_EXCEPTION"
ALL_COMPLETED = "ALL_COMPLETED"

if TYPE_CHECKING:

    class DoneAndNotDone(NamedTuple, Generic[R]):
        """The jobs that are over, and the others."""

        done: set[Job[R]]
        not_done: set[Job[R]]

else:  # a NamedTuple is generic from Python 3.11 on

    class DoneAndNotDone(NamedTuple):
        """The jobs that are over, and the others."""

        done: set
        not_done: set


def jobs_of(jobs: Iterable[Job[R]], verb: str) -> dict[Job[R], None]:
    """The jobs of a call of ``verb(jobs)``, each once and in order. ``TypeError`` with what was given instead."""
    if isinstance(jobs, Job):
        raise TypeError(f"{verb}(jobs) takes several jobs, not a single one: write {verb}([job])")
    try:
        given = iter(jobs)
    except TypeError:
        raise TypeError(f"{verb}(jobs) takes a list of jobs, not {_shown(jobs)}") from None
    found: dict[Job[R], None] = {}
    for place, job in enumerate(given):
        if not isinstance(job, Job):
            raise TypeError(
                f"{verb}(jobs) takes jobs, as submit and map_array return them; at place {place} there is {_shown(job)}"
            )
        found[job] = None
    return found


def wait(jobs: Iterable[Job[R]], timeout: float | None = None, return_when: str = ALL_COMPLETED) -> DoneAndNotDone[R]:
    """Block until the jobs are over, or for ``timeout`` seconds; return two sets, ``(done, not_done)``.

    With ``return_when="FIRST_COMPLETED"`` one job that is over is enough, with ``"FIRST_EXCEPTION"`` one that failed (a cancelled
    one did not), as in ``concurrent.futures``, whose constants these are. A job that is given twice counts once. Waiting costs
    the scheduler nothing, however many they are. Ctrl-C ends the wait, not the jobs.
    """
    if return_when not in (FIRST_COMPLETED, FIRST_EXCEPTION, ALL_COMPLETED):
        raise ValueError(
            f"wait(jobs, return_when=…) takes {FIRST_COMPLETED!r}, {FIRST_EXCEPTION!r} or {ALL_COMPLETED!r}, not {return_when!r}"
        )
    deadline = deadline_of(timeout)
    waiter = Waiter(pending := jobs_of(jobs, "wait"))
    done: set[Job[R]] = set()
    while waiter.pending:
        over = waiter.ended(_left(deadline))
        done.update(over)
        if not over or return_when == FIRST_COMPLETED or _left(deadline) == 0:
            break
        if return_when == FIRST_EXCEPTION and any(map(_failed, over)):
            break
    return DoneAndNotDone(done, pending.keys() - done)


def _failed(job: Job[Any]) -> bool:
    return not job.cancelled() and job.exception() is not None


def as_completed(jobs: Iterable[Job[R]], timeout: float | None = None) -> AsCompleted[R]:
    """The jobs in the order in which they are over, those that are already first: for ``for`` and for ``async for``.

    A job that failed is handed out as well; one that is given twice is handed out once. If not all are over ``timeout`` seconds
    after this call, going on raises ``TimeoutError``.
    """
    return AsCompleted(jobs_of(jobs, "as_completed"), timeout)


class AsCompleted(Generic[R]):
    """What ``as_completed`` returns: an iterator, and an asynchronous one. After Ctrl-C or a cancellation it can be gone on with."""

    def __init__(self, jobs: Iterable[Job[R]], timeout: float | None = None) -> None:
        self._timeout = timeout
        self._deadline = deadline_of(timeout)
        self._pending = dict.fromkeys(jobs)
        self._count = len(self._pending)
        #: Jobs that were seen to be over.
        self._over: deque[Job[R]] = deque()
        self._waiter: Waiter | None = None
        self._inbox: _Inbox[R] | None = None
        #: Those that run when they are asked, one at a time.
        self._asked: deque[Job[R]] = deque()

    def __iter__(self) -> AsCompleted[R]:
        return self

    def __next__(self) -> Job[R]:
        while (job := self._take()) is None:
            if not self._pending:
                self._waiter = None
                raise StopIteration
            try:
                if self._waiter is None:
                    self._waiter = Waiter(self._pending)
                over = self._waiter.ended(_left(self._deadline))
                self._over.extend(over)
            except BaseException:
                self._waiter = None
                raise
            if not over and self._pending:
                raise self._late()
        return job

    def __aiter__(self) -> AsCompleted[R]:
        return self

    async def __anext__(self) -> Job[R]:
        import asyncio

        loop = asyncio.get_running_loop()
        while (job := self._take()) is None:
            if not self._pending:
                raise StopAsyncIteration
            if self._inbox is None or self._inbox.loop is not loop:
                self._leave_inbox()
                self._inbox = _Inbox(loop)
                self._inbox.expect(job for job in self._pending if not job._runs_when_asked)
                self._asked = deque(job for job in self._pending if job._runs_when_asked)
            if not self._inbox.jobs and self._asked and self._asked[0].done():
                self._over.append(self._asked.popleft())
            elif not await self._inbox.filled(_left(self._deadline)):
                # the thread may not have come to look yet
                self._over.extend(Waiter(self._pending).ended(0))
                if not self._over:
                    raise self._late()
        return job

    def _take(self) -> Job[R] | None:
        """A job that is over and was not handed out yet."""
        for queue in (self._over, self._inbox.jobs if self._inbox is not None else None):
            while queue:
                job = queue.popleft()
                if job in self._pending:
                    del self._pending[job]
                    return job
        return None

    def _late(self) -> TimeoutError:
        return TimeoutError(f"{len(self._pending)} of {self._count} jobs are not over after {self._timeout} seconds")

    def _leave_inbox(self) -> None:
        inbox, self._inbox = self._inbox, None
        if inbox is not None and self._pending:
            inbox.leave(list(self._pending))

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # the interpreter may be half gone
            self._leave_inbox()


class _Inbox(Generic[R]):
    """Where one event loop finds the jobs that are over."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.jobs: deque[Job[R]] = deque()
        self._filled: asyncio.Future[None] | None = None
        self._told = False

    def expect(self, jobs: Iterable[Job[R]]) -> None:
        from submitit.orchestrator import notifier

        notifier.notifier().add(jobs, self._put)

    def leave(self, jobs: Iterable[Job[R]]) -> None:
        from submitit.orchestrator import notifier

        notifier.notifier().discard(jobs, self._put)

    async def filled(self, timeout: float | None) -> bool:
        """Return once there are jobs: whether there are within ``timeout`` seconds."""
        import asyncio

        if not self.jobs:
            self._filled = self.loop.create_future()
            await asyncio.wait([self._filled], timeout=timeout)
            self._filled = None
        return bool(self.jobs)

    def _put(self, job: Job[R]) -> None:
        """Called by the notifier's thread. The loop is told once of all that come before it looks."""
        self.jobs.append(job)
        if not self._told:
            self._told = True
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self.loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        self._told = False
        if self._filled is not None and not self._filled.done():
            self._filled.set_result(None)


def deadline_of(timeout: float | None) -> float | None:
    """When a wait of ``timeout`` seconds ends that begins now; ``TypeError`` for what is no number of seconds."""
    if timeout is None:
        return None
    try:
        return time.monotonic() + timeout
    except TypeError:
        raise TypeError(f"timeout is a number of seconds, or None, not {timeout!r:.100}") from None


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def _shown(value: object) -> str:
    return f"{value!r:.100} of type {type(value).__name__}"
