"""Waiting for jobs on this host, another process's too: who waits is woken, and holds nothing afterwards."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

import submitit
from submitit.local import journals
from submitit.orchestrator import tracker
from support import calls
from support.local_processes import Clients, put

#: Longer than any test.
HOUR_S = 3600.0

TWO_JOBS = """
    executor.update_parameters(max_cpus=1)
    jobs = [executor.submit(calls.touch_and_wait, f"started{k}", f"go{k}") for k in range(2)]
    calls.wait_for(Path("started0").exists)
    say(*(job.job_id for job in jobs), current().controller)
    time.sleep(600)
"""


@pytest.fixture
def never_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits sleeps until something wakes it."""
    for name in ("_QUICKEST_S", "_SLOWEST_S", "SWEEP_S"):
        monkeypatch.setattr(tracker, name, HOUR_S)
    monkeypatch.setattr(journals, "QUEUED_S", HOUR_S)


def _jobs(clients: Clients, program: str = TWO_JOBS) -> tuple[list[submitit.LocalJob[object]], int]:
    """The jobs of a client that runs, and its controller."""
    client = clients.start(program)
    assert client.stdout is not None
    *ids, controller = client.stdout.readline().split()
    return [clients.job(job_id) for job_id in ids], int(controller)


def _descriptors() -> list[str]:
    return os.listdir("/proc/self/fd")


@pytest.mark.usefixtures("never_looking")
def test_the_end_of_a_job_wakes_who_waits_for_it_and_for_the_next(clients: Clients) -> None:
    jobs, _ = _jobs(clients)
    calls.wait_for(lambda: [job.state for job in jobs] == ["RUNNING", "PENDING"])
    before = _descriptors()
    values: list[object] = []
    waiters = [threading.Thread(target=lambda job=job: values.append(job.result(120))) for job in jobs]
    for waiter in waiters:
        waiter.start()
    for number in range(2):
        calls.wait_for((clients.directory / f"started{number}").exists)
        assert len(values) == number
        put(clients.directory / f"go{number}", str(number))
        calls.wait_for(lambda number=number: len(values) > number)  # type: ignore[misc]
    for waiter in waiters:
        waiter.join()
    assert values == ["0", "1"]
    assert _descriptors() == before


@pytest.mark.usefixtures("never_looking")
def test_the_death_of_both_processes_wakes_who_waits(clients: Clients) -> None:
    jobs, controller = _jobs(clients)
    calls.wait_for(lambda: jobs[0].state == "RUNNING")
    header = journals.journal_source(str(clients.folder)).header(jobs[0].job_id)
    assert header is not None
    os.kill(header.client.pid, signal.SIGKILL)
    os.kill(controller, signal.SIGKILL)
    for job in jobs:
        assert isinstance(job.exception(), submitit.JobNodeFailError)


@pytest.mark.parametrize("way", ["pidfd", "portable"])
def test_a_stopped_controller_is_waited_for(clients: Clients, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """Its job has ended and it says so later; without pidfds as with them."""
    if way == "portable":
        monkeypatch.delattr(os, "pidfd_open")
    (first, second), controller = _jobs(clients)
    os.kill(controller, signal.SIGSTOP)
    put(clients.directory / "go0", "0")
    put(clients.directory / "go1", "1")
    with pytest.raises(TimeoutError):
        second.result(timeout=0.2)
    assert first.result() == "0"
    os.kill(controller, signal.SIGCONT)
    assert second.result() == "1"


def test_what_was_waited_for_in_vain_is_let_go(clients: Clients) -> None:
    jobs, _ = _jobs(clients)
    before = _descriptors()
    with pytest.raises(TimeoutError):
        jobs[0].result(timeout=0.05)
    assert _descriptors() == before
    put(clients.directory / "go0", "0")
    put(clients.directory / "go1", "1")
    assert {job.result() for job in submitit.helpers.as_completed(jobs)} == {"0", "1"}
    assert _descriptors() == before


@pytest.mark.usefixtures("never_looking")
def test_threads_that_wait_for_the_jobs_of_one_controller_all_learn(tmp_path: Path) -> None:
    """Whoever reads the line takes the others' news with it."""
    executor = submitit.AutoExecutor(folder=tmp_path / "%j", cluster="local")
    executor.update_parameters(local_max_cpus=100)
    goes = [tmp_path / f"go{number}" for number in range(6)]
    jobs = [executor.submit(calls.wait_for_file, str(go)) for go in goes]
    told: list[Any] = []
    jobs[0].add_done_callback(lambda job: told.append(job.result()))
    values: list[Any] = []
    threads = [threading.Thread(target=lambda job=job: values.append(job.result())) for job in jobs]
    for thread in threads:
        thread.start()
    for go in reversed(goes):
        go.write_text(go.name)
    for thread in threads:
        thread.join(60)
    calls.wait_for(lambda: told)
    assert sorted(values) == [go.name for go in goes]
    assert told == ["go0"]
