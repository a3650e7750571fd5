"""The nursery: the process from which a controller's tasks are forked.

::

    controller ──── start, reap ────▶ nursery ──fork──▶ child (see `tasks`) ──▶ the task
               ◀─ started, ended, reaped ─┘  ◀─SIGCHLD──────────┘

It has the runner loaded, and modules that the submitter asked for (``local_preload``), but nothing else of the user's: a task
forked from it begins where a fresh interpreter would after its imports. A task that needs an interpreter of its own, or a
shell, is forked here as well, and executes it.

The tasks die with the nursery, and it with its controller. What a task leaves behind becomes the controller's child. A task
that has ended keeps its process number until the controller has said ``reap``, so that nobody else is ever signalled.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import sys
from collections import deque
from typing import TYPE_CHECKING, Any

from submitit.local import processes, protocol, signalling, tasks
from submitit.storage.atomic import make_directory
from submitit.storage.paths import JobPaths

if TYPE_CHECKING:
    from submitit.local.protocol import Launch

_LOG_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
_LOG_MODE = 0o666
#: Loaded by the runner only when it needs them: in every job, or in those that fail.
_NEEDED = (
    "cloudpickle",
    "faulthandler",
    "pathlib",
    "resource",
    "traceback",
    "submitit.core.utils",
    "submitit.local.environment",
    "submitit.orchestrator.signals",
    "submitit.plugins",
    "submitit.storage.sharing",
)


class Nursery:
    """Starts tasks as it is told, and reports their ends, until its controller is gone."""

    def __init__(self, connection: socket.socket) -> None:
        from submitit.local.forked import World

        self._connection = connection
        self._wake_read, self._wake_write = os.pipe()
        for end in (self._wake_read, self._wake_write):
            os.set_blocking(end, False)
        self._incoming, self._outgoing = protocol.Incoming(), bytearray()
        self._gates: deque[int] = deque()
        self._launch: Launch | None = None
        #: A process that waits to become the next task: forking takes longer than all that it does then.
        self._spare: tasks.Child | None = None
        #: Tasks that have not ended, and what modules could not be loaded for them.
        self._living: set[int] = set()
        self._complaints: list[str] = []
        self._world = World()

    def serve(self, directory: str, preload: list[str]) -> None:
        """Load modules, as a program in ``directory`` would; then obey until the controller closes its end of the line."""
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._load(directory, preload)
        self._say({"ready": True})
        poll = select.poll()
        for descriptor in (self._connection.fileno(), self._wake_read):
            poll.register(descriptor, select.POLLIN)
        while True:
            # The controller may wait until it is listened to: this process never waits for it.
            poll.modify(self._connection.fileno(), select.POLLIN | (select.POLLOUT if self._outgoing else 0))
            ready = poll.poll(0)
            if not ready:
                self._prepare()
                ready = poll.poll()
            for descriptor, event in ready:
                if descriptor == self._wake_read:
                    self._drain()
                    self._report_ended()
                elif event == select.POLLOUT:
                    self._flush()
                elif not self._receive():
                    for pid in self._living:
                        signalling.send_to_group(pid, signal.SIGKILL)
                    return

    def _load(self, directory: str, preload: list[str]) -> None:
        """Import what tasks would have to."""
        for name in _NEEDED:
            # What only a relative entry of PYTHONPATH has, a task finds in its own directory.
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
        if preload:
            os.chdir(directory)
            self._world.extend_path(directory)
            for name in preload:
                try:
                    importlib.import_module(name)
                except (Exception, SystemExit) as error:  # noqa: BLE001 - the task that needs the module says so again
                    self._complaints.append(f"submitit: could not preload {name}: {type(error).__name__}: {error}\n")
            os.chdir("/")
        self._world.settle()

    def _prepare(self) -> None:
        """Make ready for the next start."""
        if self._spare is None:
            with contextlib.suppress(OSError):
                self._spare = self._child()

    def _child(self, *others: int) -> tasks.Child:
        own = (self._connection.fileno(), self._wake_read, self._wake_write, *self._gates)
        return tasks.Child(self._world, (*own, *others), self._launch)

    # ---- what the controller says

    def _receive(self) -> bool:
        """Obey; whether the controller is still there."""
        data, gates, _, _ = socket.recv_fds(self._connection, 1 << 16, 64)
        self._gates.extend(gates)
        if not data:
            return False
        for message in self._incoming.add(data):
            if message["op"] == "start":
                self._start(message)
            else:
                self._reap(message["pid"])
        return True

    def _start(self, message: dict[str, Any]) -> None:
        if message["launch"] is not None:
            self._expect(protocol.Launch(**message["launch"]))
        launch = self._launch
        assert launch is not None
        gate = self._gates.popleft()
        begun: list[tuple[tasks.Child, list[int]]] = []
        problem = ""
        try:
            for rank in range(launch.tasks):
                others = [gate, *(number for child, logs in begun for number in (child.fileno(), *logs))]
                begun.append(self._new_task(JobPaths(launch.folder, message["job"], rank), launch, others))
        except OSError as error:
            problem = str(error)
        pids = [(child.pid, child.started) for child, _ in begun]
        # What is left to do is done while this is being written down: the gate keeps them from beginning before.
        self._say({"started": message["key"], "pids": pids, "problem": problem})
        fresh = self._world.must_be_fresh(launch)
        for rank, (child, logs) in enumerate(begun):
            env = tasks.variables(
                launch, message["job"], message["attempt"], message["reference"], rank, message["gpus"]
            )
            env.update(message["env"])
            marks = {name: env[name] for name in tasks.MARKS}
            order = tasks.Order(launch, {**launch.env, **env} if fresh else env, marks, fresh)
            child.begin(order, logs[0], logs[-1], gate)
            for descriptor in logs:
                os.close(descriptor)
        os.close(gate)

    def _expect(self, launch: Launch) -> None:
        """Have, as far as possible, what its tasks have: what each has to be told or to change takes its time."""
        self._launch = launch._replace(limits=processes.limits_unlike_own(launch.limits))
        self._world.expect(self._launch)

    def _new_task(self, paths: JobPaths, launch: Launch, others: list[int]) -> tuple[tasks.Child, list[int]]:
        """A process for a task, which has none of ``others``, and its logs.

        Raises ``OSError`` if they cannot be opened or the machine has no room for a process.
        """
        logs = [_open_log(paths.locate("stdout"))]
        try:
            if not launch.stderr_to_stdout:
                logs.append(_open_log(paths.locate("stderr")))
            for complaint in self._complaints:
                os.write(logs[-1], complaint.encode("utf-8", "backslashreplace"))
            child = self._spare or self._child(*others, *logs)
        except BaseException:
            for descriptor in logs:
                os.close(descriptor)
            raise
        self._spare = None
        self._living.add(child.pid)
        return child, logs

    # ---- what it is told

    def _drain(self) -> None:
        try:
            while os.read(self._wake_read, 4096):
                pass
        except BlockingIOError:
            pass

    def _report_ended(self) -> None:
        if self._spare is not None and processes.next_ended(self._spare.pid) is not None:
            processes.reap(self._spare.pid)
            self._spare.dismiss()
            self._spare = None
        for pid in list(self._living):
            ended = processes.next_ended(pid)
            if ended is not None:
                self._living.discard(pid)
                used = processes.used_by_ended(pid)
                self._say({"ended": pid, "code": ended[1], **(used._asdict() if used is not None else {})})

    def _reap(self, pid: int) -> None:
        used = processes.reap(pid)
        self._say({"reaped": pid, **used._asdict()})

    def _say(self, message: dict[str, Any]) -> None:
        self._outgoing += protocol.encode(message)
        self._flush()

    def _flush(self) -> None:
        try:
            while self._outgoing:
                del self._outgoing[: self._connection.send(self._outgoing, socket.MSG_DONTWAIT)]
        except (BlockingIOError, InterruptedError):
            return
        except (BrokenPipeError, ConnectionResetError):
            self._outgoing.clear()  # the end of the line is about to be seen


def _open_log(path: str) -> int:
    try:
        return os.open(path, _LOG_FLAGS, _LOG_MODE)
    except FileNotFoundError:
        make_directory(os.path.dirname(path))
        return os.open(path, _LOG_FLAGS, _LOG_MODE)


def main() -> None:
    """The nursery's process, from its start to its end. An argument names the descriptor of the line to its controller."""
    _, _, controller, line, directory, *preload = sys.argv[1:]
    gc.disable()
    connection = socket.socket(fileno=int(line))
    connection.set_inheritable(False)
    processes.die_with_parent()
    if os.getppid() == int(controller):
        Nursery(connection).serve(directory, preload)
    os._exit(0)
