"""Hostile names, comments, paths, variables and lines through whole submissions: what arrives in the job is what was meant."""

from __future__ import annotations

import os
import shlex
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import submitit
from support import hostile
from support.slurm_cluster import SlurmCluster
from support.slurm_jobs import clear_away


class Case(NamedTuple):
    folder: str
    name: str
    comment: str
    argument: str
    variable: str
    setup: str


CASES = st.builds(Case, hostile.names, hostile.lines, hostile.lines, hostile.values, hostile.values, hostile.values)
#: Each example is a job that runs: none is tried again to be made simpler.
FEW = settings(
    max_examples=2,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
MANY = settings(FEW, max_examples=5, derandomize=False)


def _look(argument: str) -> dict[str, Any]:

    import submitit

    return {
        "argument": argument,
        "variable": os.environ.get("HOSTILE"),
        "setup": os.environ.get("SETUP"),
        "name": os.environ.get("SLURM_JOB_NAME"),
        "folder": str(submitit.JobEnvironment().paths.folder),
        "cwd": os.getcwd(),
    }


_look.__module__ = "__main__"


def submit(case: Case, cluster: str, directory: Path, patch: pytest.MonkeyPatch) -> submitit.Job[dict[str, Any]]:
    """One job of each kind of text; ``directory`` holds nothing else."""
    cwd = directory / "cwd"
    cwd.mkdir(parents=True)
    patch.chdir(cwd)
    patch.setenv("HOSTILE", case.variable)
    executor = submitit.AutoExecutor(directory / case.folder, cluster=cluster)
    executor.update_parameters(
        name=case.name,
        timeout_min=10,
        slurm_comment=case.comment,
        **{f"{cluster}_setup": [f"export SETUP={shlex.quote(case.setup)}"]},
    )
    return executor.submit(_look, case.argument)


def arrives(case: Case, job: submitit.Job[dict[str, Any]], directory: Path) -> dict[str, Any]:
    seen = job.result()
    assert seen["argument"] == case.argument
    assert seen["variable"] == case.variable
    assert seen["setup"] == case.setup
    assert seen["folder"] == str(directory / case.folder)
    assert {path.name for path in directory.iterdir()} == {"cwd", case.folder}
    assert list((directory / "cwd").iterdir()) == []
    beside = {path.name for path in (directory / case.folder).iterdir()} - {".submitit"}
    assert {name.partition("_")[0] for name in beside} == {job.job_id}
    return seen


def local(directory: Path, cases: list[Case]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        places = [Path(tempfile.mkdtemp(dir=directory)) for _ in cases]
        jobs = [submit(case, "local", place, patch) for case, place in zip(cases, places, strict=True)]
        for case, job, place in zip(cases, jobs, places, strict=True):
            arrives(case, job, place)


def slurm_(slurm: SlurmCluster, directory: Path, cases: list[Case]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        places = [Path(tempfile.mkdtemp(dir=directory)) for _ in cases]
        jobs = [submit(case, "slurm", place, patch) for case, place in zip(cases, places, strict=True)]
        try:
            for case, job, place in zip(cases, jobs, places, strict=True):
                assert arrives(case, job, place)["name"] == case.name
                asked = ["squeue", "-h", "-t", "all", "-j", job.job_id, "-o"]
                assert slurm.run(*asked, "%k").stdout.removesuffix("\n") == case.comment
        finally:
            clear_away(slurm, directory)


@FEW
@given(cases=st.lists(CASES, min_size=5, max_size=5))
def test_what_is_meant_arrives_in_local_jobs(tmp_path: Path, cases: list[Case]) -> None:
    local(tmp_path, cases)


@pytest.mark.long
@MANY
@given(cases=st.lists(CASES, min_size=20, max_size=20))
def test_what_is_meant_arrives_in_many_local_jobs(tmp_path: Path, cases: list[Case]) -> None:
    local(tmp_path, cases)


@pytest.mark.slurm
@FEW
@given(cases=st.lists(CASES, min_size=3, max_size=3))
def test_what_is_meant_arrives_in_jobs_of_a_real_slurm(slurm: SlurmCluster, tmp_path: Path, cases: list[Case]) -> None:
    slurm_(slurm, tmp_path, cases)


@pytest.mark.slurm
@pytest.mark.long
@MANY
@given(cases=st.lists(CASES, min_size=10, max_size=10))
def test_what_is_meant_arrives_in_many_jobs_of_a_real_slurm(
    slurm: SlurmCluster, tmp_path: Path, cases: list[Case]
) -> None:
    slurm_(slurm, tmp_path, cases)
