"""What becomes of a process that was just forked to be one task of a job.

::

    nursery ──fork──▶ child: session, signals, order, logs, gate ──▶ the runner, in this very process (see `forked`)
                                                                 ├─exec─▶ python -u -m submitit.core._submit FOLDER
                                                                 └─exec─▶ bash -c "setup lines; command"

A task inherits no descriptor but its logs, and no signal setting but one: the signal that asks a job to save its state is
held back until the runner has a handler for it, since by itself it would kill.
"""

from __future__ import annotations

# The function itself: `signal.pthread_sigmask` makes an enum member of each of the sixty signals that it returns, twice a task.
import _signal  # type: ignore[import-not-found]
import contextlib
import os
import pickle
import signal
import socket
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from submitit.local import processes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Protocol

    from submitit.local.protocol import Launch

    class World(Protocol):
        """What a forked process does to be a task: see `forked`."""

        def diverge(self) -> None:
            """Have what no two processes may have in common."""

        def expect(self, launch: Launch) -> None:
            """Have what all tasks of a launch have."""

        def enter(self, order: Order) -> None:
            """Have what the task has, and what others know it by."""

        def run(self, launch: Launch) -> NoReturn:
            """Be the task, to its end."""


#: The variables that a task is told what it is by.
JOB_ID = "SUBMITIT_LOCAL_JOB_ID"
#: Which start of which job of which controller a process belongs to, with everything it starts.
TOKEN = "SUBMITIT_LOCAL_START"  # noqa: S105 - no secret
#: To a job without a GPU: the submitter's CUDA_VISIBLE_DEVICES, which is that of the jobs that it submits in its turn.
VISIBLE_GPUS = "SUBMITIT_LOCAL_VISIBLE_GPUS"

#: By these a process of a job is recognised that has no variables of its own to show.
MARKS = (TOKEN, JOB_ID)

#: Variables (their beginnings) by which an interpreter, the C library below it or the runner is set up when it starts.
START_UP = (
    "PYTHON",
    "LD_",
    "MALLOC_",
    "GLIBC_TUNABLES",
    "LC_",
    "LANG",
    "LOCPATH",
    "SUBMITIT_LOG_LEVEL",
    "SUBMITIT_PREEMPT_SIGNAL",
)

#: What the shell says of a command that it cannot find, and of one that it cannot run.
NOT_FOUND, NOT_RUNNABLE = 127, 126

_ALL_SIGNALS = signal.valid_signals()

# A shell is to outlive the SIGTERM that its command may want to answer. A handler, unlike `trap ''`, is not inherited.
_SHELL_PREFIX = "trap : TERM\n"


def variables(
    launch: Launch, job_id: str, attempt: int, reference: str | None, rank: int, gpus: Sequence[str]
) -> dict[str, str]:
    """What a task has beside the submitter's variables: which task of which job it is, and what GPUs that has."""
    env = {
        "SUBMITIT_EXECUTOR": "local",
        JOB_ID: job_id,
        "SUBMITIT_LOCAL_ATTEMPT": str(attempt),
        "SUBMITIT_LOCAL_NTASKS": str(launch.tasks),
        "SUBMITIT_LOCAL_JOB_NUM_NODES": "1",
        "SUBMITIT_LOCAL_NODEID": "0",
        "SUBMITIT_LOCAL_GLOBALID": str(rank),
        "SUBMITIT_LOCAL_LOCALID": str(rank),
        "SUBMITIT_LOCAL_TIMEOUT_S": f"{launch.timeout_s:g}",
        "SUBMITIT_LOCAL_SIGNAL_DELAY_S": f"{launch.signal_delay_s:g}",
        "CUDA_VISIBLE_DEVICES": ",".join(gpus),
    }
    if not gpus and launch.env.get("CUDA_VISIBLE_DEVICES"):
        env[VISIBLE_GPUS] = launch.env["CUDA_VISIBLE_DEVICES"]
    if reference is not None:
        env["SUBMITIT_PAYLOAD"] = reference
    return env


def default_words(executable: str, folder: str) -> list[str]:
    """The command that runs a job of an executor's folder in a fresh process of this interpreter."""
    return [executable, "-u", "-m", "submitit.core._submit", folder]


def words(launch: Launch) -> list[str]:
    """The command of a launch, as the words to execute."""
    if launch.shell:
        return ["bash", "-c", _SHELL_PREFIX + launch.command[0]]
    return launch.command


class Gate:
    """Holds back tasks that were started until it is known, whatever happens next, that they were.

    A task whose starter dies, or closes the gate, before it is opened ends without having begun.
    """

    def __init__(self) -> None:
        #: The end that tasks have.
        self.exit, self._entry = os.pipe()

    def renew(self) -> None:
        """Send away whoever waits: others will be started in their place."""
        fresh = os.pipe()
        self.close()
        self.exit, self._entry = fresh

    def open(self, count: int) -> None:
        """Let ``count`` tasks begin."""
        os.write(self._entry, b"." * count)

    def close(self) -> None:
        os.close(self.exit)
        os.close(self._entry)


class Order(NamedTuple):
    """Which task a process is to become."""

    #: ``None``: the one that was expected when the process was forked.
    launch: Launch | None
    #: The task's own variables; a fresh interpreter has the launch's as well.
    env: dict[str, str]
    #: What others are to recognise it by: see `marks`.
    marks: dict[str, str]
    #: Whether it executes the command of its launch, instead of running the submission by itself.
    fresh: bool


class Child:
    """A process forked to become a task, as its parent sees it. It may be made before it is known which task that is."""

    def __init__(self, world: World, others: Iterable[int], expected: Launch | None = None) -> None:
        """``world`` is what the child does with an order that is not ``fresh``; ``others`` are descriptors it must not have.

        ``expected`` is the launch whose tasks ``world`` is like; the child may be ordered to become another's. Raises ``OSError``
        if the machine has no room for a process. Only for a process with a single thread.
        """
        self._expected = expected
        self._line, end = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            own = os.getpid()
            # What is sent to the child before it has settled waits for that.
            before = _signal.pthread_sigmask(signal.SIG_BLOCK, _ALL_SIGNALS)
            try:
                self.pid = os.fork()
                if self.pid == 0:
                    _become(own, end, [self._line.fileno(), *others], world, expected)
            finally:
                _signal.pthread_sigmask(signal.SIG_SETMASK, before)
        except BaseException:
            self._line.close()
            raise
        finally:
            end.close()
        self.started = processes.start_time(self.pid)

    def fileno(self) -> int:
        """The parent's end of the line to the child."""
        return self._line.fileno()

    def begin(self, order: Order, stdout: int, stderr: int, gate: int) -> None:
        """Have it become this task, as soon as it has passed the gate."""
        if order.launch is self._expected:
            order = order._replace(launch=None)
        with self._line:
            data = pickle.dumps(order, pickle.HIGHEST_PROTOCOL)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it was killed: that is seen elsewhere
                sent = socket.send_fds(self._line, [data], [stdout, stderr, gate])
                self._line.sendall(data[sent:])

    def dismiss(self) -> None:
        """Have it end without ever having been a task."""
        self._line.close()


def _become(parent: int, line: socket.socket, others: Iterable[int], world: World, expected: Launch | None) -> NoReturn:
    """The child's side: never returns, never raises. What goes wrong is said in the task's stderr; it exits with 126 or 127."""
    code = NOT_RUNNABLE
    try:
        os.setsid()
        _reset_signals()
        processes.die_with_parent()
        if os.getppid() != parent:  # it died in between
            os._exit(NOT_RUNNABLE)
        for descriptor in others:
            os.close(descriptor)
        world.diverge()
        order, descriptors = _receive(line)
        if order is None:
            os._exit(NOT_RUNNABLE)
        null = os.open(os.devnull, os.O_RDONLY)
        stdout, stderr, gate = descriptors
        for number, descriptor in enumerate((null, stdout, stderr)):
            os.dup2(descriptor, number)
        for descriptor in (null, stdout, stderr):
            os.close(descriptor)
        # Everything but to begin, while it is still being written down that the task exists.
        launch = order.launch or expected
        assert launch is not None
        os.umask(launch.umask)
        processes.set_limits(launch.limits)
        os.chdir(launch.cwd)
        if not order.fresh:
            if launch is not expected:
                world.expect(launch)
            world.enter(order)
        if os.read(gate, 1) != b".":
            os._exit(NOT_RUNNABLE)
        os.close(gate)
        _signal.pthread_sigmask(signal.SIG_SETMASK, {launch.user_signal})
        if not order.fresh:
            world.run(launch)
        code = _execute(launch, order.env)
    except BaseException as error:  # noqa: BLE001 - a child must not run on in its parent's code
        os.write(2, f"submitit: the task could not be started: {error}\n".encode("utf-8", "backslashreplace"))
    finally:
        os._exit(code)


def _receive(line: socket.socket) -> tuple[Order | None, list[int]]:
    """The order and its descriptors; ``None`` if there is none to come."""
    with line:
        data, descriptors, _, _ = socket.recv_fds(line, 1 << 16, 3)
        chunks = [data]
        while chunks[-1]:
            chunks.append(line.recv(1 << 20))
    data = b"".join(chunks)
    return (pickle.loads(data) if data else None), descriptors


def _execute(launch: Launch, env: Mapping[str, str]) -> int:
    """Returns only where there is no such command: what to exit with."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    command = words(launch)
    try:
        os.execvpe(command[0], command, env)  # noqa: S606 - the point of this module
    except FileNotFoundError as error:
        if launch.shell:
            os.execvpe("sh", ["sh", *command[1:]], env)  # noqa: S606
        os.write(2, f"submitit: the task could not be started: {error}\n".encode("utf-8", "backslashreplace"))
    return NOT_FOUND


def _reset_signals() -> None:
    """The handlers of a new interpreter. Everything stays blocked until it is known what the task's own signal is."""
    signal.set_wakeup_fd(-1)
    # What the nursery handles, and what it does not want of a terminal. (A look at each of the 64 takes half a millisecond.)
    for number in (signal.SIGCHLD, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
