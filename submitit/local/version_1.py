"""Jobs that are a process of their own, whose number is the job's id: those of version 1, and of `start_controller`."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from submitit import environ

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from subprocess import Popen


def is_controller(job_id: str) -> bool:
    """Whether the id is the number of a living process that runs a job in this way."""
    from submitit.local.processes import command_line

    return job_id.isdecimal() and any(word.startswith("submitit.local._local") for word in command_line(int(job_id)))


def start_controller(
    folder: Path,
    command: str,
    tasks_per_node: int = 1,
    cuda_devices: str = "",
    timeout_min: float = 5.0,
    signal_delay_s: int = 30,
    stderr_to_stdout: bool = False,
    setup: Sequence[str] = (),
) -> Popen[bytes]:
    """Run a command as a job whose controller is a process of its own, and return that: its number is the job's id.

    As in version 1. ``command`` is split into words as a shell does, and runs without one. Follow it with
    ``LocalJob(folder, str(process.pid), tasks, process=process)``.
    """
    from submitit.local import controller

    if setup:
        command = "\n".join([*setup, f"exec {shlex.join(shlex.split(command))}"])
    env = {
        "SUBMITIT_EXECUTOR": "local",
        "SUBMITIT_LOCAL_COMMAND": command,
        "SUBMITIT_LOCAL_WITH_SHELL": "1" if setup else "",
        "SUBMITIT_LOCAL_NTASKS": str(tasks_per_node),
        "SUBMITIT_LOCAL_TIMEOUT_S": str(int(60 * timeout_min)),
        "SUBMITIT_LOCAL_SIGNAL_DELAY_S": str(signal_delay_s),
        "SUBMITIT_STDERR_TO_STDOUT": "1" if stderr_to_stdout else "",
        "SUBMITIT_IMPORT_PATH": environ.import_path(),
        "CUDA_VISIBLE_DEVICES": cuda_devices,
    }
    return controller.start_for_one_job(folder, env)
