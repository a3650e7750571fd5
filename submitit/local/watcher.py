"""What is known of local jobs, without asking anybody: told by this process's controller, or read in journals."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from submitit.local import version_1
from submitit.orchestrator.watcher import InfoWatcher

# The modules that know are loaded with the first job: an executor that was only made has cost nothing.
if TYPE_CHECKING:
    from submitit.local.connection import Connection
    from submitit.local.journals import JournalSource
    from submitit.local.records import Record
    from submitit.orchestrator.sources import Source

_MODES = ("standard", "force", "cache")


def _own_connection() -> Connection | None:
    """This process's, if it has submitted a job."""
    module = sys.modules.get("submitit.local.connection")
    connection: Connection | None = None if module is None else module.current()
    return connection


def _journals(root: str) -> JournalSource:
    from submitit.local.journals import journal_source

    return journal_source(root)


def source_of(root: str, job_id: str) -> Source | None:
    """Where news of a job comes from; ``None`` if neither this process nor any journal has it."""
    own = _own_connection()
    if own is not None and own.knows(root, job_id):
        return own
    others = _journals(root)
    if others.record(job_id) is None:
        others.refresh()
        if others.record(job_id) is None:
            return None
    return others


class LocalInfoWatcher(InfoWatcher):
    """The states of the jobs below one root; of all jobs of this process where no root is named."""

    def __init__(self, delay_s: int = 60, root: str | None = None) -> None:
        super().__init__(delay_s)
        self._root = root

    def register_job(self, job_id: str) -> None:
        """Nothing has to be remembered: every controller tells of all its jobs."""

    def update(self) -> None:
        """Take in what was told and written since the last time."""
        self._num_calls += 1
        self._last_status_check = time.time()
        own = _own_connection()
        if own is not None:
            own.refresh()
        if self._root is not None:
            _journals(self._root).refresh()

    def get_info(self, job_id: str, mode: str = "standard") -> dict[str, str]:
        record = self._find(job_id, mode)
        if record is not None:
            return record.info()
        return {"JobID": job_id, "State": "RUNNING"} if version_1.is_controller(job_id) else {}

    def get_state(self, job_id: str, mode: str = "standard") -> str:
        record = self._find(job_id, mode)
        if record is not None:
            return record.state
        return "RUNNING" if version_1.is_controller(job_id) else "UNKNOWN"

    def is_done(self, job_id: str, mode: str = "standard") -> bool:
        """Whether the job is over, or is being ended for good. An unknown job is not."""
        record = self._find(job_id, mode)
        return record is not None and (record.over or record.state == "CANCELLED")

    def record(self, job_id: str, mode: str = "standard") -> Record | None:
        """The newest that is known of a job; ``None`` if nothing is."""
        return self._find(job_id, mode)

    def _find(self, job_id: str, mode: str) -> Record | None:
        if mode not in _MODES:
            raise ValueError(f'Unknown mode {mode!r}: choose "force", "standard" or "cache"')
        own = _own_connection()
        root = self._root
        if root is None and own is not None:
            root = own.root_of(job_id)
        if root is None:
            return None
        if own is not None and own.knows(root, job_id):
            if mode != "cache":
                own.refresh()
            return own.record(root, job_id)
        others = _journals(root)
        if mode != "cache":
            others.refresh()
        return others.record(job_id)


_WATCHERS: dict[str, LocalInfoWatcher] = {}


def watcher_of(root: str) -> LocalInfoWatcher:
    """The one watcher of this process for the local jobs below ``root``."""
    return _WATCHERS.get(root) or _WATCHERS.setdefault(root, LocalInfoWatcher(root=root))
