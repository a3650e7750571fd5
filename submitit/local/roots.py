"""Where a controller writes down the jobs of one folder, and where other processes leave files that ask for something."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from submitit.local import processes, records
from submitit.storage.atomic import make_directory
from submitit.storage.journal import Journal

if TYPE_CHECKING:
    from submitit.storage.paths import Layout


class Root:
    """One ``.submitit`` directory: where its jobs are written down, and where files ask for something."""

    def __init__(self, layout: Layout, controller: str, client: processes.Identity) -> None:
        self.path = str(layout.root)
        self.directory = str(layout.state / "local" / controller)
        self.cancels = os.path.join(self.directory, "cancel")
        self._journal = Journal(layout.journals / f"{controller}.jsonl")
        #: Lines that are still to be written: one, or more where that is not possible.
        self._unwritten: deque[dict[str, Any]] = deque()
        self._complained = False
        make_directory(self.cancels)
        me = processes.identify(os.getpid())
        self._header = records.Header(controller, self.directory, me, client).write()
        self._journal.append(self._header)

    def write(self, line: dict[str, Any]) -> None:
        """Append to the journal. That a folder is gone, or its disk full, is no reason to stop the others' jobs."""
        self._unwritten.append(line)
        self.catch_up()

    def catch_up(self) -> None:
        """Write what could not be written before, as far as that is possible now."""
        try:
            if self._unwritten and not os.path.exists(self._journal.path):  # somebody has cleaned up, under living jobs
                self._journal.append({**self._header, "time": round(time.time(), 3)})
            while self._unwritten:
                self._journal.append(self._unwritten[0])
                self._unwritten.popleft()
                self._complained = False
        except OSError as error:
            if not self._complained:
                self._complained = True
                print(f"cannot write the journal below {self.path}: {error}", file=sys.stderr, flush=True)

    @property
    def behind(self) -> bool:
        """Whether there is something that could not be written."""
        return bool(self._unwritten)

    def requeue_file(self, job_id: str) -> str:
        return os.path.join(self.directory, f"requeue-{job_id}")

    def close(self) -> None:
        """The last line, unless the whole folder is gone; an empty directory does not stay behind."""
        if not os.path.isdir(self.path):
            return
        self.write({"event": "closed", "time": round(time.time(), 3)})
        for path in (self.cancels, self.directory):
            try:
                os.rmdir(path)
            except OSError:
                return
