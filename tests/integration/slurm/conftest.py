"""Jobs on the real Slurm; none is in the queue after a test."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import submitit
from submitit.orchestrator import tracker
from support.shims import Shims
from support.slurm_cluster import SlurmCluster
from support.slurm_jobs import Client, clear_away

HOUR_S = 3600.0


@pytest.fixture
def client(slurm: SlurmCluster, tmp_path: Path) -> Iterator[Client]:
    """This process as a client of the cluster that all tests share."""
    yield Client(slurm, tmp_path)
    clear_away(slurm, tmp_path)


@pytest.fixture
def waits(client: Client) -> Iterator[ThreadPoolExecutor]:
    """Threads that wait for jobs."""
    with ThreadPoolExecutor(16) as pool:
        yield pool
        clear_away(client.cluster, client.directory)
        pool.shutdown(wait=False)
        while any(thread.is_alive() for thread in pool._threads):  # no wait outlasts its job
            tracker.questions(submitit.SlurmJob.watcher)._next = 0.0
            time.sleep(0.1)


@pytest.fixture
def unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slurm is asked when a job's markers give a reason, and at no other time."""
    for name in ("FIRST_QUESTION_S", "RAREST_QUESTION_S", "SWEEP_S"):
        monkeypatch.setattr(tracker, name, HOUR_S)
    monkeypatch.setattr(tracker, "_QUESTIONS", {})


@pytest.fixture
def asked_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """What otherwise happens twice a minute happens twice a second."""
    for name in ("FIRST_QUESTION_S", "RAREST_QUESTION_S", "SWEEP_S"):
        monkeypatch.setattr(tracker, name, 0.5)
    monkeypatch.setattr(tracker, "_QUESTIONS", {})


@pytest.fixture
def shims(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shims]:
    """For scripts that take the place of Slurm's commands; gone before the client's jobs are cleared away."""
    made = Shims(tmp_path / "shims", monkeypatch)
    yield made
    made.remove()


@pytest.fixture
def sbatch_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with one line a call of sbatch, which is otherwise as always."""
    return Shims(tmp_path / "bin", monkeypatch).put("sbatch").log
