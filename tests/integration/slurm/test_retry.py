"""Jobs that fail and run again by themselves, as their policy says: same id, same files, and nobody takes them for ended meanwhile."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import submitit
from submitit import errors
from submitit.storage.outcome import set_aside_path
from support import failing, faults
from support.attempts import LONG_S
from support.calls import wait_for
from support.reliability import Fault
from support.slurm_cluster import SlurmCluster, missing_programs
from support.slurm_jobs import (
    DEADLINE_S,
    Client,
    clear_away,
    jobs_below,
    restarts_of,
    run_out_of_time,
    start_again,
    until,
)
from support.users import can_make_users, ordinary_user

pytestmark = [pytest.mark.slurm, pytest.mark.usefixtures("unasked")]

#: By which word a failure goes in a policy.
REASONS = {"memory": "out_of_memory", "exception": "exception", "kill": "killed", "time": "timeout"}
STATES = {"memory": "OUT_OF_MEMORY", "exception": "FAILED", "kill": "FAILED", "time": "TIMEOUT"}
SMALL: dict[str, Any] = {"mem_gb": failing.SMALL_GB}
ONCE = submitit.Retry(out_of_memory=1, timeout=1, exception=submitit.OnException(failing.FlakyError, 1), killed=1)


class Starts:
    """Jobs whose starts leave files in one directory; threads wait for them from their submission on."""

    def __init__(self, client: Client, waits: ThreadPoolExecutor) -> None:
        self.client = client
        self.directory = client.directory / "starts"
        self.directory.mkdir()
        self._waits = waits

    def wait(self, job: submitit.Job[Any]) -> Future[errors.UncompletedJobError | None]:
        return self._waits.submit(job.exception, LONG_S)

    def of(self, name: str) -> list[int]:
        return failing.starts(self.directory).get(name, [])


@pytest.fixture
def started(client: Client, waits: ThreadPoolExecutor) -> Starts:
    return Starts(client, waits)


@pytest.fixture
def limited(client: Client) -> None:
    if not client.cluster.has_cgroup:
        pytest.skip("memory is not limited here")


@pytest.mark.usefixtures("limited")
def test_what_fails_runs_again(client: Client, started: Starts, fault: Fault) -> None:
    directory = str(started.directory)
    executor = client.executor(**SMALL, retry=ONCE)
    jobs: dict[tuple[str, bool], submitit.Job[Any]] = {}
    fault.injected()
    for use_srun in (True, False):
        executor.update_parameters(slurm_use_srun=use_srun)
        for way in ("memory", "exception", "kill"):
            name = f"{way}-{use_srun}"
            jobs[way, use_srun] = executor.submit(failing.first_by, directory, name, way)
    executor.update_parameters(slurm_use_srun=True)
    elements = executor.map_array(failing.first_by, [directory] * 3, "abc", ["exception", "", "kill"])
    # What waits for the success of one of them goes on waiting while that one fails.
    dependent = client.submit(failing.first_by, directory, "dependent", "", after=jobs["memory", True])
    endings = {job: started.wait(job) for job in (*jobs.values(), *elements, dependent)}
    assert [ending.result() for ending in endings.values()] == [None] * len(endings)

    for (way, use_srun), job in jobs.items():
        name = f"{way}-{use_srun}"
        assert job.result() == f"{name} 1"
        assert started.of(name) == [0, 1]
        fault.seen(f"fails by {way}, under `Retry`", "a result, of the next attempt", job="plain", timed=False)
        for handle in (job, client.find(job.job_id)):
            first, second = handle.attempts
            assert (first.number, first.state, first.again) == (0, STATES[way], REASONS[way])
            assert (second.number, second.state, second.again) == (1, "COMPLETED", "")
            assert (first.exit_code, second.exit_code) == (1 if way == "exception" else -9, 0)
            assert first.node in {"n1", "n2"}
            assert first.end is not None
            assert second.start is not None
            assert second.cpu_s is not None
            assert second.max_rss_mb is not None
            assert second.start >= first.end
            assert "attempt 2" not in (first.stdout() or "")
            assert "Attempt 2" not in (first.stderr() or "")
            assert (second.stderr() or "").startswith("submitit WARNING")
            assert ("FlakyError: not today" in (first.stderr() or "")) == (way == "exception")
            assert "FlakyError" not in (second.stderr() or "")
    assert dependent.result() == "dependent 0"
    # What was asked for at first is 204 MB.
    memory = jobs["memory", True].get_info()
    assert memory["ReqMem"] == "408M"
    assert jobs["kill", True].get_info()["ReqMem"] == "204M"

    assert [job.result() for job in elements] == ["a 1", "b 0", "c 1"]
    assert started.of("b") == [0]
    assert [len(job.attempts) for job in elements] == [2, 1, 2]


@pytest.mark.long
@pytest.mark.usefixtures("limited")
def test_what_does_not_run_again(client: Client, started: Starts, fault: Fault) -> None:
    directory = str(started.directory)
    capped = submitit.Retry(out_of_memory=submitit.MoreMemory(times=5, up_to_gb=0.2), exception=OSError, delay_s=3)
    executor = client.executor(**SMALL, retry=capped)
    fault.injected()
    jobs = {
        name: executor.submit(failing.first_by, directory, name, way, 99)
        for name, way in {"other": "something else", "killed": "kill", "memory": "memory", "often": "exception"}.items()
    }
    cancelled = executor.submit(failing.first_by, directory, "cancelled", "time")
    pending = executor.submit(failing.first_by, directory, "pending", "exception")
    endings = {name: started.wait(job) for name, job in jobs.items()}
    until(lambda: started.of("cancelled"), "a start")
    client.cluster.run("scancel", cancelled.job_id)
    assert isinstance(cancelled.exception(LONG_S), errors.JobCancelledError)
    # It waits for its next attempt, and is over for who cancels it.
    until(lambda: restarts_of(client.cluster, pending.job_id) == 1, "a requeue")
    assert not pending.done(force_check=True)
    client.cluster.run("scancel", pending.job_id)
    assert isinstance(pending.exception(LONG_S), errors.JobCancelledError)

    other, killed, memory, often = (endings[name].result() for name in jobs)
    assert type(other) is errors.FailedJobError
    assert isinstance(other.__cause__, KeyError)
    fault.seen(
        "raises what its `Retry` does not name", "`FailedJobError`", lost="what it did", job="plain", timed=False
    )
    assert type(killed) is errors.UncompletedJobError
    assert type(memory) is errors.JobOutOfMemoryError
    assert "does not run again" in Path(jobs["memory"]._batch_log()).read_text()
    assert type(often) is errors.FailedJobError
    assert isinstance(often.__cause__, failing.FlakyError)
    assert [started.of(name) for name in jobs] == [[0], [0], [0], [0, 1, 2]]
    assert [attempt.state for attempt in jobs["often"].attempts] == ["FAILED"] * 3
    # The errors of earlier attempts stay, beside the last one's, which is the result.
    result = jobs["often"].paths.result_pickle
    assert [Path(set_aside_path(result, number)).exists() for number in range(3)] == [True, True, False]


@pytest.mark.long
def test_a_function_that_saves_its_state_goes_on_from_there(client: Client, started: Starts, fault: Fault) -> None:
    job = client.submit(failing.Counting(str(started.directory), "exception"), retry=ONCE)
    ending = started.wait(job)
    until(lambda: started.of("from-0"), "a start")
    job._interrupt(timeout=True)
    fault.injected()
    assert ending.result() is None
    assert job.result() == 1
    assert (started.of("from-0"), started.of("from-1")) == ([0], [1, 2])
    assert [attempt.again for attempt in job.attempts] == ["requeue", "exception", ""]
    fault.seen("fails by exception, under `Retry`", "runs again from its checkpoint", job="checkpointable")


@pytest.mark.long
def test_ranks_run_again_together(client: Client, started: Starts, fault: Fault) -> None:
    """Where one has failed the others are ended; those that do not answer SIGTERM have their half minute (KillWait)."""
    executor = client.executor(retry=ONCE, nodes=2, tasks_per_node=1)
    jobs = []
    for way in ("kill", "exception"):
        directory = started.directory / way
        directory.mkdir()
        jobs.append(executor.submit(failing.one_rank_first, str(directory), way))
    fault.injected()
    endings = [started.wait(job) for job in jobs]
    assert [ending.result() for ending in endings] == [None, None]
    assert [job.results() for job in jobs] == [[0, 1], [0, 1]]
    for way in ("kill", "exception"):
        assert failing.starts(started.directory / way) == {"0": [0, 1], "1": [0, 1]}
    fault.seen("one rank fails, under `Retry`", "a result, of the next attempt of all ranks", job="several ranks")


# ---------------------------------------------------------------- time


def late_success(directory: str) -> int:
    """Outlast the end of one's time, but not the half minute that is left then."""
    failing.note(directory, "late")
    faults.announce(f"{directory}/on")
    wait_for(Path(directory, "told").exists, 10 * DEADLINE_S)
    failing.note(directory, "late", ".done")
    return failing.attempt()


@pytest.mark.long
@pytest.mark.timeout(500)
def test_out_of_time(client: Client, started: Starts, fault: Fault) -> None:
    directory = str(started.directory)
    executor = client.executor(retry=ONCE)
    jobs = {}
    for use_srun in (True, False):
        executor.update_parameters(slurm_use_srun=use_srun)
        jobs[f"time-{use_srun}"] = executor.submit(failing.first_by, directory, f"time-{use_srun}", "time")
    executor.update_parameters(
        slurm_use_srun=True, retry=submitit.Retry(timeout=submitit.MoreTime(times=5, up_to_min=1))
    )
    capped = executor.submit(failing.first_by, directory, "capped", "time")
    waits_for = {"dependency": f"afterok:{jobs['time-True'].job_id}", "kill-on-invalid-dep": "yes"}
    dependent = client.submit(failing.first_by, directory, "dependent", "", slurm_additional_parameters=waits_for)
    late_success.__module__ = "__main__"
    late = client.submit(late_success, directory, retry=ONCE)
    endings = {job: started.wait(job) for job in (*jobs.values(), capped, late)}
    for name in (*jobs, "capped", "late"):
        until(lambda name=name: started.of(name), f"a start of {name}")  # type: ignore[misc]
    for job in endings:
        run_out_of_time(client.cluster, job.job_id)  # their limit is a minute then
    fault.injected()
    until(lambda: restarts_of(client.cluster, late.job_id) == 1, "a requeue", LONG_S)
    Path(directory, "told").touch()
    assert type(endings[capped].result()) is errors.JobTimeoutError
    for name, job in jobs.items():
        assert endings[job].result() is None
        assert job.result() == f"{name} 1"
        assert job.get_info()["Timelimit"] == "00:02:00"
        assert [(attempt.state, attempt.again) for attempt in job.attempts] == [
            ("TIMEOUT", "timeout"),
            ("COMPLETED", ""),
        ]
    fault.seen("out of time, under `Retry`", "a result, of the next attempt, which has more time", job="plain")
    assert dependent.result(LONG_S) == "dependent 0"
    assert endings[late].result() is None
    assert (late.result(), started.of("late")) == (0, [0])
    fault.seen(
        "out of time, and returns while it is being ended, under `Retry`",
        "its result; it does not run again",
        job="plain",
    )


# ---------------------------------------------------------------- refused

REFUSED: dict[str, Any] = {"slurm_additional_parameters": {"no-requeue": True}}


@pytest.mark.usefixtures("limited")
def test_refused_it_is_submitted_anew(client: Client, started: Starts, waits: ThreadPoolExecutor, fault: Fault) -> None:
    executor = client.executor(**SMALL, **REFUSED, retry=ONCE)
    fault.injected()
    by_memory = executor.submit(failing.greedy, str(started.directory))
    by_exception = executor.submit(always_flaky, str(started.directory))
    found_again = [client.find(by_memory.job_id) for _ in range(3)]
    # Several clients that notice at the same time.
    handles = [by_memory, *found_again]
    assert [ending.result() for ending in map(started.wait, handles)] == [None] * 4
    assert [job.result() for job in handles] == [failing.GREED_MB] * 4
    error = by_exception.exception(LONG_S)
    assert isinstance(error, errors.FailedJobError)
    assert isinstance(error.__cause__, failing.FlakyError)
    fault.seen("fails under `Retry`, submitted with `--no-requeue`", "a result, of a job submitted anew", job="plain")

    claims = client.directory / "jobs" / ".submitit" / "again"
    successor = (claims / f"{by_memory.job_id}.0.job").read_text()
    assert by_memory.job_id != successor
    # One job took the place of each, and had what was left of its policy.
    assert len(list((client.directory / "jobs").glob("*/*_submission.sh"))) == 4
    assert [attempt.state for attempt in by_memory.attempts] == ["OUT_OF_MEMORY", "COMPLETED"]
    assert by_memory.attempts[0].again == "out_of_memory"
    assert [attempt.number for attempt in by_exception.attempts] == [0, 1]
    assert client.find(by_memory.job_id).result(DEADLINE_S) == failing.GREED_MB


def always_flaky(directory: str) -> None:
    failing.note(directory, "flaky")
    failing.fail("exception")


always_flaky.__module__ = "__main__"


def test_what_was_submitted_anew_is_cancelled_in_its_place(client: Client, started: Starts) -> None:
    job = client.executor(**REFUSED, retry=ONCE).submit(fails_and_waits, str(started.directory))
    ending = started.wait(job)
    until(lambda: (started.directory / "again").exists(), "a job in its place")
    submitit.cancel([job])
    assert isinstance(ending.result(), errors.JobCancelledError)
    assert job.cancelled()
    # The function may still answer.
    until(lambda: set(jobs_below(client.cluster, client.directory).values()) <= {"COMPLETING"}, "a cancellation")


def fails_and_waits(directory: str) -> None:
    if failing.starts(Path(directory)):
        Path(directory, "again").touch()
        failing.fail("time")
    failing.note(directory, "first")
    failing.fail("exception")


fails_and_waits.__module__ = "__main__"


def test_a_claim_leads_to_the_job_that_was_submitted(client: Client, started: Starts) -> None:
    """Its client has died right after sbatch: what it had claimed is looked for in the queue."""
    executor = client.executor(**REFUSED, retry=ONCE)
    job = executor.submit(failing.first_by, str(started.directory), "claimed", "exception")
    other = executor.submit(failing.first_by, str(started.directory), "other", "", 0)
    assert isinstance(other, submitit.SlurmJob)
    payload = other._payload_reference()
    assert payload is not None
    claims = client.directory / "jobs" / ".submitit" / "again"
    claims.mkdir()
    (claims / f"{job.job_id}.0").write_text(Path(payload[0]).stem)
    assert job.exception(LONG_S) is None
    assert job.result() == "other 0"
    assert (claims / f"{job.job_id}.0.job").read_text() == other.job_id


# ---------------------------------------------------------------- as an ordinary user

BY_A_USER = """
import submitit
from pathlib import Path
from support import failing

starts = Path("starts")
starts.mkdir()
retry = submitit.Retry(out_of_memory=1, timeout=1, exception=failing.FlakyError, killed=1)
executor = submitit.AutoExecutor("jobs/%j", cluster="slurm")
executor.update_parameters(timeout_min=10, mem_gb=0.2, retry=retry)
names = ["memory", "exception", "kill"]
jobs = executor.map_array(failing.first_by, [str(starts.absolute())] * 3, names, names)
print([job.result(100) for job in jobs])
print([job.get_info()["ReqMem"] for job in jobs])
print(failing.successes(starts))
"""


@pytest.mark.long
@pytest.mark.skipif(not can_make_users(), reason="takes root")
@pytest.mark.usefixtures("limited")
def test_an_ordinary_user(client: Client, tmp_path_factory: pytest.TempPathFactory) -> None:
    tests = str(Path(failing.__file__).parents[1])
    with ordinary_user() as user:
        client.cluster.add_user(user.name)
        try:
            done = user.run(
                [sys.executable, "-c", textwrap.dedent(BY_A_USER)],
                env={**client.cluster.env, "PYTHONPATH": tests},
                timeout=DEADLINE_S,
            )
        finally:
            clear_away(client.cluster, user.home)
    results, memory, successes = done.stdout.splitlines()
    assert results == "['memory 1', 'exception 1', 'kill 1']"
    assert memory == "['408M', '204M', '204M']"
    assert eval(successes) == {"memory": [1], "exception": [1], "kill": [1]}


# ---------------------------------------------------------------- preempted, and lost with a node

EVERYWHERE = "Nodes=n1,n2 State=UP DefaultTime=10 MaxTime=UNLIMITED PriorityTier=1"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlurmCluster]:
    """A cluster without accounts, whose jobs of ``dropped`` are ended for those of ``high``, and not requeued."""
    if missing := missing_programs(accounting=False):
        pytest.skip(f"no Slurm here: {', '.join(missing)}")
    lines = [
        f"PartitionName=dropped {EVERYWHERE} PreemptMode=CANCEL",
        f"PartitionName=graced {EVERYWHERE} PreemptMode=CANCEL GraceTime=10",
    ]
    with SlurmCluster(tmp_path / "cluster", accounting=False, extra_lines=lines) as cluster:
        for name, value in cluster.env.items():
            monkeypatch.setenv(name, value)
        submitit.SlurmJob.watcher.clear()
        yield cluster


class TestOnAClusterOfItsOwn:
    @pytest.fixture
    def slurm(self, own: SlurmCluster) -> SlurmCluster:
        """In the place of the shared cluster."""
        return own

    @pytest.mark.long
    @pytest.mark.timeout(400)
    @pytest.mark.parametrize("partition", ["dropped", "graced"])
    def test_preempted_where_nobody_requeues(
        self, client: Client, started: Starts, fault: Fault, partition: str
    ) -> None:
        retry = submitit.Retry(preempted=1)
        place = {"slurm_nodelist": "n1", "cpus_per_task": 8}
        executor = client.executor(slurm_partition=partition, retry=retry, **place)
        low = executor.submit(failing.first_by, str(started.directory), "low", "time")
        ending = started.wait(low)
        until(lambda: started.of("low"), "a start")
        fault.injected()
        high = client.executor(slurm_partition="high", **place).submit(
            failing.first_by, str(started.directory), "high", ""
        )
        assert high.result(LONG_S) == "high 0"
        assert ending.result() is None
        assert low.result() == "low 1"
        first, second = low.attempts
        assert (first.state, first.again, first.node) == ("PREEMPTED", "preempted", "n1")
        assert (second.state, second.again, second.node) == ("COMPLETED", "", "n1")
        grace = ", with a grace time" if partition == "graced" else ""
        fault.seen(
            f"preempted where `PreemptMode=CANCEL`{grace}, under `Retry`", "a result, of the next attempt", job="plain"
        )

    @pytest.mark.long
    @pytest.mark.timeout(400)
    @pytest.mark.usefixtures("asked_often")
    def test_a_failed_node_is_left_alone(self, client: Client, started: Starts, fault: Fault) -> None:
        executor = client.executor(retry=submitit.Retry(node_fail=2))
        job = executor.submit(failing.first_by, str(started.directory), "moved", "time")
        ending = started.wait(job)
        until(lambda: started.of("moved"), "a start")
        node = client.cluster.run("squeue", "-h", "-j", job.job_id, "-o", "%N").stdout.strip()
        fault.injected()
        client.cluster.kill_node(node, with_jobs=True)
        client.cluster.mark_node_down(node)
        client.cluster.start_node(node)
        # Slurm would start it on the same node again, where it runs first.
        start_again(client.cluster, job.job_id)
        assert ending.result() is None
        other = {"n1": "n2", "n2": "n1"}[node]
        assert job.result() == "moved 2"
        assert started.of("moved") == [0, 2]
        attempts = job.attempts
        assert [attempt.again for attempt in attempts] == ["", "node_fail", ""]
        assert attempts[2].node == other
        shown = client.cluster.run("scontrol", "show", "job", job.job_id).stdout
        assert f"ExcNodeList={node}" in shown
        fault.seen(
            "its node fails and comes back, under `Retry`", "a result, of an attempt on another node", job="plain"
        )
