"""Jobs that run more than once, and are waited for all the time: that one runs again must never look like its end."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import submitit
from submitit import errors
from support import faults
from support.reliability import Fault
from support.slurm_jobs import DEADLINE_S, Client, start_again, state_of, until

#: Longer than Slurm takes for its look at limits, KillWait and a start, all on a busy machine.
LONG_S = 2.5 * DEADLINE_S


class Attempts:
    """One job, with a directory in which each attempt leaves a file; a thread waits for it from its submission on."""

    def __init__(self, client: Client, waits: ThreadPoolExecutor, name: str) -> None:
        self.client = client
        self.directory = client.directory / name
        self.directory.mkdir()
        self._waits = waits
        self.kind = "plain"
        self.job: submitit.Job[Any]
        self.error: Future[errors.UncompletedJobError | None]

    def submit(self, function: Callable[..., Any], *args: Any, **parameters: Any) -> Attempts:
        self.job = self.client.submit(function, *args, **parameters)
        self.error = self._waits.submit(self.job.exception, LONG_S)
        return self

    def of_kind(self, kind: str, **parameters: Any) -> Attempts:
        """One of ``faults.KINDS``: each attempt runs until `let_go`; the result says what had been saved before the last."""
        self.kind = kind
        return self.submit(faults.KINDS[kind](str(self.directory)), **parameters)

    def path(self, attempt: int = 0) -> Path:
        return self.directory / f"attempt-{attempt}"

    def until_started(self, attempt: int = 0) -> Attempts:
        until(
            lambda: self.path(attempt).exists() or self.error.done(),
            f"attempt {attempt} of {self.directory.name}",
            LONG_S,
        )
        assert self.path(attempt).exists(), self.error.result()
        return self

    def until_waiting(self) -> Attempts:
        """Slurm has it in its queue again, and nobody takes it for ended."""
        until(
            lambda: state_of(self.client.cluster, self.job.job_id) == "PENDING",
            f"{self.directory.name} requeued",
            LONG_S,
        )
        assert not self.error.done(), self.error.result()
        return self

    def interrupt(self, *, timeout: bool) -> Attempts:
        assert isinstance(self.job, submitit.SlurmJob)
        self.job._interrupt(timeout)
        return self

    def start_again(self, attempt: int = 1) -> Attempts:
        """Where Slurm requeued the job and would have it wait for two minutes."""
        start_again(self.client.cluster, self.job.job_id, attempt)
        return self

    def let_go(self) -> Attempts:
        (self.directory / "go").write_text("go")
        return self

    def ran_again(self, *, attempts: int = 2, saved: int = 1) -> str:
        """Let it end; it was started so often, and a function that can save its state did so many times. How it ran, in words."""
        self.let_go()
        assert self.error.result(LONG_S) is None
        checkpointable = self.kind != "plain"
        expected = {"saved": saved if checkpointable else 0, "restarts": attempts - 1}
        results = self.job.results()
        assert results == [expected] * self.job.num_tasks, f"{self.directory.name}: {results}\n{self.job.stdout()}"
        assert not self.path(attempts).exists()
        return "runs again from its checkpoint" if checkpointable and saved else "runs again from the start"

    def failed(self, kind: type[errors.UncompletedJobError], words: str = "") -> str:
        """It ended with an error of exactly this type, whose text matches ``words``. The row's words."""
        error = self.error.result(LONG_S)
        assert type(error) is kind, repr(error)
        assert re.search(words, str(error)), str(error)
        return f"`{kind.__name__}`"

    def said(self, words: str) -> int:
        return (self.job.stdout() or "").count(words)


def preempt(client: Client, waits: ThreadPoolExecutor, low: Iterable[Attempts]) -> Attempts:
    """Submit a job to the partition ``high`` that takes all CPUs from the jobs of ``low``, once these run."""
    for attempts in low:
        attempts.until_started()
    return Attempts(client, waits, "high").of_kind("plain", slurm_partition="high", nodes=2, cpus_per_task=8)


def on(node: str, partition: str = "low", cpus: int = 4, **parameters: Any) -> dict[str, Any]:
    """The parameters of a job that a higher one takes its CPUs from. Two fill a node.

    Its time is so short that all of it is the end of it: no clock can tell a preemption from a time-out there.
    """
    place = {"slurm_partition": partition, "slurm_nodelist": node, "cpus_per_task": cpus}
    return {**place, "timeout_min": 2, "slurm_signal_delay_s": 1, **parameters}


def is_preempted(attempts: Attempts) -> None:
    """Its submission has lost none of its time-outs."""
    if attempts.kind != "plain":
        assert attempts.said("this job is preempted") == 1
        assert attempts.said("Calling checkpoint method.") == 1
        saved = attempts.job.submission()
        assert saved._timeout_countdown == 3
    assert "refused" not in (attempts.job.stderr() or "")


def start_all(jobs: Iterable[Attempts], attempt: int = 1) -> None:
    """Let jobs that Slurm has requeued start soon, side by side."""
    for start in [attempts._waits.submit(attempts.start_again, attempt) for attempts in jobs]:
        start.result()


def come_back(high: Attempts, low: list[Attempts], fault: Fault, what: str) -> None:
    """Slurm has requeued all of ``low``, and all run to their end once ``high`` has."""
    for attempts in low:
        attempts.until_waiting()
        assert not attempts.job.done(force_check=True)
    assert high.ran_again(attempts=1, saved=0)
    start_all(low)
    for attempts in low:
        sees = attempts.until_started(1).ran_again()
        is_preempted(attempts)
        fault.seen(what, sees, job=attempts.kind)


def refusing_scontrol(directory: Path) -> str:
    """A line of the script's that puts a scontrol on PATH which requeues nothing as long as the file ``refuse`` is there."""
    bin_ = directory / "bin"
    bin_.mkdir()
    (directory / "refuse").touch()
    (bin_ / "scontrol").write_text(
        f'#!/bin/sh\nif [ "$1" = requeue ] && [ -e {directory}/refuse ]; then\n'
        f"  echo refused >> {directory}/refusals\n  echo 'Unable to contact slurm controller (connect failure)' >&2\n  exit 1\nfi\n"
        f'PATH=${{PATH#*:}} exec scontrol "$@"\n'
    )
    (bin_ / "scontrol").chmod(0o755)
    return f"export PATH={bin_}:$PATH"
