"""What the documentation shows, a reader can do: every block of every page is run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support import pages
from support.left_behind import assert_nothing_is_left
from support.slurm_cluster import SlurmCluster

#: What tells a program that there is a cluster.
SLURM_COMMANDS = ("sacct", "sbatch", "scancel", "scontrol", "sinfo", "squeue", "srun")
#: Reached only where something hangs.
DEADLINE_S = 150


def with_blocks(where: str) -> list[Path]:
    return [page for page in pages.pages() if any(block.runs == where for block in pages.blocks(page))]


def named(page: Path) -> str:
    return page.relative_to(pages.ROOT).as_posix()


@pytest.fixture(scope="module")
def no_slurm(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH as on a machine without Slurm."""
    made = tmp_path_factory.mktemp("bin")
    for directory in os.environ["PATH"].split(os.pathsep):
        for program in Path(directory).glob("*") if os.path.isdir(directory) else ():
            if program.name not in SLURM_COMMANDS and not os.path.lexists(made / program.name):
                (made / program.name).symlink_to(program)
    return str(made)


def run(page: Path, where: str, directory: Path, path: str) -> None:
    home = directory / "home"
    home.mkdir()
    (directory / "page").mkdir()
    env = {**os.environ, "HOME": str(home), "XDG_STATE_HOME": str(home / "state"), "COLUMNS": "100", "NO_COLOR": "1"}
    # The command of the environment that is tested comes first.
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{path}"
    command = [sys.executable, "-m", "support.pages", str(page), where]
    env["PYTHONPATH"] = str(Path(pages.__file__).parents[1])
    made = subprocess.run(
        command, cwd=directory / "page", env=env, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert made.returncode == 0, made.stdout + made.stderr
    assert_nothing_is_left(directory)


@pytest.mark.parametrize("page", with_blocks(pages.HERE), ids=named)
def test_a_page(page: Path, tmp_path: Path, no_slurm: str) -> None:
    run(page, pages.HERE, tmp_path, no_slurm)


@pytest.mark.slurm
@pytest.mark.parametrize("page", with_blocks(pages.SLURM), ids=named)
def test_a_page_on_slurm(page: Path, tmp_path: Path, slurm: SlurmCluster) -> None:
    run(page, pages.SLURM, tmp_path, os.environ["PATH"])
