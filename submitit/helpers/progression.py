"""Jobs in the order in which they are over, and meanwhile how all of them are."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from submitit import amounts
from submitit.client.waiting import deadline_of, jobs_of
from submitit.helpers import displays
from submitit.orchestrator.tracker import Waiter
from submitit.views.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

    from submitit.client.job import Job
    from submitit.helpers.displays import Display

R = TypeVar("R")

#: How often, at most, somebody who waits looks up to see whether there is something to show.
_LOOK_S = 0.25


def progress(jobs: Iterable[Job[R]], *, timeout: float | None = None, title: str = "") -> Progress[R]:
    """Show how the jobs are while they are waited for: ``for job in submitit.progress(jobs): …``

    Yields each job once, when it is over, whether it failed or not, as ``as_completed`` does; ``submitit.progress(jobs).wait()``
    returns when all are over. A terminal shows how many are in each state, the failures with their causes and, as soon as there is
    a base for it, how long it may take; a notebook shows the same in one output of its cell; and where stdout is no terminal there
    are lines. It costs the scheduler nothing, however many jobs there are.

    Ctrl-C ends the display, not the jobs. If not all are over ``timeout`` seconds after this call, going on raises
    ``TimeoutError``. After either it can be gone on with. ``title`` is shown beside the numbers.
    """
    found = jobs_of(jobs, "progress")
    return Progress(found, timeout, displays.choose(found, title))


class Progress(Generic[R]):
    """What ``progress`` returns: an iterator over jobs that shows how they are."""

    def __init__(self, jobs: Iterable[Job[R]], timeout: float | None, display: Display) -> None:
        self._timeout = timeout
        self._deadline = deadline_of(timeout)
        self._open: dict[Job[R], None] = dict.fromkeys(jobs)
        #: Those that are over and were not handed out.
        self._over: deque[Job[R]] = deque()
        self._tally = Tally(self._open)
        self._display = display
        self._shown_at: float | None = None
        self._visible = True
        self._closed = False
        self._waiter: Waiter | None = None

    def __iter__(self) -> Progress[R]:
        return self

    def __next__(self) -> Job[R]:
        if not self._over:
            try:
                self._watch()
            except BaseException as error:
                self._waiter = None
                self._close(self._reason(error))
                raise
        if self._over:
            return self._over.popleft()
        self.close()
        raise StopIteration

    def wait(self) -> None:
        """Return when all jobs are over."""
        for _ in self:
            pass

    def close(self) -> None:
        """Show how things stand for the last time. Whoever leaves a loop early, or drops this object, need not call it."""
        self._close()

    def __enter__(self) -> Progress[R]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close(self._reason(error))

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # the interpreter may be half gone
            if self._shown_at is not None:
                self._close()

    def __repr__(self) -> str:
        return (
            f"<progress of jobs, {self._tally.over} of {self._tally.total} over: iterate over it, or call its wait()>"
        )

    # ---- what is done in between

    def _watch(self) -> None:
        """Return when a job is over that was not handed out, or none is left."""
        if self._open:
            self._closed = False
        pause = _LOOK_S
        if self._waiter is None:
            self._waiter = Waiter(self._open)
            self._waiter.mentioned = {}
            pause = 0.0
        waiter = self._waiter
        while not self._over and waiter.pending:
            left = None if self._deadline is None else self._deadline - time.monotonic()
            ended: list[Job[R]] = waiter.ended(pause if left is None else min(pause, max(0.0, left)))
            for job in ended:
                del self._open[job]
                self._over.append(job)
            mentioned, waiter.mentioned = waiter.mentioned or {}, {}
            self._tally.look(mentioned)
            for job in ended:
                self._tally.end(job)
                if self._shown_at is not None:
                    self._show()
            self._show()
            if not ended and left is not None and left <= 0:
                raise TimeoutError(
                    f"{len(self._open)} of {self._tally.total} jobs are not over after {self._timeout} seconds"
                )
            pause = _LOOK_S

    def _show(self) -> None:
        now = time.monotonic()
        if not self._visible or (
            self._shown_at is not None and now - self._shown_at < self._display.pause_s(self._tally)
        ):
            return
        self._shown_at = now
        with self._unseen():
            self._display.show(self._tally)

    def _close(self, said: str = "") -> None:
        if self._closed:
            return
        self._closed = True
        self._shown_at = None
        if self._visible:
            with self._unseen():
                self._display.close(self._tally, said)

    @contextlib.contextmanager
    def _unseen(self) -> Iterator[None]:
        """A display that nobody can see is no reason not to wait for the jobs."""
        try:
            yield
        except OSError:
            self._visible = False

    def _reason(self, error: BaseException | None) -> str:
        if not self._open or not isinstance(error, (KeyboardInterrupt, TimeoutError)):
            return ""
        count = len(self._open)
        return f"No longer watched: {amounts.count(count, 'job')} {'goes' if count == 1 else 'go'} on."
