"""What a controller keeps of its jobs: those that wait, by the batches in which they came, and those that were started."""

from __future__ import annotations

import os
import time
from collections import deque
from typing import TYPE_CHECKING

from submitit.local import scheduler
from submitit.local.usage import Usage
from submitit.storage.atomic import lacks_room
from submitit.storage.paths import JobPaths

if TYPE_CHECKING:
    from collections.abc import Iterator

    from submitit.local.leases import Lease
    from submitit.local.protocol import Launch
    from submitit.local.roots import Root
    from submitit.local.tasks import Gate


class Batch:
    """Jobs that were submitted together and still wait."""

    __slots__ = ("_order", "group", "held", "key", "launch", "not_before", "request", "root", "waiting")

    def __init__(self, key: int, root: Root, launch: Launch, group: int) -> None:
        self.key, self.root, self.launch, self.group = key, root, launch, group
        self.request = scheduler.Request.of(launch)
        #: When they may start at the earliest, on the monotonic clock.
        self.not_before = 0.0
        #: Payload reference and number of the coming attempt of each job.
        self.waiting: dict[str, tuple[str | None, int]] = {}
        #: Those of them that wait for other jobs first.
        self.held: set[str] = set()
        # A dict does not give up its first key cheaply.
        self._order: deque[str] = deque()

    def add(self, job_id: str, reference: str | None, attempt: int) -> None:
        self.waiting[job_id] = (reference, attempt)
        self._order.append(job_id)

    def hold(self, job_id: str, reference: str | None, attempt: int) -> None:
        """Add a job that does not start before it is released."""
        self.waiting[job_id] = (reference, attempt)
        self.held.add(job_id)

    def release(self, job_id: str) -> None:
        self.held.discard(job_id)
        self._order.append(job_id)

    def first(self, count: int) -> Iterator[str]:
        """The next jobs to start; each has to be taken out of ``waiting``."""
        while count and self._order:
            job_id = self._order.popleft()
            if job_id in self.waiting:
                count -= 1
                yield job_id


class StartedJob:
    """A job that was started, until the last of its processes is gone."""

    __slots__ = (
        "attempt", "batch", "began", "exits", "gate", "gpus", "id", "key", "kill_at", "lease", "limit_at", "living", "log",
        "memory_kill", "pids", "reason", "recorded", "reference", "requeued", "start", "stopped", "token", "usage", "warn_at",
    )  # fmt: skip

    def __init__(self, key: int, batch: Batch, job_id: str, reference: str | None, attempt: int, token: str) -> None:
        self.key, self.batch, self.token = key, batch, token
        self.id, self.reference, self.attempt = job_id, reference, attempt
        #: Where its tasks wait until it is written down that they exist.
        self.gate: Gate | None = None
        #: The GPUs that it has, and its right to them; no lease yet or any more: ``None``.
        self.gpus: tuple[str, ...] = ()
        self.lease: Lease | None = None
        self.pids: list[tuple[int, str]] = []
        self.exits: list[int | None] = [None] * batch.launch.tasks
        #: Ranks whose result is on disk though their process has not ended.
        self.recorded: list[int] = []
        #: Rank of each task that has not ended, by its process.
        self.living: dict[int, int] = {}
        self.usage = Usage()
        #: What shows that the kernel has killed a task for memory, if it has.
        self.memory_kill = ""
        self.warn_at: float | None = None
        self.kill_at: float | None = None
        #: The state that the job was told to stop for, if it was.
        self.stopped = ""
        self.requeued = False
        self.reason = ""
        #: What its first task prints.
        self.log = JobPaths(batch.launch.folder, job_id, 0).locate("stdout")
        self.begin()

    def begin(self) -> None:
        """Its time counts from now on."""
        self.start = time.time()
        self.began = now = time.monotonic()
        launch = self.batch.launch
        self.limit_at = now + launch.timeout_s
        #: A warning that would come before the job has begun comes half way.
        self.warn_at = now + max(launch.timeout_s - launch.signal_delay_s, launch.timeout_s / 2)

    def lacks_room(self) -> bool:
        """Whether the disk that its results were to be written to is full."""
        return lacks_room(os.path.dirname(self.log))

    @property
    def leased(self) -> tuple[str, ...]:
        """The GPUs that nobody else may have meanwhile."""
        return () if self.lease is None else self.lease.gpus

    def has_result(self, rank: int) -> bool:
        """Whether a task has recorded its result in this attempt."""
        try:
            path = JobPaths(self.batch.launch.folder, self.id, rank).locate("result_pickle")
            return os.stat(path).st_mtime > self.start
        except OSError:
            return False
