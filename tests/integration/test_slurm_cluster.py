"""The throwaway cluster itself: what it promises to the tests that use it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import supervisor
from support.slurm_cluster import ClusterError, SlurmCluster, missing_programs
from support.users import can_make_users, ordinary_user

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(bool(missing_programs()), reason=f"missing: {', '.join(missing_programs())}"),
]

STARTS_A_CLUSTER_AND_JOBS = """
import sys, time
from support.slurm_cluster import SlurmCluster

cluster = SlurmCluster(sys.argv[1], accounting=False).start()
cluster.run("sbatch", "--output=/dev/null", "--wrap", "trap '' TERM; setsid sleep 1000 & while :; do sleep 1000; done")
cluster.run("sbatch", "--output=/dev/null", "--nodes=2", "--wrap", "srun sleep 1000")
deadline = time.monotonic() + 60
while "2.0" not in cluster.run("squeue", "-h", "-s", "-o", "%i").stdout.split() and time.monotonic() < deadline:
    time.sleep(0.05)
print(cluster.layout.public, flush=True)
time.sleep(1000)
"""


@pytest.fixture(scope="module")
def own_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    """A cluster that may be broken: no other test uses it."""
    with SlurmCluster(tmp_path_factory.mktemp("own"), accounting=False) as cluster:
        yield cluster


def wait_until(is_true: Callable[[], bool], what: str) -> None:
    """Polls; only a defect reaches the deadline."""
    deadline = time.monotonic() + 60
    while not is_true():
        assert time.monotonic() < deadline, f"not within 60 s: {what}"
        time.sleep(0.05)


def state_of(cluster: SlurmCluster, job_id: str) -> str:
    return cluster.run("squeue", "-h", "-t", "all", "-j", job_id, "-o", "%T").stdout.strip()


def test_a_step_runs_on_two_nodes_and_is_accounted_for(cluster: SlurmCluster, tmp_path: Path) -> None:
    script = "srun --label printenv SLURMD_NODENAME"
    submitted = cluster.run("sbatch", "--wait", "--parsable", "-N2", f"--output={tmp_path / 'out'}", "--wrap", script)
    job_id = submitted.stdout.strip()

    assert sorted((tmp_path / "out").read_text().splitlines()) == ["0: n1", "1: n2"]

    def accounts() -> str:
        return cluster.run("sacct", "-n", "-P", "-X", "-j", job_id, "-o", "JobID,State").stdout.strip()

    wait_until(lambda: accounts() == f"{job_id}|COMPLETED", "COMPLETED in sacct")


def test_memory_limits_are_enforced(cluster: SlurmCluster, tmp_path: Path) -> None:
    if not cluster.has_cgroup:
        pytest.skip("no cgroups here")
    script = f"{sys.executable} -c 'bytearray(300_000_000)'"
    output = f"--output={tmp_path / 'out'}"
    done = cluster.run("sbatch", "--wait", "--parsable", "--mem=100", output, "--wrap", script, check=False)

    assert state_of(cluster, done.stdout.strip()) == "OUT_OF_MEMORY"


@pytest.mark.skipif(not can_make_users(), reason="takes root")
def test_an_ordinary_user_can_submit(cluster: SlurmCluster) -> None:
    with ordinary_user() as user:
        cluster.add_user(user.name)
        script = f"{sys.executable} -c 'import os; print(os.getuid())'"
        output = user.home / f"out-{os.getpid()}"
        user.run(["sbatch", "--wait", f"--output={output}", "--wrap", script], env=cluster.env)
        assert output.read_text() == f"{user.uid}\n"


def test_high_preempts_low_and_leaves_main_alone(own_cluster: SlurmCluster) -> None:
    def submit(partition: str, size: str) -> str:
        options = (f"--partition={partition}", size, "--parsable", "--output=/dev/null")
        return own_cluster.run("sbatch", *options, "--wrap", "exec sleep 1000").stdout.strip()

    main = submit("main", "--nodelist=n1")
    low = submit("low", "--nodelist=n2")
    wait_until(lambda: {state_of(own_cluster, job) for job in (main, low)} == {"RUNNING"}, "both jobs running")
    high = submit("high", "--nodelist=n2")
    other = submit("high", "--exclusive")

    wait_until(lambda: state_of(own_cluster, high) != "PENDING" or state_of(own_cluster, low) != "RUNNING", "a start")
    assert state_of(own_cluster, main) == "RUNNING"
    own_cluster.run("scancel", main, low, high, other)


def test_a_dead_node_fails_its_jobs_and_comes_back(own_cluster: SlurmCluster) -> None:
    options = ("--nodelist=n2", "--no-requeue", "--parsable", "--output=/dev/null")
    job_id = own_cluster.run("sbatch", *options, "--wrap", "exec sleep 1000").stdout.strip()
    wait_until(lambda: state_of(own_cluster, job_id) == "RUNNING", "the job running")

    own_cluster.kill_node("n2", with_jobs=True)
    own_cluster.mark_node_down("n2")
    wait_until(lambda: state_of(own_cluster, job_id) == "NODE_FAIL", "NODE_FAIL")
    own_cluster.start_node("n2")

    assert own_cluster.run("srun", "--nodelist=n2", "printenv", "SLURMD_NODENAME").stdout == "n2\n"


def test_the_controller_comes_back_with_its_jobs(own_cluster: SlurmCluster) -> None:
    submitted = own_cluster.run("sbatch", "--hold", "--parsable", "--output=/dev/null", "--wrap", "true")
    job_id = submitted.stdout.strip()
    own_cluster.stop_controller()
    assert own_cluster.daemon_pid("slurmctld") is None
    own_cluster.start_controller()

    assert state_of(own_cluster, job_id) == "PENDING"
    own_cluster.run("scancel", job_id)


def test_nothing_outlives_a_killed_test_process(tmp_path: Path) -> None:
    tests = Path(__file__).parents[1]
    program = f"import sys; sys.path.insert(0, {str(tests)!r})\n{STARTS_A_CLUSTER_AND_JOBS}"
    command = [sys.executable, "-c", program, str(tmp_path / "cluster")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            public = Path(process.stdout.readline().strip())
            assert (public / "slurm.conf").exists()
            started = supervisor.descendants(process.pid)
        finally:
            process.kill()

    # The supervisor and its daemons, the steps and their jobs.
    assert len(started) > 10
    wait_until(lambda: not any(map(supervisor.is_alive, started)), "all processes gone")
    assert not public.exists()
    assert [path.name for path in (tmp_path / "cluster").iterdir()] == ["log"]


def test_a_failed_start_shows_the_log_and_leaves_nothing(tmp_path: Path) -> None:
    cluster = SlurmCluster(tmp_path / "cluster", accounting=False, extra_lines=["NoSuchParameter=1"])
    with pytest.raises(ClusterError, match=r"(?s)slurmctld ended with exit code 1.*unrecognized key: NoSuchParameter"):
        cluster.start()

    assert not cluster.is_running()
    assert [path.name for path in (tmp_path / "cluster").iterdir()] == ["log"]
