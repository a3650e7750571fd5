"""The life of the jobs of one controller: waiting, started, told to stop, over.

It starts processes and signals them, but waits for nothing: the event loop tells it what ended and what time it is. Each
step is a `Record`, written to the journal and handed to ``tell`` before anything follows from it.
"""

from __future__ import annotations

import heapq
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

from submitit.local import (
    environment,
    memory_kills,
    processes,
    records,
    scheduler,
    signalling,
    tasks,
    usage,
)
from submitit.local.jobs import Batch, StartedJob
from submitit.local.leases import Lease, Leases
from submitit.local.nurseries import Start
from submitit.local.records import Record
from submitit.local.roots import Root
from submitit.storage.paths import Layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from submitit.local.dependencies import After, Dependencies, Key
    from submitit.local.nurseries import Nurseries
    from submitit.local.protocol import Launch

#: Seconds between SIGTERM and SIGKILL.
KILL_WAIT_S = 2.0
#: How often cancel files are looked for.
LOOK_S = 0.5
#: How soon what could not be signalled or did not die yet is tried again.
RETRY_S = 0.05

_HOST = os.uname().nodename


class Supervisor:
    """All jobs of a controller. ``tell`` gets every record, with the root it belongs to, once it is in the journal."""

    def __init__(
        self,
        controller: str,
        client: processes.Identity,
        capacity: scheduler.Capacity,
        nurseries: Nurseries,
        tell: Callable[[str, Record], None],
    ) -> None:
        self._controller = controller
        self._client = client
        self._capacity = capacity._replace(most_cpus=capacity.cpus)
        self._leases = Leases(controller, os.environ)
        self._nurseries = nurseries
        nurseries.listener = self
        self._tell = tell
        self._roots: dict[str, Root] = {}
        self._queue: dict[int, Batch] = {}
        self._running: dict[int, StartedJob] = {}
        self._by_pid: dict[int, StartedJob] = {}
        #: Where each job that is not over is, by root and id.
        self._places: dict[tuple[str, str], Batch | StartedJob] = {}
        #: Who waits for whom, once somebody does.
        self._dependencies: Dependencies | None = None
        self._serial = 0
        #: Whether something has changed since it was decided what to start.
        self._undecided = False
        self._closing = False
        self._look_at = 0.0
        self._measure_at = 0.0
        self._memory_kills = memory_kills.MemoryKills(memory_kills.own_counter())
        #: Tasks whose nursery has died, and who are nobody's children where this process does not inherit them.
        self._strays: dict[int, StartedJob] = {}
        #: Tokens of jobs that are over, whose last processes may still have to be killed.
        self._remains: set[str] = set()
        self._retry_at: float | None = None
        #: How often each job was started again because it had failed, by the reasons.
        self._failures: dict[tuple[str, str], dict[str, int]] = {}
        #: When jobs may start that are kept from it, the next first.
        self._due: list[float] = []

    # ---- what the client asks for

    @property
    def idle(self) -> bool:
        """Whether nothing waits, runs or has to be killed."""
        lingering = self._leases.lingering and not self._closing
        return not (self._queue or self._running or self._remains or lingering)

    def submit(
        self, root: str, launch: Launch, jobs: Iterable[tuple[str, str | None, int]], after: After | None = None
    ) -> None:
        """Queue jobs: id, payload reference and number of the coming attempt of each; and what they wait for."""
        try:
            place = self._root(root)
        except OSError as error:  # what the client could write to a moment ago
            now = time.time()
            for job_id, _, attempt in jobs:
                failed = Record(job_id, records.FAILED, True, now, attempt, launch.tasks, end=now, reason=str(error))
                self._tell(root, failed)
            return
        batch = Batch(self._next(), place, launch, group=self._serial)
        for job_id, reference, attempt in jobs:
            (batch.add if after is None else batch.hold)(job_id, reference, attempt)
            self._places[root, job_id] = batch
        self._queue[batch.key] = batch
        self._undecided = True
        most = max(self._capacity.most_cpus or 0, launch.max_cpus or 0)
        self._capacity = self._capacity._replace(most_cpus=most)
        place.write(records.waiting(batch.waiting, launch.tasks, time.time()))
        if after is not None:
            self._hold(batch, after)

    def cancel(self, root: str, job_id: str, reason: str = "") -> None:
        """End a job for good. Does nothing if it is over."""
        place = self._places.get((root, job_id))
        if isinstance(place, Batch):
            _, attempt = self._take(place, job_id)
            del self._places[root, job_id]
            self._undecided = True
            now, count = time.time(), place.launch.tasks
            self._say(place.root, Record(job_id, records.CANCELLED, True, now, attempt, count, end=now, reason=reason))
        elif place is not None and place.stopped != records.CANCELLED:
            place.reason = reason
            self._stop(place, records.CANCELLED)
            if place.key in self._running:
                # Known at once, while its processes still come to their end.
                self._say(place.batch.root, self._record(place, records.CANCELLED, over=False))

    def interrupt(self, root: str, job_id: str) -> None:
        """Send the signal that asks a job to save its state. Does nothing if the job does not run."""
        place = self._places.get((root, job_id))
        if isinstance(place, StartedJob):
            self._warn(place)

    def lost(self, root: str, lines: Iterable[dict[str, Any]]) -> None:
        """Write down jobs that ran under a controller that was killed, and end what is left of them."""
        place = self._root(root)
        for line in lines:
            record = Record.read(line)
            for pid, started in record.pids:
                signalling.kill_lost_task(processes.Identity(processes.machine(), pid, started), record.job)
            self._say(place, record)

    def close(self) -> None:
        """Cancel everything: the controller itself was told to end."""
        self._closing = True
        for batch in list(self._queue.values()):
            for job_id in list(batch.waiting):
                self.cancel(batch.root.path, job_id, "the controller was told to end")
        for job in list(self._running.values()):
            self.cancel(job.batch.root.path, job.id, "the controller was told to end")

    def write_end(self) -> None:
        """The last line of every journal."""
        for root in self._roots.values():
            root.close()

    # ---- what the event loop tells

    def wake_in(self, now: float) -> float | None:
        """Seconds until there is something to do again if nothing ends before; ``None``: nothing."""
        if self._undecided and self._queue and not self._closing:
            return 0.0
        moments: list[float] = []
        if self._queue or self._running or self._leases.lingering or self._behind:
            moments.append(self._look_at)
        if self._retry_at is not None:
            moments.append(self._retry_at)
        if self._due:
            moments.append(self._due[0])
        for job in self._running.values():
            if job.warn_at is not None and job.gate is None:
                moments.append(job.warn_at)
            if job.kill_at is not None:
                moments.append(job.kill_at)
            if not job.stopped:
                moments.append(job.limit_at)
        return max(0.0, min(moments) - now) if moments else None

    def step(self, now: float) -> None:
        """Do what is due: time-outs, cancel files, the remains of jobs, and starting what fits."""
        for job in list(self._running.values()):
            if not job.stopped:
                if job.gate is None and job.warn_at is not None and now >= job.warn_at:
                    self._warn(job)
                if now >= job.limit_at:
                    if job.gate is not None:
                        job.reason = "its tasks had not been started by then"
                    self._stop(job, records.TIMEOUT)
            if job.kill_at is not None and now >= job.kill_at:
                self._kill(job)
        while self._due and now >= self._due[0]:
            heapq.heappop(self._due)
            self._undecided = True
        self._start_what_fits(now)  # before what takes longer, and again after it
        if (self._queue or self._running or self._leases.lingering or self._behind) and now >= self._look_at:
            self._look_at = now + LOOK_S
            for root in self._roots.values():
                root.catch_up()
            self._undecided |= self._leases.look()
            self._look_for_cancels()
            if self._dependencies is not None:
                self._dependencies.look()
            self._look_for_results()
            self._look_at_usage(now)
        if self._retry_at is not None and now >= self._retry_at:
            self._sweep(now)
        self._start_what_fits(now)

    def ended(self, pid: int, code: int, used: processes.Used | None = None) -> None:
        """A process has ended and is about to be reaped. Its exit code; a signal as a negative number."""
        job = self._by_pid.get(pid)
        if job is None:
            return  # an orphan of a job
        job.exits[job.living[pid]] = code
        if not job.requeued and code != 0 and job.stopped != records.CANCELLED:
            job.requeued = os.path.exists(job.batch.root.requeue_file(job.id))
            if job.requeued and len(job.living) > 1:
                self._stop(job, job.stopped or records.PENDING)  # as a requeued job's other tasks are on Slurm
        if code != 0 and not job.stopped and job.batch.launch.retry is not None and len(job.living) > 1:
            self._stop(job, records.PENDING)  # it runs again as a whole, if it does
        if not job.stopped:
            signalling.send_to_group(pid, signal.SIGKILL)
        self._nurseries.reap(pid)
        if used is not None and not job.stopped:
            self.reaped(pid, *used)  # nobody has to wait until its number is free

    def reaped(self, pid: int, cpu_s: float, max_rss_mb: float) -> None:
        """Nothing of a process that has ended is left but what it had started."""
        job = self._by_pid.pop(pid, None)
        if job is None:
            return
        rank = job.living.pop(pid)
        job.usage.ended(cpu_s, max_rss_mb)
        launch = job.batch.launch
        told_to_end = job.stopped not in ("", records.PENDING)
        if not told_to_end and not job.memory_kill and memory_kills.killed(job.exits[rank], shell=launch.shell):
            job.memory_kill = self._memory_kills.explain(pid, rank, job.began, job.usage, launch.mem_gb)
        if job.stopped:
            # A shell may be gone before what it ran: that still has its time.
            job.living[-pid] = rank
            self._retry_at = time.monotonic()
        elif not job.living:
            self._finish(job)
        elif job.exits[rank] != 0:
            self._say(job.batch.root, self._record(job, records.RUNNING, over=False))

    def bereft(self, pids: Iterable[int], reason: str) -> None:
        """What had started these tasks was killed, and they with it."""
        for pid in pids:
            job = self._by_pid.get(pid)
            if job is None:
                continue  # it had ended before
            if job.exits[job.living[pid]] is not None:
                self.reaped(pid, 0.0, 0.0)
                continue
            self._strays[pid] = job
            if job.stopped != records.LOST:
                job.reason = reason
                self._stop(job, job.stopped or records.LOST)
        self._retry_at = time.monotonic()

    # ---- starting

    def _start_what_fits(self, now: float) -> None:
        while self._dependencies is not None and self._dependencies.settled:
            self._settle(self._dependencies.take())
        if not self._undecided or not self._queue or self._closing:
            return
        self._undecided = False
        entries = (
            scheduler.Entry(
                batch.key, batch.request, len(batch.waiting) - len(batch.held), batch.group, batch.launch.parallelism
            )
            for batch in self._queue.values()
            if batch.not_before <= now
        )
        running = [
            scheduler.Running.of(
                job.batch.request, self._capacity, job.kill_at or job.limit_at, job.batch.group, job.leased
            )
            for job in self._running.values()
        ]
        for gpu, until in self._leases.elsewhere.items():
            running.append(scheduler.held_elsewhere(gpu, now + until - time.time()))
        for key, gpus in scheduler.decide(entries, running, self._capacity, now):
            batch = self._queue[key]
            lease = self._leases.take(gpus, batch.launch.timeout_s + KILL_WAIT_S)
            if lease is None:
                self._undecided = True  # it is decided again, now that it is known who has what
                break
            job_id = next(batch.first(1))
            if os.path.exists(os.path.join(batch.root.cancels, job_id)):
                self._leases.give_back(lease)
                self._cancelled_by_file(batch.root, job_id)
            else:
                self._start(batch, job_id, lease)

    def _start(self, batch: Batch, job_id: str, lease: Lease) -> None:
        reference, attempt = self._take(batch, job_id)
        key = self._next()
        job = StartedJob(key, batch, job_id, reference, attempt, f"{self._controller}.{key}")
        job.lease, job.gpus = lease, lease.gpus
        if not batch.launch.lease_gpus:
            job.gpus = tuple(batch.launch.visible_gpus[: batch.launch.gpus])
        self._running[key] = self._places[batch.root.path, job_id] = job
        env = {tasks.TOKEN: job.token, environment.REQUEUE: batch.root.requeue_file(job_id)}
        if batch.launch.retry is not None:
            import json

            from submitit.orchestrator.retry import VARIABLE

            env[VARIABLE] = json.dumps(batch.launch.retry)
        try:
            job.gate = tasks.Gate()
            self._nurseries.start(Start(key, batch.launch, job_id, attempt, reference, job.gpus, env, job.gate))
        except OSError as error:
            self.started(key, [], str(error))

    def started(self, key: int, pids: list[tuple[int, str]], problem: str) -> None:
        """The tasks of a job exist, and wait at its gate; not all of them if there was a problem."""
        job = self._running[key]
        job.begin()
        for rank, (pid, started) in enumerate(pids):
            job.pids.append((pid, started))
            job.living[pid] = rank
            self._by_pid[pid] = job
        if problem:
            job.reason = f"task {len(pids)} could not be started: {problem}"
            self._stop(job, job.stopped or records.FAILED)
        elif job.gate is not None and not job.stopped:
            # In the journal first: a job is never begun twice, even if this process is killed here.
            self._say(job.batch.root, self._record(job, records.RUNNING, over=False))
            if job.lease is not None:
                job.lease.name(job.pids)
            job.gate.open(len(pids))
        if job.gate is not None:
            job.gate.close()
            job.gate = None
        if not job.living:
            self._finish(job)

    def _take(self, batch: Batch, job_id: str) -> tuple[str | None, int]:
        taken = batch.waiting.pop(job_id)
        batch.held.discard(job_id)
        if not batch.waiting:
            del self._queue[batch.key]
        return taken

    # ---- jobs that wait for others

    def _hold(self, batch: Batch, after: After) -> None:
        """The jobs of a batch start when those that they wait for have ended as they had to."""
        if self._dependencies is None:
            from submitit.local.dependencies import Dependencies

            self._dependencies = Dependencies(self._places)
        self._dependencies.add(batch.root.path, batch.waiting, after)

    def _settle(self, settled: Iterable[tuple[Key, str]]) -> None:
        """Release jobs that wait for nothing any more, and end those with a reason why they never will start."""
        for (root, job_id), reason in settled:
            place = self._places.get((root, job_id))
            if not isinstance(place, Batch) or job_id not in place.held:
                continue  # cancelled meanwhile
            self._undecided = True
            if not reason:
                place.release(job_id)
                continue
            _, attempt = self._take(place, job_id)
            del self._places[root, job_id]
            now, count = time.time(), place.launch.tasks
            self._say(place.root, Record(job_id, records.CANCELLED, True, now, attempt, count, end=now, reason=reason))

    # ---- stopping

    def _warn(self, job: StartedJob) -> None:
        """Ask the job to save its state: each task's first process that has a handler for the signal."""
        waiting = False
        for pid in [pid for pid in job.living if pid > 0]:
            if not signalling.ask_to_save(pid, job.batch.launch):
                waiting = True
        job.warn_at = time.monotonic() + RETRY_S if waiting else None

    def _stop(self, job: StartedJob, state: str) -> None:
        """Have the job's processes end: now by SIGTERM, by SIGKILL if they do not."""
        job.stopped = state
        job.warn_at = None
        job.kill_at = time.monotonic() + KILL_WAIT_S
        for pid in job.living:
            if not signalling.send_to_group(abs(pid), signal.SIGTERM) and pid > 0:
                signalling.send(pid, signal.SIGTERM)  # so new that it has no group of its own yet
        orphans = self._orphans_of(job)
        below = processes.descendants([*(abs(pid) for pid in job.living), *orphans])
        for pid in {*orphans, *filter(signalling.is_controller, below)}:
            signalling.send(pid, signal.SIGTERM)
        if job.gate is not None and self._nurseries.give_up(job.key):
            self.started(job.key, [], "")

    def _kill(self, job: StartedJob) -> None:
        """SIGKILL to everything that the job has started, until nothing is left."""
        job.kill_at = time.monotonic() + RETRY_S
        leaders = [abs(pid) for pid in job.living]
        signalling.kill_trees([*leaders, *self._orphans_of(job)])
        for pid in leaders:
            signalling.send_to_group(pid, signal.SIGKILL)

    def _orphans_of(self, job: StartedJob) -> list[int]:
        return [pid for pid, token in signalling.orphans(self._by_pid) if token == job.token]

    def _look_for_results(self) -> None:
        """A thread or an exit handler that does not end keeps a process, and must not keep its result from the client."""
        for job in self._running.values():
            new = [rank for rank in job.living.values() if rank not in job.recorded and job.has_result(rank)]
            if new and not job.stopped:
                job.recorded = sorted([*job.recorded, *new])
                self._say(job.batch.root, self._record(job, records.RUNNING, over=False))

    def _look_at_usage(self, now: float) -> None:
        """What jobs use that have run for a while: those that are soon over cost nothing."""
        running = [job for job in self._running.values() if now - job.began > usage.FIRST_LOOK_S]
        self._memory_kills.look([pid for job in running for pid in job.living if pid > 0])
        if running and now >= self._measure_at:
            before = time.process_time()
            usage.look({abs(pid): job.usage for job in running for pid in job.living})
            self._measure_at = now + usage.REST * (time.process_time() - before)

    def _look_for_cancels(self) -> None:
        for root in self._roots.values():
            try:
                names = os.listdir(root.cancels)
            except OSError:
                continue
            for job_id in names:
                self._cancelled_by_file(root, job_id)

    def _cancelled_by_file(self, root: Root, job_id: str) -> None:
        self.cancel(root.path, job_id, "cancelled from another process")
        try:
            os.unlink(os.path.join(root.cancels, job_id))
        except OSError as error:
            print(f"cannot remove a cancel file: {error}", file=sys.stderr, flush=True)

    # ---- the end of a job

    def _finish(self, job: StartedJob) -> None:
        """Every task has ended: the job waits again or is over."""
        batch = job.batch
        del self._running[job.key], self._places[batch.root.path, job.id]
        self._undecided = True
        if job.lease is not None:
            self._leases.give_back(job.lease)
        if job.requeued and job.stopped != records.CANCELLED and not self._closing:
            self._requeue(job)
        elif not self._start_again(job):
            state = self._final_state(job)
            if state == records.FAILED and not job.reason and job.lacks_room():
                job.reason = "no space is left on the disk of the job's folder"
            self._say(batch.root, self._record(job, state, over=True))
        self._remains.add(job.token)
        self._retry_at = time.monotonic()

    def _final_state(self, job: StartedJob) -> str:
        if job.stopped == records.CANCELLED:
            return records.CANCELLED
        if job.stopped != records.LOST and all(code == 0 for code in job.exits):
            return records.COMPLETED
        if job.stopped in (records.TIMEOUT, records.LOST):
            return job.stopped
        return records.OUT_OF_MEMORY if job.memory_kill else records.FAILED

    def _requeue(self, job: StartedJob) -> None:
        root, launch = job.batch.root, job.batch.launch
        try:
            os.unlink(root.requeue_file(job.id))
        except OSError as error:
            print(f"cannot remove a requeue file: {error}", file=sys.stderr, flush=True)
        root.write(self._record(job, self._final_state(job), over=True).write_attempt("requeue"))
        self._queue_again(job, launch)

    def _queue_again(self, job: StartedJob, launch: Launch, delay_s: float = 0.0) -> None:
        root = job.batch.root
        batch = Batch(self._next(), root, launch, job.batch.group)
        batch.add(job.id, job.reference, job.attempt + 1)
        if delay_s:
            batch.not_before = time.monotonic() + delay_s
            heapq.heappush(self._due, batch.not_before)
        self._queue[batch.key] = self._places[root.path, job.id] = batch
        self._say(root, Record(job.id, records.PENDING, False, time.time(), job.attempt + 1, launch.tasks))

    def _start_again(self, job: StartedJob) -> bool:
        """Whether a job that has ended waits again, because it has failed and its policy says so."""
        if job.batch.launch.retry is None:
            return False
        from submitit.local import failures

        key = (job.batch.root.path, job.id)
        state = self._final_state(job)
        before = self._failures.pop(key, {})
        found = None if self._closing else failures.again(job, state, before)
        if found is None:
            failures.settle(job)
            return False
        self._failures[key] = {**before, found.reason: before.get(found.reason, 0) + 1}
        job.batch.root.write(self._record(job, state, over=True).write_attempt(found.reason))
        self._queue_again(job, found.launch, found.delay_s)
        return True

    def _record(self, job: StartedJob, state: str, *, over: bool) -> Record:
        now = time.time()
        return Record(
            job.id,
            state,
            over,
            now,
            job.attempt,
            job.batch.launch.tasks,
            job.start,
            now if over else 0.0,
            _HOST,
            list(job.pids),
            list(job.exits) if over or any(job.exits) else [],
            job.reason[:1000],
            # The folder itself may be there again: another job's controller makes it anew, with its journal.
            over and state != records.COMPLETED and not os.path.exists(job.log),
            list(job.recorded),
            gpus=list(job.gpus),
            peak_mb=round(job.usage.peak_mb, 1),
            cpu_s=round(job.usage.cpu_s, 3),
            memory_kill=job.memory_kill,
            mem_gb=job.batch.launch.mem_gb,
        )

    # ---- what jobs leave behind

    def _sweep(self, now: float) -> None:
        """Kill what jobs that are over have left behind, and see to jobs of which only a process group is left."""
        for pid in [pid for pid in self._strays if not processes.start_time(pid)]:
            del self._strays[pid]
            self.ended(pid, -signal.SIGKILL)
            self.reaped(pid, 0.0, 0.0)
        bereft = [job for job in self._running.values() if any(pid < 0 for pid in job.living)]
        for job in bereft:
            for pid in [pid for pid in job.living if pid < 0 and not signalling.send_to_group(-pid, 0)]:
                del job.living[pid]
            if not job.living:
                self._finish(job)
        left = self._kill_remains()
        again = left or self._strays or any(job.living for job in bereft)
        self._retry_at = now + RETRY_S if again else None

    def _kill_remains(self) -> bool:
        """Whether something was left of jobs that are over."""
        if not self._remains:
            return False
        left: set[str] = set()
        for pid, token in signalling.orphans({*self._by_pid, *self._nurseries.pids}):
            if token in self._remains and not signalling.is_controller(pid):
                signalling.kill_trees([pid])
                left.add(token)
        self._remains = left
        return bool(left)

    # ----

    @property
    def _behind(self) -> bool:
        return any(root.behind for root in self._roots.values())

    def _root(self, path: str) -> Root:
        root = self._roots.get(path)
        if root is None:
            root = self._roots[path] = Root(Layout(path), self._controller, self._client)
        return root

    def _say(self, root: Root, record: Record) -> None:
        root.write(record.write())
        self._tell(root.path, record)
        if record.over and self._dependencies is not None:
            self._dependencies.ended((root.path, record.job), record)
            self._undecided = True

    def _next(self) -> int:
        self._serial += 1
        return self._serial
