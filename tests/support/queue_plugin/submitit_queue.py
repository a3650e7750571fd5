"""A third-party backend: jobs of the little scheduler ``queue.sh``, made with ``PicklingExecutor`` and its hooks.

Written as a plugin's author would write it: with the documented names of version 1 alone.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import Any, ClassVar

from submitit.core import core, job_environment, utils

QUEUE = str(Path(__file__).with_name("queue.sh"))


class QueueWatcher(core.InfoWatcher):
    """Asks ``queue.sh status`` about all jobs."""

    def _make_command(self) -> list[str] | None:
        return [QUEUE, "status"] if self._registered - self._finished else None

    def read_info(self, string: bytes | str) -> dict[str, dict[str, str]]:
        text = string if isinstance(string, str) else string.decode()
        rows = [line.split() for line in text.splitlines()]
        return {job_id: {"JobID": job_id, "State": state} for job_id, state in rows}


class QueueJob(core.Job[core.R]):
    """A job in the queue."""

    watcher = QueueWatcher(delay_s=1)
    #: The queue lies on this machine: a result that is not there when its job is over will not come.
    _results_timeout_s = 0.1

    def cancel(self, check: bool = True) -> None:
        (subprocess.check_call if check else subprocess.call)([QUEUE, "cancel", self.job_id])


class QueueExecutor(core.PicklingExecutor):
    """Sends jobs to the queue; ``queue_nice`` is the only parameter of its own."""

    job_class = QueueJob

    def __init__(self, folder: str | Path, max_num_timeout: int = 3, greeting: str = "") -> None:
        super().__init__(folder, max_num_timeout=max_num_timeout)
        self.greeting = greeting
        self._throttling = 0.0

    @classmethod
    def affinity(cls) -> int:
        return 0

    @classmethod
    def _valid_parameters(cls) -> set[str]:
        return {"nice"}

    @classmethod
    def _equivalence_dict(cls) -> core.EquivalenceDict:
        return {
            "name": "title",
            "timeout_min": "minutes",
            "mem_gb": "mem_gb",
            "nodes": "nodes",
            "cpus_per_task": "cpus_per_task",
            "gpus_per_node": "gpus_per_node",
            "tasks_per_node": "tasks_per_node",
        }

    @property
    def _submitit_command_str(self) -> str:
        import sys

        return f"{shlex.quote(sys.executable)} -u -m submitit.core._submit {shlex.quote(str(self.folder))}"

    def _make_submission_file_text(self, command: str, uid: str) -> str:
        paths = utils.JobPaths(self.folder, job_id="JOB_ID")
        out = _word(paths.stdout)
        err = "&1" if self.parameters.get("stderr_to_stdout") else _word(paths.stderr)
        return "\n".join(
            [
                "#!/bin/sh",
                "export SUBMITIT_EXECUTOR=queue",
                f'mkdir -p "$(dirname {out})"',
                f"exec >{out} 2>{err}",
                f"echo {shlex.quote(self.greeting)}",
                f"cd {shlex.quote(os.getcwd())}",
                f"nice -n {int(self.parameters.get('nice', 0))} {command}",
                "",
            ]
        )

    def _make_submission_command(self, submission_file_path: Path) -> list[str]:
        return [QUEUE, "submit", str(submission_file_path)]

    @staticmethod
    def _get_job_id_from_submission_command(string: bytes | str) -> str:
        text = string if isinstance(string, str) else string.decode()
        words = text.split()
        if words[:2] != ["queued", "as"]:
            raise utils.FailedSubmissionError(f"Could not make sense of {text!r}")
        return words[2]

    def _num_tasks(self) -> int:
        return 1


def _word(path: Path) -> str:
    """A path for the shell, in which JOB_ID is the job's."""
    escaped = str(path).replace("'", "'\\''")
    return "'" + escaped.replace("JOB_ID", "'\"$QUEUE_JOB_ID\"'") + "'"


class QueueJobEnvironment(job_environment.JobEnvironment):
    """What a job in the queue knows of itself."""

    _env: ClassVar[dict[str, str]] = {"job_id": "QUEUE_JOB_ID"}

    def _requeue(self, countdown: int) -> Any:
        raise RuntimeError("the queue cannot requeue")
