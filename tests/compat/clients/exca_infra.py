"""An experiment as exca's users write it, each in a program of its own: computed once, in a job, and found again.

Run in an environment that has exca, with the backend's name in ``CLIENT_CLUSTER`` (see tests/support/clients.py).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CLUSTER = os.environ["CLIENT_CLUSTER"]

EXPERIMENT = """
import sys
import exca
import pydantic
import submitit


class Experiment(pydantic.BaseModel):
    seed: int = 0
    fails: bool = False
    infra: exca.TaskInfra = exca.TaskInfra(version="1")

    @infra.apply
    def run(self) -> tuple[int, str]:
        if self.fails:
            raise ValueError("as it was told to")
        print("computing", self.seed)
        return self.seed ** 2, submitit.JobEnvironment().name()


def experiment(**values):
    cluster, folder = sys.argv[2:]
    return Experiment(infra={"cluster": cluster, "folder": folder, "timeout_min": 10, "cpus_per_task": 1}, **values)


if sys.argv[1] == "one":
    print(experiment(seed=7).run())
elif sys.argv[1] == "array":
    with experiment().infra.job_array() as tasks:
        tasks.extend(experiment(seed=seed) for seed in (1, 2, 3))
    print([task.run() for task in tasks])
else:
    task = experiment(fails=True)
    try:
        task.run()
    except Exception as error:
        print(task.infra.status(), "as it was told to" in str(error))
"""


def run(directory: Path, what: str) -> str:
    program = directory / "experiment.py"
    program.write_text(EXPERIMENT)
    done = subprocess.run(
        [sys.executable, program, what, CLUSTER, directory / "folder"],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def logs(directory: Path) -> list[str]:
    texts = [path.read_text() for path in directory.glob("folder/**/*_log.out")]
    return sorted(line for text in texts for line in text.splitlines() if line.startswith("computing"))


def test_a_task_is_computed_once(tmp_path: Path) -> None:
    for _ in range(2):
        assert run(tmp_path, "one") == f"(49, '{CLUSTER}')\n"
    assert logs(tmp_path) == ["computing 7"]


def test_an_array_of_tasks(tmp_path: Path) -> None:
    assert run(tmp_path, "array") == f"{[(seed**2, CLUSTER) for seed in (1, 2, 3)]}\n"
    assert logs(tmp_path) == ["computing 1", "computing 2", "computing 3"]


def test_a_task_that_fails(tmp_path: Path) -> None:
    assert run(tmp_path, "error") == "failed True\n"
