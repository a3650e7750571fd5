"""A cluster that is not there, as the test suites of other programs have it.

Four names are replaced, and nothing of this library's own: ``submitit.core.utils.CommandFunction``, ``subprocess.check_output``,
``subprocess.check_call`` and ``shutil.which``. ``sbatch`` takes every script, ``sacct`` prints the states that a test has set,
and a job runs when the test says so, in this process.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from submitit.core import submission


class StandIn:
    """Knows ``srun sbatch sacct scancel``; any other command raises ``ValueError``, unless it is in ``answers``."""

    def __init__(self) -> None:
        self._count = 12
        self._states: dict[str, str] = {}
        #: Every command that was sent, in order.
        self.sent: list[list[str]] = []
        #: What further commands print, or do: by their first word.
        self.answers: dict[str, Callable[[list[str]], str]] = {}
        #: The scripts that sbatch was given, by the job's id.
        self.scripts: dict[str, str] = {}

    # ---- what is put in place of the system

    def __call__(self, command: Sequence[str], **kwargs: Any) -> bytes:
        command = list(command)
        self.sent.append(command)
        known = {"sacct": self._sacct, "sbatch": self._sbatch, "scancel": lambda _: "", **self.answers}
        if command[0] not in known:
            raise ValueError(f'Unknown command: "{command}"')
        return known[command[0]](command).encode()

    def command_function(self, command: list[str], *args: Any, **kwargs: Any) -> Callable[[], str]:
        return lambda: self(command).decode().strip()

    def which(self, name: str) -> str | None:
        return "here" if name == "srun" else None

    @contextlib.contextmanager
    def active(self) -> Iterator[StandIn]:
        """For the time of the block there is this cluster."""
        with (
            mock.patch("submitit.core.utils.CommandFunction", self.command_function),
            mock.patch("subprocess.check_output", self),
            mock.patch("subprocess.check_call", self),
            mock.patch("shutil.which", self.which),
        ):
            yield self

    # ---- the commands

    def _sbatch(self, command: list[str]) -> str:
        job_id = str(self._count)
        self._count += 1
        script = self.scripts[job_id] = Path(command[1]).read_text()
        array = re.search(r"^#SBATCH --array=0-(\d+)%", script, re.MULTILINE)
        for element in [job_id] if array is None else [f"{job_id}_{k}" for k in range(int(array[1]) + 1)]:
            self._states[element] = "RUNNING"
        return f"Running job {job_id}\n"

    def _sacct(self, command: list[str]) -> str:
        """Whatever is asked for: all jobs, each below a header of its own."""
        return "\n".join(
            f"JobID|State\n{job_id}|{state}\n{job_id}.ext+|{state}\n{job_id}.0|{state}"
            for job_id, state in self._states.items()
        )

    # ---- what a test does

    def set_state(self, job_id: str, state: str) -> None:
        self._states[job_id] = state

    def names(self) -> list[str]:
        """The programs that were run so far."""
        return [command[0] for command in self.sent]

    @contextlib.contextmanager
    def inside(self, job_id: str, rank: int = 0, tasks: int = 1) -> Iterator[None]:
        """For the time of the block this process is a task of the job."""
        main, _, index = job_id.partition("_")
        variables = {"SUBMITIT_EXECUTOR": "slurm", "SLURM_JOB_ID": main}
        if index:
            variables |= {"SLURM_ARRAY_JOB_ID": main, "SLURM_ARRAY_TASK_ID": index}
        if tasks > 1:
            variables |= {"SLURM_NTASKS": str(tasks), "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)}
        with mock.patch.dict(os.environ, variables):
            yield

    def run(self, folder: str | os.PathLike[str], job_id: str, rank: int = 0, tasks: int = 1) -> None:
        """Run one task of a job, here and now, up to its end."""
        with self.inside(job_id, rank, tasks):
            submission.process_job(folder)


def refuse(words: str) -> Callable[[list[str]], str]:
    """An answer: the command fails, with these words on stderr."""

    def answer(command: list[str]) -> str:
        raise subprocess.CalledProcessError(1, command, b"", words.encode())

    return answer
