"""Nodes that fail under their jobs, on a cluster of these tests' own."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from submitit import errors
from support import faults
from support.attempts import Attempts, start_all
from support.reliability import Fault
from support.slurm_cluster import SlurmCluster, missing_programs
from support.slurm_jobs import DEADLINE_S, Client, start_again, state_of, until, use

pytestmark = pytest.mark.slurm


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    if missing := missing_programs():
        pytest.skip(f"no Slurm here: {', '.join(missing)}")
    with SlurmCluster(tmp_path_factory.mktemp("failing")) as cluster:
        yield cluster


@pytest.fixture
def slurm(failing: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlurmCluster]:
    """In the place of the shared cluster; both nodes are up."""
    use(failing, monkeypatch)
    yield failing
    if failing.daemon_pid("n2") is None:
        failing.start_node("n2")


def lose_power(cluster: SlurmCluster) -> None:
    """The node n2 is gone, with all that ran there, and Slurm knows; then it is back."""
    cluster.kill_node("n2", with_jobs=True)
    cluster.mark_node_down("n2")
    cluster.start_node("n2")


ON_N2 = {"slurm_nodelist": "n2"}
#: Of its two ranks, one is on the node that fails.
ON_BOTH = {"nodes": 2, "tasks_per_node": 1}


@pytest.mark.usefixtures("asked_often")
def test_a_node_fails(client: Client, waits: ThreadPoolExecutor, fault: Fault) -> None:
    jobs = [Attempts(client, waits, f"{number}").of_kind(kind, **ON_N2) for number, kind in enumerate(faults.KINDS)]
    for attempts in jobs:
        attempts.until_started()
    fault.injected()
    lose_power(client.cluster)
    for attempts in jobs:
        attempts.until_waiting()
    start_all(jobs)
    for attempts in jobs:
        sees = attempts.until_started(1).ran_again(saved=0)
        fault.seen("its node fails", sees, job=attempts.kind, lost="what it did since its last checkpoint")


@pytest.mark.usefixtures("asked_often")
def test_a_node_fails_after_a_checkpoint(client: Client, waits: ThreadPoolExecutor, fault: Fault) -> None:
    saving = [kind for kind in faults.KINDS if kind != "plain"]
    jobs = [Attempts(client, waits, f"{number}").of_kind(kind, **ON_N2) for number, kind in enumerate(saving)]
    for attempts in jobs:
        attempts.until_started().interrupt(timeout=True)
    for attempts in jobs:
        attempts.until_started(1)
    fault.injected()
    lose_power(client.cluster)
    start_all(jobs, 2)
    for attempts in jobs:
        sees = attempts.until_started(2).ran_again(attempts=3)
        fault.seen(
            "its node fails, after a checkpoint", sees, job=attempts.kind, lost="what it did since its last checkpoint"
        )


@pytest.mark.long
@pytest.mark.usefixtures("asked_often")
def test_one_of_two_nodes_fails(client: Client, waits: ThreadPoolExecutor, fault: Fault) -> None:
    """The rank on the other node is told to end, and killed after KillWait."""
    jobs = [Attempts(client, waits, f"{number}").of_kind(kind, **ON_BOTH) for number, kind in enumerate(faults.KINDS)]
    for attempts in jobs:
        attempts.until_started()
        until(lambda job=attempts.job: "Loading pickle" in (job.task(1).stdout() or ""), "rank 1")  # type: ignore[misc]
    fault.injected()
    lose_power(client.cluster)
    for attempts in jobs:
        attempts.until_waiting()
    start_all(jobs)
    for attempts in jobs:
        # rank 0 lived on for a while, and was told why: it has saved its state
        sees = attempts.until_started(1).ran_again()
        fault.seen("one of its nodes fails", sees, job=attempts.kind)


@pytest.mark.long
@pytest.mark.usefixtures("asked_often")
def test_a_node_fails_under_a_job_that_may_not_run_again(
    client: Client, waits: ThreadPoolExecutor, fault: Fault
) -> None:
    parameters = {**ON_N2, "slurm_additional_parameters": {"no-requeue": True}}
    jobs = [
        Attempts(client, waits, f"{number}").of_kind(kind, **parameters) for number, kind in enumerate(faults.KINDS)
    ]
    for attempts in jobs:
        attempts.until_started()
    fault.injected()
    lose_power(client.cluster)
    for attempts in jobs:
        sees = attempts.failed(errors.JobNodeFailError, "state: NODE_FAIL")
        fault.seen(
            "its node fails, submitted with `--no-requeue`",
            sees,
            job=attempts.kind,
            lost="what it did since its last checkpoint",
        )


# ---------------------------------------------------------------- when all is done but the script


def lingering(directory: Path) -> list[str]:
    """Lines for the end of a script which keep it, in its first attempt, from ending."""
    return [
        f'if [ "${{SLURM_RESTART_COUNT:-0}}" = 0 ]; then touch {directory}/teardown; while :; do sleep 0.1; done; fi'
    ]


@pytest.mark.usefixtures("asked_often")
@pytest.mark.parametrize("tasks", [1, 2])
def test_a_node_fails_when_every_result_is_there(
    client: Client, waits: ThreadPoolExecutor, fault: Fault, tasks: int
) -> None:
    jobs = []
    for number, kind in enumerate(faults.KINDS):
        directory = client.directory / str(number)
        directory.mkdir()
        (directory / "go").touch()
        executor = client.executor(tasks_per_node=tasks, slurm_teardown=lingering(directory), **ON_N2)
        jobs.append((kind, directory, executor.submit(faults.KINDS[kind](str(directory)))))
    for _, directory, _ in jobs:
        until((directory / "teardown").exists, "the end of the function")
    fault.injected()
    lose_power(client.cluster)
    first = [{"saved": 0, "restarts": 0}] * tasks
    for started in [waits.submit(start_again, client.cluster, job.job_id) for _, _, job in jobs]:
        started.result()
    for kind, directory, job in jobs:
        assert job.results(DEADLINE_S) == first
        until(lambda job_id=job.job_id: state_of(client.cluster, job_id) == "COMPLETED", "its second end")  # type: ignore[misc]
        found = client.find(job.job_id, tasks)
        assert found.results(DEADLINE_S) == first
        assert not (directory / "attempt-1").exists()
        assert "there is nothing to do" in (found.stdout() or "")
        fault.seen(
            "its node fails after the last result, before the script's end", "the result; nothing runs twice", job=kind
        )


@pytest.mark.usefixtures("asked_often")
def test_a_node_fails_when_one_result_is_missing(client: Client, fault: Fault) -> None:
    """All ranks run again then: they may have to talk to each other."""
    directory = client.directory
    executor = client.executor(tasks_per_node=2, **ON_N2)
    job = executor.submit(faults.wait_in_the_first_attempt, str(directory), 1)
    until(job.task(0).paths.result_pickle.exists, "the result of rank 0")
    until((directory / "started-1-0").exists, "a start")
    fault.injected()
    lose_power(client.cluster)
    start_again(client.cluster, job.job_id)
    assert job.results(DEADLINE_S) == [1, 1]
    fault.seen("its node fails when some ranks have a result", "runs again from the start", job="plain")
