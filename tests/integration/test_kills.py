"""SIGKILL at each step of a submission, and at each step of a job."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import submitit
from submitit import errors
from submitit.storage import outcome
from support import calls, steps
from support.local_processes import _MARK, Clients, import_path, wait_until_none
from support.reliability import Fault
from support.slurm_cluster import SlurmCluster
from support.slurm_jobs import clear_away, jobs_below, until

ON = [pytest.param("local"), pytest.param("slurm", marks=pytest.mark.slurm)]

#: For each step a process that submits and is ended before it; prints the number of the first submission that came to its end.
CLIENT = """
import os, sys
import submitit
from support import calls, steps
cluster, kind = sys.argv[1:]
for step in range(1, 200):
    # One folder each: what a killed client has left there makes the next submission take more steps.
    executor = submitit.AutoExecutor(f"jobs/{step}", cluster=cluster)
    executor.update_parameters(timeout_min=10)
    child = os.fork()
    if not child:
        steps.end_at(step, os.path.abspath("jobs"))
        if kind == "single":
            executor.submit(calls.note_line, "notes", f"{step}")
        else:
            executor.map_array(calls.note_line, ["notes"] * 3, [f"{step} {k}" for k in range(3)])
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    executor.submit(calls.note_line, "later", f"{step}")
    if code != -9:
        print(step, code)
        break
"""


@pytest.fixture
def directory(tmp_path: Path, slurm_or_none: SlurmCluster | None) -> Iterator[Path]:
    """Where clients work; nothing of theirs is left after the test."""
    made = tmp_path / "clients"
    made.mkdir()
    yield made
    if slurm_or_none is not None:
        clear_away(slurm_or_none, tmp_path)


@pytest.fixture(params=ON)
def slurm_or_none(request: pytest.FixtureRequest) -> SlurmCluster | None:
    found: SlurmCluster | None = request.getfixturevalue("slurm") if request.param == "slurm" else None
    return found


def name_of(slurm: SlurmCluster | None) -> str:
    return "local" if slurm is None else "Slurm"


@pytest.mark.parametrize("kind", ["single", pytest.param("array", marks=pytest.mark.long)])
def test_a_client_killed_at_each_step_of_a_submission(
    directory: Path, slurm_or_none: SlurmCluster | None, fault: Fault, kind: str
) -> None:
    """There is no job, or a whole one; and what it left is in nobody's way."""
    started = Clients(directory)
    name = name_of(slurm_or_none).lower()
    told = subprocess.run(
        [sys.executable, "-c", CLIENT, name, kind],
        cwd=directory,
        env={**os.environ, _MARK: started.mark, "PYTHONPATH": os.pathsep.join(import_path())},
        stdout=subprocess.PIPE,
        text=True,
        timeout=170,
        check=True,
    ).stdout.split()
    assert told[1:] == ["0"], told
    last = int(told[0])
    assert last > 5, "there are that many steps at least"
    if slurm_or_none is None:
        assert wait_until_none(started, 60) == []
    else:
        cluster = slurm_or_none
        until(lambda: not jobs_below(cluster, directory), "the end of all jobs")
    notes = Counter((directory / "notes").read_text().splitlines())
    assert set(notes.values()) == {1}, "nothing ran twice"
    ran = {int(line.split()[0]) for line in notes}
    assert last in ran
    if kind == "array":
        assert len(notes) == 3 * len(ran), "all elements, or none"
    later = (directory / "later").read_text().split()
    assert sorted(map(int, later)) == list(range(1, last + 1)), "the next submission to the same folder"
    results = [outcome.read_result(path).value for path in (directory / "jobs").glob("*/*_0_result.pkl")]
    assert sorted(results) == sorted([*notes, *later])
    fault.seen(
        "its client is killed by SIGKILL, at each step of a submission",
        "no job, or a whole one; never two",
        backend=name_of(slurm_or_none),
        job="" if kind == "single" else "array",
        timed=False,
    )


@pytest.mark.parametrize(
    "slurm_or_none", ["local", pytest.param("slurm", marks=[pytest.mark.slurm, pytest.mark.long])], indirect=True
)
def test_a_job_killed_at_each_step(
    directory: Path, slurm_or_none: SlurmCluster | None, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its error says by what, or there is its result; what it did, it did once."""
    monkeypatch.chdir(directory)
    name = name_of(slurm_or_none).lower()
    folder = directory / "jobs"
    executor = submitit.AutoExecutor(folder, cluster=name)
    executor.update_parameters(timeout_min=10)
    notes = folder / "notes"
    jobs: dict[int, submitit.Job[str]] = {}
    for step in range(1, 14):
        lines = steps.lines_of_setup(directory / "hook", folder, step)
        executor.update_parameters(**{f"{name}_setup": lines})
        jobs[step] = executor.submit(calls.note_line, str(notes), str(step))
    endings: dict[int, str] = {}
    for step, job in jobs.items():
        error = job.exception(120)
        if error is None:
            assert job.result() == str(step)
            endings[step] = "result"
            continue
        assert type(error) is errors.UncompletedJobError, error
        assert "was killed by SIGKILL(-9)" in str(error)
        assert str(job.paths.stderr) in str(error)
        endings[step] = "killed"
    # First they are killed, then there are results; of the last ones none was killed at all.
    order = list(endings.values())
    killed = order.count("killed")
    assert order == ["killed"] * killed + ["result"] * (len(order) - killed)
    assert killed >= 5
    assert len(order) - killed >= 2
    ran = Counter(notes.read_text().split())
    assert set(ran.values()) == {1}
    assert {int(step) for step in ran} >= {step for step, ending in endings.items() if ending == "result"}
    assert {path.name.split("_")[0] for path in folder.glob("*_result.pkl")} == {
        job.job_id for step, job in jobs.items() if endings[step] == "result"
    }
    fault.seen(
        "its process is killed by SIGKILL, at each step of the runner",
        "`UncompletedJobError`: the signal, the node, the ends of both logs; or its result",
        backend=name_of(slurm_or_none),
        lost="what it did, if there is no result",
        timed=False,
    )
