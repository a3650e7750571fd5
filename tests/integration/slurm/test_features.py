"""What a user asks of Slurm, and what the job then sees."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

import submitit
from submitit import errors
from support import calls, faults
from support.slurm_cluster import SlurmCluster
from support.slurm_jobs import DEADLINE_S, Client, until

pytestmark = pytest.mark.slurm


# ---------------------------------------------------------------- submission


def test_an_array_is_one_call_of_sbatch_and_no_question(client: Client, sbatch_log: Path, unasked: None) -> None:
    executor = client.executor()
    jobs = executor.map_array(calls.add, range(5), range(5))
    array_id = jobs[0].job_id.partition("_")[0]
    assert [job.job_id for job in jobs] == [f"{array_id}_{index}" for index in range(5)]
    assert [job.result(DEADLINE_S) for job in jobs] == [0, 2, 4, 6, 8]
    assert len(sbatch_log.read_text().splitlines()) == 1

    with executor.batch():
        batched: list[submitit.Job[Any]] = [executor.submit(calls.add, 1, 2), executor.submit(calls.describe)]
    assert batched[0].result(DEADLINE_S) == 3
    described: dict[str, Any] = batched[1].result(DEADLINE_S)
    assert described["job_id"] == batched[1].job_id
    assert described["array_task_id"] == "1"
    assert described["raw_job_id"].isdecimal()
    assert len(sbatch_log.read_text().splitlines()) == 2

    assert executor.submit(calls.add, 1, 2).result(DEADLINE_S) == 3
    assert len(sbatch_log.read_text().splitlines()) == 3
    # Nobody had to be asked about jobs that all ended well.
    assert submitit.SlurmJob.watcher.num_calls == 0


def files_below(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


def test_a_thousand_elements_write_five_files(client: Client, sbatch_log: Path) -> None:
    executor = client.executor(slurm_additional_parameters={"hold": True})
    jobs = executor.map_array(calls.add, range(1000), range(1000))
    assert len({job.job_id for job in jobs}) == 1000
    assert len(files_below(client.directory / "jobs")) <= 5
    assert len(sbatch_log.read_text().splitlines()) == 1
    assert client.find(jobs[999].job_id).submission().args == (999, 999)
    jobs[0].cancel()
    assert type(jobs[0].exception(DEADLINE_S)) is errors.JobCancelledError


def test_what_elements_share_is_written_once(client: Client) -> None:
    shared = os.urandom(10_000_000)

    def length(index: int) -> int:
        return len(shared) + index

    length.__module__ = "__main__"
    executor = client.executor(slurm_array_parallelism=2)
    jobs = executor.map_array(length, range(200))
    assert sum(path.stat().st_size for path in files_below(client.directory / "jobs")) < 12_000_000
    assert [job.result(DEADLINE_S) for job in jobs[:2]] == [10_000_000, 10_000_001]


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_thousand_elements_run(client: Client) -> None:
    jobs = client.executor().map_array(calls.add, range(1000), range(1000))
    assert [job.result() for job in jobs] == list(range(0, 2000, 2))


def test_a_job_submits_jobs(client: Client) -> None:
    """They are jobs of their own, and have nothing of the one that submits."""
    job = client.submit(
        faults.submit_and_wait, str(client.directory / "inner" / "%j"), nodes=2, cpus_per_task=3, mem_gb=0.25
    )
    outer, inner = job.results(DEADLINE_S)[0]
    assert outer["num_tasks"] == 2
    assert inner["num_tasks"] == 1
    assert inner["num_nodes"] == 1
    assert inner["job_id"] != outer["job_id"]
    assert inner["cpus_per_task"] is None
    assert outer["cpus_per_task"] == "3"


# ---------------------------------------------------------------- what ranks see


def test_ranks_on_two_nodes(client: Client) -> None:
    job = client.submit(calls.describe, nodes=2, tasks_per_node=2)
    ranks = job.results(DEADLINE_S)
    assert [rank["global_rank"] for rank in ranks] == [0, 1, 2, 3]
    assert [rank["local_rank"] for rank in ranks] == [0, 1, 0, 1]
    assert [rank["node"] for rank in ranks] == [0, 0, 1, 1]
    for rank in ranks:
        assert rank["num_tasks"] == 4
        assert rank["num_nodes"] == 2
        assert rank["hostnames"] == ["n1", "n2"]
        assert rank["job_id"] == rank["raw_job_id"] == job.job_id
        assert rank["array_job_id"] is None
        assert f"job_id={job.job_id}" in rank["repr"]
    assert job.num_tasks == 4
    for rank in range(4):
        assert job.task(rank).paths.stdout.name == f"{job.job_id}_{rank}_log.out"
        calls.wait_for_output(job.task(rank), f"global_rank={rank}(4)")


@pytest.mark.parametrize("use_srun", [True, False])
def test_ranks_have_their_cpus_and_no_terminal(client: Client, use_srun: bool) -> None:
    executor = client.executor(cpus_per_task=3, slurm_use_srun=use_srun)
    described = executor.submit(calls.describe)
    assert described.result(DEADLINE_S)["isatty"] is False
    assert b"\r" not in described.paths.stdout.read_bytes()
    go = client.directory / "go"
    job = executor.submit(faults.wait_between, str(client.directory / "started"), str(go))
    until((client.directory / "started").exists, "a start")
    if use_srun:
        shown = client.cluster.run("scontrol", "show", "step", f"{job.job_id}.0").stdout
    else:
        shown = client.cluster.run("scontrol", "show", "job", job.job_id).stdout.replace("NumCPUs=", "CPUs=")
    assert re.search(r"\bCPUs=3\b", shown), shown
    go.write_text("on")
    assert job.result(DEADLINE_S)["text"] == "on"


def test_parameters_reach_slurm(client: Client) -> None:
    words = 'it\'s "quoted" & $HOME'
    job = client.submit(
        calls.environment,
        name="a name",
        mem_gb=0.3,
        slurm_comment=words,
        slurm_srun_args=["--export=ALL,FROM_SRUN=yes"],
        slurm_additional_parameters={"nice": 7},
    )
    assert job.result(DEADLINE_S)["FROM_SRUN"] == "yes"
    shown = client.cluster.run("scontrol", "show", "job", job.job_id).stdout
    assert "JobName=a name\n" in shown
    assert f"Comment={words}" in shown
    assert "Nice=7 " in shown
    assert "MinMemoryNode=307M" in shown


# ---------------------------------------------------------------- folders and logs


def test_a_relative_folder_that_does_not_exist(slurm: SlurmCluster, client: Client) -> None:
    executor = submitit.AutoExecutor(folder="logs/%j", cluster="slurm")
    executor.update_parameters(timeout_min=10)
    job = executor.submit(calls.add, 1, 2)
    assert job.result(DEADLINE_S) == 3
    assert Path("logs", job.job_id, f"{job.job_id}_0_log.out").exists()
    found: submitit.Job[float] = submitit.SlurmJob("logs/%j", job.job_id)
    assert found.result(DEADLINE_S) == 3
    # What the script itself printed, nothing, does not stay.
    until(lambda: list(Path("logs/.submitit/batch").iterdir()) == [], "no file of the script's")


def test_folders_by_array_index_and_task(client: Client) -> None:
    client.folder = client.directory / "jobs" / "%A" / "%a" / "%t"
    jobs = client.executor(tasks_per_node=2).map_array(calls.add, [1, 2], [10, 20])
    assert [job.results(DEADLINE_S) for job in jobs] == [[11, 11], [22, 22]]
    array_id = jobs[1].job_id.partition("_")[0]
    folder = client.directory / "jobs" / array_id / "1" / "1"
    assert {path.name for path in folder.iterdir()} >= {
        f"{array_id}_1_1_{end}" for end in ("result.pkl", "log.out", "log.err")
    }
    assert client.find(jobs[1].job_id, tasks=2).results(DEADLINE_S) == [22, 22]


def test_a_folder_by_task(client: Client) -> None:
    client.folder = client.directory / "jobs" / "%j" / "rank%t"
    job = client.submit(calls.describe, nodes=2)
    assert len(job.results(DEADLINE_S)) == 2
    assert job.task(1).paths.stdout == client.directory / "jobs" / job.job_id / "rank1" / f"{job.job_id}_1_log.out"
    calls.wait_for_output(job.task(1), "global_rank=1(2)")


@pytest.mark.parametrize("use_srun", [True, False])
def test_errors_may_go_to_the_output(client: Client, use_srun: bool) -> None:
    job = client.submit(faults.print_unreadable_bytes, 5, stderr_to_stdout=True, slurm_use_srun=use_srun)
    error = job.exception(DEADLINE_S)
    assert "on stderr" in str(error)
    calls.wait_for_output(job, "on stderr")
    calls.wait_for_output(job, "on stdout")
    assert not job.paths.stderr.exists()


# ---------------------------------------------------------------- setup and teardown


@pytest.mark.parametrize("use_srun", [True, False])
def test_setup_prepares_the_function(client: Client, use_srun: bool) -> None:
    setup = ["export FROM_SETUP='two words'", "cd /"]
    job = client.submit(calls.environment, slurm_setup=setup, slurm_use_srun=use_srun)
    seen = job.result(DEADLINE_S)
    assert seen["FROM_SETUP"] == "two words"
    assert seen["PWD"] == "/"


@pytest.mark.usefixtures("unasked")
def test_a_failing_setup_shows_what_it_printed(client: Client) -> None:
    job = client.submit(calls.add, 1, 2, slurm_setup=["echo cannot find the module >&2", "exit 7"])
    error = job.exception(DEADLINE_S)
    assert type(error) is errors.UncompletedJobError
    assert "cannot find the module" in str(error)
    assert "ExitCode=7:0" in client.cluster.run("scontrol", "show", "job", job.job_id).stdout
    assert "state: FAILED" in str(error)


@pytest.mark.parametrize("use_srun", [True, False])
def test_teardown_runs_whatever_happened(client: Client, use_srun: bool) -> None:
    def executor(name: str) -> submitit.AutoExecutor:
        teardown = [f"echo $submitit_code > {client.directory / name}", "true"]
        return client.executor(slurm_teardown=teardown, slurm_use_srun=use_srun)

    good = executor("good").submit(calls.add, 1, 2)
    bad = executor("bad").submit(calls.fail, "bad luck")
    dead = executor("dead").submit(calls.exit_at_once, 9)
    assert good.result(DEADLINE_S) == 3
    assert type(bad.exception(DEADLINE_S)) is errors.FailedJobError
    assert type(dead.exception(DEADLINE_S)) is errors.UncompletedJobError

    def states() -> list[str]:
        return [job.get_info(mode="force").get("State", "") for job in (good, bad, dead)]

    until(lambda: set(states()) <= {"COMPLETED", "FAILED"}, "the end of every script")
    assert states() == ["COMPLETED", "FAILED", "FAILED"]
    assert "ExitCode=9:0" in client.cluster.run("scontrol", "show", "job", dead.job_id).stdout
    assert [(client.directory / name).read_text() for name in ("good", "bad", "dead")] == ["0\n", "1\n", "9\n"]


# ---------------------------------------------------------------- states


def test_states_of_a_life(client: Client) -> None:
    started, go = client.directory / "started", client.directory / "go"
    executor = client.executor(slurm_additional_parameters={"hold": True})
    job = executor.submit(calls.touch_and_wait, str(started), str(go))
    until(lambda: job.state == "PENDING", "PENDING")
    assert not job.done()
    client.cluster.run("scontrol", "release", job.job_id)
    until(lambda: job.state == "RUNNING", "RUNNING")
    assert not job.done(force_check=True)
    info = job.get_info()
    assert info["State"] == "RUNNING"
    assert re.fullmatch("n[12]", info["NodeList"])
    go.write_text("done")
    assert job.result(DEADLINE_S) == "done"
    until(lambda: job.state == "COMPLETED", "COMPLETED")
    assert job.done()
    assert f'job_id={job.job_id}, task_id=0, state="COMPLETED"' in repr(job)
