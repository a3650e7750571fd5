"""Jobs that run out of time, are preempted, or are asked by hand to save their state.

A job is waited for in a thread from its submission on: that it runs again must never look like its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import submitit
from submitit import errors
from support import faults
from support.slurm_jobs import DEADLINE_S, Client, clear_away, start_again, state_of, until

pytestmark = pytest.mark.slurm


@pytest.fixture
def waits(client: Client) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool
        clear_away(client.cluster, client.directory)  # no wait outlasts its job


class Attempts:
    """A job with a directory in which each attempt leaves a file, waited for from the beginning."""

    def __init__(self, client: Client, waits: ThreadPoolExecutor, name: str) -> None:
        self.client = client
        self.directory = client.directory / name
        self.directory.mkdir()
        self._waits = waits
        self.job: submitit.Job[Any]
        self.error: Future[errors.UncompletedJobError | None]

    def submit(self, function: Callable[..., Any], *args: Any, **parameters: Any) -> Attempts:
        self.job = self.client.submit(function, *args, **parameters)
        self.error = self._waits.submit(self.job.exception, 2 * DEADLINE_S)
        return self

    def checkpointable(self, attempts: int, **parameters: Any) -> Attempts:
        return self.submit(faults.Saving(attempts, str(self.directory)), **parameters)

    def plain(self, **parameters: Any) -> Attempts:
        """Runs until the file ``go`` is there, however often it is started."""
        return self.submit(faults.wait_between, *map(str, (self.path(0), self.directory / "go")), **parameters)

    def path(self, attempt: int) -> Path:
        return self.directory / f"attempt-{attempt}"

    def until_started(self, attempt: int = 0) -> Attempts:
        until(lambda: self.path(attempt).exists() or self.error.done(), f"attempt {attempt}")
        assert not self.error.done(), self.error.result()
        return self

    def interrupt(self, timeout: bool) -> Attempts:
        assert isinstance(self.job, submitit.SlurmJob)
        self.job._interrupt(timeout)
        return self

    def start_again(self) -> Attempts:
        start_again(self.client.cluster, self.job.job_id)
        return self

    def said(self, words: str) -> int:
        return (self.job.stdout() or "").count(words)


# ---------------------------------------------------------------- out of time


#: Slurm looks at limits every 30 s, and warns at the first look within 30 s and the delay of the end: of a limit of a
#: minute with this delay between the seconds 25 and 55.
A_MINUTE: dict[str, Any] = {"timeout_min": 1, "slurm_signal_delay_s": 5}


@pytest.mark.long
@pytest.mark.usefixtures("unasked")
def test_out_of_time(client: Client, waits: ThreadPoolExecutor) -> None:
    saving = [
        Attempts(client, waits, f"saving-{srun}").checkpointable(2, slurm_use_srun=srun, **A_MINUTE)
        for srun in (True, False)
    ]
    plain = [Attempts(client, waits, f"plain-{srun}").plain(slurm_use_srun=srun, **A_MINUTE) for srun in (True, False)]
    exhausted = Attempts(client, waits, "exhausted").checkpointable(3, max_num_timeout=1, **A_MINUTE)
    for attempts in (*saving, exhausted):
        attempts.until_started().start_again()
    for attempts in saving:
        assert attempts.error.result(2 * DEADLINE_S) is None
        assert attempts.job.result() == 1
        assert attempts.said("this job is timed-out") == 1
        assert attempts.said("(2 remaining timeouts)") == 1
    for attempts in plain:
        error = attempts.error.result(2 * DEADLINE_S)
        assert type(error) is errors.JobTimeoutError, repr(error)
        assert attempts.said("Job not requeued because: timed-out and not checkpointable.") == 1
    error = exhausted.error.result(2 * DEADLINE_S)
    assert type(error) is errors.FailedJobError
    assert "timed-out too many times" in str(error)
    assert type(error.__cause__) is errors.UncompletedJobError
    assert not exhausted.path(2).exists()
    assert exhausted.said("(0 remaining timeouts)") == 1


# ---------------------------------------------------------------- preempted


def preempt(client: Client, waits: ThreadPoolExecutor, low: list[Attempts]) -> Attempts:
    """Let a job of the partition ``high`` take all CPUs from the jobs of ``low``; on return it runs."""
    for attempts in low:
        attempts.until_started()
    high = Attempts(client, waits, "high").plain(slurm_partition="high", nodes=2, cpus_per_task=8)
    return high.until_started()


def filling(node: str) -> dict[str, Any]:
    return {"slurm_partition": "low", "slurm_nodelist": node, "cpus_per_task": 8, "slurm_signal_delay_s": 1}


@pytest.mark.usefixtures("unasked")
def test_a_preempted_checkpointable_job_resumes(client: Client, waits: ThreadPoolExecutor) -> None:
    low = Attempts(client, waits, "low").checkpointable(2, **filling("n1"))
    high = preempt(client, waits, [low])
    until(lambda: state_of(client.cluster, low.job.job_id) == "PENDING", "the requeue")
    assert not low.error.done()
    assert not low.job.done(force_check=True)
    (high.directory / "go").write_text("done")
    assert high.error.result(DEADLINE_S) is None
    low.start_again()

    assert low.error.result(DEADLINE_S) is None
    assert low.job.result() == 1
    assert low.said("this job is preempted") == 1
    assert low.said("Calling checkpoint method.") == 1
    assert "Slurm refused" not in (low.job.stderr() or "")


@pytest.mark.long
@pytest.mark.usefixtures("unasked")
def test_preempted_jobs(client: Client, waits: ThreadPoolExecutor) -> None:
    """Without srun too, and a plain function, which starts anew."""
    saving = Attempts(client, waits, "saving").checkpointable(2, **filling("n1"), slurm_use_srun=False)
    plain = Attempts(client, waits, "plain").plain(**filling("n2"))
    high = preempt(client, waits, [saving, plain])
    first = plain.path(0).read_text()
    until(lambda: state_of(client.cluster, plain.job.job_id) == "PENDING", "the requeue")
    plain.path(0).unlink()
    (high.directory / "go").write_text("done")
    assert high.error.result(DEADLINE_S) is None
    for attempts in (saving, plain):
        assert not attempts.error.done()
        attempts.start_again()

    assert saving.error.result(DEADLINE_S) is None
    assert saving.job.result() == 1
    plain.until_started()
    assert plain.path(0).read_text() != first
    (plain.directory / "go").write_text("at last")
    assert plain.error.result(DEADLINE_S) is None
    assert plain.job.result()["text"] == "at last"
    assert plain.said("Starting with JobEnvironment") == 2


# ---------------------------------------------------------------- by hand


@pytest.mark.usefixtures("unasked")
@pytest.mark.parametrize("use_srun", [True, False])
@pytest.mark.parametrize("timeout", [True, False], ids=["as at a time-out", "as at a preemption"])
def test_interrupt(client: Client, waits: ThreadPoolExecutor, timeout: bool, use_srun: bool) -> None:
    saving = Attempts(client, waits, "saving").checkpointable(2, slurm_use_srun=use_srun)
    saving.until_started().interrupt(timeout)
    saving.start_again()
    assert saving.error.result(DEADLINE_S) is None
    assert saving.job.result() == 1
    assert saving.said("Calling checkpoint method.") == 1


@pytest.mark.long
@pytest.mark.usefixtures("unasked")
def test_ranks_are_requeued_together(client: Client, waits: ThreadPoolExecutor) -> None:
    """Rank 0 saves. The others go on until Slurm ends them, after KillWait."""
    saving = Attempts(client, waits, "saving").checkpointable(2, nodes=2, tasks_per_node=1)
    saving.until_started()
    until(lambda: "Loading pickle" in (saving.job.task(1).stdout() or ""), "rank 1")
    saving.interrupt(timeout=True)
    saving.start_again()
    assert saving.error.result(DEADLINE_S) is None
    assert saving.job.results() == [1, 1]
