"""Where news of jobs comes from, without asking a scheduler."""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from submitit.storage import events

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from submitit.storage.events import Marker


#: How often result files are looked for whatever the markers say, and listings are renewed that may be stale.
SWEEP_S = 30.0


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
        self._process = os.getpid()

    def fileno(self) -> int | None:
        """A descriptor that becomes readable when there is news; ``None`` where one has to look."""
        return None

    def look_within(self) -> float:
        """Seconds after which to look again at the latest, whatever else the waiter and the descriptor say."""
        return math.inf

    @contextlib.contextmanager
    def attended(self) -> Iterator[None]:
        """While somebody waits; threads may do so at the same time. What only a waiter needs is held no longer."""
        yield

    def forked(self) -> None:
        """This process is a copy of the one that has used the source: what its threads were at is nobody's business here."""
        self._refreshing = threading.Lock()
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
        try:
            self.news.extend(self.poll())
        finally:
            self._refreshing.release()


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
        self._markers: dict[str, list[Marker]] = {}
        self._refreshed = time.monotonic()

    def poll(self) -> Iterable[str]:
        now = time.monotonic()
        # on a network file system a listing may be stale for as long as the directory's times look unchanged
        stale = now - self._refreshed > SWEEP_S
        if stale:
            self._refreshed = now
        fresh: dict[str, None] = {}
        for marker in self._directory.scan(refresh=stale):
            self._markers.setdefault(marker.job_id, []).append(marker)
            fresh[marker.job_id] = None
        return fresh

    def has(self, job_id: str) -> bool:
        """Whether a job has left any marker."""
        return job_id in self._markers

    def attempt(self, job_id: str) -> Attempt | None:
        """What is known of the latest attempt of a job; ``None`` before its first marker."""
        markers = self._markers.get(job_id)
        if not markers:
            return None
        return _read(max(marker.attempt for marker in markers), markers)

    def attempts(self, job_id: str) -> list[Attempt]:
        """What is known of all attempts of a job that have left a marker, the first one first."""
        markers = self._markers.get(job_id, [])
        return [_read(number, markers) for number in sorted({marker.attempt for marker in markers})]

    def node(self, job_id: str, task: str, attempt: int | None = None) -> str:
        """The node that a task last left a marker from, or first did in an attempt; ``""`` where it left none."""
        markers = [marker for marker in self._markers.get(job_id, []) if marker.task == task]
        if attempt is not None:
            markers = [marker for marker in reversed(markers) if marker.attempt == attempt]
        return self._directory.node(markers[-1]) if markers else ""


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


_SOURCES: dict[str, MarkerSource] = {}


def marker_source(path: str) -> MarkerSource:
    """The one source of this process for the events directory ``path``."""
    return _SOURCES.get(path) or _SOURCES.setdefault(path, MarkerSource(path))
