"""Jobs that wait for others, with what can happen to these: other clients' jobs, requeues, kills, cancellations."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

import submitit
from submitit import errors, result_of
from support import calls, dependents
from support.local_processes import Clients, put
from support.reliability import Fault


def _words(client: subprocess.Popen[str]) -> list[str]:
    assert client.stdout is not None
    return client.stdout.readline().split()


def test_the_client_exits_right_after_submitting(clients: Clients) -> None:
    said = clients.run(
        """
        first = executor.submit(calls.wait_for_file, "go")
        jobs = executor.map_array(calls.add, [submitit.result_of(first)] * 2, ["a", "b"])
        bad = executor.submit(calls.add, submitit.result_of(jobs[0]), 1)
        late = executor.submit(calls.add, submitit.result_of(bad), 1)
        say(*(job.job_id for job in (*jobs, bad, late)))
        """
    )
    *good, bad, late = [clients.job(job_id) for job_id in said.split()]
    calls.wait_for(lambda: {job.state for job in (*good, bad, late)} == {"PENDING"})
    put(clients.directory / "go", "went on ")
    assert [job.result() for job in good] == ["went on a", "went on b"]
    error = late.exception()
    assert type(dependents.first_failure(error)) is TypeError
    assert f"because job {bad.job_id}, which it depends on" in str(error)


def test_a_job_of_another_client(clients: Clients, executor: submitit.LocalExecutor) -> None:
    """Its controller is another one: what becomes of the job stands in that one's journal."""
    client = clients.start(
        """
        jobs = [executor.submit(calls.wait_for_file, "go"), executor.submit(calls.touch_and_wait, "started", "never")]
        calls.wait_for(Path("started").exists)
        say(*(job.job_id for job in jobs))
        time.sleep(600)
        """
    )
    theirs, killed = [clients.job(job_id) for job_id in _words(client)]
    ours = executor.submit(dependents.plus, result_of(theirs), " here")
    never = executor.submit(dependents.plus, result_of(killed), 1)
    assert ours.state == never.state == "PENDING"
    put(clients.directory / "go", "went on")
    assert ours.result() == "went on here"
    killed.cancel()
    assert type(dependents.first_failure(never.exception())) is errors.JobCancelledError
    assert executor.submit(dependents.plus, result_of(theirs), " again").result() == "went on again", (
        "it is over by now"
    )


def test_a_job_whose_controller_is_killed(clients: Clients, fault: Fault) -> None:
    """What ran under it is lost, and so is what waits for that; what waits for nothing lost starts under the next one."""
    client = clients.start(
        """
        running = executor.submit(calls.touch_and_wait, "started", "never")
        executor.update_parameters(max_cpus=1)
        queued = executor.submit(calls.wait_for_file, "go")
        jobs = [executor.submit(calls.add, submitit.result_of(job), " after") for job in (running, queued)]
        calls.wait_for(Path("started").exists)
        say(current().controller)
        say(jobs[1].result(), type(jobs[0].exception().__cause__).__name__)
        """
    )
    (controller,) = _words(client)
    fault.injected()
    os.kill(int(controller), signal.SIGKILL)
    put(clients.directory / "go", "went_on")
    assert _words(client) == ["went_on", "after", "JobNodeFailError"]
    fault.seen(
        "the controller of what a job depends on is killed", "`JobDependencyError`, or its result", backend="local"
    )


def test_a_requeued_job_is_waited_for(executor: submitit.LocalExecutor, tmp_path: Path) -> None:
    first = executor.submit(calls.Counter(2, str(tmp_path / "notes")))
    after = executor.submit(dependents.plus, result_of(first), 10)
    for count in range(2):
        calls.wait_for(lambda count=count: f"start {count}" in _text(tmp_path / "notes"))  # type: ignore[misc]
        calls.wait_for(lambda: first.state == "RUNNING")
        first._interrupt()
    assert after.result() == 12


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def test_cancelling(executor: submitit.LocalExecutor, tmp_path: Path) -> None:
    """Of a job that waits, of one that is waited for, and of one that waits for a cancelled one."""
    first = executor.submit(calls.wait_for_file, str(tmp_path / "go"))
    cancelled = executor.submit(dependents.plus, result_of(first), 1)
    last = executor.submit(dependents.plus, result_of(cancelled), 1)
    any_end = submitit.LocalExecutor(executor.folder)
    any_end.update_parameters(after_any=[first, cancelled, last])
    ended = any_end.submit(calls.add, 1, 2)
    cancelled.cancel()
    assert type(cancelled.exception()) is errors.JobCancelledError
    error = last.exception()
    assert type(dependents.first_failure(error)) is errors.JobCancelledError
    assert ended.state == "PENDING"
    put(tmp_path / "go", "went on")
    assert ended.result() == 3


def test_jobs_that_wait_do_not_hold_up_others(executor: submitit.LocalExecutor, tmp_path: Path) -> None:
    """Neither in the queue nor in their array's share of it."""
    executor.update_parameters(array_parallelism=1)
    first = executor.submit(calls.wait_for_file, str(tmp_path / "go"))
    jobs = executor.map_array(dependents.plus, [result_of(first), "none"], ["x", "y"])
    assert jobs[1].result() == "noney"
    assert jobs[0].state == "PENDING"
    put(tmp_path / "go", "went on ")
    assert jobs[0].result() == "went on x"


def test_a_job_that_nobody_knows(executor: submitit.LocalExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    from submitit.local import dependencies
    from submitit.orchestrator.dependencies import Upstream, Waits

    monkeypatch.setattr(dependencies, "UNKNOWN_S", 0.0)
    known = dependencies.Dependencies({})
    root = str(executor.folder)
    known.add(root, ["2"], dependencies.after(["2"], [Waits(ok=(Upstream("local", root, "1"),))]))
    time.sleep(0.001)
    known.look()
    assert known.take() == [((root, "2"), "DependencyNeverSatisfied: no journal has job 1")]
    executor.submit(calls.add, 1, 2).result()


@pytest.mark.long
def test_a_graph_of_a_thousand_jobs(executor: submitit.LocalExecutor) -> None:
    """Fan-out, layers in step, a diamond between any two layers, and fan-in: 1 + 4 * 249 + 3 jobs."""
    width = 249
    root = executor.submit(dependents.add_all, 1)
    layer = executor.map_array(dependents.add_all, [result_of(root)] * width, range(width))
    layer = executor.map_array(dependents.add_all, [result_of(job) for job in layer], [1] * width)
    neighbours = [*layer[1:], layer[0]]
    layer = executor.map_array(
        dependents.add_all, [result_of(job) for job in layer], [result_of(job) for job in neighbours]
    )
    single = [executor.submit(dependents.add_all, result_of(job), 1) for job in layer]
    left, right = (executor.submit(dependents.add_all, [result_of(job) for job in single]) for _ in range(2))
    last = executor.submit(dependents.add_all, result_of(left), result_of(right))
    base = [k + 2 for k in range(width)]
    expected = sum(one + other + 1 for one, other in zip(base, [*base[1:], base[0]], strict=True))
    assert last.result() == 2 * expected
    assert {job.state for job in (root, *layer, *single, left, right)} == {"COMPLETED"}


@pytest.mark.long
def test_a_chain_of_hundreds_and_dense_layers(executor: submitit.LocalExecutor) -> None:
    """All of a layer wait for all of the one before; and what fails at the beginning of a chain fails its end."""
    layer = executor.map_array(dependents.add_all, [1] * 200)
    executor.update_parameters(after=layer)
    layer = executor.map_array(dependents.add_all, [1] * 200)
    executor.update_parameters(after=layer)
    assert executor.submit(dependents.add_all, 7).result() == 7
    executor.update_parameters(after=[])
    link = executor.submit(dependents.add_all, "x")
    first = link
    for _ in range(400):
        link = executor.submit(dependents.add_all, result_of(link), 1)
    error = link.exception()
    assert type(dependents.first_failure(error)) is TypeError
    assert f"because job {first.job_id}, which it depends on" in str(error)
