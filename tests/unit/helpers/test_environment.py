"""Environment variables for processes that are started from inside a job."""

from __future__ import annotations

import os

import pytest

from submitit import helpers

REMOVED = [
    "SLURM_JOB_ID",
    "SLURMD_NODENAME",
    "SLURM_PROCID",
    "SRUN_DEBUG",
    "SBATCH_PARTITION",
    "SBATCH_ACCOUNT",
    "SBATCH_EXPORT",
    "SUBMITIT_EXECUTOR",
    "SUBMITIT_PREEMPT_SIGNAL",
    "SUBMITIT_LOG_LEVEL",
    "SUBMITIT_FOLDER",
    "MASTER_ADDR",
    "MASTER_PORT",
    "RANK",
    "WORLD_SIZE",
    "LOCAL_RANK",
    "LOCAL_WORLD_SIZE",
    "SLURM_CPUS_PER_TASK",
    "SRUN_CPUS_PER_TASK",
    "SLURM_EXPORT_ENV",
    "SLURM_MEM_PER_NODE",
    "PMI_RANK",
]
KEPT = [
    "SACCT_FORMAT",
    "SALLOC_X",
    "CUDA_VISIBLE_DEVICES",
    "TMPDIR",
    "OMP_NUM_THREADS",
    "NCCL_X",
    "SLURMX",
    "XSLURM_",
    "slurm_x",
    "SLURM_CONF",
    "FOO",
]


def variables() -> dict[str, str]:
    """This process's, but for what pytest itself changes."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    with helpers.clean_env():
        outside = set(os.environ)
    for name in set(os.environ) - outside:
        monkeypatch.delenv(name)
    for name in (*REMOVED, *KEPT):
        monkeypatch.setenv(name, "value")
    monkeypatch.delenv("NEW", raising=False)
    return variables()


def test_what_describes_a_job_is_gone_in_the_block_and_back_after_it(environment: dict[str, str]) -> None:
    with helpers.clean_env():
        assert set(environment) - set(os.environ) == set(REMOVED)
        assert set(KEPT) <= set(os.environ)
        os.environ["SLURM_JOB_ID"] = "inside"
    assert variables() == environment


def test_extra_names(environment: dict[str, str]) -> None:
    with helpers.clean_env(extra_names=("FOO", "NOT_SET")):
        assert set(environment) - set(os.environ) == {*REMOVED, "FOO"}
    assert variables() == environment


def test_what_the_block_sets_stays(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    with helpers.clean_env():
        monkeypatch.setenv("NEW", "1")
        monkeypatch.setenv("FOO", "changed")
    assert variables() == {**environment, "NEW": "1", "FOO": "changed"}


def test_it_is_restored_after_an_exception(environment: dict[str, str]) -> None:
    with pytest.raises(KeyError), helpers.clean_env():
        raise KeyError
    assert variables() == environment
