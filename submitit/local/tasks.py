"""What becomes of a process that was just forked to be one task of a job.

::

    nursery ──fork──▶ child: session, signals, logs, gate, directory ──▶ the runner, in this very process (see `forked`)
                                                                     ├─exec─▶ python -u -m submitit.core._submit FOLDER
                                                                     └─exec─▶ bash -c "setup lines; command"

A task inherits no descriptor but its logs, and no signal setting but one: the signal that asks a job to save its state is
held back until the runner has a handler for it, since by itself it would kill.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, NoReturn

from submitit.local import processes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from submitit.local.protocol import Launch

#: The variables that a task is told what it is by.
JOB_ID = "SUBMITIT_LOCAL_JOB_ID"
#: Which start of which job of which controller a process belongs to, with everything it starts.
TOKEN = "SUBMITIT_LOCAL_START"  # noqa: S105 - no secret

#: By these a process of a job is recognised that has no variables of its own to show.
MARKS = (TOKEN, JOB_ID)

#: Variables (their beginnings) by which an interpreter, the C library below it or the runner is set up when it starts.
START_UP = ("PYTHON", "LD_", "MALLOC_", "GLIBC_TUNABLES", "LC_", "LANG", "LOCPATH", "SUBMITIT_PREEMPT_SIGNAL")

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

    def open(self, count: int) -> None:
        """Let ``count`` tasks begin."""
        os.write(self._entry, b"." * count)

    def close(self) -> None:
        os.close(self.exit)
        os.close(self._entry)


def become(
    launch: Launch,
    env: Mapping[str, str],
    logs: tuple[int, int],
    gate: int,
    others: Iterable[int],
    run: Callable[[], NoReturn] | None,
) -> NoReturn:
    """In a child just forked, with ``settling`` signals blocked: become the task. Never returns, never raises.

    It waits at ``gate``. ``run`` is what it does then, instead of executing the command of the launch. ``others`` are
    descriptors that it must not have. Whatever goes wrong is said in the task's stderr, and its exit code is 126 or 127.
    """
    code = NOT_RUNNABLE
    try:
        nursery = os.getppid()
        os.setsid()
        _reset_signals(launch.user_signal)
        processes.die_with_parent()
        if os.getppid() != nursery:  # it died in between
            os._exit(NOT_RUNNABLE)
        null = os.open(os.devnull, os.O_RDONLY)
        for number, descriptor in enumerate((null, *logs)):
            os.dup2(descriptor, number)
        for descriptor in {null, *logs, *others}:
            os.close(descriptor)
        if os.read(gate, 1) != b".":
            os._exit(NOT_RUNNABLE)
        os.close(gate)
        os.umask(launch.umask)
        os.chdir(launch.cwd)
        if run is not None:
            run()
        code = _execute(launch, env)
    except BaseException as error:  # noqa: BLE001 - a child must not run on in its parent's code
        os.write(2, f"submitit: the task could not be started: {error}\n".encode("utf-8", "backslashreplace"))
    finally:
        os._exit(code)


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


def settling(launch: Launch) -> set[int]:
    """What a task may be sent as soon as it exists. It is blocked around the fork."""
    return {signal.SIGTERM, signal.SIGCONT, launch.user_signal}


def _reset_signals(held_back: int) -> None:
    """What a new interpreter has, and nothing blocked but one signal."""
    signal.set_wakeup_fd(-1)
    # What the nursery handles, and what it does not want of a terminal. (A look at each of the 64 takes half a millisecond.)
    for number in (signal.SIGCHLD, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, {held_back})
