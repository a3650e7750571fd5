"""The ``submitit`` backend of joblib.

::

    with joblib.parallel_config(backend="submitit", executor=executor):
        GridSearchCV(…).fit(pixels, labels)

Importing this module registers it; an executor that is made after joblib was imported does that by itself.

::

    Parallel ─ a batch of calls ─▶ _Call.submit ─▶ its thread: what comes together is sent as one array
       ▲                                                     │
       └── results, and it asks for the next batches ◀── the thread ◀── the futures that are over
"""

from __future__ import annotations

import concurrent.futures
import functools
import math
import queue
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

import joblib
from joblib.parallel import AutoBatchingMixin, ParallelBackendBase

from submitit.client import packed
from submitit.client.cancelling import cancel
from submitit.storage.submission import DelayedSubmission

if TYPE_CHECKING:
    from collections.abc import Callable

    from submitit.client.futures import FuturesExecutor, JobFuture

    Future = concurrent.futures.Future[Any]
    Callback = Callable[[Future], object]
    Executor = Any  # a client.executor.Executor, which imports this module

#: What joblib hands over in one go comes at shorter intervals than this.
GATHERING_S = 0.02
#: How many jobs ``n_jobs=-1`` means where only the scheduler knows how many can run at a time, and no ``array_parallelism`` says it.
MANY = 256


class SubmititBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]  # joblib has no types
    """Runs the calls of a ``joblib.Parallel`` as jobs of ``executor``, with its parameters: several cheap ones in one job.

    ``n_jobs`` is how many jobs there may be at a time. ``-1``, which is the default, means as many as the executor can run at a
    time as far as it knows, else its ``array_parallelism``; ``1`` means no jobs at all, as always with joblib: the calls are
    made in this process. So they are by the debug executor.

    What a call raises is raised, and the other jobs are cancelled, those that run too; so they are at Ctrl-C. In a job, joblib
    counts the CPUs that the job has asked for.
    """

    supports_retrieve_callback = True
    default_n_jobs = -1

    def __init__(self, executor: Executor = None, **others: Any) -> None:
        super().__init__(**others)
        self._executor = executor
        self._call: _Call | None = None
        self._seconds = 0.0

    def configure(self, n_jobs: int = 1, parallel: Any = None, **_: Any) -> int:
        """Be used by ``parallel``; return how many jobs there are at a time."""
        self.parallel = parallel
        if self._backend()._concurrency() is None:
            # A place in the queue costs more than in a pool's.
            self.MIN_IDEAL_BATCH_DURATION, self.MAX_IDEAL_BATCH_DURATION = 30, 300
        return self.effective_n_jobs(n_jobs)

    def effective_n_jobs(self, n_jobs: int) -> int:
        """How many jobs there are at a time."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        most: int | None = self._backend()._concurrency()
        if most == 0 or n_jobs == 1:
            return 1
        if n_jobs > 0:
            return n_jobs
        most = most or self._executor.parameters.get("array_parallelism") or MANY
        return max(2, most + 1 + n_jobs)

    def _backend(self) -> Executor:
        """What the executor hands its submissions to; raises ``TypeError`` where it is no executor."""
        if not hasattr(self._executor, "as_futures"):
            raise TypeError(
                'joblib.parallel_config(backend="submitit", executor=executor) takes one of submitit\'s executors, '
                f"not {self._executor!r:.100}"
            )
        return self._executor._backend()

    # ---- one call of Parallel

    def start_call(self) -> None:
        n_jobs = self.parallel.n_jobs
        self._call = _Call(self._executor.as_futures(), _cpus(self._executor), n_jobs if n_jobs > 0 else None)

    def submit(self, func: Any, callback: Callback) -> None:
        """Have a batch of calls made by a job; ``callback`` is given its future, once it is over."""
        assert self._call is not None
        self._call.submit(func, callback)

    #: The name until joblib 1.5.
    apply_async = submit

    def retrieve_result_callback(self, out: Future) -> list[Any]:
        """The values of a batch's calls, or what one of them raised."""
        results: list[Any]
        self._seconds, results = out.result()
        return results

    def batch_completed(self, batch_size: int, duration: float) -> None:
        """Called next, with a duration that counts the time in the queue."""
        super().batch_completed(batch_size, self._seconds)

    def abort_everything(self, ensure_ready: bool = True) -> None:
        if self._call is not None:
            self._call.abort()

    def stop_call(self) -> None:
        if self._call is not None:
            self._call.stop()
            self._call = None


class _Call:
    """The batches of one call of ``Parallel``, on their way into jobs and back."""

    def __init__(self, futures: FuturesExecutor, cpus: int, limit: int | None) -> None:
        self._futures = futures
        self._cpus = cpus
        self._limit = limit
        #: What other threads have for this one: batches, and futures that are over. ``None`` is the end.
        self._news: queue.SimpleQueue[tuple[Any, Callback] | None] = queue.SimpleQueue()
        self._waiting: deque[tuple[Any, Callback]] = deque()
        self._sent: set[JobFuture[Any]] = set()
        #: Whether there is news of what joblib hands over by itself, and not because there is room.
        self._handed_over = False
        self._aborted = False
        self._thread = threading.Thread(target=self._serve, name="submitit-joblib", daemon=True)
        self._thread.start()

    def submit(self, batch: Any, callback: Callback) -> None:
        """Have a batch sent, soon, and ``callback`` called with its future in the thread of this call."""
        if threading.current_thread() is self._thread:  # a callback of ours has made room for it
            self._waiting.append((batch, callback))
        else:
            self._news.put((batch, callback))

    def abort(self) -> None:
        """Nobody wants the results any more: cancel the jobs, those that run too."""
        self._aborted = True
        self._futures.shutdown(wait=False, cancel_futures=True)
        self._cancel_sent()

    def stop(self) -> None:
        """End the thread, when it has done what it is at."""
        self._news.put(None)

    # ---- the thread's side

    def _serve(self) -> None:
        while self._take(self._news.get()):
            while not self._news.empty() or self._gathers():
                try:
                    if not self._take(self._news.get(timeout=GATHERING_S)):
                        return
                except queue.Empty:
                    break
            self._handed_over = False
            if not self._aborted:
                self._send()

    def _gathers(self) -> bool:
        """Whether joblib may just be handing over more, for which there is room in the same array."""
        return self._handed_over and len(self._waiting) < self._room()

    def _room(self) -> float:
        return math.inf if self._limit is None else self._limit - len(self._sent)

    def _take(self, news: tuple[Any, Callback] | None) -> bool:
        if news is None:
            return False
        what, callback = news
        if isinstance(what, concurrent.futures.Future):
            self._sent.discard(what)
            callback(what)  # takes the result, and comes with the next batches
        else:
            self._waiting.append(news)
            self._handed_over = True
        return True

    def _send(self) -> None:
        """Send what waits and has room, as one array."""
        batches = [self._waiting.popleft() for _ in range(int(min(self._room(), len(self._waiting))))]
        try:
            futures = self._futures._submit([self._submission(batch) for batch, _ in batches])
            if futures and futures[0].job.num_tasks > 1:
                cancel([future.job for future in futures])
                raise ValueError("joblib's calls are made in jobs of one task: set tasks_per_node=1 and nodes=1")
        except BaseException as error:  # noqa: BLE001 - it is raised by Parallel, in its own thread
            for _, callback in batches:
                self._news.put((_failed(error), callback))
            return
        self._sent.update(futures)
        for future, (_, callback) in zip(futures, batches, strict=True):
            future.add_done_callback(functools.partial(self._over, callback))
        if self._aborted:
            self._cancel_sent()

    def _over(self, callback: Callback, future: Future) -> None:
        self._news.put((future, callback))

    def _submission(self, batch: Any) -> DelayedSubmission:
        shapes, values = packed.flat(batch.items)
        return DelayedSubmission(packed.call_flat, shapes, self._cpus, *values)

    def _cancel_sent(self) -> None:
        jobs = [future.job for future in list(self._sent) if not future.done()]
        if jobs:
            cancel(jobs)


def _cpus(executor: Executor) -> int:
    """How many CPUs the tasks of its jobs have."""
    own: Any = executor._backend()
    return int(own.parameters.get(own._own_name("cpus_per_task")) or 1)


def _failed(error: BaseException) -> Future:
    future: Future = concurrent.futures.Future()
    future.set_exception(error)
    return future


joblib.register_parallel_backend("submitit", SubmititBackend)
