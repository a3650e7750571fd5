"""The results of ``executor.map`` as an iterator, while they come and afterwards.

::

    MapResults ◀── files of calls, while jobs write them
               ◀── the tracker: which jobs are over
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from submitit.storage.calls import Reader, Run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from submitit.client.job import Job
    from submitit.errors import UncompletedJobError
    from submitit.orchestrator.chunks import CallOutcome
    from submitit.storage.calls import Other

R = TypeVar("R", covariant=True)

#: How often the files of running jobs are looked at: soon after there was something new, less and less often afterwards.
_QUICKEST_S, _SLOWEST_S = 0.005, 0.5
#: A look at many files is not repeated before this many times the time that it took.
_IDLE_TIMES = 100.0
#: When so much was read of them, what has come is handed out before the rest is read.
_ENOUGH = 64 << 20


class Plan(NamedTuple):
    """How the calls of a map are cut up."""

    #: The map's own, in the files of its jobs.
    name: str
    calls: int
    #: Calls of a chunk; the last may be shorter.
    size: int
    #: The file that says which job has taken which chunk; ``None`` where each job has a chunk of its own.
    claims: str | None
    #: Whether jobs leave files of calls.
    streams: bool

    @property
    def chunks(self) -> int:
        """How many chunks there are."""
        return -(-self.calls // self.size)

    def stop(self, chunk: int) -> int:
        """The number of the call after the last of a chunk."""
        return min(self.calls, (chunk + 1) * self.size)


class ChunkProgress(NamedTuple):
    """How far a chunk is."""

    #: The numbers of its calls.
    calls: range
    #: How many of them have ended, in whichever way.
    ended: int


class _Lost(NamedTuple):
    """Calls that will have no outcome, since their job has ended."""

    first: int
    stop: int
    error: UncompletedJobError
    #: The call that was running when the job ended; ``None`` if none was.
    running: int | None


class _Other(NamedTuple):
    """One call whose outcome is no atom."""

    call: int
    other: Other | CallOutcome
    job: Job[Any]


class MapResults(Iterator[R]):
    """The results of the calls of ``executor.map``, while they come and afterwards.

    A call that raised raises when its turn comes: ``FailedJobError``, with the remote traceback in its text and the function's
    own exception as its cause. The iterator is still good: the next ``next()`` gives the next call's result. So it is with the
    calls that were not made since their job ended: each raises the job's error (``JobOutOfMemoryError``, …), which says which
    call was running. What had ended before has its results.

    Jobs are durable. Leaving the iterator, an exception, a ``TimeoutError`` and Ctrl-C cancel none; ``cancel()`` does. A pickled
    iterator begins anew where it is unpickled, in another process or on another day. Without one, ``result()`` of each job in
    ``jobs`` is the sequence of the outcomes of the calls that the job has made.
    """

    def __init__(self, jobs: Sequence[Job[Any]], plan: Plan, deadline: float | None = None, *, ordered: bool) -> None:
        #: The jobs that make the calls.
        self.jobs = list(jobs)
        self._plan = plan
        self._deadline = deadline
        self._ordered = ordered
        #: What was read and not handed out, in order; ``_plain`` is what of it is being handed out.
        self._ready: deque[Iterator[R] | _Other | _Lost] = deque()
        self._plain: Iterator[R] = iter(())
        #: With order, what has to wait for others, by its first call; and the call that comes next to ``_ready``.
        self._early: dict[int, tuple[Run, Job[Any]] | _Lost] = {}
        self._next = 0
        self._left = plan.calls
        #: The first call of each chunk of which nothing is known.
        self._reached = list(self._firsts())
        #: The same as far as files were only looked through.
        self._seen: dict[int, int] = {}
        #: The jobs that more may come from, by their numbers, and those of them that are over.
        self._open = dict(enumerate(self.jobs))
        self._over: set[int] = set()
        self._numbers = {id(job): number for number, job in enumerate(self.jobs)}
        self._begin()

    def _firsts(self) -> range:
        """The number of each chunk's first call."""
        return range(0, self._plan.calls, self._plan.size)

    def _begin(self) -> None:
        """Have nothing read of the jobs that are not finished, and nobody waiting for them."""
        self._readers = {
            number: Reader(job.paths.locate("calls"), self._plan.name)
            for number, job in self._open.items()
            if self._plan.streams
        }
        self._waiter: Any = None
        self._quiet_since = time.monotonic()
        self._look_at = 0.0

    # ---- results

    def __iter__(self) -> MapResults[R]:
        return self

    def __next__(self) -> R:
        for value in self._plain:
            return value
        return self._further()

    def _further(self) -> R:
        while self._ready or self._left:
            if not self._ready:
                self._wait()
                continue
            first = self._ready.popleft()
            if isinstance(first, _Other):
                return self._value(first)
            if isinstance(first, _Lost):
                if first.first + 1 < first.stop:
                    self._ready.appendleft(first._replace(first=first.first + 1))
                raise self._lost_error(first)
            self._plain = first
            for value in first:
                return value
        raise StopIteration

    def __len__(self) -> int:
        """How many calls there are, their results handed out or not."""
        return self._plan.calls

    def _value(self, item: _Other) -> R:
        from submitit.errors import FailedJobError
        from submitit.orchestrator import chunks

        outcome = item.other
        if not isinstance(outcome, chunks.CallOutcome):
            outcome = chunks.decoded(item.call, outcome)
        if outcome.status == "success":
            value: R = outcome.value
            return value
        paths = item.job.paths
        raise FailedJobError(
            f"Call {item.call} of {self._plan.calls} (job {item.job.job_id}) failed with trace:\n"
            f"----------------------\n{outcome.value}\n----------------------\n"
            f"The logs of its job are at paths:\n  - {paths.stderr}\n  - {paths.stdout}"
        ) from outcome.exception

    def _lost_error(self, lost: _Lost) -> UncompletedJobError:
        running = (
            f"call {lost.running} was running when it ended"
            if lost.running is not None
            else "it ended before it made any of these calls"
        )
        error = type(lost.error)(
            f"Call {lost.first} of {self._plan.calls} has no result, since its job left none: {running}. "
            f"The job:\n{lost.error}"
        )
        error.__cause__ = lost.error.__cause__
        return error

    # ---- progress

    def progress(self) -> list[ChunkProgress]:
        """How many calls of each chunk have ended by now; looks at the files of all jobs whose results are still to come."""
        for reader in self._readers.values():
            for first, stop in reader.look():
                chunk = first // self._plan.size
                self._seen[chunk] = max(self._seen.get(chunk, first), stop)
        return [
            ChunkProgress(range(first, self._plan.stop(chunk)), max(reached, self._seen.get(chunk, first)) - first)
            for chunk, (first, reached) in enumerate(zip(self._firsts(), self._reached, strict=True))
        ]

    def cancel(self) -> None:
        """Cancel the jobs that are not over. Calls that have ended keep their results, all others raise ``JobCancelledError``."""
        from submitit.client.cancelling import cancel

        cancel([job for number, job in self._open.items() if number not in self._over])

    # ---- waiting

    def _wait(self) -> None:
        """Return when there is something in ``_ready``; ``TimeoutError`` if that takes too long."""
        try:
            while True:
                if self._look():
                    self._quiet_since = time.monotonic()
                if self._ready:
                    return
                self._hear()
        except KeyboardInterrupt:
            self._begin()  # it may have come between two steps that belong together
            if not self._plan.streams:
                raise
            ids = f"{self.jobs[0].job_id} … {self.jobs[-1].job_id}" if len(self.jobs) > 1 else self.jobs[0].job_id
            print(
                f"\nStopped waiting for the results of {self._plan.calls} calls; their jobs go on ({ids}). The iterator goes on "
                "where it was; its cancel() ends them.",
                file=sys.stderr,
            )
            raise

    def _hear(self) -> None:
        """Wait until a job is over, or until it is time to look at files again."""
        now = time.monotonic()
        pause = min(_SLOWEST_S, max(_QUICKEST_S, (now - self._quiet_since) / 25, self._look_at - now))
        if self._deadline is not None:
            if now >= self._deadline:
                raise TimeoutError(
                    f"{self._left} of {self._plan.calls} calls had no result in time; their jobs go on, and so can the iteration"
                )
            pause = min(pause, self._deadline - now)
        if not self._plan.streams:
            self._over.add(min(self._open))  # to look whether such a job is over is to run it
            return
        if self._waiter is None:
            from submitit.orchestrator.tracker import Waiter

            self._waiter = Waiter(job for number, job in self._open.items() if number not in self._over)
        if not self._waiter.pending:
            time.sleep(pause)  # all are over, and a file is late
            return
        self._over.update(self._numbers[id(job)] for job in self._waiter.ended(pause))

    def _look(self) -> bool:
        """Take in what is new in the files that matter now, and the ends of jobs; say whether there was anything."""
        if not self._ordered:
            return self._look_at_all()
        chunk = self._next // self._plan.size
        number = self._taker(chunk)
        if number is None:
            if len(self._over) < len(self._open):
                return False
            return self._lose_rest(chunk)
        if number in self._open:
            return self._look_at_one(number)
        return self._lose_rest(chunk)

    def _look_at_all(self) -> bool:
        """Without order: of jobs that go on, no more often than it costs little; of those that are over, at once."""
        began = time.monotonic()
        due = began >= self._look_at
        news, enough = False, _ENOUGH
        for number in list(self._open if due else self._over):
            before = self._readers[number].place if self._plan.streams else 0
            news |= self._look_at_one(number)
            if number in self._readers:
                enough -= self._readers[number].place - before
            if enough < 0:
                break
        if not self._open and self._left and not self._ready:
            for chunk in range(self._plan.chunks):
                news |= self._lose_rest(chunk)
        if due:
            now = time.monotonic()
            self._look_at = now + (now - began) * _IDLE_TIMES
        return news

    def _look_at_one(self, number: int) -> bool:
        """Take in what a job has noted since the last time, and its end."""
        over = number in self._over
        if not self._plan.streams:
            if over:
                self._finish_in_process(number)
            return over
        reader, job = self._readers[number], self._open[number]
        runs = reader.read()
        for run in runs:
            self._take(run, job)
        if runs or not over:
            return bool(runs)
        return self._finish(number, reader)

    def _finish(self, number: int, reader: Reader) -> bool:
        """A job is over, and its file was read to the end: nothing more comes from it, unless the file is late."""
        job = self._open[number]
        error: UncompletedJobError | None = job.exception()
        if error is None and reader.place < job.result().size:
            from submitit.orchestrator import collector

            if not collector._missing_long_enough(job):
                return False
            from submitit.errors import UncompletedJobError

            error = UncompletedJobError(f"{job.paths.locate('calls')!r} is gone, or was cut short")
        del self._open[number], self._readers[number]
        self._over.discard(number)
        if error is not None:
            for chunk in self._chunks_of(number):
                self._lose(chunk, error, running=reader.place > 0)
        return True

    def _finish_in_process(self, number: int) -> None:
        job = self._open[number]
        job.wait()  # Ctrl-C passes through
        error: Any = job.exception()
        del self._open[number]
        self._over.discard(number)
        if error is not None:
            from submitit.errors import UncompletedJobError

            if not isinstance(error, UncompletedJobError):
                raise error  # of what runs the calls, not of a call
            self._lose(number, error, running=False)
            return
        outcomes: Sequence[CallOutcome] = job.result()
        others: dict[int, Any] = dict(enumerate(outcomes))
        self._take(Run(number * self._plan.size, [None] * len(outcomes), others), job)

    # ---- what has arrived

    def _take(self, run: Run, job: Job[Any]) -> None:
        chunk = run.first // self._plan.size
        reached = self._reached[chunk]
        if run.stop <= reached:
            return  # of a chunk that two jobs have made, or read again
        if run.first < reached:
            run = run.after(reached)
        if not self._ordered:
            self._release(run, job)
        else:
            self._early[run.first] = (run, job)
        self._reached[chunk] = run.stop
        self._release_in_order()

    def _lose(self, chunk: int, error: UncompletedJobError, *, running: bool) -> bool:
        first, stop = self._reached[chunk], self._plan.stop(chunk)
        if first >= stop:
            return False
        lost = _Lost(first, stop, error, first if running else None)
        if self._ordered:
            self._early[first] = lost
        else:
            self._ready.append(lost)
            self._left -= stop - first
        self._reached[chunk] = stop
        self._release_in_order()
        return True

    def _lose_rest(self, chunk: int) -> bool:
        """All jobs are over that could have made the calls of a chunk."""
        errors = (job.exception() for job in self.jobs)
        error = next((error for error in errors if error is not None), None)
        if error is None:
            from submitit.errors import UncompletedJobError

            error = UncompletedJobError("all jobs of the map are over, and none has made this call")
        return self._lose(chunk, error, running=False)

    def _release_in_order(self) -> None:
        while self._next in self._early:
            item = self._early[self._next]
            if isinstance(item, _Lost):
                self._ready.append(item)
                self._left -= item.stop - item.first
                stop = item.stop
            else:
                self._release(*item)
                stop = item[0].stop
            del self._early[self._next]
            self._next = stop

    def _release(self, run: Run, job: Job[Any]) -> None:
        """Hand the outcomes of consecutive calls out next."""
        start = 0
        for place in sorted(run.others):
            if start < place:
                self._ready.append(iter(run.values[start:place]))
            self._ready.append(_Other(run.first + place, run.others[place], job))
            start = place + 1
        if start < len(run.values):
            self._ready.append(iter(run.values[start:] if start else run.values))
        self._left -= len(run.values)

    # ---- who makes which call

    def _taker(self, chunk: int) -> int | None:
        """The number of the job that makes the calls of a chunk; ``None`` as long as nobody does."""
        if self._plan.claims is None:
            return chunk
        from submitit.storage.claims import Claims

        return Claims(self._plan.claims).taker(chunk)

    def _chunks_of(self, number: int) -> list[int]:
        if self._plan.claims is None:
            return [number]
        from submitit.storage.claims import Claims

        return Claims(self._plan.claims, number).taken()

    # ---- as an object

    def __repr__(self) -> str:
        jobs = f"{len(self.jobs)} job{'' if len(self.jobs) == 1 else 's'}"
        return f"<{type(self).__name__} of {self._plan.calls} calls in {jobs}, {self._left} to come>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self.jobs, self._plan, self._ordered)


def _again(jobs: list[Job[Any]], plan: Plan, ordered: bool) -> MapResults[Any]:
    """The results of a map that was submitted elsewhere, from the first on."""
    return MapResults(jobs, plan, ordered=ordered)
