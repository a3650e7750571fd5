"""A cluster that keeps no accounts: what is known of a job comes from slurmctld's memory and from its own files."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

import submitit
from submitit import errors
from support import calls, faults
from support.infos import check_infos
from support.reliability import Fault
from support.slurm_cluster import SlurmCluster, missing_programs
from support.slurm_jobs import DEADLINE_S, Client, run_out_of_time, until, use

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(bool(missing_programs(accounting=False)), reason="no Slurm here"),
    pytest.mark.usefixtures("unasked"),
]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    with SlurmCluster(tmp_path_factory.mktemp("bare"), accounting=False) as cluster:
        yield cluster


@pytest.fixture
def slurm(bare: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> SlurmCluster:
    """In the place of the shared cluster."""
    use(bare, monkeypatch)
    return bare


def test_endings(client: Client) -> None:
    good = client.submit(calls.add, 1, 2)
    bad = client.submit(calls.fail, "bad luck")
    dead = client.submit(faults.die_by, signal.SIGKILL)
    silent = client.submit(calls.exit_at_once, 0)
    array = client.executor().map_array(calls.add, [1, 2, "a"], [3, 4, 5])  # type: ignore[arg-type]
    assert good.result(DEADLINE_S) == 3
    assert type(bad.exception(DEADLINE_S)) is errors.FailedJobError
    error = dead.exception(DEADLINE_S)
    assert type(error) is errors.UncompletedJobError
    assert "Task 0 on node n" in str(error)
    assert "was killed by SIGKILL(-9)" in str(error)
    assert "state: FAILED" in str(error)
    error = silent.exception(DEADLINE_S)
    assert type(error) is errors.UncompletedJobError
    assert "ended with exit code 0 and recorded no result" in str(error)
    assert [job.result(DEADLINE_S) for job in array[:2]] == [4, 6]
    assert type(array[2].exception(DEADLINE_S)) is errors.FailedJobError
    until(lambda: good.state == "COMPLETED", "COMPLETED")


def test_infos(client: Client) -> None:
    check_infos(client)


def test_memory_by_what_slurm_wrote_to_the_log(client: Client, fault: Fault) -> None:
    """With srun the job is FAILED for slurmctld, and there is nobody else to ask."""
    if not client.cluster.has_cgroup:
        pytest.skip("memory is not limited here")
    made = {kind: client.submit(make(str(client.directory)), mem_gb=0.2) for kind, make in faults.GREEDY.items()}
    without = client.submit(faults.fill_memory, 600, mem_gb=0.2, slurm_use_srun=False)
    for kind, job in [*made.items(), ("", without)]:
        error = job.exception(DEADLINE_S)
        assert type(error) is errors.JobOutOfMemoryError, repr(error)
        assert ("oom-kill event" if kind else "state: OUT_OF_MEMORY") in str(error)
        assert "ReqMem=204M" in str(error)
        if kind:
            fault.seen(
                "killed for its memory, on a cluster without accounting",
                "`JobOutOfMemoryError` with what was asked for",
                job=kind,
                lost="what it did since its last checkpoint",
                timed=False,
            )


@pytest.mark.long
def test_cancelled_by_us_and_from_outside(client: Client) -> None:
    def submit(name: str) -> submitit.Job[object]:
        return client.submit(faults.wait_between, str(client.directory / name), "/nowhere/go")

    ours, theirs = submit("ours"), submit("theirs")
    waiting = client.submit(calls.add, 1, 2, slurm_additional_parameters={"hold": True})
    until(lambda: all((client.directory / name).exists() for name in ("ours", "theirs")), "two starts")
    ours.cancel()
    waiting.cancel()
    client.cluster.run("scancel", theirs.job_id)
    for job in (ours, theirs, waiting):
        error = job.exception(DEADLINE_S)
        assert type(error) is errors.JobCancelledError, repr(error)


@pytest.mark.long
def test_out_of_time(client: Client) -> None:
    started = client.directory / "started"
    job = client.submit(faults.wait_between, str(started), "/nowhere/go")
    until(started.exists, "a start")
    run_out_of_time(client.cluster, job.job_id)
    error = job.exception(DEADLINE_S)
    assert type(error) is errors.JobTimeoutError, repr(error)


@pytest.mark.long
@pytest.mark.usefixtures("asked_often")
def test_a_job_that_nobody_remembers(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that slurmctld has forgotten, with its result and without."""
    monkeypatch.setattr("submitit.slurm.watcher.GRACE_S", 1.0)
    good = client.submit(calls.add, 1, 2)
    bad = client.submit(calls.exit_at_once, 3)
    until(lambda: bad.done() and good.done(), "their end")
    found_good, found_bad = client.find(good.job_id), client.find("4242")
    assert found_good.result(DEADLINE_S) == 3
    error = found_bad.exception(DEADLINE_S)
    assert type(error) is errors.JobVanishedError
