"""``executor.map`` on the real Slurm: jobs that run again go on at the call where they were."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support import mapped
from support.slurm_jobs import Client, start_again

pytestmark = pytest.mark.slurm


class Requeued:
    """A map whose fifth call waits until its job has come back."""

    def __init__(self, client: Client, place: Path, at_a_time: int, *, saves: bool) -> None:
        place.mkdir()
        self._client, self._place, self._saves = client, place, saves
        executor = client.executor(slurm_array_parallelism=at_a_time)
        self._results = executor.map(mapped.noted, range(6), [str(place)] * 6, [4] * 6, chunksize=3)
        assert len(self._results.jobs) == min(2, at_a_time)
        self._job = self._results.jobs[-1]

    def requeue(self) -> None:
        assert [next(self._results) for _ in range(4)] == [0, 10, 20, 30]
        mapped.until_started(self._place, 4)
        (self._place / "started-4").unlink()
        if self._saves:
            self._job._interrupt()
        else:
            self._client.cluster.run("scontrol", "requeue", self._job.job_id)

    def goes_on(self) -> None:
        start_again(self._client.cluster, self._job.job_id)
        mapped.until_started(self._place, 4)
        (self._place / "go").write_text("now")
        assert list(self._results) == [40, 50]
        assert sorted(mapped.made(self._place)) == [0, 1, 2, 3, 4, 4, 5]
        assert ("Requeued job" in (self._job.stdout() or "")) == self._saves


@pytest.mark.parametrize("shared", [False, pytest.param(True, marks=pytest.mark.long)])
def test_a_requeue_in_the_middle(client: Client, tmp_path: Path, shared: bool) -> None:
    """With a checkpoint and without one; with chunks that jobs share and with one for each job."""
    maps = [
        Requeued(client, tmp_path / "saved", 1 if shared else 8, saves=True),
        Requeued(client, tmp_path / "from outside", 8 if shared else 1, saves=False),
    ]
    for one in maps:
        one.requeue()
    with ThreadPoolExecutor() as pool:
        list(pool.map(Requeued.goes_on, maps))
