"""A multirun of Hydra as a user starts it, over hydra-submitit-launcher.

Run in an environment that has it, with the launcher's name in ``CLIENT_LAUNCHER`` (see tests/support/clients.py).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

LAUNCHER = os.environ["CLIENT_LAUNCHER"]

APP = """
import hydra
import submitit


@hydra.main(version_base="1.1", config_path=None, config_name=None)
def main(config):
    environment = submitit.JobEnvironment()
    if config.x == 3:
        raise ValueError("three is one too many")
    print(f"x={config.x} in {environment.name()}")
    return config.x ** 2


main()
"""


def multirun(directory: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    app = directory / "app.py"
    app.write_text(APP)
    command: list[Any] = [sys.executable, app, "--multirun", f"hydra/launcher={LAUNCHER}", *overrides]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)


def test_a_multirun(tmp_path: Path) -> None:
    done = multirun(tmp_path, "+x=1,2", "hydra.sweep.dir=sweep", "hydra.launcher.cpus_per_task=1")
    assert done.returncode == 0, done.stdout + done.stderr
    backend = LAUNCHER.rpartition("_")[2]
    logs = [path.read_text() for path in sorted((tmp_path / "sweep" / ".submitit").glob("*/*_log.out"))]
    assert [f"x={x} in {backend}\n" for x in (1, 2)] == [
        line for log in logs for line in log.splitlines(keepends=True) if line.startswith("x=")
    ]
    assert sorted(path.name for path in (tmp_path / "sweep").iterdir()) == [".submitit", "0", "1", "multirun.yaml"]


def test_a_multirun_of_which_one_job_fails(tmp_path: Path) -> None:
    done = multirun(tmp_path, "+x=1,3", "hydra.sweep.dir=sweep")
    assert done.returncode != 0
    assert "ValueError: three is one too many" in done.stderr
