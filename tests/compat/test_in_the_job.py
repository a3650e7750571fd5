"""What a job knows of itself, prints and exits with, started by nothing but the command line of 1.x and the variables."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import submitit
from submitit.core import core, utils
from support import calls

SLURM = {
    "SUBMITIT_EXECUTOR": "slurm",
    "SLURM_JOB_ID": "77",
    "SLURM_NTASKS": "4",
    "SLURM_JOB_NUM_NODES": "2",
    "SLURM_NODEID": "1",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
    "SLURM_JOB_NODELIST": "n[01-02]",
}


@pytest.fixture
def env() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SUBMITIT_"))}


def queue(folder: Path, job_id: str, function: Any, *args: Any) -> core.Job[Any]:
    folder.mkdir(parents=True, exist_ok=True)
    job: core.Job[Any] = submitit.SlurmJob(folder, job_id)
    call = utils.DelayedSubmission(function, *args)
    call.set_timeout(5, 3)
    call.dump(job.paths.submitted_pickle)
    return job


def run(folder: Path, env: dict[str, str], **variables: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), env.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-u", "-m", "submitit.core._submit", str(folder)],
        env={**env, "PYTHONPATH": path, **variables},
        text=True,
        capture_output=True,
        check=False,
    )


def test_the_executors_name_and_a_job_id_are_enough(folder: Path, env: dict[str, str]) -> None:
    """Schedulers of third parties start jobs like this."""
    job = queue(folder, "12", calls.describe)
    ended = run(folder, env, SUBMITIT_EXECUTOR="slurm", SLURM_JOB_ID="12")
    assert ended.returncode == 0, ended.stderr
    seen = job.result()
    assert seen["job_id"] == seen["raw_job_id"] == "12"
    assert (seen["num_tasks"], seen["num_nodes"], seen["node"], seen["global_rank"], seen["local_rank"]) == (
        1,
        1,
        0,
        0,
        0,
    )
    assert (seen["array_job_id"], seen["array_task_id"]) == (None, None)
    assert seen["hostnames"] == [os.uname().nodename]


def test_ranks_and_nodes(folder: Path, env: dict[str, str]) -> None:
    queue(folder, "77", calls.describe)
    assert run(folder, env, **SLURM).returncode == 0
    seen = submitit.SlurmJob[Any](folder, "77", [0, 1, 2, 3]).task(3).result()
    assert seen["hostnames"] == ["n01", "n02"]
    assert seen["repr"] == (
        f"JobEnvironment(job_id=77, hostname={os.uname().nodename}, local_rank=1(2), node=1(2), global_rank=3(4))"
    )


def test_an_element_of_an_array(folder: Path, env: dict[str, str]) -> None:
    job = queue(folder, "11_3", calls.describe)
    variables = {"SLURM_JOB_ID": "14", "SLURM_ARRAY_JOB_ID": "11", "SLURM_ARRAY_TASK_ID": "3"}
    assert run(folder, env, SUBMITIT_EXECUTOR="slurm", **variables).returncode == 0
    seen = job.result()
    assert (seen["job_id"], seen["raw_job_id"]) == ("11_3", "14")
    assert (seen["array_job_id"], seen["array_task_id"]) == ("11", "3")


def where_my_files_are() -> list[str]:
    paths = submitit.JobEnvironment().paths
    return [str(paths.result_pickle), str(paths.submitted_pickle)]


def test_a_job_knows_its_files(folder: Path, env: dict[str, str]) -> None:
    where_my_files_are.__module__ = "__main__"
    job = queue(folder, "12", where_my_files_are)
    assert run(folder, env, SUBMITIT_EXECUTOR="slurm", SLURM_JOB_ID="12").returncode == 0
    assert job.result() == [f"{folder}/12_0_result.pkl", f"{folder}/12_submitted.pkl"]


def test_what_a_job_prints(folder: Path, env: dict[str, str]) -> None:
    queue(folder, "12", calls.add, 1, 2)
    ended = run(folder, env, SUBMITIT_EXECUTOR="slurm", SLURM_JOB_ID="12")
    words = [line.split(" - ", 1)[1] for line in ended.stdout.splitlines()]
    host = os.uname().nodename
    assert words == [
        f"Starting with JobEnvironment(job_id=12, hostname={host}, local_rank=0(1), node=0(1), global_rank=0(1))",
        f"Loading pickle: {folder}/12_submitted.pkl",
        "Job completed successfully",
        "Exiting after successful completion",
    ]
    assert all(line.startswith("submitit INFO (") for line in ended.stdout.splitlines())
    assert ended.stderr == ""


def test_what_a_later_attempt_prints(folder: Path, env: dict[str, str]) -> None:
    """1.x's words first, so that who looks for them finds them."""
    queue(folder, "12", calls.add, 1, 2)
    ended = run(folder, env, SUBMITIT_EXECUTOR="slurm", SLURM_JOB_ID="12", SLURM_RESTART_COUNT="2")
    host = os.uname().nodename
    starting = f"Starting with JobEnvironment(job_id=12, hostname={host}, local_rank=0(1), node=0(1), global_rank=0(1))"
    assert ended.stdout.splitlines()[0].endswith(f" - {starting}, attempt 3")
    (line,) = ended.stderr.splitlines()
    assert line.endswith("Attempt 3 of job 12 begins: what stands above is of earlier ones")


def test_what_a_failing_job_prints(folder: Path, env: dict[str, str]) -> None:
    queue(folder, "12", calls.fail, "as asked")
    ended = run(folder, env, SUBMITIT_EXECUTOR="slurm", SLURM_JOB_ID="12")
    assert ended.returncode == 1
    for text in (ended.stdout, ended.stderr):
        assert "submitit ERROR" in text
        assert "Submitted job triggered an exception" in text
    assert "ValueError: as asked" in ended.stderr


@pytest.mark.parametrize(
    ("level", "shown"),
    [("debug", True), ("20", True), ("INFO", True), ("WARNING", False), ("40", False), ("NOCONFIG", False)],
)
def test_the_log_level(folder: Path, env: dict[str, str], level: str, shown: bool) -> None:
    job = queue(folder, "12", calls.add, 1, 2)
    ended = run(folder, env, SUBMITIT_EXECUTOR="slurm", SLURM_JOB_ID="12", SUBMITIT_LOG_LEVEL=level)
    assert ("Loading pickle" in ended.stdout) is shown
    assert ended.stderr == ""
    assert job.result() == 3


def where_is(name: str) -> str:
    import importlib

    return str(importlib.import_module(name).__file__)


@pytest.mark.parametrize("name", ["colorsys", "submitit"])
def test_a_package_of_the_working_directory_wins(
    folder: Path, env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A snapshot of somebody's code is run, and not what is installed."""
    place = tmp_path / "snapshot"
    if name == "submitit":
        source = Path(submitit.__file__).parent
        shutil.copytree(source, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        place.mkdir()
        (place / f"{name}.py").write_text("")
    monkeypatch.chdir(place)
    where_is.__module__ = "__main__"
    job = queue(folder, "12", where_is, name)
    assert run(folder, env, SUBMITIT_EXECUTOR="slurm", SLURM_JOB_ID="12").returncode == 0
    assert job.result().startswith(f"{place}/")


@pytest.mark.parametrize("arguments", [[], ["a", "b"]])
def test_misuse_of_the_command_line(env: dict[str, str], arguments: list[str]) -> None:
    command = [sys.executable, "-m", "submitit.core._submit", *arguments]
    ended = subprocess.run(command, env=env, text=True, capture_output=True, check=False)
    assert ended.returncode != 0
    assert "usage" in ended.stderr


def test_outside_of_a_job(env: dict[str, str]) -> None:
    program = "import submitit; submitit.JobEnvironment()"
    ended = subprocess.run([sys.executable, "-c", program], env=env, text=True, capture_output=True, check=False)
    assert "RuntimeError: Could not figure out which environment the job is runnning in." in ended.stderr
    assert "Known environments: slurm, local, debug." in ended.stderr


# ---------------------------------------------------------------- torch


def test_torch_is_told_as_by_version_1(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "MASTER_ADDR",
        "MASTER_PORT",
        "RANK",
        "WORLD_SIZE",
        "LOCAL_RANK",
        "LOCAL_WORLD_SIZE",
        "CUDA_VISIBLE_DEVICES",
    ):
        monkeypatch.delenv(name, raising=False)
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    told = submitit.helpers.TorchDistributedEnvironment()
    # what the random numbers of Python make of the job's id
    assert (told.master_addr, told.master_port) == ("n01", 55814)
    assert (told.rank, told.world_size, told.local_rank, told.local_world_size) == (3, 4, 1, 2)
    assert told.export() is told
    names = (
        "MASTER_ADDR",
        "MASTER_PORT",
        "RANK",
        "WORLD_SIZE",
        "LOCAL_RANK",
        "LOCAL_WORLD_SIZE",
        "CUDA_VISIBLE_DEVICES",
    )
    assert [os.environ[name] for name in names] == ["n01", "55814", "3", "4", "1", "2", "1"]
    with pytest.raises(RuntimeError, match="MASTER_ADDR is already set"):
        told.export()
    told.export(overwrite=True, set_cuda_visible_devices=False)
    for name in names:
        monkeypatch.delenv(name)
