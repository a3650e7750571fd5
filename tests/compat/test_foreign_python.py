"""``python=`` names an interpreter that still has a version 1: its jobs end at once, and say why."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

import submitit
from support import calls
from support.backends import LOCAL, SLURM, Backend

_WAITS = """
import time

if __name__ == "__main__":
    # version 1 looks for a pickle that is not written any more, for a minute
    time.sleep(3600)
"""


@pytest.fixture
def old_python(tmp_path: Path) -> str:
    """A shell command: this interpreter, with a library of version 1's shape before ours."""
    package = tmp_path / "site" / "submitit"
    (package / "core").mkdir(parents=True)
    (package / "__init__.py").write_text('__version__ = "1.5.4"\n')
    (package / "core" / "__init__.py").write_text("")
    (package / "core" / "_submit.py").write_text(_WAITS)
    return f"env PYTHONPATH={shlex.quote(str(tmp_path / 'site'))} {shlex.quote(sys.executable)}"


@pytest.fixture(params=[pytest.param(SLURM, marks=pytest.mark.slurm), LOCAL], ids=lambda backend: str(backend.name))
def backend(request: pytest.FixtureRequest) -> Backend:
    found: Backend = request.param
    if found is SLURM:
        request.getfixturevalue("slurm")
    return found


@pytest.mark.parametrize("count", [1, 2])
def test_a_version_1_inside_is_an_error_at_once(backend: Backend, tmp_path: Path, old_python: str, count: int) -> None:
    executor = submitit.AutoExecutor(
        tmp_path / "jobs/%j", cluster=backend.name, **{f"{backend.name}_python": old_python}
    )
    executor.update_parameters(timeout_min=10)
    jobs = executor.map_array(calls.add, range(count), range(count))
    try:
        for job in jobs:
            error = job.exception(timeout=60)
            assert isinstance(error, submitit.UncompletedJobError)
            assert "python=" in str(error)
            assert "submitit 2" in str(error)
    finally:
        for job in jobs:
            job.cancel(check=False)


def test_another_python_with_this_version_inside_works(backend: Backend, tmp_path: Path) -> None:
    command = f"env MINE=yes {shlex.quote(sys.executable)}"
    executor = submitit.AutoExecutor(tmp_path / "jobs/%j", cluster=backend.name, **{f"{backend.name}_python": command})
    executor.update_parameters(timeout_min=10)
    assert executor.submit(calls.environment).result(timeout=120)["MINE"] == "yes"
