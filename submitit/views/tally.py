"""Jobs that somebody waits for, counted: what a live view shows of them."""

from __future__ import annotations

import statistics
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, NamedTuple

from submitit.client import summary
from submitit.orchestrator.state import JobState, StateKind, count_states

if TYPE_CHECKING:
    from collections.abc import Iterable

    from submitit.client.job import Job

#: So many failed jobs are remembered, the newest.
MOST_FAILURES = 20
#: A look at all jobs is not repeated before this many times the time that it took, nor sooner than this.
_IDLE_TIMES, _SOONEST_S = 50.0, 1.0
#: Of so many of the jobs that end, or begin, together it is found out how long they ran, or since when they do.
_TIMED_AT_ONCE = 100
#: From fewer run times than this nothing is concluded about other jobs.
ENOUGH_TIMES = 3


class Failure(NamedTuple):
    """A job that has failed."""

    job_id: str
    name: str
    state: str
    #: Why, in one line; ``""`` if nobody knows.
    cause: str


class Tally:
    """How many of some jobs are in which state, which have failed, and how long the others may take.

    It is told which jobs are over and of which there is news; now and then it looks at the others. It asks no scheduler.
    """

    def __init__(self, jobs: Iterable[Job[Any]]) -> None:
        self._began = time.monotonic()
        self._words = dict.fromkeys(jobs, JobState.PENDING.value)
        self._counts = Counter(self._words.values())
        self._open = dict.fromkeys(self._words)
        self._failed: deque[Job[Any]] = deque(maxlen=MOST_FAILURES)
        self._told: dict[Job[Any], Failure] = {}
        #: Since when each job runs that does.
        self._since: dict[Job[Any], float] = {}
        self._ran_s: deque[float] = deque(maxlen=200)
        self._timed = 0
        self._look_at = self._began
        #: How many have failed. Cancelled ones have not.
        self.failed = 0

    @property
    def total(self) -> int:
        """How many jobs there are."""
        return len(self._words)

    @property
    def over(self) -> int:
        """How many of them are over."""
        return len(self._words) - len(self._open)

    @property
    def counts(self) -> dict[str, int]:
        """How many are in each state, what is over first."""
        return count_states(+self._counts)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the tally was made."""
        return time.monotonic() - self._began

    def failures(self, most: int = MOST_FAILURES) -> list[Failure]:
        """The jobs that have failed, the newest first. Opens the results of those that were not told of before."""
        found = []
        for job in list(self._failed)[: -most - 1 : -1]:
            if job not in self._told:
                self._told[job] = Failure(job.job_id, summary.name_of(job), self._words[job], summary.cause_of(job))
            found.append(self._told[job])
        return found

    def left_s(self) -> float | None:
        """About how many seconds until all are over, as long as as many run as now.

        ``None`` without a base for that: nothing runs, fewer than ``ENOUGH_TIMES`` have run to a good end, or those that run do so
        for longer than those did.
        """
        if not self._since or len(self._ran_s) < ENOUGH_TIMES:
            return None
        usual, now = statistics.fmean(self._ran_s), time.time()
        ahead = [max(0.0, usual - (now - since)) for since in self._since.values()]
        waiting = len(self._open) - len(ahead)
        return ((sum(ahead) + waiting * usual) / len(ahead) if waiting else max(ahead)) or None

    # ---- what it is told

    def end(self, job: Job[Any]) -> None:
        """A job is over."""
        self._open.pop(job, None)
        word = summary.state_of(job)
        self._set(job, word)
        if JobState.read(word).kind is StateKind.FAILED:
            self.failed += 1
            self._failed.append(job)
        elif word == JobState.COMPLETED.value and self._timed < _TIMED_AT_ONCE:
            self._timed += 1
            start, end = summary.times_of(job)
            if start is not None and end is not None:
                self._ran_s.append(max(0.0, end - start))

    def look(self, mentioned: Iterable[Job[Any]] = ()) -> None:
        """Look at those jobs of which there is news, and now and then at all that are not over."""
        self._timed = 0
        began = time.monotonic()
        if began < self._look_at:
            self._look(job for job in mentioned if job in self._open)
            return
        self._look(self._open)
        now = time.monotonic()
        self._look_at = now + max(_SOONEST_S, (now - began) * _IDLE_TIMES)

    def _look(self, jobs: Iterable[Job[Any]]) -> None:
        for job in jobs:
            word = summary.state_of(job)
            if word != self._words[job]:
                self._set(job, word)

    def _set(self, job: Job[Any], word: str) -> None:
        self._counts[self._words[job]] -= 1
        self._counts[word] += 1
        self._words[job] = word
        if not JobState.read(word).begun or job not in self._open:
            self._since.pop(job, None)
        elif job not in self._since:
            start = None
            if self._timed < _TIMED_AT_ONCE:
                self._timed += 1
                start = summary.times_of(job)[0]
            self._since[job] = start or time.time()
