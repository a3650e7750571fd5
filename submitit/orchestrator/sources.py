"""Where news of jobs comes from, without asking a scheduler."""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from submitit.storage import events

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from submitit.orchestrator.wake import Wake
    from submitit.storage.events import Marker


#: How often result files are looked for whatever the markers say, and listings are renewed that may be stale.
SWEEP_S = 30.0
#: How long a scheduler may need to end what waits for a job that has failed, and that job to come to its end (KillWait).
DOUBT_S = 90.0


class Source:
    """Tells which jobs there is something new about.

    Several waiters may read one source at a time, each from its own place: what a source has told stays in ``news``.
    """

    #: Whether the watcher of its jobs knows from here what became of them, so that no scheduler has to be asked.
    answers_itself = False

    def __init__(self) -> None:
        #: The ids of jobs with something new, in the order in which it was seen. Only ever grows.
        self.news: list[str] = []
        self._refreshing = threading.Lock()
        #: Who sleeps until there is news, by the number of the thread. A signal handler may wait in the middle of a wait.
        self._sleepers: list[tuple[int, Wake]] = []
        self._sleeping = threading.RLock()
        self._process = os.getpid()

    def fileno(self) -> int | None:
        """A descriptor that becomes readable when there is news; ``None`` where one has to look."""
        return None

    def look_within(self) -> float:
        """Seconds after which to look again at the latest, whatever else the waiter and the descriptor say."""
        return math.inf

    @contextlib.contextmanager
    def attended(self, wake: Wake) -> Iterator[None]:
        """While somebody waits, who is woken when another thread has taken in the news; threads may do so at the same time.

        What only a waiter needs is held no longer.
        """
        sleeper = threading.get_ident(), wake
        with self._sleeping:
            self._sleepers.append(sleeper)
        try:
            yield
        finally:
            with self._sleeping:
                if sleeper in self._sleepers:  # not if this process has forked meanwhile
                    self._sleepers.remove(sleeper)

    def forked(self) -> None:
        """This process is a copy of the one that has used the source: what its threads were at is nobody's business here."""
        self._refreshing, self._sleeping, self._sleepers = threading.Lock(), threading.RLock(), []
        self._process = os.getpid()

    def poll(self) -> Iterable[str]:
        """The ids of jobs with news since the last call. Cheap, and asks no scheduler."""
        raise NotImplementedError

    def refresh(self) -> None:
        """Bring ``news`` up to date. A call while another thread does it returns at once."""
        if self._process != os.getpid():
            self.forked()
        if not self._refreshing.acquire(blocking=False):
            return
        known = len(self.news)
        try:
            self.news.extend(self.poll())
        finally:
            self._refreshing.release()
        if len(self.news) > known:
            self._wake_others()

    def tell(self, job_id: str) -> None:
        """There is something new about a job that this process knows by itself: it has cancelled it."""
        self.news.append(job_id)
        self._wake_others()

    def _wake_others(self) -> None:
        with self._sleeping:
            for thread, wake in self._sleepers:
                if thread != threading.get_ident():
                    wake.set()


class Attempt(NamedTuple):
    """What the markers say of one attempt of a job."""

    number: int
    #: Tasks whose command has started.
    started: frozenset[str]
    #: Tasks whose result is on disk.
    recorded: frozenset[str]
    #: The exit code of each task whose command has ended; ``"batch"`` is the script itself.
    exits: dict[str, int]
    #: Whether the job was told to terminate.
    terminated: bool
    #: Whether the job itself has asked to be run again.
    requeued: bool = False
    #: Whether its script runs, and will say at its end whether the job is over.
    undecided: bool = False
    #: Why its script has asked for another attempt, and was heard; and why it has in vain.
    retried: str = ""
    refused: str = ""


class MarkerSource(Source):
    """The events directory of one client process."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self._directory = events.EventDirectory(path)
        #: By a job: those that wait for its success. And those of them that wait for one that seems to have failed: until when
        #: the scheduler is asked about them for that.
        self._dependents: dict[str, list[str]] = {}
        self._doubtful: dict[str, float] = {}
        self._refreshed = time.monotonic()

    def forked(self) -> None:
        super().forked()
        # a thread of the original may have been half through with what it had listed
        self._directory = events.EventDirectory(self.path)

    def poll(self) -> Iterable[str]:
        now = time.monotonic()
        # on a network file system a listing may be stale for as long as the directory's times look unchanged
        stale = now - self._refreshed > SWEEP_S
        if stale:
            self._refreshed = now
        fresh = dict.fromkeys(self._directory.scan(refresh=stale))
        for job_id in self._dependents.keys() & fresh.keys():
            if self._seems_failed(job_id):
                fresh.update(dict.fromkeys(self._doubt(job_id)))
        return fresh

    def tell(self, job_id: str) -> None:
        self.news.extend(self._doubt(job_id))  # which may have left no marker by then
        super().tell(job_id)

    def follow(self, job_id: str, upstream_id: str) -> None:
        """A job waits for the success of another one of this source: if that one seems to fail, there is news of both."""
        self._dependents.setdefault(upstream_id, []).append(job_id)
        if upstream_id in self._doubtful or self._seems_failed(upstream_id):
            self._doubtful[job_id] = time.monotonic() + DOUBT_S

    def doubtful(self, job_id: str) -> bool:
        """Whether a job that this one waits for, directly or not, has just failed, for all that is known.

        The scheduler will soon end this one then, or it runs the other again.
        """
        return time.monotonic() < self._doubtful.get(job_id, -math.inf)

    def _seems_failed(self, job_id: str) -> bool:
        attempt = self.attempt(job_id)
        if attempt is None or attempt.undecided or attempt.retried:
            return False
        return attempt.terminated or bool(attempt.exits.get("batch"))

    def _doubt(self, failed: str) -> list[str]:
        """The jobs that wait for one that has failed, directly or not; the scheduler is asked about them."""
        until = time.monotonic() + DOUBT_S
        ahead = dict.fromkeys(self._dependents.get(failed, ()))
        queue = list(ahead)
        for job_id in queue:  # which grows meanwhile
            self._doubtful[job_id] = until
            new = [other for other in self._dependents.get(job_id, ()) if other not in ahead]
            ahead.update(dict.fromkeys(new))
            queue += new
        return queue

    def has(self, job_id: str) -> bool:
        """Whether a job has left any marker."""
        return bool(self._directory.history(job_id))

    def attempt(self, job_id: str) -> Attempt | None:
        """What is known of the latest attempt of a job; ``None`` before its first marker."""
        history = self._directory.history(job_id)
        if not history:
            return None
        return _attempt_told_often(history) if isinstance(history, tuple) else _attempt_told(history)

    def attempts(self, job_id: str) -> list[Attempt]:
        """What is known of all attempts of a job that have left a marker, the first one first."""
        markers = self._directory.markers(job_id)
        return [_read(number, markers) for number in sorted({marker.attempt for marker in markers})]

    def node(self, job_id: str, task: str, attempt: int | None = None) -> str:
        """The node that a task last left a marker from, or first did in an attempt; ``""`` where it left none."""
        markers = [marker for marker in self._directory.markers(job_id) if marker.task == task]
        if attempt is not None:
            markers = [marker for marker in reversed(markers) if marker.attempt == attempt]
        return self._directory.node(markers[-1]) if markers else ""

    def files(self, job_id: str, attempt: int) -> list[str]:
        """The paths of the markers that one attempt of a job has left, each task's in the order of its life."""
        return [
            os.path.join(self.path, events.marker_name(*marker[:4]))
            for marker in self._directory.markers(job_id)
            if marker.attempt == attempt
        ]


def _read(latest: int, markers: Iterable[Marker]) -> Attempt:
    """What the markers of one job say of its attempt of that number."""
    started, recorded, exits, terminated, requeued = set(), set(), {}, False, False
    words = {"retry": "", "refused": "", "final": ""}
    for marker in markers:
        if marker.attempt != latest:
            continue
        if marker.kind == "run":
            started.add(marker.task)
        elif marker.kind == "done":
            recorded.add(marker.task)
        elif marker.kind == "term":
            terminated = True
        elif marker.kind == "requeue":
            requeued = True
        elif marker.code is not None:
            exits[marker.task] = marker.code
        else:
            word, _, reason = marker.kind.partition("-")
            words[word] = reason or word
    undecided = "batch" in started and "batch" not in exits and not words["final"]
    return Attempt(
        latest,
        frozenset(started - {"batch"}),
        frozenset(recorded),
        exits,
        terminated,
        requeued,
        undecided,
        words["retry"],
        words["refused"],
    )


def _attempt_told(history: Iterable[str]) -> Attempt:
    """What markers say of the latest attempt that left one."""
    markers = [marker for end in history if (marker := events.parse_marker(f"job-{end}")) is not None]
    return _read(max(marker.attempt for marker in markers), markers)


_attempt_told_often = lru_cache(maxsize=1024)(_attempt_told)


_SOURCES: dict[str, MarkerSource] = {}


def marker_source(path: str) -> MarkerSource:
    """The one source of this process for the events directory ``path``."""
    return _SOURCES.get(path) or _SOURCES.setdefault(path, MarkerSource(path))
