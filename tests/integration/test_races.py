"""Several clients at once on one folder; folders that are moved; listings that are late."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import submitit
from submitit import errors
from submitit.local import job as local_job
from submitit.orchestrator import tracker
from support import calls
from support.local_processes import _MARK, Clients, import_path, put, wait_until_none
from support.reliability import Fault
from support.slurm_cluster import SlurmCluster
from support.slurm_jobs import clear_away

#: Says that it is ready, submits when it may, and prints the ids of its jobs: each has the result of its own call.
CLIENT = """
import sys
import submitit
from support import calls
cluster, number = sys.argv[1], int(sys.argv[2])
executor = submitit.AutoExecutor("jobs", cluster=cluster)
executor.update_parameters(timeout_min=10, slurm_setup=[":"])
print("ready", flush=True)
sys.stdin.readline()
jobs = [executor.submit(calls.add, 1000 * number, 1)]
jobs += executor.map_array(calls.add, [1000 * number] * 3, [2, 3, 4])
jobs += [executor.submit(calls.add, 1000 * number, 5)]
assert [job.result() - 1000 * number for job in jobs] == [1, 2, 3, 4, 5], [job.result() for job in jobs]
assert [submitit.helpers and type(job)(job.paths._folder, job.job_id).result() % 1000 for job in jobs] == [1, 2, 3, 4, 5]
print(*(job.job_id for job in jobs), flush=True)
"""


class Place:
    def __init__(self, directory: Path, slurm: SlurmCluster | None) -> None:
        self.directory = directory
        self.slurm = slurm
        self.cluster = "local" if slurm is None else "slurm"
        self.backend = "local" if slurm is None else "Slurm"

    def executor(self, folder: Path) -> submitit.AutoExecutor:
        executor = submitit.AutoExecutor(folder, cluster=self.cluster)
        executor.update_parameters(timeout_min=10)
        return executor


@pytest.fixture(params=["local", pytest.param("slurm", marks=pytest.mark.slurm)])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    slurm: SlurmCluster | None = request.getfixturevalue("slurm") if request.param == "slurm" else None
    directory = tmp_path / "clients"
    directory.mkdir()
    monkeypatch.chdir(directory)
    yield Place(directory, slurm)
    if slurm is not None:
        clear_away(slurm, tmp_path)


@pytest.fixture
def asked_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """What otherwise happens twice a minute happens twice a second."""
    for name in ("FIRST_QUESTION_S", "RAREST_QUESTION_S", "SWEEP_S"):
        monkeypatch.setattr(tracker, name, 0.5)
    monkeypatch.setattr(tracker, "_QUESTIONS", {})


@pytest.mark.parametrize("count", [2, pytest.param(50, marks=pytest.mark.long)])
def test_clients_race_on_one_folder(place: Place, fault: Fault, count: int) -> None:
    """Every result is right, and no job is two clients'."""
    started = Clients(place.directory)
    variables = {**os.environ, _MARK: started.mark, "PYTHONPATH": os.pathsep.join(import_path())}
    clients = [
        subprocess.Popen(
            [sys.executable, "-c", CLIENT, place.cluster, str(number)],
            cwd=place.directory,
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(count)
    ]
    try:
        for client in clients:
            assert client.stdout is not None
            assert client.stdout.readline() == "ready\n"
        for client in clients:
            assert client.stdin is not None
            client.stdin.write("\n")
            client.stdin.flush()
        ids: list[str] = []
        for client in clients:
            told, complaints = client.communicate(timeout=170)
            assert client.returncode == 0, complaints
            ids += told.split()
    finally:
        for client in clients:
            client.kill()
            client.communicate()
    assert len(ids) == len(set(ids)) == 5 * count
    if place.slurm is None:
        assert wait_until_none(started) == []
    fault.seen(
        f"{count} clients submit to one folder at once", "the results, each its own", backend=place.backend, timed=False
    )


# ---------------------------------------------------------------- moved


@pytest.mark.parametrize(
    "place", ["local", pytest.param("slurm", marks=[pytest.mark.slurm, pytest.mark.long])], indirect=True
)
@pytest.mark.parametrize("tags", ["", "%j"])
@pytest.mark.usefixtures("asked_often")
def test_the_folder_is_moved_while_its_job_runs(
    place: Place, fault: Fault, tags: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job ends; who waits for it, here or elsewhere, is told where its result was looked for."""
    monkeypatch.setattr(local_job, "_UNKNOWN_S", 1.0)
    monkeypatch.setattr(submitit.SlurmJob, "_results_timeout_s", 1.0)
    folder = place.directory / "jobs"
    executor = place.executor(folder / tags if tags else folder)
    # One alone: its controller makes the folder anew for its journal, in which another might still put its result.
    job = executor.submit(calls.touch_and_wait, "started", "go")
    calls.wait_for(Path("started").exists)
    folder.rename(place.directory / "elsewhere")
    put(place.directory / "go", "x")
    error = job.exception(120)
    assert type(error) is (errors.JobVanishedError if place.slurm is None else errors.UncompletedJobError)
    assert str(job.paths.result_pickle) in str(error)
    other: submitit.Job[Any] = type(job)(job.paths._folder, job.job_id)
    found_again = other.exception(120)
    assert isinstance(found_again, errors.UncompletedJobError)
    assert str(job.paths.result_pickle) in str(found_again)
    fault.seen(
        "its folder is moved while it runs",
        f"`{type(error).__name__}`: where it was looked for, and what is known of its end",
        backend=place.backend,
        lost="its result",
        timed=False,
    )
    assert executor.submit(calls.add, 1, 2).result() == 3, "the executor goes on, in a new folder"


# ---------------------------------------------------------------- late

LATE_S = 60.0


@pytest.mark.long
@pytest.mark.slurm
def test_a_listing_that_shows_markers_a_minute_late(
    slurm: SlurmCluster, tmp_path: Path, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a network file system with a long cache: the results are right, and late."""
    list_ = os.listdir

    def late(path: Any = ".") -> list[str]:
        names: list[str] = list_(path)
        if ".submitit/events/" not in str(path):
            return names
        now = time.time()
        return [name for name in names if now - os.stat(os.path.join(path, name)).st_ctime > LATE_S]

    monkeypatch.setattr(os, "listdir", late)
    executor = Place(tmp_path, slurm).executor(tmp_path / "jobs")
    go = tmp_path / "go"
    with ThreadPoolExecutor(2) as pool:
        try:
            job = executor.submit(calls.touch_and_wait, str(tmp_path / "started"), str(go))
            died = executor.submit(calls.exit_when_told, str(go), 5)
            value, death = pool.submit(job.result, 170), pool.submit(died.exception, 170)
            calls.wait_for((tmp_path / "started").exists)
            fault.injected()
            put(go, "go on")
            assert value.result() == "go on"
            fault.seen("its markers are listed a minute late (a network file system)", "its result, later")
            error = death.result()
            assert type(error) is errors.UncompletedJobError
            assert "state: FAILED" in str(error)
        finally:
            clear_away(slurm, tmp_path)
