"""A process that owns a few daemons and leaves nothing of them behind.

    test process ── JSON over a Unix socket ──▶ supervisor ──▶ daemons ──▶ whatever these start
         └───────────── pidfd ────────────────────▶ (ends all when the test process is gone)

The supervisor runs in a session of its own and is the subreaper of all that it starts: a process that detaches itself
from its parent becomes the supervisor's child. So every process that a daemon ever started can be found, and none but
these is ever signalled. Should the supervisor itself be killed, the kernel kills the daemons (PR_SET_PDEATHSIG).

Run as a program: `python supervisor.py LISTENING_FD JSON`. It needs the standard library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import selectors
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypedDict

#: Set in the environment of each daemon, to tell whose child an orphan was.
DAEMON_VARIABLE: Final = "SUPERVISED_DAEMON"

PR_SET_CHILD_SUBREAPER: Final = 36
#: How long a daemon may take to end after SIGTERM. What it would still do is thrown away; slurmctld takes ten seconds where a
#: node does not answer.
DAEMON_TERM_SECONDS: Final = 2.0
#: How long what the daemons have started (steps, jobs) may take.
TERM_SECONDS: Final = 0.5


class Request(TypedDict, total=False):
    """One line from the test process. `do` is one of spawn, signal, kill_tree, status, shutdown."""

    do: str
    name: str
    argv: list[str]
    env: dict[str, str]
    output: str
    signal: int


class Status(TypedDict, total=False):
    """The answer: `pid` while the daemon runs, `returncode` after (negative: killed by that signal)."""

    pid: int | None
    returncode: int | None
    error: str


class Settings(TypedDict):
    """How a supervisor is set up."""

    #: Everything ends when this process does; None: at `shutdown` only.
    owner: int | None
    #: Files and directories removed at the end.
    remove: list[str]
    #: Directories of a cgroup hierarchy, emptied and removed at the end.
    cgroups: list[str]


@dataclass
class Daemon:
    """One process that was asked for by name."""

    name: str
    pid: int
    returncode: int | None = None


@dataclass(frozen=True)
class Process:
    """A process as /proc shows it; the start time tells it from a later one of the same pid."""

    pid: int
    parent: int
    start: int


@dataclass
class Supervisor:
    """Starts, signals and ends daemons as it is told."""

    listener: socket.socket
    settings: Settings
    daemons: dict[str, Daemon] = field(default_factory=dict)

    def serve(self) -> None:
        """Answers requests until told to end, by its owner's death at the latest; then nothing of it is left."""
        make_subreaper()
        # Ends by `shutdown` or with its owner only: an interrupt is for the one who runs the tests.
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        wake_up, wake_up_end = os.pipe()
        os.set_blocking(wake_up_end, False)
        os.set_blocking(wake_up, False)
        signal.set_wakeup_fd(wake_up_end, warn_on_full_buffer=False)
        stopping: list[int] = []
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda number, _: stopping.append(number))
        with selectors.DefaultSelector() as selector, self.listener:
            selector.register(self.listener, selectors.EVENT_READ)
            selector.register(wake_up, selectors.EVENT_READ)
            owner = self.settings["owner"]
            owner_fd = -1
            if owner is not None:
                owner_fd = open_owner(owner)
                if owner_fd < 0:
                    return self.end_all()
                selector.register(owner_fd, selectors.EVENT_READ)
            while not stopping:
                for key, _ in selector.select():
                    if key.fd == owner_fd:
                        return self.end_all()
                    if key.fd == wake_up:
                        with contextlib.suppress(BlockingIOError):
                            os.read(wake_up, 4096)
                    elif not self.answer_one():
                        return None
                self.reap()
            return self.end_all()

    def answer_one(self) -> bool:
        """Answers one request; False if it was the last one."""
        connection, _ = self.listener.accept()
        with connection, connection.makefile("rw") as stream:
            # A client that connects and says nothing must not stop the supervisor from noticing its owner's end.
            connection.settimeout(10)
            last = False
            try:
                request: Request = json.loads(stream.readline() or "{}")
                last = request.get("do") == "shutdown"
                reply = self.answer(request)
            except (OSError, ValueError, LookupError) as error:
                reply = {"error": f"{type(error).__name__}: {error}"}
            with contextlib.suppress(OSError):
                stream.write(json.dumps(reply) + "\n")
                stream.flush()
        return not last

    def answer(self, request: Request) -> Status:
        """Does what `request` says. Raises LookupError if there is no such daemon."""
        match request.get("do"):
            case "spawn":
                return self.spawn(request["name"], request["argv"], request["env"], request["output"])
            case "signal":
                self.reap()
                daemon = self.daemons[request["name"]]
                # Not reaped by anyone else: the pid is still this daemon's.
                if daemon.returncode is None:
                    os.kill(daemon.pid, request["signal"])
            case "kill_tree":
                self.kill_tree(request["name"])
            case "status":
                self.reap()
            case "shutdown":
                self.end_all()
                return {}
            case unknown:
                raise LookupError(f"no such request: {unknown!r}")
        daemon = self.daemons[request["name"]]
        return {"pid": daemon.pid if daemon.returncode is None else None, "returncode": daemon.returncode}

    def spawn(self, name: str, argv: Sequence[str], env: Mapping[str, str], output: str) -> Status:
        """Starts a daemon. Raises ValueError if one of this name is running, OSError if it cannot be started."""
        self.reap()
        old = self.daemons.get(name)
        if old is not None and old.returncode is None:
            raise ValueError(f"{name} is running already, with pid {old.pid}")
        append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        pid = os.posix_spawnp(
            "setpriv",
            ["setpriv", "--pdeathsig", "KILL", "--", *argv],
            {**env, DAEMON_VARIABLE: name},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, output, append, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            setsigmask=(),
            # Ignored here or by Python; what is ignored stays so in a child.
            setsigdef=(signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ),
        )
        self.daemons.pop(name, None)
        self.daemons[name] = Daemon(name, pid)
        return {"pid": pid, "returncode": None}

    def reap(self) -> None:
        """Takes the exit codes of the children that have ended, orphans included."""
        by_pid = {daemon.pid: daemon for daemon in self.daemons.values() if daemon.returncode is None}
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid in by_pid:
                    by_pid[pid].returncode = os.waitstatus_to_exitcode(status)

    def kill_tree(self, name: str) -> None:
        """Kills a daemon and whatever it started, at once: what a power cut does."""
        daemon = self.daemons[name]
        self.thaw()
        while True:
            self.reap()
            tree = self.tree_of(daemon)
            if not tree:
                return
            for process in tree:
                send_signal(process, signal.SIGKILL)
            time.sleep(0.005)

    def tree_of(self, daemon: Daemon) -> list[Process]:
        below = descendants(os.getpid())
        roots = {p.pid for p in below if p.parent == os.getpid() and was_started_by(p.pid, daemon.name)}
        if daemon.returncode is None:
            roots.add(daemon.pid)
        # Parents come before their children in `descendants`.
        for process in below:
            if process.parent in roots:
                roots.add(process.pid)
        return [process for process in below if process.pid in roots]

    def end_all(self) -> None:
        """Ends the daemons, their steps and their jobs, and tidies up."""
        self.thaw()
        self.reap()
        start = time.monotonic()
        for process in descendants(os.getpid()):
            send_signal(process, signal.SIGTERM)
        while self.has_children():
            waited = time.monotonic() - start
            polite = {daemon.pid for daemon in self.daemons.values()} if waited < DAEMON_TERM_SECONDS else set()
            if waited > TERM_SECONDS:
                self.thaw()
                for process in descendants(os.getpid()):
                    if process.pid not in polite:
                        send_signal(process, signal.SIGKILL)
            time.sleep(0.01)
        tidy_up(self.settings)

    def has_children(self) -> bool:
        self.reap()
        return any(process.parent == os.getpid() for process in descendants(os.getpid()))

    def thaw(self) -> None:
        """Lets suspended jobs go on: a frozen process does not die of SIGKILL."""
        for top in self.settings["cgroups"]:
            # Not Path.glob, which fails where a directory goes while it looks: jobs end at any time, and their cgroups with them.
            for path, _, files in os.walk(top):
                if "freezer.state" in files:
                    with contextlib.suppress(OSError):
                        Path(path, "freezer.state").write_text("THAWED")


def descendants(root: int) -> list[Process]:
    """All processes below `root`, parents first."""
    children: dict[int, list[Process]] = {}
    for process in all_processes():
        children.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    queue = [root]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += [process.pid for process in below]
    return found


def all_processes() -> Iterator[Process]:
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            process = read_process(int(entry))
            if process is not None:
                yield process


def read_process(pid: int) -> Process | None:
    """None if there is no such process any more, or only its exit code."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    # The command's name comes first in parentheses, and may itself contain anything.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else Process(pid, int(fields[1]), int(fields[19]))


def is_alive(process: Process) -> bool:
    """Whether this very process runs; its parent may have changed."""
    now = read_process(process.pid)
    return now is not None and now.start == process.start


def was_started_by(pid: int, daemon: str) -> bool:
    """Whether the process has the environment of this daemon: steps have it, the jobs below them do not."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    return f"{DAEMON_VARIABLE}={daemon}".encode() in environment.split(b"\0")


def send_signal(process: Process, number: int) -> None:
    """Signals this very process, never a later one of the same pid."""
    try:
        pidfd = os.pidfd_open(process.pid)
    except OSError:
        return
    try:
        if is_alive(process):
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(pidfd, number)
    finally:
        os.close(pidfd)


def tidy_up(settings: Settings) -> None:
    """Removes the files and cgroups of processes that have ended."""
    for path in settings["cgroups"]:
        remove_cgroup(Path(path))
    for path in settings["remove"]:
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path, ignore_errors=True)
        else:
            Path(path).unlink(missing_ok=True)


def remove_cgroup(top: Path) -> None:
    """Removes a directory of a cgroup hierarchy and all below it."""
    for path, _, _ in os.walk(top, topdown=False):
        # A cgroup stays busy for a moment after its last process has gone.
        for _ in range(200):
            try:
                os.rmdir(path)
            except FileNotFoundError:
                break
            except OSError:
                time.sleep(0.01)
            else:
                break


def open_owner(pid: int) -> int:
    """A pidfd of the owner, which is this process's parent; -1 if it has gone already."""
    try:
        owner = os.pidfd_open(pid)
    except ProcessLookupError:
        return -1
    if os.getppid() != pid:
        os.close(owner)
        return -1
    return owner


def make_subreaper() -> None:
    prctl: Callable[..., int] = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def ask(supervisor: Path, request: Request) -> Status:
    """Sends one request to the supervisor that listens there. Raises OSError if none does, RuntimeError if it refuses."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(os.fspath(supervisor))
        with connection.makefile("rw") as stream:
            stream.write(json.dumps(request) + "\n")
            stream.flush()
            line = stream.readline()
    if not line:
        raise ConnectionResetError(f"the supervisor at {supervisor} has gone")
    status: Status = json.loads(line)
    if "error" in status:
        raise RuntimeError(status["error"])
    return status


def main(arguments: Sequence[str]) -> None:
    settings: Any = json.loads(arguments[1])
    with contextlib.closing(socket.socket(fileno=int(arguments[0]))) as listener:
        os.set_inheritable(listener.fileno(), False)
        Supervisor(listener, settings).serve()


if __name__ == "__main__":
    main(sys.argv[1:])
