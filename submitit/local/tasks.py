"""Start one task of a job as a process of its own.

::

    controller ──fork──▶ child: session, signals, logs, gate, directory ──exec──▶ python -u -m submitit.core._submit FOLDER
                                                                          └─exec──▶ bash -c "setup lines; command"

The task inherits no descriptor but its logs, and no signal setting but one: the signal that asks a job to save its state is
held back until the runner has a handler for it, since by itself it would kill.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, NoReturn

from submitit.local import processes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from submitit.local.protocol import Launch

#: The variables that a task is told what it is by.
JOB_ID = "SUBMITIT_LOCAL_JOB_ID"
#: Which start of which job of which controller a process belongs to, with everything it starts.
TOKEN = "SUBMITIT_LOCAL_START"  # noqa: S105 - no secret

#: What the shell says of a command that it cannot find, and of one that it cannot run.
NOT_FOUND, NOT_RUNNABLE = 127, 126

# A shell is to outlive the SIGTERM that its command may want to answer. A handler, unlike `trap ''`, is not inherited.
_SHELL_PREFIX = "trap : TERM\n"


def environment(launch: Launch, job_id: str, attempt: int, reference: str | None, rank: int) -> dict[str, str]:
    """The variables of one task: the submitter's, and those that say which task of which job it is."""
    env = {
        **launch.env,
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
        "CUDA_VISIBLE_DEVICES": ",".join(map(str, launch.gpus)),
    }
    if reference is not None:
        env["SUBMITIT_PAYLOAD"] = reference
    return env


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
        self._exit, self._entry = os.pipe()

    def open(self, count: int) -> None:
        """Let ``count`` tasks begin."""
        os.write(self._entry, b"." * count)

    def close(self) -> None:
        os.close(self._exit)
        os.close(self._entry)

    def pass_through(self) -> bool:
        """In a task: wait until it may begin; ``False`` if it may not."""
        os.close(self._entry)
        return os.read(self._exit, 1) == b"."


def start(launch: Launch, env: Mapping[str, str], stdout: str, stderr: str, gate: Gate) -> int:
    """Start a task, which waits at the gate; return its process number, which is its session's and its group's too.

    Raises ``OSError`` if its logs cannot be opened or the machine has no room for a process. Whatever goes wrong after that
    is said in the task's stderr, and its exit code is 126 or 127. Only for a process with a single thread.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    logs = [os.open(stdout, flags, 0o666)]
    try:
        logs.append(logs[0] if launch.stderr_to_stdout else os.open(stderr, flags, 0o666))
        own = os.getpid()
        # What is sent to the child before it has settled waits for that.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            pid = os.fork()
            if pid == 0:
                _become(launch, env, (logs[0], logs[1]), own, gate)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    finally:
        for descriptor in set(logs):
            os.close(descriptor)
    return pid


def _become(launch: Launch, env: Mapping[str, str], logs: tuple[int, int], controller: int, gate: Gate) -> NoReturn:
    """The child's side: never returns, never raises."""
    code = NOT_RUNNABLE
    try:
        os.setsid()
        _reset_signals(launch.user_signal)
        processes.die_with_parent()
        if os.getppid() != controller:  # it died in between
            os._exit(NOT_RUNNABLE)
        for number, descriptor in enumerate((os.open(os.devnull, os.O_RDONLY), *logs)):
            os.dup2(descriptor, number)
        if not gate.pass_through():
            os._exit(NOT_RUNNABLE)
        os.umask(launch.umask)
        os.chdir(launch.cwd)
        command = words(launch)
        try:
            os.execvpe(command[0], command, env)  # noqa: S606 - the point of this module
        except FileNotFoundError:
            if not launch.shell:
                code = NOT_FOUND
                raise
            os.execvpe("sh", ["sh", *command[1:]], env)  # noqa: S606
    except BaseException as error:  # noqa: BLE001 - a child must not run on in its parent's code
        os.write(2, f"submitit: the task could not be started: {error}\n".encode("utf-8", "backslashreplace"))
    finally:
        os._exit(code)


def _reset_signals(held_back: int) -> None:
    """Default actions throughout, and nothing blocked but one signal."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        # Also undoes what Python ignores (SIGPIPE, SIGXFSZ) and what the controller does (SIGINT, SIGHUP).
        if signal.getsignal(number) not in (signal.SIG_DFL, None):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, {held_back})
