"""What torch.distributed has to be told."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from submitit import helpers

NAMES = ["MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "CUDA_VISIBLE_DEVICES"]
SLURM = {
    "SUBMITIT_EXECUTOR": "slurm",
    "SLURM_JOB_ID": "12",
    "SLURM_NTASKS": "6",
    "SLURM_JOB_NUM_NODES": "2",
    "SLURM_NODEID": "1",
    "SLURM_PROCID": "4",
    "SLURM_LOCALID": "1",
    "SLURM_JOB_NODELIST": "n[1-2]",
}
LOCAL = {
    "SUBMITIT_EXECUTOR": "local",
    "SUBMITIT_LOCAL_JOB_ID": "77",
    "SUBMITIT_LOCAL_NTASKS": "2",
    "SUBMITIT_LOCAL_JOB_NUM_NODES": "1",
    "SUBMITIT_LOCAL_NODEID": "0",
    "SUBMITIT_LOCAL_GLOBALID": "1",
    "SUBMITIT_LOCAL_LOCALID": "1",
    "SUBMITIT_FOLDER": "/some/folder",
}


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # set and removed by monkeypatch first, so that it puts back what was there
    for name in NAMES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    with_scontrol(monkeypatch, tmp_path, "exit 1")  # no cluster knows these nodes


def in_job(monkeypatch: pytest.MonkeyPatch, *parts: dict[str, str]) -> helpers.TorchDistributedEnvironment:
    for part in parts:
        for name, value in part.items():
            monkeypatch.setenv(name, value)
    return helpers.TorchDistributedEnvironment()


def exported() -> dict[str, str]:
    return {name: os.environ[name] for name in NAMES if name in os.environ}


def with_scontrol(monkeypatch: pytest.MonkeyPatch, directory: Path, body: str) -> None:
    (directory / "scontrol").write_text(f"#!/bin/sh\n{body}\n")
    (directory / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", str(directory), prepend=":")


def test_the_address_of_the_first_node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By its name; by what Slurm says where nothing resolves that; by the loopback where there is one node alone."""
    with_scontrol(monkeypatch, tmp_path, 'echo "NodeName=$3 Arch=x86_64\n   NodeAddr=10.1.2.3 NodeHostName=other"')
    nowhere = {"SLURM_JOB_NODELIST": "node[1-2].invalid"}
    assert in_job(monkeypatch, SLURM, nowhere).master_addr == "10.1.2.3"
    assert in_job(monkeypatch, SLURM, {"SLURM_JOB_NODELIST": "localhost"}).master_addr == "localhost"
    one = {**nowhere, "SLURM_JOB_NUM_NODES": "1"}
    assert in_job(monkeypatch, SLURM, one).master_addr == "127.0.0.1"
    with_scontrol(monkeypatch, tmp_path, "exit 1")
    assert in_job(monkeypatch, SLURM, nowhere).master_addr == "node1.invalid"


def test_ranks_of_a_slurm_job(monkeypatch: pytest.MonkeyPatch) -> None:
    made = in_job(monkeypatch, SLURM)
    assert made.export() is made
    assert (made.rank, made.world_size, made.local_rank, made.local_world_size) == (4, 6, 1, 3)
    assert exported() == {
        "MASTER_ADDR": "n1",
        "MASTER_PORT": "58811",
        "RANK": "4",
        "WORLD_SIZE": "6",
        "LOCAL_RANK": "1",
        "LOCAL_WORLD_SIZE": "3",
        "CUDA_VISIBLE_DEVICES": "1",
    }


def test_the_port_is_the_same_on_every_rank_and_follows_from_the_job_id(monkeypatch: pytest.MonkeyPatch) -> None:
    assert in_job(monkeypatch, SLURM).master_port == random.Random("12").randint(20000, 60000)
    array = {"SLURM_ARRAY_JOB_ID": "11", "SLURM_ARRAY_TASK_ID": "3", "SLURM_PROCID": "0"}
    assert in_job(monkeypatch, SLURM, array).master_port == random.Random("11_3").randint(20000, 60000)


def test_a_given_port_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    assert in_job(monkeypatch, SLURM, {"MASTER_PORT": "1234"}).master_port == 1234


def test_local_jobs_of_one_id_in_two_folders_or_attempts_have_other_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    ports = {
        in_job(monkeypatch, LOCAL, {"SUBMITIT_FOLDER": folder, "SUBMITIT_LOCAL_ATTEMPT": attempt}).master_port
        for folder in ("/a", "/b")
        for attempt in ("0", "1")
    }
    assert len(ports) == 4
    other_rank = {"SUBMITIT_LOCAL_GLOBALID": "0", "SUBMITIT_LOCAL_LOCALID": "0", "SUBMITIT_FOLDER": "/b"}
    assert in_job(monkeypatch, LOCAL, other_rank).master_port in ports


def test_without_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    in_job(monkeypatch, SLURM).export(set_cuda_visible_devices=False)
    assert "CUDA_VISIBLE_DEVICES" not in exported()


@pytest.mark.parametrize(
    ("granted", "own"), [("3,5", "5"), ("0,1,2", "1"), ("3", "1"), ("", "1"), ("GPU-a,GPU-b", "GPU-b")]
)
def test_each_rank_sees_its_own_of_the_granted_devices(monkeypatch: pytest.MonkeyPatch, granted: str, own: str) -> None:
    in_job(monkeypatch, LOCAL, {"CUDA_VISIBLE_DEVICES": granted}).export()
    assert exported()["CUDA_VISIBLE_DEVICES"] == own


@pytest.mark.parametrize("name", [name for name in NAMES if name != "CUDA_VISIBLE_DEVICES"])
def test_nothing_is_overwritten_unless_asked(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    made = in_job(monkeypatch, SLURM)
    monkeypatch.setenv(name, "mine")
    with pytest.raises(RuntimeError, match=f"^Cannot export environment variables as {name} is already set$"):
        made.export()
    assert exported() == {name: "mine"}
    made.export(overwrite=True)
    assert len(exported()) == 7
    assert exported()[name] != "mine"


def test_outside_of_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUBMITIT_EXECUTOR", raising=False)
    with pytest.raises(RuntimeError, match="Could not figure out which environment"):
        helpers.TorchDistributedEnvironment()
