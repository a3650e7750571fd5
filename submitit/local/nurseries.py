"""The controller's side of its nurseries: one for tasks that need nothing loaded, and one for each way to preload modules.

::

    Supervisor ── start, reap ──▶ Nurseries ──▶ nursery ──▶ tasks
       ▲──── started, ended, reaped, bereft ──┘
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import sys
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from submitit.local import boot, marks, protocol, tasks
from submitit.local.processes import Used
from submitit.orchestrator import exits

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Protocol

    from submitit.local.protocol import Launch

    class Listener(Protocol):
        """Who is told what nurseries report."""

        def started(self, key: int, pids: list[tuple[int, str]], problem: str) -> None:
            """The tasks of a start exist, and wait at its gate; all of them unless there is a problem."""

        def ended(self, pid: int, code: int, used: Used | None = None) -> None:
            """A task has ended; its number is its own until it is reaped. What it has used, if that is known by now."""

        def reaped(self, pid: int, cpu_s: float, max_rss_mb: float) -> None:
            """Nothing of the process is left."""

        def bereft(self, pids: Iterable[int], reason: str) -> None:
            """The nursery of these tasks has died, and they with it."""


#: So many nurseries that die one after the other before they were ready are not replaced.
HOPELESS = 2
#: More than so many are kept only while they have tasks: each has its modules in memory.
MOST = 4
#: Variables that modules look at when they are loaded: threads, locale, accelerators.
_LOOKED_AT = (
    "OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "BLIS_", "VECLIB_", "NUMEXPR_", "NUMBA_", "GOTO_", "TBB_",
    "CUDA_", "NVIDIA_", "CUBLAS_", "CUDNN_", "NCCL_", "HIP_", "HSA_", "ROCR_", "ROCM_", "XLA_", "JAX_", "TF_", "TORCH_",
    "PYTORCH_", "TZ", *tasks.START_UP,
)  # fmt: skip


class Start(NamedTuple):
    """One start of a job."""

    key: int
    launch: Launch
    job: str
    attempt: int
    reference: str | None
    gpus: tuple[str, ...]
    #: What its tasks have beside the variables that all tasks have.
    env: dict[str, str]
    gate: tasks.Gate


class _Nursery:
    """One nursery, as its controller sees it."""

    def __init__(self, name: tuple[Any, ...], pid: int, line: socket.socket) -> None:
        self.name, self.pid, self.line = name, pid, line
        self.ready = False
        #: Starts that it was told of, and has not answered.
        self.waiting: dict[int, Start] = {}
        self.unsent: deque[Start] = deque()
        self.tasks: set[int] = set()
        self._told: Launch | None = None
        self._incoming = protocol.Incoming()

    @property
    def busy(self) -> bool:
        return bool(self.waiting or self.tasks)

    def add(self, start: Start) -> None:
        """Have tasks started by the next ``send``. Until its modules are loaded it does not listen."""
        self.waiting[start.key] = start
        self.unsent.append(start)

    def give_up(self, key: int) -> bool:
        """Forget a start that it was not told of; whether there was one."""
        for start in self.unsent:
            if start.key == key:
                self.unsent.remove(start)
                del self.waiting[key]
                return True
        return False

    def send(self) -> list[tuple[int, OSError]]:
        """Tell it of what was added; the starts of which it cannot be told, with the reason."""
        failed = []
        while self.unsent:
            start = self.unsent.popleft()
            message = {
                "op": "start", "key": start.key, "launch": None if start.launch is self._told else start.launch._asdict(),
                "job": start.job, "attempt": start.attempt, "reference": start.reference, "gpus": start.gpus, "env": start.env,
            }  # fmt: skip
            self._told = start.launch
            try:
                self._send(protocol.encode(message), start.gate.exit)
            except OSError as error:  # no memory for the message, too many descriptors on their way
                del self.waiting[start.key]
                self._told = None
                failed.append((start.key, error))
        return failed

    def reap(self, pid: int) -> None:
        self._send(protocol.encode({"op": "reap", "pid": pid}))

    def _send(self, data: bytes, *descriptors: int) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the end of the line is about to be seen
            sent = socket.send_fds(self.line, [data], descriptors) if descriptors else 0
            if sent < len(data):
                self.line.sendall(data[sent:])

    def receive(self) -> list[dict[str, Any]] | None:
        """What it has said; ``None`` if it has died."""
        if self.line.fileno() < 0:
            return []  # let go of since its selector saw something
        try:
            data = self.line.recv(1 << 18, socket.MSG_DONTWAIT)
        except (BlockingIOError, InterruptedError):
            return []
        except ConnectionResetError:
            return None
        return self._incoming.add(data) if data else None


def _name(launch: Launch) -> tuple[Any, ...]:
    """The same for launches whose tasks may come from one nursery."""
    looked_at = {name: value for name, value in launch.env.items() if name.startswith(_LOOKED_AT)}
    return (launch.cwd, *launch.preload, *sorted(looked_at.items()))


class Nurseries:
    """All nurseries of a controller. Their lines are read by ``selector``'s owner, which calls what is registered there."""

    #: To be set before the first start.
    listener: Listener

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        self._nurseries: dict[tuple[Any, ...], _Nursery] = {}
        self._home: dict[int, _Nursery] = {}
        #: How nurseries ended that were reaped before the end of their line was seen.
        self._codes: dict[int, int] = {}
        #: How many died before they were ready, one after the other.
        self._deaths = 0

    @property
    def pids(self) -> list[int]:
        """The process numbers of all nurseries."""
        return [nursery.pid for nursery in self._nurseries.values()]

    def open(self) -> None:
        """Begin to make what most tasks come from, before the first is to be started."""
        with contextlib.suppress(OSError):
            self._nursery(())

    def start(self, start: Start) -> None:
        """Have the tasks of a job started; ``started`` tells of it. Raises ``OSError`` if that is not possible."""
        launch = start.launch
        # A shell has no use for modules, and would have their memory counted as its own.
        nursery = self._nursery(_name(launch) if launch.preload and not launch.shell else (), launch)
        nursery.add(start)
        if nursery.ready:
            self._send(nursery)

    def give_up(self, key: int) -> bool:
        """Whether nothing was begun of a start, and nothing will be: its nursery is still loading modules."""
        return any(nursery.give_up(key) for nursery in self._nurseries.values())

    def _send(self, nursery: _Nursery) -> None:
        for key, error in nursery.send():
            self.listener.started(key, [], str(error))

    def reap(self, pid: int) -> None:
        """Let go of a task that has ended; ``reaped`` tells of it."""
        home = self._home.get(pid)
        if home is not None:
            home.reap(pid)

    def _nursery(self, name: tuple[Any, ...], launch: Launch | None = None) -> _Nursery:
        found = self._nurseries.pop(name, None)
        if found is None:
            if len(self._nurseries) >= MOST:
                self._close_idle()
            found = self._spawn(name, launch)
        self._nurseries[name] = found  # the last that was used is the last
        return found

    def _close_idle(self) -> None:
        for name, nursery in list(self._nurseries.items()):
            if len(self._nurseries) < MOST:
                return
            if name and not nursery.busy:
                del self._nurseries[name]
                self._let_go(nursery)

    def _spawn(self, name: tuple[Any, ...], launch: Launch | None) -> _Nursery:
        preload = launch.preload if launch is not None and name else []
        env: Mapping[str, str] = launch.env if launch is not None and name else os.environ
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        arguments = [str(os.getpid()), str(theirs.fileno()), launch.cwd if launch is not None else "/", *preload]
        with theirs:
            theirs.set_inheritable(True)
            pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-u", *boot.words("nursery", "submitit-local-nursery", *arguments)],
                {**env, **marks.room_for(tasks.MARKS)},
            )
        nursery = _Nursery(name, pid, ours)
        self._selector.register(ours, selectors.EVENT_READ, lambda _mask: self._receive(nursery))
        return nursery

    def ended(self, pid: int, code: int) -> None:
        """A child of this process has ended and is about to be reaped: a nursery, what one has left, or an orphan of a task."""
        if any(nursery.pid == pid for nursery in self._nurseries.values()):
            self._codes[pid] = code
        home = self._home.get(pid)
        # A task is nobody's child but its nursery's while that lives. The end of the line may be late: a task that was just being
        # forked had it too.
        while home is not None and self._home.get(pid) is home:
            if not self._receive(home):
                self._died(home)

    # ---- what they report

    def _receive(self, nursery: _Nursery) -> bool:
        """Take in what it has said; whether there was anything."""
        messages = nursery.receive()
        if messages is None:
            self._died(nursery)
            return True
        for message in messages:
            if "ended" in message:
                used = Used(message["cpu_s"], message["max_rss_mb"]) if "cpu_s" in message else None
                self.listener.ended(message["ended"], message["code"], used)
            elif "reaped" in message:
                pid = message["reaped"]
                nursery.tasks.discard(pid)
                self._home.pop(pid, None)
                self.listener.reaped(pid, message["cpu_s"], message["max_rss_mb"])
            elif "started" in message:
                pids = [(pid, started) for pid, started in message["pids"]]
                for pid, _ in pids:
                    nursery.tasks.add(pid)
                    self._home[pid] = nursery
                del nursery.waiting[message["started"]]
                self.listener.started(message["started"], pids, message["problem"])
            else:
                nursery.ready = True
                self._deaths = 0
                self._send(nursery)
        return bool(messages)

    def _died(self, nursery: _Nursery) -> None:
        """Its tasks are lost. What it had not begun is started by another."""
        if self._nurseries.get(nursery.name) is nursery:
            del self._nurseries[nursery.name]
        self._let_go(nursery)
        reason = f"the process that its tasks were started by ({nursery.pid}) {self._how_it_ended(nursery.pid)}"
        for pid in nursery.tasks:
            self._home.pop(pid, None)
        self.listener.bereft(nursery.tasks, reason)
        self._deaths += not nursery.ready
        for start in nursery.waiting.values():
            if self._deaths >= HOPELESS:
                loaded = f", loading {', '.join(start.launch.preload)}" if start.launch.preload else ""
                self.listener.started(start.key, [], reason + loaded)
                continue
            try:
                start.gate.renew()
                self.start(start)
            except OSError as error:
                self.listener.started(start.key, [], f"{reason}, and another cannot be started: {error}")
        if self._deaths >= HOPELESS:
            self._deaths = 0

    def _let_go(self, nursery: _Nursery) -> None:
        self._selector.unregister(nursery.line)
        nursery.line.close()

    def _how_it_ended(self, pid: int) -> str:
        code = self._codes.pop(pid, None)
        if code is None:
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return exits.in_words(code)
