"""What the journals below a root say of jobs that other processes have submitted.

Who waits for such a job is woken by the end of processes: of the tasks that run, and of the controllers. The journal says the
rest within milliseconds, and what is started next.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from submitit.local import processes, records
from submitit.local.ends import Ends
from submitit.local.records import Header, Record
from submitit.orchestrator.sources import Source
from submitit.storage.journal import read_journal
from submitit.storage.paths import Layout

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from submitit.orchestrator.wake import Wake

#: How often, at most, it is looked whether a controller still lives.
CHECK_S = 0.5
#: For how long after the end of a process its controller's words are looked for, and after those the next, more and more rarely.
SOON_S = 2.0
_QUICKEST_S = 0.002
#: How often jobs are looked for that no watched process tells of, those that wait: so often, and after a long silence once in
#: a small part of it.
QUEUED_S, PART_OF_SILENCE = 0.025, 0.001
#: Of a large journal so many bytes are taken in at a time.
AT_ONCE = 1 << 20
#: How a line begins that is about one job, whose id follows.
_ABOUT_ONE = b'{"event":"state","job":"'


class _Book:
    """The journal of one controller, read as it grows."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.header: Header | None = None
        #: Whether the controller's processes can be seen from here.
        self.here = False
        self.closed = False
        #: Jobs of this controller that are not over.
        self.open: set[str] = set()
        #: The processes of those that run.
        self.running: dict[str, list[processes.Identity]] = {}
        self._offset = 0
        self._beginning = b""
        self._seen = (0, 0, 0)

    def note(self, record: Record) -> None:
        """Keep in mind what a record means for who waits."""
        (self.open.discard if record.over else self.open.add)(record.job)
        self.running.pop(record.job, None)
        if self.header is not None and record.pids and not record.over:
            exits = record.exits or [None] * len(record.pids)
            machine = self.header.who.machine
            self.running[record.job] = [
                processes.Identity(machine, *task)
                for task, code in zip(record.pids, exits, strict=False)
                if code is None
            ]

    def read(self) -> Iterator[Record]:
        """What was written since the last call; each record is to be noted."""
        try:
            status = os.stat(self.path)
        except OSError:  # deleted under living jobs: their controller begins it anew
            return
        seen = (status.st_ino, status.st_size, status.st_mtime_ns)
        if seen == self._seen:
            return
        beginning = _beginning(self.path)
        if beginning != self._beginning or status.st_size < self._offset:
            self._beginning, self._offset = beginning, 0
        end, begin = self._offset, -1
        while end != begin:
            begin = end
            lines, end = read_journal(self.path, begin, AT_ONCE, _newest)
            for line in lines:
                event = line.get("event")
                if self.header is None:
                    try:
                        self.header = Header.read(line) if event == "controller" else None
                    except ValueError:
                        self.header = None
                    if self.header is None:
                        self.closed = True  # a client's journal, not about states; or nobody's
                        return
                    self.here = self.header.who.machine == processes.machine()
                elif event == "closed":
                    self.closed = True
                yield from records.read_line(line)
        # Last: a reader that is interrupted, or forked, reads the same lines again, which changes nothing.
        self._offset, self._seen = end, seen


def _newest(lines: list[bytes]) -> list[bytes]:
    """Without what a later line says anew of a job: of thousands of short jobs the end stands beside the start."""
    newest: dict[bytes | int, bytes] = {}
    for number, line in enumerate(lines):
        key = line[: line.find(b'"', len(_ABOUT_ONE))] if line.startswith(_ABOUT_ONE) else number
        newest.pop(key, None)
        newest[key] = line
    return list(newest.values())


def _beginning(path: str) -> bytes:
    """What tells a journal from one that was begun anew under its name: a controller writes down when it began."""
    try:
        with open(path, "rb") as file:
            return file.read(48)
    except OSError:
        return b""


class Controller(NamedTuple):
    """A controller that has written a journal below a root."""

    #: The journal, and the directory in which files that ask for something are left.
    journal: str
    directory: str
    #: Its jobs, and those of them that are not over as far as is known.
    jobs: frozenset[str]
    open: frozenset[str]
    #: Whether it is gone; ``None`` on a machine from which this cannot be seen.
    gone: bool | None


class _Attention:
    """What one thread watches while it waits. Were it shared, one would take what is to wake the others."""

    def __init__(self) -> None:
        self.ends = Ends()
        #: How much was known when it was last settled what to watch.
        self.settled = -1
        #: Whether there are jobs here that no watched process will tell of.
        self.unseen = False
        #: When a process was last seen to have ended.
        self.stirred = -math.inf


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
        self._checked = -math.inf
        self._attending: dict[int, _Attention] = {}
        #: How often there were news, and when there last were.
        self._known = 0
        self._heard = -math.inf

    def record(self, job_id: str) -> Record | None:
        """The newest that is known of a job, as of the last ``refresh``; ``None`` if no journal has it."""
        return self._records.get(job_id)

    def header(self, job_id: str) -> Header | None:
        """Who has, or had, the job."""
        return self._homes.get(job_id)

    def controllers(self) -> list[Controller]:
        """Every controller of the root, as of the last ``refresh``."""
        jobs: dict[str, set[str]] = {}
        for job_id, header in self._homes.items():
            jobs.setdefault(header.controller, set()).add(job_id)
        found = []
        for book in self._books.values():
            if book.header is not None:
                alive = False if book.closed else processes.alive(book.header.who)
                mine = frozenset(jobs.get(book.header.controller, ()))
                gone = None if alive is None else not alive
                found.append(Controller(book.path, book.header.directory, mine, frozenset(book.open), gone))
        return found

    # ---- for who waits

    @contextlib.contextmanager
    def attended(self, wake: Wake) -> Iterator[None]:
        thread = threading.get_ident()
        # A signal handler may wait in the middle of another wait.
        outer = self._attending.get(thread)
        attention = self._attending[thread] = _Attention()
        try:
            with super().attended(wake):
                yield
        finally:
            if outer is None:
                self._attending.pop(thread, None)
            else:
                self._attending[thread] = outer
            attention.ends.close()

    def forked(self) -> None:
        super().forked()
        for attention in self._attending.values():
            attention.ends.close()
        self._attending = {}

    def fileno(self) -> int | None:
        attention = self._attending.get(threading.get_ident())
        if attention is None:
            return None
        if attention.settled != self._known:
            attention.settled = self._known
            attention.ends.watch(self._to_watch())
            attention.unseen = any(_has_unseen(book, attention.ends) for book in self._here())
        if attention.ends.take():
            attention.settled = -1
            attention.stirred = time.monotonic()
            self._checked = -math.inf
        return attention.ends.fileno()

    def look_within(self) -> float:
        attention = self._attending.get(threading.get_ident())
        if attention is None:
            return math.inf
        now = time.monotonic()
        passed = now - max(attention.stirred, self._heard)  # what ends makes room for what starts
        soon = max(_QUICKEST_S, passed / 10) if passed < SOON_S else math.inf
        return min(soon, max(QUEUED_S, (now - self._heard) * PART_OF_SILENCE)) if attention.unseen else soon

    def _here(self) -> list[_Book]:
        return [book for book in list(self._books.values()) if book.here and book.open]

    def _to_watch(self) -> Iterator[processes.Identity]:
        books = self._here()
        for book in books:
            assert book.header is not None
            yield book.header.who
        for book in books:
            for tasks in list(book.running.values()):
                yield from tasks

    # ---- reading

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
        if fresh:
            self._known += 1
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
        # First: whoever settles meanwhile what to watch looks again soon.
        self._heard = time.monotonic()
        book.note(record)
        known = self._records.get(record.job)
        # A job that was submitted again stands in two journals.
        if known is not None and known.time > record.time:
            return
        self._records[record.job] = record.kept()
        assert book.header is not None
        self._homes[record.job] = book.header
        fresh[record.job] = None


def _has_unseen(book: _Book, ends: Ends) -> bool:
    """Whether a job of a living controller may start, or end, without the end of a watched process."""
    if book.header is None or not ends.watches(book.header.who):
        return False
    return len(book.open) > sum(any(map(ends.watches, tasks)) for tasks in list(book.running.values()))


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
    return _SOURCES.get(root) or _SOURCES.setdefault(root, JournalSource(root))
