"""Jobs for ``asyncio``: the loop is told when a job is over, and does nothing until then."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

R = TypeVar("R", covariant=True)


class _Awaited(Protocol[R]):
    """What is needed of a ``client.job.Job``, which makes the proxies and so cannot be imported here."""

    @property
    def num_tasks(self) -> int: ...
    @property
    def _runs_when_asked(self) -> bool: ...
    @property
    def _ending(self) -> Any: ...
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
        if self.job._runs_when_asked or self.job._ending is not None:
            self.job.done()
        else:
            await _over(self.job)

    async def result(self, poll_interval: float = 1) -> R:
        """What the job's own ``result()`` returns or raises."""
        await self.wait()
        return self.job.result()

    async def results(self, poll_interval: float = 1) -> list[R]:
        """What the job's own ``results()`` returns or raises."""
        await self.wait()
        values: list[R] = self.job.results()
        return values

    def results_as_completed(self, poll_interval: float = 1) -> Iterator[asyncio.Future[R]]:
        """Awaitables of the tasks' results, in the order in which the tasks end. To be called while a loop runs."""
        import asyncio

        tasks = [AsyncJobProxy(self.job.task(number)) for number in range(self.job.num_tasks)]
        yield from asyncio.as_completed([asyncio.ensure_future(task.result()) for task in tasks])


async def _over(job: Any) -> None:
    """Return once ``job`` is over. Any number of loops, and of coroutines of each, may wait for one job."""
    import asyncio

    from submitit.orchestrator import notifier

    loop = asyncio.get_running_loop()
    over = loop.create_future()

    def settle() -> None:
        if not over.done():
            over.set_result(None)

    def tell(_: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle)

    notifier.notifier().add([job], tell)
    try:
        await over
    except BaseException:
        notifier.notifier().discard([job], tell)
        raise
