"""The client's end of the line to its controller.

Every process has at most one connection. It starts the controller when the first job is submitted, and another one if that
is killed: what still waited is submitted again, what ran is lost. A process that was forked from a client has none of its
parent's: it makes its own.

Whatever interrupts a thread in here (Ctrl-C, a signal handler, a finalizer that cancels a job) finds nothing half done.
Lines are looked at before they are taken off the socket and carry a growing number, so that one seen twice counts once; a
line that may have been sent in part is sent again.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from submitit.local import protocol, records
from submitit.local.records import Record
from submitit.orchestrator import exits
from submitit.orchestrator.sources import Source
from submitit.storage.atomic import make_directory
from submitit.storage.paths import Layout, unique_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from submitit.local.dependencies import After
    from submitit.local.protocol import Launch

#: So many controllers that die before they have told anything, one after the other, are not replaced any more.
HOPELESS = 3
#: How often it is tried to start another where that fails, and for how long, in seconds.
RETRY_S, GIVE_UP_S = 0.5, 30.0

Key = tuple[str, str]


class _Submission:
    """What jobs submitted together have in common; kept until the last of them is over."""

    __slots__ = ("after", "launch", "root")

    def __init__(self, root: str, launch: Launch, after: After | None) -> None:
        self.root, self.launch, self.after = root, launch, after


class _Socket(socket.socket):
    """A socket that may stay open until the process ends, without a complaint: jobs are cancelled until then."""

    def __del__(self) -> None:
        # socket.socket's would warn
        pass


class _Line:
    """Everything about one controller: a new one is a new line, put in place of the old in a single step."""

    __slots__ = ("ended", "log", "name", "outbox", "pid", "seen", "sent", "socket", "told", "torn")

    def __init__(self, name: str, log: str) -> None:
        self.name, self.log = name, log
        self.pid = 0
        self.socket: socket.socket = None  # type: ignore[assignment]  # there is one before anybody else sees the line
        #: What is still to be sent, numbered; ``sent`` is the last number.
        self.outbox: deque[dict[str, Any]] = deque()
        self.sent = 0
        #: Whether the first of it may have been sent in part.
        self.torn = False
        #: The launch that was told last: it need not be told again.
        self.told: Launch | None = None
        #: The number of the last line that was taken in.
        self.seen = 0
        #: How the controller came to its end, once it has.
        self.ended = ""

    def add(self, message: dict[str, Any]) -> None:
        """Have a message sent at the next occasion."""
        self.sent += 1
        self.outbox.append({"seq": self.sent, **message})

    def add_submission(self, submission: _Submission, jobs: list[tuple[str, str | None, int]]) -> None:
        """The same for jobs: id, payload reference and number of the coming attempt of each."""
        launch = None if submission.launch is self.told else submission.launch._asdict()
        self.told = submission.launch
        after = {} if submission.after is None else {"after": submission.after}
        self.add({"op": "submit", "root": submission.root, "launch": launch, "jobs": jobs, **after})


class Connection(Source):
    """This process's jobs, as its controller tells of them."""

    answers_itself = True

    def __init__(self) -> None:
        super().__init__()
        self._owner = os.getpid()
        self._lock = threading.RLock()
        self._line: _Line | None = None
        self._sending = False
        #: The newest record of every job; no record yet: it waits.
        self._records: dict[Key, Record] = {}
        #: How to submit each job that is not over again.
        self._open: dict[Key, tuple[_Submission, str | None, int]] = {}
        self._known: dict[str, Key] = {}
        #: Jobs that were lost with a controller, until another has said that it has written them down.
        self._lost: dict[Key, dict[str, Any]] = {}
        #: Ids of jobs with something new, until they are handed out.
        self._fresh: list[str] = []
        #: Controllers that died since the last one that told something.
        self._deaths = 0
        self._retry_at, self._give_up_at = 0.0, float("inf")

    # ---- asking

    def submit(
        self, root: str, launch: Launch, jobs: Sequence[tuple[str, str | None]], after: After | None = None
    ) -> None:
        """Hand jobs to the controller: id and payload reference of each, and what they wait for. It exists afterwards, if it did
        not before.

        Raises ``OSError`` if no controller can be started; no job is submitted then.
        """
        with self._lock:
            line = self._line
            if line is None or line.ended:
                line = self._begin(root)
            # One environment in memory for a thousand jobs that were submitted one by one.
            submission = _Submission(root, line.told if line.told == launch else launch, after)
            for job_id, reference in jobs:
                key = (root, job_id)
                self._records.pop(key, None)  # of a folder that was removed: its ids begin again
                self._lost.pop(key, None)
                self._open[key] = (submission, reference, 0)
                self._known[job_id] = key
            line.add_submission(submission, [(job_id, reference, 0) for job_id, reference in jobs])
            self._flush()

    def cancel(self, root: str, job_id: str) -> None:
        """Ask for the end of a job; nothing happens if it is over."""
        self._ask("cancel", root, job_id)

    def interrupt(self, root: str, job_id: str) -> None:
        """Ask for the user signal to be sent to a job; nothing happens if it does not run."""
        self._ask("signal", root, job_id)

    def _ask(self, action: str, root: str, job_id: str) -> None:
        with self._lock:
            if (root, job_id) in self._open and self._owner == os.getpid() and self._line is not None:
                self._line.add({"op": action, "root": root, "job": job_id})
                self._flush()

    # ---- knowing

    @property
    def controller(self) -> int:
        """The process number of the controller; 0 if there is none."""
        return 0 if self._line is None else self._line.pid

    def root_of(self, job_id: str) -> str | None:
        """The root of the job of this process that was given this id last."""
        key = self._known.get(job_id)
        return None if key is None else key[0]

    def knows(self, root: str, job_id: str) -> bool:
        """Whether the job was submitted by this process."""
        return (root, job_id) in self._records or (root, job_id) in self._open

    def record(self, root: str, job_id: str) -> Record | None:
        """The newest that is known of a job, as of the last ``refresh``; ``None`` if it is not this process's."""
        known = self._records.get((root, job_id))
        if known is None and (root, job_id) in self._open:
            submission, _, attempt = self._open[root, job_id]
            return Record(job_id, records.PENDING, attempt=attempt, tasks=submission.launch.tasks)
        return known

    # ---- the tracker's side

    def fileno(self) -> int | None:
        line = self._line
        return None if line is None or line.ended or self._owner != os.getpid() else line.socket.fileno()

    def poll(self) -> Iterable[str]:
        with self._lock:
            if self._line is not None and self._owner == os.getpid():
                if not self._line.ended:
                    self._flush()
                    self._receive(self._line)
                if self._line.ended:
                    self._go_on()
            fresh, self._fresh = self._fresh, []
            return fresh

    # ---- sending and receiving

    def _flush(self) -> None:
        """Send what is to be sent; waits while the controller does not read."""
        line = self._line
        if self._sending or line is None or line.ended:
            return  # called from within itself: the outer call takes it along
        self._sending = True
        try:
            while line.outbox:
                text = protocol.encode(line.outbox[0])
                again, line.torn = line.torn, True
                line.socket.sendall(b"\n" + text if again else text)
                line.torn = False
                line.outbox.popleft()
        except (BrokenPipeError, ConnectionResetError):
            # The controller was killed. What waits is kept in `_open`; `poll` sees the end of the line.
            line.outbox.clear()
            line.torn = False
        finally:
            self._sending = False

    def _receive(self, line: _Line) -> None:
        while not line.ended:
            try:
                data = line.socket.recv(4 * protocol.LONGEST_LINE, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionResetError:
                data = b""
            if not data:
                line.ended = f"the controller (process {line.pid}) {_how_it_ended(line.pid, line.log)}"
                self._deaths += 1
                self._retry_at, self._give_up_at = 0.0, float("inf")
                return
            whole = data.rfind(b"\n") + 1
            if not whole:
                return
            for text in data[:whole].splitlines():
                message = protocol.decode(text)
                if message is not None and message["seq"] > line.seen:
                    record = Record.read(message["record"])
                    self._learn(message["root"], record)
                    self._lost.pop((message["root"], record.job), None)
                    line.seen = message["seq"]
                    self._deaths = 0
            line.socket.recv(whole)

    def _learn(self, root: str, record: Record) -> None:
        known = self._known.get(record.job)
        key = (root, record.job) if known is None or known[0] != root else known
        # Thousands are kept until this process ends: with the words that are there anyway.
        record = record.kept()._replace(job=key[1])
        self._records[key] = record
        if record.over:
            self._open.pop(key, None)
        elif record.state == records.PENDING and key in self._open:
            submission, reference, _ = self._open[key]
            self._open[key] = (submission, reference, record.attempt)
        self._fresh.append(key[1])

    # ---- from one controller to the next

    def _go_on(self) -> None:
        """The controller is gone though this process is not: see what became of its jobs, and start what still waits."""
        line = self._line
        assert line is not None
        now = time.monotonic()
        if now < self._retry_at:
            return
        self._settle(line)
        if self._deaths >= HOPELESS or now >= self._give_up_at:
            if not self._open:
                self._lost.clear()  # it has been tried once more: others see it when this process is gone
            for key in list(self._open):
                self._lose(key, line.ended)
        if not self._open and not self._lost:
            return
        try:
            self._begin(next(root for root, *_ in [*self._open, *self._lost]))
        except OSError as error:  # no room for a process: it is tried again
            line.ended = f"{line.ended.partition(';')[0]}; another cannot be started: {error}"
            self._retry_at, self._give_up_at = now + RETRY_S, min(self._give_up_at, now + GIVE_UP_S)
            if not self._open:
                self._lost.clear()  # others see by themselves that the controller is gone

    def _begin(self, root: str) -> _Line:
        """A new controller, with its log below ``root``, that is told what the last one has left."""
        from submitit.local import controller

        if self._line is not None:
            self._settle(self._line)
        name = unique_name()
        directory = str(Layout(root).state / "local" / name)
        make_directory(directory)
        line = _Line(name, os.path.join(directory, "log"))
        for its_root in dict.fromkeys(root for root, _ in self._lost):
            lost = [text for (root, _), text in self._lost.items() if root == its_root]
            line.add({"op": "lost", "root": its_root, "jobs": lost})
        again: dict[_Submission, list[tuple[str, str | None, int]]] = {}
        for (_, job_id), (submission, reference, attempt) in self._open.items():
            again.setdefault(submission, []).append((job_id, reference, attempt))
        for submission, jobs in again.items():
            line.add_submission(submission, jobs)
        line.pid, ours = controller.launch(name, line.log)
        line.socket = _Socket(fileno=ours.detach())
        old, self._line = self._line, line
        if old is not None:
            old.socket.close()
        self._flush()
        return line

    def _settle(self, line: _Line) -> None:
        """Whatever its controller had begun and not ended is lost. Its journal is ahead of what it told."""
        from submitit.storage.journal import read_journal

        for root in dict.fromkeys(root for root, _ in self._open):
            lines, _ = read_journal(Layout(root).journals / f"{line.name}.jsonl")
            newest = {record.job: record for text in lines for record in records.read_line(text)}
            for job_id, record in newest.items():
                key = (root, job_id)
                if key in self._open and record != self._records.get(key):
                    self._learn(root, record)
        for key in list(self._open):
            known = self._records.get(key)
            if known is not None and known.state != records.PENDING:
                self._lose(key, line.ended)

    def _lose(self, key: Key, reason: str) -> None:
        """Nothing more will be heard of a job."""
        known = self._records.get(key) or Record(key[1], records.PENDING)
        state = records.CANCELLED if known.state == records.CANCELLED else records.LOST
        now = time.time()
        ended = known._replace(state=state, over=True, time=now, end=now, reason=known.reason or reason)
        self._lost[key] = ended.write()
        self._learn(key[0], ended)

    def leave(self) -> None:
        """In a process just forked: what the parent has is not touched."""
        if self._line is not None:
            self._line.socket.close()


def _how_it_ended(pid: int, log: str) -> str:
    try:
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:  # somebody else in this process waits for every child
        return "is gone"
    return exits.in_words(code) + (f", see {log}" if code >= 0 else "")


_current: Connection | None = None
_making = threading.Lock()


def current() -> Connection | None:
    """This process's connection, if it has submitted a job."""
    return _current


def connection() -> Connection:
    """This process's connection, made if need be."""
    global _current  # noqa: PLW0603 - one a process is the point
    if _current is None:
        with _making:
            if _current is None:
                _forget_after_fork()
                _current = Connection()
    return _current


_registered = False


def _forget_after_fork() -> None:
    global _registered  # noqa: PLW0603
    if not _registered:
        os.register_at_fork(after_in_child=_forget)
        _registered = True


def _forget() -> None:
    global _current, _making  # noqa: PLW0603
    _making = threading.Lock()
    if _current is not None:
        _current.leave()
        _current = None
