"""What takes space on the real Slurm and what of it goes; what `doctor` says of a cluster; commands as its jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import submitit
from submitit.errors import JobVanishedError
from submitit.storage import journal
from submitit.views.folder import Folder
from support import calls
from support.command import Command
from support.local_processes import put
from support.slurm_cluster import SlurmCluster, missing_programs
from support.slurm_jobs import Client, until, use

pytestmark = pytest.mark.slurm


def listed(folder: Path) -> dict[str, str]:
    """What `ls` would list."""
    found = Folder(folder)
    found.refresh()
    return {entry.job_id: entry.state for entry in found.entries}


def found_again(folder: Path, job_id: str) -> submitit.SlurmJob[Any]:
    """A handle, as another process would make it."""
    journal._indexes.clear()
    return submitit.SlurmJob(folder, job_id)


def test_elements_that_are_over_go_and_the_others_have_all_they_need(client: Client, tmp_path: Path) -> None:
    folder = tmp_path / "jobs" / "%A" / "%a"
    executor = submitit.AutoExecutor(folder, cluster="slurm")
    executor.update_parameters(timeout_min=10, slurm_array_parallelism=2)
    put(tmp_path / "file-0", "done")
    jobs = executor.map_array(calls.wait_for_file, [str(tmp_path / f"file-{number}") for number in range(4)])
    single = client.submit(calls.add, 1, 2)
    waiting = client.submit(calls.add, submitit.result_of(single), 3, slurm_begin="now+1hour")
    jobs[0].result()
    single.result()
    until(lambda: listed(tmp_path / "jobs")[jobs[0].job_id] == "COMPLETED", "the first element is over")
    until(lambda: listed(tmp_path / "jobs")[single.job_id] == "COMPLETED", "the single job is over")
    (plan,) = Command().answer("clean", tmp_path / "jobs", "--yes")
    assert [job["job_id"] for job in plan["jobs"]] == [jobs[0].job_id]
    assert plan["kept"] == {"alive": 4, "needed": 1}
    assert sorted(listed(tmp_path / "jobs")) == sorted(
        [*(job.job_id for job in jobs[1:]), single.job_id, waiting.job_id]
    )
    again = found_again(folder, jobs[0].job_id)
    assert again.done()
    with pytest.raises(JobVanishedError, match="was cleaned by"):
        again.result()
    for number in range(1, 4):
        put(tmp_path / f"file-{number}", "went on")
    assert [job.result() for job in jobs[1:]] == ["went on"] * 3
    waiting.cancel()
    until(lambda: set(listed(tmp_path / "jobs").values()) <= {"COMPLETED", "CANCELLED"}, "all are over")
    Command()("clean", tmp_path / "jobs", "--yes")
    assert listed(tmp_path / "jobs") == {}
    left = [path for path in (tmp_path / "jobs").rglob("*") if path.is_file() and "journal" not in path.parts]
    assert left == []


def test_a_command_as_a_job(client: Client, tmp_path: Path) -> None:
    done = Command()("run", "-f", "-t", "5", "--cpus", "1", "echo $SLURM_JOB_NAME; exit 3", cwd=tmp_path, code=3)
    assert done.out.splitlines()[0] == "echo"
    done = Command()("run", "-c", "slurm", "-p", "nowhere", "true", cwd=tmp_path, code=1)
    assert "the job was not submitted: sbatch: error: invalid partition specified: nowhere" in done.err
    assert "#!/bin/bash" not in done.err


def test_the_doctor_of_a_cluster_with_accounts(client: Client, tmp_path: Path) -> None:
    told = {finding["topic"]: finding for finding in Command().answer("doctor", tmp_path, "--submit")}
    assert told["Slurm"]["found"].endswith("cluster test")
    assert told["accounting"]["found"] == "sacct answers"
    assert told["preemption"]["found"] == "REQUEUE"
    assert told["partition main (default)"]["level"] == "ok"
    assert told["test job"]["level"] == told["folder on node"]["level"] == told["Python on node"]["level"] == "ok"
    assert not list(tmp_path.glob("submitit-doctor-*"))
    told = {
        finding["topic"]: finding
        for finding in Command().answer("doctor", tmp_path, "--submit", "-P", "slurm_partition=nowhere", code=1)
    }
    assert "invalid partition specified: nowhere" in told["test job"]["found"]
    words = ["doctor", str(tmp_path), "--submit", "--patience", "1", "-P", "slurm_begin=now+1hour"]
    told = {finding["topic"]: finding for finding in Command().answer(*words)}
    assert "PENDING after 1 s, and was cancelled" in told["test job"]["found"]
    assert not list(tmp_path.glob("submitit-doctor-*"))


@pytest.mark.long
def test_the_doctor_of_a_cluster_without_accounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if missing := missing_programs(accounting=False):
        pytest.skip(f"no Slurm here: {', '.join(missing)}")
    settings = {"JobRequeue": 0, "MaxArraySize": 1}
    with SlurmCluster(tmp_path / "cluster", accounting=False, settings=settings) as cluster:
        use(cluster, monkeypatch)
        told = {finding["topic"]: finding for finding in Command().answer("doctor", tmp_path)}
    assert told["accounting"]["found"] == "none"
    assert "only its own files tell how it ended" in told["accounting"]["meaning"]
    assert "MinJobAge" in told["accounting"]["meaning"]
    assert told["requeue"]["level"] == "warning"
