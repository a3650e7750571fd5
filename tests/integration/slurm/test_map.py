"""``executor.map`` on the real Slurm: jobs that run again go on at the call where they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import mapped
from support.slurm_jobs import Client, start_again

pytestmark = pytest.mark.slurm


@pytest.mark.parametrize("how", ["saved", "requeued from outside"])
@pytest.mark.parametrize("at_a_time", [1, 8])
def test_a_requeue_in_the_middle(client: Client, tmp_path: Path, how: str, at_a_time: int) -> None:
    """With a checkpoint and without one; with chunks that jobs share and with one for each job."""
    place = tmp_path / "place"
    place.mkdir()
    executor = client.executor(slurm_array_parallelism=at_a_time)
    results = executor.map(mapped.noted, range(6), [str(place)] * 6, [4] * 6, chunksize=3)
    assert len(results.jobs) == min(2, at_a_time)
    assert [next(results) for _ in range(4)] == [0, 10, 20, 30]
    mapped.until_started(place, 4)
    (place / "started-4").unlink()
    job = results.jobs[-1]
    if how == "saved":
        job._interrupt()
    else:
        client.cluster.run("scontrol", "requeue", job.job_id)
    start_again(client.cluster, job.job_id)
    mapped.until_started(place, 4)
    (place / "go").write_text("now")
    assert list(results) == [40, 50]
    assert sorted(mapped.made(place)) == [0, 1, 2, 3, 4, 4, 5]
    if how == "saved":
        assert "Requeued job" in (job.stdout() or "")
