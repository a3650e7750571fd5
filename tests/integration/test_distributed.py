"""torch.distributed in the processes of a job: on the CPU, over gloo, told by ``TorchDistributedEnvironment``."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import environments
from support.slurm_cluster import SlurmCluster
from support.slurm_jobs import start_again, until

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]

EXAMPLE = Path(__file__).parents[2] / "examples" / "train_distributed.py"
#: A build for the CPU alone, a tenth of the other. pip has to be told where such lie (PIP_FIND_LINKS, PIP_EXTRA_INDEX_URL).
TORCH = "torch==2.13.0+cpu"

PROGRAM = """
import json
import sys
import submitit
from submitit import helpers


def add_ranks():
    import torch
    from torch import distributed

    env = helpers.TorchDistributedEnvironment().export()
    distributed.init_process_group("gloo")
    total = torch.tensor([env.rank + 1, distributed.get_rank() * 10, distributed.get_world_size()])
    distributed.all_reduce(total)
    distributed.destroy_process_group()
    return {"total": total.tolist(), "ranks": [env.rank, env.world_size, env.local_rank, env.local_world_size]}


cluster, nodes, tasks = sys.argv[1:]
executor = submitit.AutoExecutor("jobs", cluster)
executor.update_parameters(timeout_min=10, nodes=int(nodes), tasks_per_node=int(tasks))
print(json.dumps(executor.submit(add_ranks).results()))
"""


@pytest.fixture(scope="module")
def python() -> Path:
    """An interpreter that has torch, and this package."""
    try:
        return environments.make_with_this_package("torch", [TORCH, "numpy"])
    except subprocess.CalledProcessError:
        pytest.skip(f"pip found no {TORCH} for this Python")


def reduced(python: Path, directory: Path, *arguments: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [python, "-c", PROGRAM, *arguments], cwd=directory, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    results: list[dict[str, Any]] = json.loads(done.stdout)
    return results


def test_two_processes_of_this_machine(python: Path, tmp_path: Path) -> None:
    assert reduced(python, tmp_path, "local", "1", "2") == [
        {"total": [3, 10, 4], "ranks": [0, 2, 0, 2]},
        {"total": [3, 10, 4], "ranks": [1, 2, 1, 2]},
    ]


@pytest.mark.slurm
def test_two_nodes(python: Path, slurm: SlurmCluster, tmp_path: Path) -> None:
    """Nothing but Slurm knows the names of these."""
    assert reduced(python, tmp_path, "slurm", "2", "1") == [
        {"total": [3, 10, 4], "ranks": [0, 2, 0, 1]},
        {"total": [3, 10, 4], "ranks": [1, 2, 0, 1]},
    ]


# ---------------------------------------------------------------- the example


@pytest.fixture
def training(python: Path, tmp_path: Path) -> Iterator[Any]:
    """Starts the example; what is left of it ends with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        command: list[str | Path] = [python, EXAMPLE, "--epochs", "40", "--epoch-s", "0.3", *arguments]
        started.append(
            subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def assert_resumed(process: subprocess.Popen[str]) -> None:
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    found = re.search(
        r"the last attempt began at epoch (\d+)\n2 processes, 40 epochs: the loss went from (\S+) to (\S+)\n", out
    )
    assert found, out
    assert 5 < int(found[1]) <= 40
    assert float(found[3]) < float(found[2]) / 2


def test_training_that_is_interrupted(training: Any) -> None:
    assert_resumed(training("--interrupt", "5"))


@pytest.mark.slurm
def test_training_that_is_preempted(training: Any, slurm: SlurmCluster, tmp_path: Path) -> None:
    process = training("--cluster", "slurm", "--partition", "low", "--nodes", "2", "--tasks-per-node", "1")
    job_id = re.match(r"job (\d+),", process.stdout.readline())[1]  # type: ignore[index]
    log = tmp_path / "train_distributed" / "jobs" / f"{job_id}_0_log.out"
    until(lambda: log.exists() and "epoch 5:" in log.read_text(), "five epochs")
    slurm.run("sbatch", "--partition=high", "--nodes=2", "--exclusive", f"--output={os.devnull}", "--wrap=true")
    start_again(slurm, job_id)
    assert_resumed(process)
    assert "this job is preempted" in log.with_suffix(".err").read_text()
