"""Jobs that run from a copy of code: what their interpreter would import from the work tree, and what comes before it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import submitit
from support import trees


def test_a_snapshot_and_an_editable_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As setuptools makes it where a package lies at the root: a finder, which no path leads to."""
    tree = trees.make(tmp_path / "tree", {"snapshot_edited.py": "", "runs/readme": ""})
    monkeypatch.chdir(tree / "runs")
    site = tmp_path / "site"
    trees.write(
        site,
        {
            "__editable___snapshot_finder.py": f"""
import sys
from importlib.util import spec_from_file_location
MAPPING = {{"snapshot_edited": {str(tree / "snapshot_edited.py")!r}}}
class _EditableFinder:
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return spec_from_file_location(name, MAPPING[name]) if name in MAPPING else None
def install():
    sys.meta_path.append(_EditableFinder)
""",
            "sitecustomize.py": "import __editable___snapshot_finder as finder\nfinder.install()\n",
        },
    )
    monkeypatch.setenv("PYTHONPATH", str(site), prepend=":")
    program = (
        "import os, sys, submitit\n"
        "from support import world\n"
        "executor = submitit.AutoExecutor(sys.argv[1], 'local', snapshot=True)\n"
        "print(executor.submit(world.attribute, 'snapshot_edited', '__file__').result())\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=":")
    command = [sys.executable, "-c", program, str(tmp_path / "jobs")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "/.submitit/snapshots/" in done.stdout


@pytest.mark.parametrize("backend", ["local", pytest.param("slurm", marks=pytest.mark.slurm)])
def test_lines_before_the_command_run_in_the_snapshot(
    backend: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if backend == "slurm":
        request.getfixturevalue("slurm")
    monkeypatch.chdir(trees.make(tmp_path / "tree", {"environment.sh": "export ANSWER=42"}))
    executor = submitit.AutoExecutor(tmp_path / "jobs", backend, snapshot=True)
    setup = [f"echo export ANSWER=0 > {tmp_path / 'tree'}/environment.sh", ". ./environment.sh"]
    # The job has what its script exports, and nothing else.
    executor.update_parameters(timeout_min=10, local_setup=setup, slurm_setup=setup, slurm_export="NONE")
    assert executor.submit(os.getenv, "ANSWER").result() == "42"
    executor.update_parameters(local_setup=submitit.UNSET, slurm_setup=submitit.UNSET)
    assert executor.submit(os.getenv, "SUBMITIT_SNAPSHOT_OF").result() == str(tmp_path / "tree")
