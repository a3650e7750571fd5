"""What a client, its controller and that one's nurseries say to each other: one JSON object a line, over a socket pair.

Client to controller, each with a growing ``seq``: a line that was torn by an interrupted write is dropped by the controller
and sent again by the client, and a line that comes twice counts once.

    {"op": "submit", "root": R, "launch": {...}, "jobs": [[job_id, payload reference, attempt], ...]}
                                                                    ``launch`` is null where it is the last one's;
                                                                    ``after`` where they wait for others: see `dependencies`
    {"op": "cancel" | "signal", "root": R, "job": job_id}
    {"op": "lost",   "root": R, "jobs": [{record}, ...]}            jobs whose controller was killed: see `records`

Controller to client, in the order in which it happened, each with a growing ``seq``:

    {"root": R, "record": {...}}                                    a line of the journal: see `records`

Controller to nursery. A ``start`` brings the descriptor of a gate along (see `tasks.Gate`):

    {"op": "start", "key": K, "launch": {...}, "job": job_id, "attempt": N, "reference": payload, "gpus": [...],
     "env": {...}}
    {"op": "reap",  "pid": P}

Nursery to controller:

    {"ready": true}                                                 its modules are loaded
    {"started": K, "pids": [[pid, start time], ...], "problem": ""}
    {"ended": P, "code": C, "cpu_s": S, "max_rss_mb": M}            a signal is a negative code; without usage where
                                                                    that is known only of what is reaped
    {"reaped": P, "cpu_s": S, "max_rss_mb": M}

``R`` is the absolute path that holds the ``.submitit`` directory of the jobs' folder.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

#: No line from a controller is longer, so that a client can look at whole lines before it takes them off the socket.
LONGEST_LINE = 64 * 1024
#: The word by which a controller's process is recognised.
CONTROLLER_WORD = "submitit-local-controller"


class Launch(NamedTuple):
    """How to start the tasks of a job: everything that jobs submitted together have in common."""

    #: The executor's folder, its tags in place.
    folder: str
    #: The command, as words; or a text for the shell, where there is only one word and ``shell`` is set.
    command: list[str]
    shell: bool
    cwd: str
    #: The submitter's variables, without those that the controller sets itself.
    env: dict[str, str]
    umask: int
    tasks: int
    cpus: int
    max_cpus: int | None
    max_jobs: int | None
    parallelism: int | None
    mem_gb: float
    #: How many GPUs, and those to choose from.
    gpus: int
    visible_gpus: list[str]
    #: Whether the job has its GPUs for itself. Otherwise it gets the first, whoever has them.
    lease_gpus: bool
    timeout_s: float
    signal_delay_s: float
    #: The signal that asks a job to save its state, as a number.
    user_signal: int
    stderr_to_stdout: bool
    #: Modules that the process has loaded from which the tasks are forked.
    preload: list[str]
    #: The submitter's limits: see `processes.limits`.
    limits: dict[str, tuple[int, int]] = {}  # noqa: RUF012 - never changed
    #: What to do about failures, as `orchestrator.retry` writes it down; ``None``: nothing.
    retry: dict[str, Any] | None = None


def encode(message: dict[str, Any]) -> bytes:
    """One line. Text that is no valid Unicode (file names, variables) survives."""
    return json.dumps(message, separators=(",", ":")).encode("ascii") + b"\n"


def decode(line: bytes) -> dict[str, Any] | None:
    """The message of one line; ``None`` for a torn one."""
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None


class Incoming:
    """What has arrived on a line, in pieces of any size, as messages."""

    def __init__(self) -> None:
        self._rest = b""

    def add(self, data: bytes) -> list[dict[str, Any]]:
        """The messages that are complete with this; a torn one is left out."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [message for line in lines if (message := decode(line)) is not None]


def user_signal(env: Mapping[str, str]) -> int:
    """The number of the signal that asks a job to save its state: ``$SUBMITIT_PREEMPT_SIGNAL``, or SIGUSR2."""
    import signal

    return int(getattr(signal, f"SIG{env.get('SUBMITIT_PREEMPT_SIGNAL', 'USR2')}"))
