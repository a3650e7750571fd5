"""Waiting for jobs, any number of them, at no cost to the cluster.

A waiter looks where its jobs leave markers, or is woken by the local controller. It asks the scheduler for one reason only: to
find jobs that died without a word, or whose words need confirming. One question is about all jobs of a watcher.

Whoever waits does the looking; for who does not, `notifier` has a thread that does. Everything a thread learns is visible to the
others, and wakes them.
"""

from __future__ import annotations

import contextlib
import gc
import os
import threading
import time
from typing import TYPE_CHECKING, Any

from submitit.orchestrator.sources import SWEEP_S, MarkerSource, Source
from submitit.orchestrator.sweep import Sweep
from submitit.orchestrator.wake import Wake

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from submitit.orchestrator.watcher import InfoWatcher

    Waitable = Any  # a client.job.Job: the layer above this one

#: How long nobody asks the scheduler about jobs that leave markers, and how rarely in the end.
FIRST_QUESTION_S, RAREST_QUESTION_S = 30.0, 180.0
#: How often, at most, a suspicion is checked: soon at first, since an answer usually settles it.
FIRST_SUSPICION_S, RAREST_SUSPICION_S = 0.05, 5.0
#: How often jobs are looked at that leave no markers: those of plugins and of version 1.
FIRST_LOOK_S, RAREST_LOOK_S = 0.05, 1.0
#: Up to so many jobs, their result files are looked for when a wait begins: run by hand they leave no marker.
FEW_JOBS = 32
#: From so many on, the collector of garbage is left out where nothing is garbage: it takes as long as all the rest.
MANY_JOBS = 1000
#: What is done about thousands of jobs at once is not done again before this many times the work that it was.
IDLE_TIMES = 1000.0
LONGEST_SWEEP_S = 300.0
#: After a question that took long, because the scheduler is away, suspicions rest for this many times as long: meanwhile
#: the markers of other jobs are seen.
REST_TIMES = 3.0
#: No question takes longer: a thread that still asks then is none of this process (it has forked).
LONGEST_QUESTION_S = 300.0
#: How long, at most, nothing but the markers is looked at: what another thread has learned is seen within this time.
IDLE_S = 2.0
_QUICKEST_S, _SLOWEST_S = 0.005, 0.5


class Questions:
    """When the scheduler was, and may next be, asked by this process: one for each watcher."""

    def __init__(self, watcher: InfoWatcher) -> None:
        self._watcher = watcher
        now = time.monotonic()
        #: When the newest answer was asked for.
        self.asked = float("-inf")
        #: The same of the newest answer that the scheduler gave itself. Its accounts lag: what they call waiting or running
        #: may be over.
        self.told = float("-inf")
        self._next = now + FIRST_QUESTION_S
        self._pause = FIRST_QUESTION_S
        self._suspicion_pause = FIRST_SUSPICION_S
        self._suspicion_next = now
        self._asking_since = float("-inf")
        self._choosing = threading.Lock()

    def forked(self) -> None:
        """This process is a copy, in which no other thread is asking."""
        self._choosing = threading.Lock()
        self._asking_since = float("-inf")

    def begin(self) -> None:
        """Somebody begins to wait: the first question is due when there was time for jobs to speak for themselves."""
        now = time.monotonic()
        self._pause = FIRST_QUESTION_S
        self._next = min(self._next, now + FIRST_QUESTION_S) if self._next > now else now + FIRST_QUESTION_S

    def suspect(self) -> None:
        """There is something new to check: the next question may be put soon again."""
        self._suspicion_pause = FIRST_SUSPICION_S
        self._suspicion_next = min(self._suspicion_next, self.asked + FIRST_SUSPICION_S)

    def ask(self, *, suspicious: bool) -> bool:
        """Put the question if it is time for it and no other thread is just putting it; say whether it was put."""
        with self._choosing:
            if self.due_in(suspicious=suspicious) > 0:
                return False
            self._asking_since = now = time.monotonic()
        worked = time.thread_time()
        try:
            self._watcher.update()
        finally:
            self._asking_since = float("-inf")
        self.note(now)
        self._pause = min(self._pause * 1.5, RAREST_QUESTION_S)
        worked = time.thread_time() - worked
        self._next = now + max(self._pause, min(worked * IDLE_TIMES, RAREST_QUESTION_S))
        if suspicious:
            self._suspicion_pause = min(self._suspicion_pause * 1.5, RAREST_SUSPICION_S)
            end = time.monotonic()
            self._suspicion_next = end + max(self._suspicion_pause, (end - now) * REST_TIMES)
        return True

    def note(self, asked: float) -> None:
        """There is an answer to a question that was put at this time."""
        self.asked = asked
        if getattr(self._watcher, "told_by_scheduler", True):
            self.told = asked

    def due_in(self, *, suspicious: bool) -> float:
        """Seconds until the next question may be put."""
        now = time.monotonic()
        if now - self._asking_since < LONGEST_QUESTION_S:
            return _SLOWEST_S  # another thread asks, and its answer is everybody's
        return max(0.0, (self._suspicion_next if suspicious else self._next) - now)


_QUESTIONS: dict[int, Questions] = {}
_registered = False


def _forked() -> None:
    for asked in list(_QUESTIONS.values()):
        asked.forked()


def questions(watcher: InfoWatcher) -> Questions:
    """The questions of this process to ``watcher``'s scheduler."""
    global _registered  # noqa: PLW0603 - once a process, and not by an import
    found = _QUESTIONS.get(id(watcher))
    if found is None or found._watcher is not watcher:
        if not _registered:
            _registered = True
            os.register_at_fork(after_in_child=_forked)
        found = _QUESTIONS[id(watcher)] = Questions(watcher)
    return found


@contextlib.contextmanager
def _uncollected(count: int) -> Iterator[None]:
    """While things are found out about ``count`` jobs: what is made for thousands stays, and is no work for the collector."""
    if count < MANY_JOBS or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Waiter:
    """Waits for jobs: ``ended`` hands each out once, when it is over. It is one thread's.

    With a ``wake`` of its own it waits for jobs that are still to be added, too: ``ended`` returns when that is set.
    """

    def __init__(self, jobs: Iterable[Waitable] = (), wake: Wake | None = None) -> None:
        self._wake = wake
        #: The jobs that were not handed out yet; all of the following are about these alone.
        self._waiting: dict[Waitable, None] = {}
        #: By their ids; a list where several handles are of one job.
        self._by_source: dict[Source, dict[str, Waitable | list[Waitable]]] = {}
        self._place: dict[Source, int] = {}
        self._plain: dict[Waitable, None] = {}
        #: Asked one at a time, when no other is over: it runs then.
        self._lazy: dict[Waitable, None] = {}
        self._suspects: dict[int, Waitable] = {}
        self._fresh: list[Waitable] = []
        #: The jobs that there was news of, for who wants to know more than their ends: who sets it takes them out.
        self.mentioned: dict[Waitable, None] | None = None
        self._heard: dict[int, float] = {}
        self._idle_until = float("-inf")
        self._swept: Sweep | None = None
        now = time.monotonic()
        self._began = self._quiet_since = now
        self._sweep_at = now + SWEEP_S
        self._look_at, self._look_pause = now, FIRST_LOOK_S
        self.add(jobs)

    def add(self, jobs: Iterable[Waitable]) -> None:
        """Wait for these jobs as well. One that is waited for already is waited for once."""
        asked: dict[Source, Waitable] = {}
        jobs = list(jobs)
        with _uncollected(len(jobs)):
            self._add(jobs, asked)
        for source, job in asked.items():
            if not source.answers_itself:
                questions(job.watcher).begin()
        self._quiet_since = time.monotonic()
        self._look_at, self._look_pause = self._quiet_since, FIRST_LOOK_S
        self._swept = None

    def _add(self, jobs: list[Waitable], asked: dict[Source, Waitable]) -> None:
        for job in jobs:
            if job in self._waiting:
                continue
            self._waiting[job] = None
            source = job._source()
            if job._runs_when_asked:
                self._lazy[job] = None
            elif source is None:
                self._plain[job] = None
            else:
                self._listen(job, source)
                asked[source] = job

    def discard(self, job: Waitable) -> None:
        """Do not wait for this job any more."""
        if job not in self._waiting:
            return
        del self._waiting[job]
        self._suspects.pop(id(job), None)
        self._plain.pop(job, None)
        self._lazy.pop(job, None)
        for source, jobs in self._by_source.items():
            group: Any = jobs.get(job.job_id)
            if group is job:
                del jobs[job.job_id]
            elif isinstance(group, list) and job in group:
                group.remove(job)
                if not group:
                    del jobs[job.job_id]
            else:
                continue
            if not jobs:
                del self._by_source[source], self._place[source]
            return

    def _listen(self, job: Waitable, source: Source) -> None:
        jobs = self._by_source.get(source)
        if jobs is None:
            jobs = self._by_source[source] = {}
            self._place[source] = len(source.news)
        other = jobs.setdefault(job.job_id, job)
        if other is not job:
            jobs[job.job_id] = [*_each(other), job]
        self._fresh.append(job)

    @property
    def pending(self) -> int:
        """How many jobs were not handed out yet."""
        return len(self._waiting)

    def __contains__(self, job: Waitable) -> bool:
        """Whether a job is waited for that was not handed out yet."""
        return job in self._waiting

    def ended(self, timeout: float | None = None) -> list[Waitable]:
        """The jobs that are over and were not handed out before: at once if there are any, else when there are.

        Empty after ``timeout`` seconds (``None``: never), or when all were handed out. Who is interrupted in it, by an exception,
        cannot go on with this waiter.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with contextlib.ExitStack() as held:
            return self._await_ends(deadline, held)

    def _await_ends(self, deadline: float | None, held: contextlib.ExitStack) -> list[Waitable]:
        attended: set[Source] = set()
        wake = self._wake
        while True:
            over = self._collect()
            if over:
                self._quiet_since = time.monotonic()
                return over
            if not self.pending and self._wake is None:
                return []
            if wake is None:
                wake = held.enter_context(contextlib.closing(Wake()))
            for source in self._by_source.keys() - attended:
                attended.add(source)
                held.enter_context(source.attended(wake))
            pause = min(_SLOWEST_S, max(_QUICKEST_S, (time.monotonic() - self._quiet_since) / 25))
            if self._suspects:
                watchers = {id(job.watcher): job.watcher for job in self._suspects.values()}.values()
                due = min(questions(watcher).due_in(suspicious=True) for watcher in watchers)
                pause = min(pause, max(_QUICKEST_S, due))
            if deadline is not None:
                left = deadline - time.monotonic()
                if left <= 0:
                    return []
                pause = min(pause, left)
            woken = self._sleep(pause, wake)
            if wake is not self._wake:
                wake.clear()
            elif woken:  # it is cleared by who then looks for what it was set for
                return self._collect()

    def _collect(self) -> list[Waitable]:
        with _uncollected(len(self._waiting)):
            over = self._hear()
        if over is None and time.monotonic() < self._idle_until:
            return self._run_one()  # twice a second for days: most looks end here
        over = over or []
        over += self._look_at_plain()
        over += self._ask()
        over += self._sweep()
        self._idle_until = min(self._idle_until, self._sweep_at)
        return over or self._run_one()

    def _hear(self) -> list[Waitable] | None:
        """The jobs that are over by what was told of them; ``None`` if nothing was told of any, and none is to be asked about."""
        looked: dict[Waitable, None] = {}
        for source, jobs in self._by_source.items():
            source.refresh()
            news, place = source.news, self._place[source]
            if place < len(news):
                self._place[source] = len(news)
                self._quiet_since = time.monotonic()
                for job_id in dict.fromkeys(news[place:]):
                    for job in _each(jobs.get(job_id, ())):
                        looked[job] = None
        few = len(self._waiting) <= FEW_JOBS
        for job in self._fresh:
            if job not in self._waiting:
                continue
            if few:
                job._look(at_files=True)
            if few or _may_be_over(job):
                looked[job] = None
        self._fresh = []
        if not (looked or self._suspects or self._plain):
            return None
        looked.update(dict.fromkeys(self._suspects.values()))
        if self.mentioned is not None:
            self.mentioned.update(looked)
        return [job for job in looked if self._look(job)]

    def _look(self, job: Waitable) -> bool:
        """Whether a job not handed out yet is over; keeps in mind whether the scheduler has to be asked about it."""
        if job not in self._waiting:
            return False
        if job._look():
            self.discard(job)
            return True
        if job._suspicious():
            if id(job) not in self._suspects:
                self._suspects[id(job)] = job
                questions(job.watcher).suspect()
        else:
            self._suspects.pop(id(job), None)
        return False

    def _run_one(self) -> list[Waitable]:
        for job in self._lazy:
            job.done()
            self.discard(job)
            return [job]
        return []

    def _look_at_plain(self) -> list[Waitable]:
        now = time.monotonic()
        if not self._plain or now < self._look_at:
            return []
        self._look_pause = min(self._look_pause * 1.25, RAREST_LOOK_S)
        over = []
        for job in list(self._plain):
            source = job._source()
            if source is not None:  # it was looked for before its scheduler had written it down
                del self._plain[job]
                self._listen(job, source)
            elif job.done():
                self.discard(job)
                over.append(job)
            else:
                continue
            self._look_pause = FIRST_LOOK_S
        self._look_at = time.monotonic() + self._look_pause
        return over

    def _ask(self) -> list[Waitable]:
        """Put the questions that are due, and look at the jobs that the answers are about."""
        watchers: dict[int, InfoWatcher] = {}
        suspicious = set()
        for job in self._suspects.values():
            watchers[id(job.watcher)] = job.watcher
            suspicious.add(id(job.watcher))
        for source, jobs in self._by_source.items():
            if source.answers_itself:
                continue
            for job in _each(next(iter(jobs.values()), ())):
                watchers[id(job.watcher)] = job.watcher
        over: list[Waitable] = []
        self._idle_until = time.monotonic() + IDLE_S
        for key, watcher in watchers.items():
            asked = questions(watcher)
            if not (key in suspicious and asked.ask(suspicious=True)):
                asked.ask(suspicious=False)
            # perhaps by another thread
            if asked.asked > self._heard.setdefault(key, self._began):
                self._heard[key] = asked.asked
                over += [job for job in self._told() if job.watcher is watcher and self._has_ended(job)]
            self._idle_until = min(self._idle_until, time.monotonic() + asked.due_in(suspicious=False))
        return over

    def _has_ended(self, job: Waitable) -> bool:
        """Whether a job is over now that there is an answer; of thousands that go on, none is looked at closely."""
        news = id(job) in self._suspects or job.watcher.is_done(job.job_id, mode="cache")
        return news and self._look(job)

    def _sweep(self) -> list[Waitable]:
        now = time.monotonic()
        if now < self._sweep_at:
            return []
        worked = time.thread_time()
        # it holds the handles of those that are over, too
        if self._swept is None or self._swept.size > 2 * len(self._waiting):
            self._swept = Sweep(self._told())
        candidates = [job for job in self._swept.candidates() if job in self._waiting]
        over = [job for job in candidates if job._look(at_files=True) and self._look(job)]
        self._sweep_at = now + max(SWEEP_S, min((time.thread_time() - worked) * IDLE_TIMES, LONGEST_SWEEP_S))
        return over

    def _told(self) -> list[Waitable]:
        """The jobs that some source tells of."""
        return [job for job in self._waiting if job not in self._plain and job not in self._lazy]

    def _sleep(self, seconds: float, wake: Wake) -> bool:
        """Sleep for so long at most, or until there is something to look at; whether it was ``wake`` that said so."""
        descriptors = [number for source in self._by_source if (number := source.fileno()) is not None]
        seconds = min([seconds, *(source.look_within() for source in self._by_source)])
        if self._plain:
            seconds = min(seconds, max(0.0, self._look_at - time.monotonic()) or _QUICKEST_S)
        called = wake.fileno()
        if called is not None:
            descriptors.append(called)
        if not descriptors:
            time.sleep(seconds)
            return False
        import select

        poll = select.poll()  # unlike `select`, it takes descriptors of any number
        for descriptor in descriptors:
            poll.register(descriptor, select.POLLIN)
        events = poll.poll(seconds * 1000)
        if any(event & select.POLLNVAL for _, event in events):
            time.sleep(seconds)  # closed meanwhile, by another thread or because its controller ended
        return any(descriptor == called for descriptor, _ in events)


def _each(group: Any) -> Iterable[Waitable]:
    return group if isinstance(group, (list, tuple)) else (group,)


def _may_be_over(job: Waitable) -> bool:
    """Whether anything is known of a job that a close look could take for its end; cheap, for thousands of jobs at once."""
    if job._ending is not None or job._cancelled or not job._submitted_here:
        return True
    source = job._source()
    if not isinstance(source, MarkerSource) or source.has(job.job_id) or source.doubtful(job.job_id):
        return True
    return bool(job.watcher.is_done(job.job_id, mode="cache"))


def wait(jobs: Iterable[Waitable], timeout: float | None = None) -> list[Waitable]:
    """Block until every job is over, or for ``timeout`` seconds; return those that are over."""
    waiter = Waiter(jobs)
    deadline = None if timeout is None else time.monotonic() + timeout
    over: list[Waitable] = []
    while waiter.pending:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        ended = waiter.ended(left)
        if not ended:
            break
        over += ended
    return over
