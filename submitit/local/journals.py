"""What the journals below a root say of jobs that other processes have submitted."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from submitit.local import processes, records
from submitit.local.records import Header, Record
from submitit.orchestrator.sources import Source
from submitit.storage.journal import read_journal
from submitit.storage.paths import Layout

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: How often, at most, it is looked whether a controller still lives.
CHECK_S = 0.5


class _Book:
    """The journal of one controller, read as it grows."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.header: Header | None = None
        self.closed = False
        #: Jobs of this controller that are not over.
        self.open: set[str] = set()
        self._offset = 0

    def read(self) -> Iterator[Record]:
        """What was written since the last call."""
        try:
            if os.stat(self.path).st_size == self._offset:
                return
        except OSError:  # deleted: nothing more will be known
            self.closed = True
            return
        lines, self._offset = read_journal(self.path, self._offset)
        for line in lines:
            event = line.get("event")
            if self.header is None:
                if event != "controller":
                    self.closed = True  # a client's journal: not about states
                    return
                self.header = Header.read(line)
            elif event == "closed":
                self.closed = True
            for record in records.read_line(line):
                (self.open.discard if record.over else self.open.add)(record.job)
                yield record


class JournalSource(Source):
    """The local jobs of one root, whoever submitted them."""

    answers_itself = True

    def __init__(self, root: str) -> None:
        super().__init__()
        self._directory = str(Layout(root).journals)
        self._books: dict[str, _Book] = {}
        self._records: dict[str, Record] = {}
        self._homes: dict[str, Header] = {}
        self._listed = 0
        self._checked = 0.0

    def record(self, job_id: str) -> Record | None:
        """The newest that is known of a job, as of the last ``refresh``; ``None`` if no journal has it."""
        return self._records.get(job_id)

    def header(self, job_id: str) -> Header | None:
        """Who has, or had, the job."""
        return self._homes.get(job_id)

    def poll(self) -> Iterable[str]:
        self._list()
        fresh: dict[str, None] = {}
        for book in self._books.values():
            if book.closed:
                continue
            for record in book.read():
                self._learn(book, record, fresh)
        now = time.monotonic()
        if now - self._checked >= CHECK_S:
            self._checked = now
            for book in self._books.values():
                if not book.closed and book.open:
                    for record in list(_lost(book, self._records)):
                        self._learn(book, record, fresh)
        return fresh

    def _list(self) -> None:
        """Find new journals, where the directory has changed."""
        try:
            changed = os.stat(self._directory).st_mtime_ns
            if changed == self._listed and time.time_ns() - changed > 2_000_000_000:
                return
            names = os.listdir(self._directory)
        except OSError:
            return
        self._listed = changed
        for name in names:
            if name.endswith(".jsonl") and name not in self._books:
                self._books[name] = _Book(os.path.join(self._directory, name))

    def _learn(self, book: _Book, record: Record, fresh: dict[str, None]) -> None:
        known = self._records.get(record.job)
        # A job that was submitted again stands in two journals.
        if known is not None and known.time > record.time:
            return
        self._records[record.job] = record
        if record.over:
            book.open.discard(record.job)
        assert book.header is not None
        self._homes[record.job] = book.header
        fresh[record.job] = None


def _lost(book: _Book, known: dict[str, Record]) -> Iterator[Record]:
    """The jobs of a controller that has died, which nobody will bring to an end. None where that cannot be seen from here."""
    header = book.header
    if header is None or processes.alive(header.who) is not False:
        return
    client_lives = processes.alive(header.client) is not False
    for job_id in list(book.open):
        record = known.get(job_id)
        if record is None or record.over:
            book.open.discard(job_id)
        elif record.state == records.PENDING and client_lives:
            continue  # its client starts it again
        elif any(processes.alive(processes.Identity(header.who.machine, *task)) for task in record.pids):
            continue
        else:
            reason = f"the controller (process {header.who.pid} on {record.node or header.who.machine.partition('/')[0]}) is gone"
            now = time.time()
            state = records.CANCELLED if record.state == records.CANCELLED else records.LOST
            yield record._replace(state=state, over=True, time=now, end=now, reason=reason)


_SOURCES: dict[str, JournalSource] = {}


def journal_source(root: str) -> JournalSource:
    """The one source of this process for the jobs of others below ``root``."""
    return _SOURCES.setdefault(root, JournalSource(root))
