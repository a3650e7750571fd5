"""Calling back when jobs are over, on behalf of those who do not wait themselves.

::

    add(jobs, callback) ──▶ requests ──▶ one thread: a Waiter to which jobs are added while it waits
                 (a wake ends its sleep)        └─▶ callback(job), once for each

The thread exists while there is a job to wait for. It is a daemon: neither it nor a callback keeps the process from ending.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

# What the thread needs is loaded before it begins: a process that is forked while it imports could never import the same.
from submitit import log
from submitit.orchestrator import collector  # noqa: F401
from submitit.orchestrator.tracker import Waiter
from submitit.orchestrator.wake import Wake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Waitable = Any  # a client.job.Job: the layer above this one
    Callback = Callable[[Any], object]

#: How long after an error the jobs are looked at again.
PAUSE_S = 1.0
#: How long the end of the process waits for a callback that is just being called.
LEAVE_S = 0.2


class Notifier:
    """Calls back once for each job that is over. Any thread may use it, a finalizer too."""

    def __init__(self) -> None:
        self._wake = Wake()
        #: What the thread is to do: add or discard a callback for some jobs.
        self._requests: deque[tuple[bool, list[Waitable], Callback]] = deque()
        #: Whether there is a thread is settled under it.
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._leaving = False
        #: The thread's own: what to call for each job that it waits for.
        self._callbacks: dict[Waitable, list[Callback]] = {}

    def add(self, jobs: Iterable[Waitable], callback: Callback) -> None:
        """Have ``callback(job)`` called in the thread for each job that is over, or when it is."""
        self._request((True, list(jobs), callback))

    def discard(self, jobs: Iterable[Waitable], callback: Callback) -> None:
        """Take back what was asked for by ``add``, for as many of the jobs as are not over. It may just be being called."""
        self._request((False, list(jobs), callback))

    def _request(self, request: tuple[bool, list[Waitable], Callback]) -> None:
        self._requests.append(request)
        with self._lock:
            if self._thread is not None:
                self._wake.set()
            elif request[0] and not self._leaving:
                self._thread = threading.Thread(target=self._serve, name="submitit-notifier", daemon=True)
                self._thread.start()

    def leave(self) -> None:
        """The process ends: nothing more is called. What is just being called has a moment to come to its end."""
        self._leaving = True
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            self._wake.set()
            thread.join(LEAVE_S)

    def forked(self) -> None:
        """This process is a copy, without the thread: give its descriptors back."""
        self._wake.close()

    # ---- the thread's side

    def _serve(self) -> None:
        waiter = Waiter(wake=self._wake)
        while not self._leaving:
            self._wake.clear()
            self._take_requests(waiter)
            if not self._callbacks and self._may_end():
                return
            self._call_back(self._ended(waiter))

    def _call_back(self, over: list[Waitable]) -> None:
        for job in over:
            for callback in self._callbacks.pop(job, ()):
                if not self._leaving:
                    call(callback, job)

    def _take_requests(self, waiter: Waiter) -> None:
        fresh: list[Waitable] = []
        while self._requests:
            added, jobs, callback = self._requests.popleft()
            if added:
                for job in jobs:
                    self._callbacks.setdefault(job, []).append(callback)
                fresh += jobs
                continue
            for job in jobs:
                callbacks = self._callbacks.get(job, [])
                if callback in callbacks:
                    callbacks.remove(callback)
                    if not callbacks:
                        del self._callbacks[job]
                        waiter.discard(job)
        waiter.add(job for job in fresh if job in self._callbacks)

    def _may_end(self) -> bool:
        with self._lock:
            self._thread = None
            if not self._requests:
                return True
            # from a finalizer that has run in between
            self._thread = threading.current_thread()
            return False

    def _ended(self, waiter: Waiter) -> list[Waitable]:
        """The jobs that are over, and those that raise when they are asked: whoever asks them for more gets the error."""
        try:
            return waiter.ended()
        except BaseException:  # noqa: BLE001 - logged, and whoever asks the job gets it
            log.get_logger().exception("Looking whether %d jobs are over failed, and is tried again", waiter.pending)
        # some may have been seen to be over before it failed
        over = [job for job in self._callbacks if job not in waiter or _raises(job)]
        for job in over:
            waiter.discard(job)
        if not over:
            time.sleep(PAUSE_S)
        return over


def _raises(job: Waitable) -> bool:
    try:
        job.done()
    except Exception:  # noqa: BLE001 - a plugin's own
        return True
    return False


def call(callback: Callback, job: Waitable) -> None:
    """Call back; what it raises is logged, as ``concurrent.futures`` does."""
    try:
        callback(job)
    except BaseException as error:
        if not isinstance(error, Exception) and threading.current_thread() is threading.main_thread():
            raise  # Ctrl-C, and sys.exit
        log.get_logger().exception("A callback of job %s failed: %r", job.job_id, callback)


_current: Notifier | None = None
_making = threading.RLock()
_registered = False


def notifier() -> Notifier:
    """This process's notifier, made if need be."""
    global _current, _registered  # noqa: PLW0603 - one a process is the point
    with _making:
        if not _registered:
            _registered = True
            os.register_at_fork(after_in_child=_forked)
            atexit.register(_leave)
        if _current is None:
            _current = Notifier()
        return _current


def _forked() -> None:
    global _current, _making  # noqa: PLW0603
    _making = threading.RLock()
    if _current is not None:
        _current.forked()
        _current = None


def _leave() -> None:
    if _current is not None:
        _current.leave()
