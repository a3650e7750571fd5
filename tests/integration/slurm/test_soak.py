"""Thousands of elements, while parts of the cluster fail."""

from __future__ import annotations

import faulthandler
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import submitit
from submitit.storage.events import EventDirectory
from support import failing, faults
from support.reliability import Fault
from support.slurm_cluster import SlurmCluster, missing_programs
from support.slurm_jobs import Client, until, use

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.long,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(bool(missing_programs()), reason="no Slurm here"),
]

ELEMENTS = 2000
#: At 15 starts a second, and two minutes until what ran on a lost node starts again.
PATIENCE_S = 900.0


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlurmCluster]:
    """A cluster of its own: others would wait long for this one's CPUs."""
    with SlurmCluster(tmp_path / "cluster") as cluster:
        use(cluster, monkeypatch)
        yield cluster


def test_two_thousand_elements_outlast_the_controller_and_a_node(
    slurm: SlurmCluster, client: Client, fault: Fault
) -> None:
    # The whole run's guard against hanging tests, at five minutes; this one's own is the mark above.
    faulthandler.cancel_dump_traceback_later()
    starts = client.directory / "starts"
    starts.mkdir()
    executor = client.executor(timeout_min=30, slurm_array_parallelism=16)
    jobs = executor.map_array(faults.note_start, [str(starts)] * ELEMENTS, range(ELEMENTS))

    def until_started(count: int) -> None:
        until(lambda: len(list(starts.iterdir())) >= count, f"{count} starts", PATIENCE_S)

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: [job.result(PATIENCE_S) for job in jobs])
        until_started(300)
        slurm.stop_controller()
        slurm.start_controller()
        until_started(700)
        fault.injected()
        slurm.kill_node("n1", with_jobs=True)
        slurm.mark_node_down("n1")
        until_started(900)
        slurm.start_node("n1")
        until_started(1300)
        slurm.stop_controller()
        slurm.start_controller()
        assert waiting.result() == list(range(ELEMENTS))
    fault.seen(
        f"slurmctld restarted twice and a node lost under {ELEMENTS:,} elements",
        "2,000 results; what had succeeded ran once",
    )

    attempts = Counter(path.name.partition(".")[0] for path in starts.iterdir())
    again = {index for index, count in attempts.items() if count > 1}
    succeeded: dict[str, int] = defaultdict(lambda: 1000)
    events = jobs[0]._events_path
    assert events is not None
    ended = set()
    directory = EventDirectory(events)
    for marker in (marker for job_id in directory.scan() for marker in directory.markers(job_id)):
        index = marker.job_id.partition("_")[2]
        if marker.kind == "done":
            succeeded[index] = min(succeeded[index], marker.attempt)
        elif marker.task == "batch" and marker.kind.startswith("exit"):
            ended.add((index, marker.attempt))
    for path in starts.iterdir():
        index, attempt = path.name.split(".")
        if (index, succeeded[index]) in ended:
            continue  # its script had ended when its node was lost: Slurm had not heard of it, and only a user asks for that
        assert int(attempt) <= succeeded[index], f"element {index} had succeeded in attempt {succeeded[index]}"
    assert len(again) <= 16, "only what ran on the lost node is started again"


def test_two_thousand_elements_of_which_a_hundred_fail_at_first(
    slurm: SlurmCluster, client: Client, fault: Fault
) -> None:
    """Whatever failed runs again by itself, and what has succeeded does not."""
    if not slurm.has_cgroup:
        pytest.skip("memory is not limited here")
    faulthandler.cancel_dump_traceback_later()
    starts = client.directory / "starts"
    starts.mkdir()
    retry = submitit.Retry(out_of_memory=1, exception=submitit.OnException(failing.FlakyError, times=1), killed=1)
    executor = client.executor(timeout_min=30, mem_gb=failing.SMALL_GB, slurm_array_parallelism=16, retry=retry)
    ways = [("memory", "exception", "kill")[index // 20 % 3] if index % 20 == 7 else "" for index in range(ELEMENTS)]
    fault.injected()
    jobs = executor.map_array(failing.first_by, [str(starts)] * ELEMENTS, range(ELEMENTS), ways)
    assert [job.result(PATIENCE_S) for job in jobs] == [f"{index} {1 if way else 0}" for index, way in enumerate(ways)]
    fault.seen(
        f"5 % of {ELEMENTS:,} elements fail at first, by memory, exception or kill, under `Retry`",
        "2,000 results; what had succeeded ran once",
    )
    assert failing.starts(starts) == {str(index): [0, 1] if way else [0] for index, way in enumerate(ways)}
    assert failing.successes(starts) == {str(index): [1] if way else [0] for index, way in enumerate(ways)}
