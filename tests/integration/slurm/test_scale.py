"""A hundred thousand jobs of one client, on a real slurmctld."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import submitit
from submitit.slurm import job_ids
from support import calls
from support.slurm_cluster import SlurmCluster, missing_programs
from support.slurm_jobs import Client, until, use

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.long,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(missing_programs()), reason="no Slurm here"),
]

JOBS = 100_000
#: As slurm.conf has it where nobody has said anything, and so that an array is far below the list.
LONGEST = 1001


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlurmCluster]:
    """A cluster with room for all of them in its queue; it is of no use to others meanwhile."""
    settings = {"MaxJobCount": JOBS + 1000, "MaxArraySize": LONGEST}
    with SlurmCluster(tmp_path / "cluster", settings=settings) as cluster:
        use(cluster, monkeypatch)
        yield cluster


def test_a_hundred_thousand_elements_wait_and_are_cancelled(slurm: SlurmCluster, client: Client) -> None:
    executor = client.executor(slurm_additional_parameters={"hold": True})
    jobs = executor.map_array(calls.add, range(JOBS), range(JOBS))

    assert len({job.job_id for job in jobs}) == JOBS
    arrays = {job.job_id.partition("_")[0] for job in jobs}
    assert len(arrays) == -(-JOBS // LONGEST)

    def in_queue() -> int:
        lines = slurm.run("squeue", "-h", "-o", "%i|%T").stdout.split()
        return sum(len(list(job_ids.expand(line.partition("|")[0]))) for line in lines if line.endswith("|PENDING"))

    assert in_queue() == JOBS
    assert {job.state for job in jobs} == {"PENDING"}
    assert jobs[-1].submission().args == (JOBS - 1, JOBS - 1)
    assert submitit.wait(jobs, timeout=0).done == set()

    submitit.cancel(jobs)
    until(lambda: in_queue() == 0, "an empty queue")
    ended = list(submitit.as_completed(jobs, timeout=300))
    assert len(ended) == JOBS
    assert {job.state for job in jobs} == {"CANCELLED"}
    assert all(job.cancelled() for job in jobs)
