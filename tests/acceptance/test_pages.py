"""What the documentation shows, a reader can do: every block of every page is run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import cast

import pytest

from support import pages
from support.left_behind import assert_nothing_is_left
from support.slurm_cluster import SlurmCluster

#: What tells a program that there is a cluster.
SLURM_COMMANDS = ("sacct", "sbatch", "scancel", "scontrol", "sinfo", "squeue", "srun")
#: Reached only where something hangs.
DEADLINE_S = 150
#: Pages wait for jobs more than they work.
AT_ONCE = 3


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


def run(page: Path, where: str, directory: Path, environment: Mapping[str, str], path: str) -> None:
    home = directory / "home"
    home.mkdir()
    (directory / "page").mkdir()
    env = {**environment, "HOME": str(home), "XDG_STATE_HOME": str(home / "state"), "COLUMNS": "100", "NO_COLOR": "1"}
    # The command of the environment that is tested comes first.
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{path}"
    env["PYTHONPATH"] = str(Path(pages.__file__).parents[1])
    command = [sys.executable, "-m", "support.pages", str(page), where]
    made = subprocess.run(
        command, cwd=directory / "page", env=env, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert made.returncode == 0, made.stdout + made.stderr
    assert_nothing_is_left(directory)


@pytest.fixture(scope="module")
def runs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, no_slurm: str
) -> Iterator[dict[Path, Future[None]]]:
    """The pages that were chosen, some at a time; each in a directory of its own."""
    chosen = [item for item in request.session.items if isinstance(item, pytest.Function)]
    found = [cast("Path", item.callspec.params["page"]) for item in chosen if item.originalname == test_a_page.__name__]
    environment = dict(os.environ)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            page: pool.submit(run, page, pages.HERE, tmp_path_factory.mktemp(page.stem), environment, no_slurm)
            for page in found
        }


@pytest.mark.parametrize("page", with_blocks(pages.HERE), ids=named)
def test_a_page(page: Path, runs: dict[Path, Future[None]]) -> None:
    runs[page].result()


@pytest.mark.slurm
@pytest.mark.parametrize("page", with_blocks(pages.SLURM), ids=named)
def test_a_page_on_slurm(page: Path, tmp_path: Path, slurm: SlurmCluster) -> None:
    run(page, pages.SLURM, tmp_path, os.environ, os.environ["PATH"])
