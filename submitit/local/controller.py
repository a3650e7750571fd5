"""The controller: the process that starts, watches and ends the local jobs of one client process.

::

    client process                          controller (own session, one thread)            tasks (a session each)
    LocalExecutor.submit ──socket pair──▶  event loop ──▶ Supervisor ──▶ nursery ──fork──▶  a submission each
    tracker, watcher     ◀──records─────       │  ▲ SIGCHLD, timers       │   ▲               │ result file, exit code
                                               ▼  └───────────────────────┘   └───────────────┘
    other processes      ◀── R/.submitit/journal/NAME.jsonl
                         ──▶ R/.submitit/local/NAME/cancel/JOB

It lives until its client is gone and its last job is over: jobs outlive the client, its terminal and its Ctrl-C. If it is
killed itself, its tasks die with it, and the client starts what still waited under a new one.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

from submitit.local import boot, processes, protocol, records, resources, scheduler

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping

    from submitit.local.records import Record
    from submitit.local.supervisor import Supervisor

#: How often a client is looked for where there is no descriptor that tells of its end.
PARENT_S = 0.5
#: That tasks have begun is told with what follows, or after this time: most are over by then, and the client sleeps on.
PATIENCE_S = 0.01
#: What a terminal sends to those who work on it.
_FROM_TERMINALS = {signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTSTP}


def launch(name: str, log: str) -> tuple[int, socket.socket]:
    """Start a controller called ``name`` for this process; its number and the client's end of the socket pair.

    What it prints, which is nothing unless it has a bug, goes to the file ``log``. Raises ``OSError``.
    """
    if not sys.executable:
        raise RuntimeError(
            "The local backend starts processes with sys.executable, which this interpreter does not have"
        )
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    if theirs.fileno() < 3:  # this process had closed its standard streams
        theirs = _moved(theirs)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    command = [sys.executable, *boot.words("controller", protocol.CONTROLLER_WORD, name, str(os.getpid()), log)]
    keywords: dict[str, Any] = {
        "file_actions": [
            (os.POSIX_SPAWN_DUP2, theirs.fileno(), 0),
            (os.POSIX_SPAWN_OPEN, 1, log, flags, 0o666),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        "setsigmask": _FROM_TERMINALS,  # until it ignores them
    }
    try:
        # Not the `subprocess` module: its objects complain when they are dropped while their process lives.
        try:
            pid = os.posix_spawn(command[0], command, os.environ, setsid=True, **keywords)
        except NotImplementedError:  # a C library without POSIX_SPAWN_SETSID: `_detach` does it
            pid = os.posix_spawn(command[0], command, os.environ, **keywords)
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return pid, ours


def start_for_one_job(folder: str | os.PathLike[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start the controller of one job, which ``env`` describes (see `_local`); the job's id is its process number."""
    import subprocess

    return subprocess.Popen(
        [sys.executable, "-m", "submitit.local._local", os.fspath(folder)],
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )


def _moved(end: socket.socket) -> socket.socket:
    import fcntl

    moved = socket.socket(fileno=fcntl.fcntl(end.fileno(), fcntl.F_DUPFD_CLOEXEC, 3))
    end.close()
    return moved


def main() -> None:
    """The controller's process, from its start to its end."""
    _, _, name, client, log = sys.argv[1:]
    connection = _detach()
    Controller(name, int(client), connection).run()
    sys.stderr.flush()
    with contextlib.suppress(OSError):
        if os.path.getsize(log) == 0:
            os.unlink(log)
            os.rmdir(os.path.dirname(log))
    # Nothing of what the interpreter would do on its way out is needed.
    os._exit(0)


def _detach() -> socket.socket:
    """Leave the client's session; keep of its descriptors the socket alone."""
    with contextlib.suppress(PermissionError):  # already a session's leader
        os.setsid()
    for number in _FROM_TERMINALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    inherited = socket.socket(fileno=0)
    connection = _moved(inherited)
    null = os.open(os.devnull, os.O_RDWR)
    if null != 0:
        os.dup2(null, 0)
        os.close(null)
    os.set_inheritable(0, True)
    processes.close_others(connection.fileno())
    processes.allow_most_descriptors()  # each job that is being started needs some, for a moment
    os.chdir("/")  # a file system that the client worked on can be unmounted
    os.umask(processes.current_umask() | 0o002)
    return connection


class Controller:
    """The event loop: messages, ended children, the client's end, and what is due."""

    def __init__(self, name: str, client: int, connection: socket.socket | None) -> None:
        from submitit.local.nurseries import Nurseries

        self._connection = connection
        self._client = client
        self._selector = selectors.DefaultSelector()
        self._nurseries = Nurseries(self._selector)
        self._nurseries.open()  # it loads what it needs while this process does

        from submitit.local.supervisor import Supervisor

        self._incoming = protocol.Incoming()
        self._outgoing = bytearray()
        #: When the client is to be told at the latest.
        self._tell_at = float("inf")
        self._seen = 0
        self._told = 0
        self._launch: protocol.Launch | None = None
        self._told_to_end = self._closing = False
        #: Whether nothing but its being this process's parent shows that the client lives.
        self._looks_for_client = False
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        capacity = scheduler.Capacity(resources.available_cpus(), resources.available_memory())
        self._supervisor: Supervisor = Supervisor(
            name, processes.identify(client), capacity, self._nurseries, self._tell
        )

    def run(self) -> None:
        """Serve until the client is gone and every job is over."""
        processes.become_subreaper()
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._on_term)
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._wake)
        if self._connection is not None:
            self._connection.setblocking(False)
            self._selector.register(self._connection, selectors.EVENT_READ, self._talk)
            self._watch_client()
        while not (self._supervisor.idle and (self._connection is None or self._closing)):
            for key, mask in self._selector.select(self._pause()):
                key.data(mask)
            if self._looks_for_client and os.getppid() != self._client:
                self._client_ended()
            self._reap()
            self._flush()  # somebody may wait for it, and the next step has time
            self._supervisor.step(time.monotonic())
            self._flush()
        self._supervisor.write_end()

    def _pause(self) -> float | None:
        """How long to wait at most until something has to be done without being told."""
        now = time.monotonic()
        pauses = [self._supervisor.wake_in(now)]
        if self._looks_for_client:
            pauses.append(PARENT_S)
        if now < self._tell_at < float("inf"):
            pauses.append(self._tell_at - now)
        return min((pause for pause in pauses if pause is not None), default=None)

    def serve(self, root: str, launch: protocol.Launch, job_id: str) -> None:
        """Run one job and end, without a client: the user signal is passed on to it."""
        self._supervisor.submit(root, launch, [(job_id, None, 0)])
        signal.signal(launch.user_signal, lambda *_: self._supervisor.interrupt(root, job_id))
        self.run()

    # ---- the client

    def _watch_client(self) -> None:
        """The end of the socket shows it too, but a process that the client has forked may hold that open."""
        try:
            descriptor = processes.open_pidfd(self._client)
        except ProcessLookupError:
            self._client_ended()
            return
        if os.getppid() != self._client:  # it had ended before it could be watched, and its number may be another's
            self._client_ended()
        elif descriptor is None:
            self._looks_for_client = True
        else:
            self._selector.register(descriptor, selectors.EVENT_READ, lambda _mask: self._client_ended(descriptor))

    def _client_ended(self, descriptor: int | None = None) -> None:
        if descriptor is not None:
            self._selector.unregister(descriptor)
            os.close(descriptor)
        # What it sent before it died still counts.
        self._receive()
        self._client_is_gone()

    def _client_is_gone(self) -> None:
        if self._connection is not None:
            self._selector.unregister(self._connection)
            self._connection.close()
            self._connection = None
            self._looks_for_client = False
            self._outgoing.clear()

    def _talk(self, mask: int) -> None:
        if mask & selectors.EVENT_READ:
            self._receive()

    def _receive(self) -> None:
        received = bytearray()
        while self._connection is not None:
            try:
                data = self._connection.recv(1 << 18)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                data = b""
            if not data:
                self._client_is_gone()
                break
            received += data
        for message in self._incoming.add(bytes(received)):
            # A line is sent again when its sender cannot know whether it went out whole.
            if message["seq"] > self._seen:
                self._seen = message["seq"]
                self._obey(message)

    def _obey(self, message: dict[str, Any]) -> None:
        action, root = message["op"], message["root"]
        if self._closing and action == "submit":
            return  # the client sees the end of the line and submits it again, to another
        if action == "submit":
            if message["launch"] is not None:
                self._launch = protocol.Launch(**message["launch"])
            assert self._launch is not None
            self._supervisor.submit(root, self._launch, message["jobs"], message.get("after"))
        elif action == "cancel":
            self._supervisor.cancel(root, message["job"])
        elif action == "signal":
            self._supervisor.interrupt(root, message["job"])
        elif action == "lost":
            self._supervisor.lost(root, message["jobs"])

    def _tell(self, root: str, record: Record) -> None:
        if self._connection is not None:
            self._told += 1
            self._outgoing += protocol.encode({"seq": self._told, "root": root, "record": record.write()})
            begins = record.state == records.RUNNING and not (record.exits or record.recorded)
            self._tell_at = min(self._tell_at, time.monotonic() + PATIENCE_S if begins else 0.0)

    def _flush(self) -> None:
        """Send what fits. The rest waits, however long the client does not read."""
        if self._connection is None or time.monotonic() < self._tell_at < float("inf"):
            return
        with contextlib.suppress(BlockingIOError, InterruptedError):
            try:
                while self._outgoing:
                    del self._outgoing[: self._connection.send(self._outgoing)]
                self._tell_at = float("inf")
            except (BrokenPipeError, ConnectionResetError):
                self._client_is_gone()
                return
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._outgoing else 0)
        if self._selector.get_key(self._connection).events != wanted:
            self._selector.modify(self._connection, wanted, self._talk)

    # ---- processes and signals

    def _wake(self, _mask: int) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._wake_read, 4096):
                pass

    def _on_term(self, *_: object) -> None:
        self._told_to_end = True

    def _reap(self) -> None:
        """Tell what has ended: orphans of tasks, nurseries, and the tasks of a nursery that has died."""
        if self._told_to_end and not self._closing:
            self._closing = True
            self._supervisor.close()
        while True:
            found = processes.next_ended()
            if found is None:
                return
            pid, code = found
            self._nurseries.ended(pid, code)
            self._supervisor.ended(pid, code)
            # Only now may another process get the number.
            used = processes.reap(pid)
            self._supervisor.reaped(pid, used.cpu_s, used.max_rss_mb)
