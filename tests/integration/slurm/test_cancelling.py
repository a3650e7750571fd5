"""Jobs that are ended on purpose: by their client, by somebody else; waiting, running, in an array."""

from __future__ import annotations

import pytest

import submitit
from submitit import errors
from support import calls, faults
from support.reliability import Fault
from support.slurm_jobs import DEADLINE_S, Client, is_alive, restarts_of, state_of, until

pytestmark = pytest.mark.slurm


def is_cancelled(job: submitit.Job[object]) -> bool:
    error = job.exception(DEADLINE_S)
    assert type(error) is errors.JobCancelledError, repr(error)
    assert "state: CANCELLED" in str(error)
    # Slurm's own word, while the processes come to their end.
    assert job.state in ("CANCELLED", "COMPLETING")
    assert job.done()
    return True


@pytest.mark.usefixtures("unasked")
def test_a_waiting_job(client: Client) -> None:
    job = client.submit(calls.add, 1, 2, slurm_additional_parameters={"hold": True})
    job.cancel()
    assert is_cancelled(job)
    until(lambda: state_of(client.cluster, job.job_id) == "CANCELLED", "CANCELLED in squeue")


@pytest.mark.usefixtures("unasked")
@pytest.mark.parametrize("use_srun", [True, False])
@pytest.mark.parametrize("kind", faults.KINDS)
def test_a_running_job_is_over_before_its_process_is(client: Client, fault: Fault, kind: str, use_srun: bool) -> None:
    started = client.directory / "attempt-0"
    job = client.submit(faults.KINDS[kind](str(client.directory)), slurm_use_srun=use_srun)
    until(started.exists, "a start")
    fault.injected()
    job.cancel()
    assert is_cancelled(job)
    fault.seen("`job.cancel()` while it runs", "`JobCancelledError`", job=kind, lost="what it did")
    assert is_alive(int(started.read_text()))


@pytest.mark.usefixtures("unasked")
def test_one_element_of_an_array(client: Client) -> None:
    go = client.directory / "go"
    started = [client.directory / f"started{index}" for index in range(3)]
    jobs = client.executor().map_array(faults.wait_between, map(str, started), [str(go)] * 3)
    until(lambda: all(path.exists() for path in started), "three starts")
    jobs[1].cancel()
    assert is_cancelled(jobs[1])
    assert [job.done() for job in jobs] == [False, True, False]
    go.write_text("to their end")
    for job in (jobs[0], jobs[2]):
        assert job.result(DEADLINE_S)["text"] == "to their end"


def test_a_waiting_element_of_an_array(client: Client, asked_often: None) -> None:
    """It leaves no trace in squeue nor sacct."""
    jobs = client.executor(slurm_additional_parameters={"hold": True}).map_array(calls.add, range(3), range(3))
    client.cluster.run("scancel", jobs[1].job_id)
    error = jobs[1].exception(DEADLINE_S)
    assert type(error) is errors.JobCancelledError
    client.cluster.run("scontrol", "release", jobs[0].job_id.partition("_")[0])
    assert jobs[0].result(DEADLINE_S) == 0
    assert jobs[2].result(DEADLINE_S) == 4


@pytest.mark.usefixtures("unasked")
@pytest.mark.parametrize("use_srun", [True, False])
@pytest.mark.parametrize("kind", faults.KINDS)
def test_a_running_job_from_outside(client: Client, fault: Fault, kind: str, use_srun: bool) -> None:
    """Its marker tells at once, while the process still lives. It saves nothing, and nobody brings it back."""
    started = client.directory / "attempt-0"
    job = client.submit(faults.KINDS[kind](str(client.directory)), slurm_use_srun=use_srun)
    until(started.exists, "a start")
    fault.injected()
    client.cluster.run("scancel", job.job_id)
    assert is_cancelled(job)
    fault.seen("`scancel` while it runs", "`JobCancelledError`", job=kind, lost="what it did")
    assert is_alive(int(started.read_text()))
    assert "Calling checkpoint method." not in (job.stdout() or "")
    assert restarts_of(client.cluster, job.job_id) == 0


@pytest.mark.usefixtures("asked_often")
@pytest.mark.parametrize("kind", faults.KINDS)
def test_a_waiting_job_from_outside(client: Client, fault: Fault, kind: str) -> None:
    job = client.submit(faults.KINDS[kind](str(client.directory)), slurm_additional_parameters={"hold": True})
    client.cluster.run("scancel", job.job_id)
    assert is_cancelled(job)
    # how soon: at the next question, half a minute to three minutes later
    fault.seen("`scancel` while it waits", "`JobCancelledError`", job=kind, timed=False)


@pytest.mark.usefixtures("asked_often")
def test_a_waiting_array_from_outside(client: Client) -> None:
    jobs = client.executor(slurm_additional_parameters={"hold": True}).map_array(calls.add, range(3), range(3))
    client.cluster.run("scancel", jobs[0].job_id.partition("_")[0])
    assert all(map(is_cancelled, jobs))


def test_cancelling_what_is_over_changes_nothing(client: Client) -> None:
    job = client.submit(calls.add, 1, 2)
    assert job.result(DEADLINE_S) == 3
    job.cancel()
    assert job.result() == 3
    assert job.exception() is None
