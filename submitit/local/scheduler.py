"""Which waiting jobs start now: a pure function of the queue, of what runs and of the machine.

First come first served, with backfill: when the first job that waits does not fit, the time is reckoned at which it will at
the latest, from the limits of what runs; a later job may start before it if it is then over, or if it leaves enough over
for it. So a big job is passed by small ones, but once it is the first they do not delay it any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

#: How many entries of the queue are looked at behind the first that does not fit: a bound on the time of one decision.
BACKFILL_DEPTH = 500


class Request(NamedTuple):
    """What one job asks for."""

    cpus: int
    #: Seconds from its start after which it is over at the latest.
    limit_s: float
    #: CPUs that may be in use, this job's included, for it to start beside others; ``None``: those of the machine.
    max_cpus: int | None = None


class Entry(NamedTuple):
    """A place in the queue: jobs submitted together, all asking for the same."""

    key: int
    request: Request
    waiting: int
    #: Entries of one group share a limit on how many of them run at a time (``parallelism``); ``None``: no limit.
    group: int = 0
    parallelism: int | None = None


class Running(NamedTuple):
    """A job that was started."""

    cpus: int
    #: When it is over at the latest, on the clock of ``now``.
    end: float
    group: int = 0


def decide(queue: Iterable[Entry], running: Collection[Running], cpus: int, now: float) -> list[tuple[int, int]]:
    """How many jobs of which entry to start now, as ``(key, count)``, in the order of the queue.

    ``cpus`` is the machine's size. A job that asks for more than may ever be in use starts when nothing else runs, and
    nothing starts beside it.
    """
    return _Decision(running, cpus, now).take(queue)


class _Decision:
    def __init__(self, running: Collection[Running], cpus: int, now: float) -> None:
        self._cpus = cpus
        self._now = now
        self._running = list(running)
        self._used = sum(job.cpus for job in running)
        self._in_group: dict[int, int] = {}
        for job in running:
            self._in_group[job.group] = self._in_group.get(job.group, 0) + 1

    def take(self, queue: Iterable[Entry]) -> list[tuple[int, int]]:
        started: list[tuple[int, int]] = []
        reserved: tuple[float, int] | None = None  # when the first job that does not fit will, and CPUs left over then
        behind = 0
        for entry in queue:
            if reserved is not None:
                behind += 1
                if behind > BACKFILL_DEPTH:
                    break
            count = 0
            while count < entry.waiting and self._group_allows(entry):
                fits = self._fits(entry.request)
                if reserved is None:
                    if not fits:
                        reserved = self._reserve(entry.request)
                        break
                else:
                    over_in_time = self._now + entry.request.limit_s <= reserved[0]
                    if not fits or not (over_in_time or entry.request.cpus <= reserved[1]):
                        break
                    if not over_in_time:
                        reserved = (reserved[0], reserved[1] - entry.request.cpus)
                self._start(entry)
                count += 1
            if count:
                started.append((entry.key, count))
        return started

    def _allowed(self, request: Request) -> int:
        return request.max_cpus or self._cpus

    def _fits(self, request: Request) -> bool:
        return not self._used or self._used + request.cpus <= self._allowed(request)

    def _group_allows(self, entry: Entry) -> bool:
        return entry.parallelism is None or self._in_group.get(entry.group, 0) < entry.parallelism

    def _start(self, entry: Entry) -> None:
        self._used += entry.request.cpus
        self._running.append(Running(entry.request.cpus, self._now + entry.request.limit_s, entry.group))
        self._in_group[entry.group] = self._in_group.get(entry.group, 0) + 1

    def _reserve(self, request: Request) -> tuple[float, int]:
        """When ``request`` fits at the latest, and how many CPUs a job that still runs then may hold beside it."""
        allowed = self._allowed(request)
        used, at = self._used, self._now
        for job in sorted(self._running, key=lambda job: job.end):
            if used and used + request.cpus > allowed:
                used -= job.cpus
                at = max(at, job.end)
        return at, max(0, allowed - request.cpus - used)


def never_fits(request: Request, cpus: int) -> bool:
    """Whether the job can only ever run alone, being larger than what may be in use."""
    return request.cpus > (request.max_cpus or cpus)
