"""Which waiting jobs start now, and on which GPUs: a pure function of the queue, of what runs and of the machine.

First come first served, with backfill: when the first job that waits does not fit, the time is reckoned at which it will at
the latest, from the limits of what runs; a later job may start before it if it is then over, or if it leaves enough over
for it, of everything. So a big job is passed by small ones, but once it is the first they do not delay it any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from submitit.local.protocol import Launch

#: How many entries of the queue may be passed over: a bound on the time of one decision.
BACKFILL_DEPTH = 500
_NO_LIMIT = float("inf")


class Request(NamedTuple):
    """What one job asks for."""

    cpus: int
    #: Seconds from its start after which it is over at the latest.
    limit_s: float
    #: CPUs that may be in use, this job's included, for it to start beside others; ``None``: those of the machine.
    max_cpus: int | None = None
    #: Bytes.
    memory: int = 0
    gpus: int = 0
    #: The GPUs to choose from.
    pool: tuple[str, ...] = ()
    #: Jobs that may run, this one included, for it to start; ``None``: any number.
    max_jobs: int | None = None

    @classmethod
    def of(cls, launch: Launch) -> Request:
        """What a job that is started in this way asks for."""
        leased = launch.lease_gpus
        return cls(
            launch.cpus,
            launch.timeout_s,
            launch.max_cpus,
            int(launch.mem_gb * 2**30),
            launch.gpus if leased else 0,
            tuple(launch.visible_gpus) if leased else (),
            launch.max_jobs,
        )


class Capacity(NamedTuple):
    """What the machine has for jobs."""

    cpus: int
    #: Bytes; ``None``: not known, and no limit.
    memory: int | None = None
    #: No job of the queue has a larger ``max_cpus``: a decision is quick where so many are in use. ``None``: not known.
    most_cpus: int | None = None


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
    memory: int = 0
    gpus: tuple[str, ...] = ()
    #: Whether nothing may start beside it.
    alone: bool = False
    #: 0 for what is no job of this queue.
    jobs: int = 1

    @classmethod
    def of(
        cls, request: Request, capacity: Capacity, end: float, group: int = 0, gpus: tuple[str, ...] = ()
    ) -> Running:
        """A job that asked for ``request``."""
        return cls(request.cpus, end, group, request.memory, gpus, bool(excess(request, capacity)))


class Start(NamedTuple):
    """One job of an entry starts now, on these GPUs."""

    key: int
    gpus: tuple[str, ...] = ()


def held_elsewhere(gpu: str, end: float) -> Running:
    """A GPU that somebody else's job holds."""
    return Running(0, end, gpus=(gpu,), jobs=0)


def excess(request: Request, capacity: Capacity) -> list[str]:
    """Of what a job asks for more than there can ever be: some of ``cpus memory gpus``. Such a job runs alone."""
    found = []
    if request.cpus > (request.max_cpus or capacity.cpus):
        found.append("cpus")
    if capacity.memory is not None and request.memory > capacity.memory:
        found.append("memory")
    if request.gpus > len(request.pool):
        found.append("gpus")
    return found


def decide(queue: Iterable[Entry], running: Collection[Running], capacity: Capacity, now: float) -> list[Start]:
    """The jobs to start now, in the order of the queue.

    A job that asks for more than there can ever be starts when nothing else runs, on what GPUs there are, and nothing starts
    beside it. Jobs that run at the same time never have a GPU in common.
    """
    return _Decision(running, capacity, now).take(queue)


def latest_start(request: Request, running: Collection[Running], capacity: Capacity, now: float) -> float:
    """When there will be room for the job at the latest, if nothing else starts."""
    return _Decision(running, capacity, now).reserve(request).at


class _Use:
    """What jobs that run at the same time hold together."""

    __slots__ = ("alone", "cpus", "gpus", "jobs", "memory")

    def __init__(self, running: Iterable[Running]) -> None:
        self.cpus = self.memory = self.jobs = self.alone = 0
        self.gpus: set[str] = set()
        for job in running:
            self.add(job)

    def add(self, job: Running) -> None:
        self.cpus += job.cpus
        self.memory += job.memory
        self.jobs += job.jobs
        self.alone += job.alone
        self.gpus.update(job.gpus)

    def remove(self, job: Running) -> None:
        self.cpus -= job.cpus
        self.memory -= job.memory
        self.jobs -= job.jobs
        self.alone -= job.alone
        self.gpus.difference_update(job.gpus)

    def free(self, pool: tuple[str, ...]) -> list[str]:
        return [gpu for gpu in pool if gpu not in self.gpus]


class _Reservation:
    """When the first job that does not fit will, and what it leaves over then for jobs that still run."""

    __slots__ = ("at", "cpus", "gpus", "jobs", "memory", "pool")

    def __init__(self, at: float, request: Request, use: _Use, capacity: Capacity, *, alone: bool) -> None:
        self.at = at
        self.pool = frozenset(request.pool)
        self.cpus: float = 0
        self.memory: float = 0
        self.jobs: float = 0
        self.gpus = 0
        if not alone:
            self.cpus = (request.max_cpus or capacity.cpus) - request.cpus - use.cpus
            self.memory = _NO_LIMIT if capacity.memory is None else capacity.memory - request.memory - use.memory
            self.jobs = _NO_LIMIT if request.max_jobs is None else request.max_jobs - 1 - use.jobs
            self.gpus = len(use.free(request.pool)) - request.gpus

    def spare(self, request: Request, gpus: tuple[str, ...]) -> bool:
        """Give a job of what is left over, if that is enough."""
        taken = len(self.pool.intersection(gpus))
        if request.cpus > self.cpus or request.memory > self.memory or self.jobs < 1 or taken > self.gpus:
            return False
        self.cpus -= request.cpus
        self.memory -= request.memory
        self.jobs -= 1
        self.gpus -= taken
        return True


class _Decision:
    def __init__(self, running: Collection[Running], capacity: Capacity, now: float) -> None:
        self._capacity = capacity
        self._now = now
        self._running = list(running)
        self._use = _Use(running)
        self._in_group: dict[int, int] = {}
        for job in running:
            self._in_group[job.group] = self._in_group.get(job.group, 0) + job.jobs

    def take(self, queue: Iterable[Entry]) -> list[Start]:
        started: list[Start] = []
        first: _Reservation | None = None
        # While nothing ends, what was refused once is refused again.
        refused: set[Request] = set()
        passed = 0
        if self._is_full():
            return started
        for entry in queue:
            count = 0
            while count < entry.waiting and entry.request not in refused and self._group_allows(entry):
                gpus = self._place(entry.request, first)
                if gpus is None:
                    first = first or self.reserve(entry.request)
                    refused.add(entry.request)
                    break
                self._start(entry, gpus)
                started.append(Start(entry.key, gpus))
                count += 1
            if count < entry.waiting:
                passed += 1
            if passed > BACKFILL_DEPTH or self._is_full():
                break
        return started

    def reserve(self, request: Request) -> _Reservation:
        use, at = _Use(self._running), self._now
        for job in sorted(self._running, key=lambda job: job.end):
            if self._has_room(request, use):
                break
            use.remove(job)
            at = max(at, job.end)
        return _Reservation(at, request, use, self._capacity, alone=bool(excess(request, self._capacity)))

    def _is_full(self) -> bool:
        most = self._capacity.most_cpus
        return bool(self._use.alone) or (most is not None and self._use.cpus >= max(most, self._capacity.cpus))

    def _has_room(self, request: Request, use: _Use) -> bool:
        if use.alone:
            return False
        if excess(request, self._capacity):
            return not use.jobs and len(use.free(request.pool)) >= min(request.gpus, len(request.pool))
        memory = self._capacity.memory
        return (
            use.cpus + request.cpus <= (request.max_cpus or self._capacity.cpus)
            and (memory is None or not request.memory or use.memory + request.memory <= memory)
            and (request.max_jobs is None or use.jobs < request.max_jobs)
            and (not request.gpus or len(use.free(request.pool)) >= request.gpus)
        )

    def _place(self, request: Request, first: _Reservation | None) -> tuple[str, ...] | None:
        """The GPUs on which a job may start now; ``None`` if it may not."""
        if not self._has_room(request, self._use):
            return None
        gpus: tuple[str, ...] = ()
        if request.gpus:
            free = self._use.free(request.pool)
            if first is not None:
                # Those that the first job has no use for come first.
                free.sort(key=lambda gpu: gpu in first.pool)
            gpus = tuple(free[: request.gpus])
        if first is None or self._now + request.limit_s <= first.at:
            return gpus
        spared = not excess(request, self._capacity) and first.spare(request, gpus)
        return gpus if spared else None

    def _group_allows(self, entry: Entry) -> bool:
        return entry.parallelism is None or self._in_group.get(entry.group, 0) < entry.parallelism

    def _start(self, entry: Entry, gpus: tuple[str, ...]) -> None:
        request = entry.request
        job = Running.of(request, self._capacity, self._now + request.limit_s, entry.group, gpus)
        self._use.add(job)
        self._running.append(job)
        self._in_group[entry.group] = self._in_group.get(entry.group, 0) + 1
