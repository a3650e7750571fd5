"""Jobs for ``asyncio``: the waiting of any number of coroutines is done by one thread of the loop's pool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from submitit.orchestrator.tracker import Waiter

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

R = TypeVar("R", covariant=True)


class _Awaited(Protocol[R]):
    """What is needed of a ``client.job.Job``, which makes the proxies and so cannot be imported here."""

    @property
    def num_tasks(self) -> int: ...
    def task(self, task_id: int) -> _Awaited[R]: ...
    def done(self) -> bool: ...
    def result(self) -> R: ...
    def results(self) -> Any: ...


class AsyncJobProxy(Generic[R]):
    """A job whose ``wait``, ``result`` and ``results`` are coroutines.

    ``poll_interval`` is 1.x's and has no effect: an end is seen as soon as by the job itself.
    """

    def __init__(self, job: _Awaited[R]) -> None:
        self.job = job

    async def wait(self, poll_interval: float = 1) -> None:
        """Return once the job is over. Cancelling the coroutine does not cancel the job."""
        import asyncio

        await _watch_of(asyncio.get_running_loop()).over(self.job)

    async def result(self, poll_interval: float = 1) -> R:
        """What the job's own ``result()`` returns or raises."""
        await self.wait()
        return self.job.result()

    async def results(self, poll_interval: float = 1) -> list[R]:
        """What the job's own ``results()`` returns or raises."""
        await self.wait()
        values: list[R] = self.job.results()
        return values

    def results_as_completed(self, poll_interval: float = 1) -> Iterator[asyncio.Future[Any]]:
        """Awaitables of the tasks' results, in the order in which the tasks end. To be called while a loop runs."""
        import asyncio

        tasks = [AsyncJobProxy(self.job.task(number)) for number in range(self.job.num_tasks)]
        yield from asyncio.as_completed([asyncio.ensure_future(task.result()) for task in tasks])


class _Watch:
    """Waits for all jobs that coroutines of one event loop wait for.

    The tracker blocks, and may put a question to a scheduler; so a thread of the loop's pool asks it, a slice at a time.
    """

    #: A job that begins to be waited for is looked at within this time, and a loop that ends is not held up for longer.
    SLICE_S = 0.05

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._futures: dict[Any, list[asyncio.Future[None]]] = {}
        self._fresh = False
        self._task: asyncio.Task[None] | None = None

    async def over(self, job: Any) -> None:
        """Return once ``job`` is over."""
        future = self._loop.create_future()
        self._futures.setdefault(job, []).append(future)
        self._fresh = True
        if self._task is None or self._task.done():
            self._task = self._loop.create_task(self._run())
        try:
            await future
        finally:
            waiting = self._futures.get(job)
            if waiting and future in waiting:
                waiting.remove(future)
                if not waiting:
                    del self._futures[job]

    async def _run(self) -> None:
        waiter: Waiter | None = None
        try:
            while self._futures:
                if self._fresh or waiter is None:
                    self._fresh = False
                    waiter = Waiter(self._futures)
                for job in await self._loop.run_in_executor(None, waiter.ended, self.SLICE_S):
                    for future in self._futures.pop(job, ()):
                        if not future.done():
                            future.set_result(None)
        except BaseException as error:
            for futures in self._futures.values():
                for future in futures:
                    if not future.done():
                        if isinstance(error, Exception):
                            future.set_exception(error)
                        else:
                            future.cancel()
            self._futures.clear()
            if not isinstance(error, Exception):
                raise


_ATTRIBUTE = "_submitit_watch"


def _watch_of(loop: asyncio.AbstractEventLoop) -> _Watch:
    """The one watch of an event loop; it goes when the loop does."""
    watch = getattr(loop, _ATTRIBUTE, None)
    if watch is None:
        watch = _Watch(loop)
        try:
            setattr(loop, _ATTRIBUTE, watch)
        except AttributeError:  # a loop with slots: one watch each time is correct, and only slower
            return watch
    return watch
