"""The handle of a job on this machine."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from submitit.client.job import Job
from submitit.local import version_1
from submitit.local import watcher as watchers
from submitit.local.watcher import LocalInfoWatcher
from submitit.storage.paths import tagless_root

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from subprocess import Popen
    from weakref import ReferenceType

    from submitit.client.attempt import Attempt
    from submitit.orchestrator.collector import Ending
    from submitit.orchestrator.sources import Source

R = TypeVar("R", covariant=True)

#: How long a job may be unknown before it counts as lost.
_UNKNOWN_S = 10.0
_UNKNOWN = "No journal has this job: look whether the folder and the id are right"


class _WatcherOfRoot:
    """``LocalJob.watcher``: of a job, the watcher of its root; of the class, one for all jobs of this process."""

    def __init__(self) -> None:
        self._of_class = LocalInfoWatcher()

    def __get__(self, job: LocalJob[Any] | None, owner: type | None = None) -> LocalInfoWatcher:
        return self._of_class if job is None else watchers.watcher_of(job._root)


class LocalJob(Job[R], Generic[R]):
    """A job on this machine.

    ``process`` is given by `start_controller`'s callers: the job's own controller.
    """

    watcher = _WatcherOfRoot()
    #: A controller tells of an end after the result is on disk.
    _results_timeout_s: float = 0
    _payload: tuple[str, int] | None = None
    _unknown_since: float | None = None
    _flagged_by = 0

    def __init__(
        self,
        folder: Path | str,
        job_id: str,
        tasks: Sequence[int] = (0,),
        process: Popen[bytes] | None = None,
        *,
        trust: bool = False,
    ) -> None:
        self._process = process
        self._root = tagless_root(folder)
        super().__init__(folder, job_id, tasks, trust=trust)

    def _register_in_watcher(self) -> None:
        """Nothing has to be remembered for a watcher."""

    @property
    def state(self) -> str:
        """``PENDING``, ``RUNNING``, ``COMPLETED``, ``FAILED``, ``TIMEOUT``, ``OUT_OF_MEMORY``, ``CANCELLED``, ``NODE_FAIL`` or
        ``UNKNOWN``.
        """
        if self._by_process():
            return self._state_by_process()
        state = super().state
        # A result is on disk a moment before its process has ended and the controller has told so.
        unheard = state == "UNKNOWN" or (self._ending is not None and state in ("PENDING", "RUNNING"))
        return self._state_by_result() if unheard and self._recorded() else state

    def _last_state(self) -> str:
        # not by the watcher's `get_state`, which looks for a process of that number
        record = self.watcher.record(self.job_id, mode="cache")
        if self._ending is not None and (record is None or not record.over):
            return self._ending.state or "COMPLETING"  # its results are here
        return "UNKNOWN" if record is None else record.state

    def get_info(self, mode: str = "force") -> dict[str, str]:
        """What is known of the job: ``JobID State NodeList``, and where known ``ExitCode`` (Slurm's ``code:signal`` of the
        worst task), ``TaskExitCodes`` (of each), ``Reason``, ``Start``, ``End``, ``Elapsed`` (seconds), ``Restarts``; how much
        memory its processes had together at most (``MaxRSS``, in Slurm's way: ``"20480K"``), what was asked for (``ReqMem``),
        their CPU seconds (``TotalCPU``), and ``OutOfMemory``: what shows that the kernel has killed a task for memory.
        """
        if self._by_process():
            return {"JobID": self.job_id, "State": self._state_by_process()}
        return self.watcher.get_info(self.job_id, mode=mode)

    def cancel(self, check: bool = True) -> None:
        """End the job: it does not start, or its processes get SIGTERM and soon SIGKILL. Does nothing if it is over."""
        record = self.watcher.record(self.job_id, mode="cache")
        # A job may be over for the client, which has its result, and a thread of it still run.
        if self._ending is not None if record is None else self.watcher.is_done(self.job_id, mode="cache"):
            return
        self._ask("cancel")
        self._note_cancelled()

    def cancel_at_deletion(self, value: bool = True) -> LocalJob[R]:
        """Cancel the job when this handle is collected, at the latest when this process ends; returns the handle.

        A process that was forked has a copy of the handle, whose end means nothing.
        """
        self._cancel_at_deletion = value
        self._flagged_by = os.getpid()
        if value:
            _cancel_at_exit(self)
        return self

    def __del__(self) -> None:
        if self._flagged_by == os.getpid():
            super().__del__()

    def _interrupt(self, timeout: bool = False) -> None:
        """Send the signal that asks the job to save its state, as at a time-out. For tests of checkpoints."""
        self._ask("signal")

    def _ask(self, action: str) -> None:
        from submitit.local import connection, requests

        if self._by_process():
            requests.ask_process(int(self.job_id), action)
            return
        own = connection.current()
        if own is not None and own.knows(self._root, self.job_id):
            (own.cancel if action == "cancel" else own.interrupt)(self._root, self.job_id)
            return
        requests.ask(self._root, self.job_id, action)

    def _attempts(self) -> list[Attempt]:
        from submitit.local import history

        found = history.attempts(self._root, self.job_id, self.paths, self.watcher.record(self.job_id))
        if not found:
            return super()._attempts()
        # A result is on disk a moment before its process has ended.
        return [*found[:-1], found[-1]._replace(state=self.state)]

    # ---- for the tracker and the collector

    def _source(self) -> Source | None:
        return None if self._process is not None else watchers.source_of(self._root, self.job_id)

    def _look(self, *, at_files: bool = False) -> bool:
        record = self.watcher.record(self.job_id, mode="cache")
        return super()._look(at_files=at_files or (record is not None and bool(record.recorded)))

    def _done_without_source(self, force_check: bool) -> bool:
        if self._by_process():
            if self._process_lives():
                return False
        elif not self._recorded() and not self._cancelled:
            # It may be about to be submitted. What stays unknown is nobody's any more.
            now = time.monotonic()
            if self._unknown_since is None and self._cleaning() is not None:
                self._unknown_since = now - _UNKNOWN_S
            self._unknown_since = self._unknown_since or now
            if now - self._unknown_since < _UNKNOWN_S:
                return False
        self._ending = self._unseen_ending()
        return True

    def _unseen_ending(self) -> Ending:
        from submitit.orchestrator.collector import Ending

        if self._recorded():
            return Ending("", {}, {})
        state = self._state_by_process() if self._by_process() else self.state
        return Ending(state, {}, {"Vanished": _UNKNOWN} if state == "UNKNOWN" else {})

    def _payload_reference(self) -> tuple[str, int] | None:
        if self._payload is None:
            from submitit.storage import journal
            from submitit.storage.paths import Layout

            layout = Layout(self._root)
            submission = journal.find_submission(layout, self.job_id)
            if submission is None or not submission.get("payload"):
                return None
            self._payload = (
                str(layout.payloads / submission["payload"]),
                journal.payload_index(submission, self.job_id),
            )
        return self._payload

    # ---- jobs that are a process: of version 1, and of start_controller

    def _by_process(self) -> bool:
        return self._process is not None or (self._source() is None and version_1.is_controller(self.job_id))

    def _process_lives(self) -> bool:
        if self._process is not None:
            return self._process.poll() is None
        return version_1.is_controller(self.job_id)

    def _state_by_process(self) -> str:
        if self._process_lives():
            return "RUNNING"
        if self._recorded():
            return self._state_by_result()
        return "CANCELLED" if self._cancelled else "FAILED"

    def _state_by_result(self) -> str:
        """Of a job that nobody else tells of. Results of version 1 do not say it without being unpickled: COMPLETED."""
        from submitit.storage.outcome import read_footer

        footers = [read_footer(self._result_path(task)) for task in self._tasks]
        return "FAILED" if any(footer is not None and footer.success is False for footer in footers) else "COMPLETED"

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        state["_process"] = None
        state.pop("_unknown_since", None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Jobs pickled by version 1 have no root.
        self._root = tagless_root(state["_paths"]._folder)
        super().__setstate__(state)


#: Handles whose end is their job's, by their number.
_flagged: dict[int, ReferenceType[LocalJob[Any]]] = {}


def _cancel_at_exit(job: LocalJob[Any]) -> None:
    """When the interpreter itself drops what is left, too little of it works to tell a controller."""
    import atexit
    import weakref

    if not _flagged:
        atexit.register(_cancel_flagged)
    number = id(job)
    _flagged[number] = weakref.ref(job, lambda _: _flagged.pop(number, None))


def _cancel_flagged() -> None:
    for reference in list(_flagged.values()):
        job = reference()
        if job is not None:
            job.__del__()
