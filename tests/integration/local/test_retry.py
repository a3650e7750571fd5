"""Local jobs that fail and are started again by their controller, as their policy says: same id, same files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import submitit
from submitit import errors
from submitit.local.connection import current
from submitit.storage.outcome import set_aside_path
from support import calls, cgroups, dependents, failing
from support.calls import wait_for
from support.local_processes import Clients
from support.reliability import Fault

DEADLINE_S = 60.0
ONCE = submitit.Retry(out_of_memory=1, timeout=1, exception=submitit.OnException(failing.FlakyError, 1), killed=1)
#: Lines of shell before the command need a new interpreter: the task is not forked.
WAYS = {"forked": {}, "fresh": {"setup": [":"]}}


@pytest.fixture(params=WAYS)
def parameters(request: pytest.FixtureRequest) -> dict[str, Any]:
    return WAYS[request.param]


@pytest.fixture
def starts(tmp_path: Path) -> Path:
    (tmp_path / "starts").mkdir()
    return tmp_path / "starts"


def test_what_fails_runs_again(
    executor: submitit.LocalExecutor, parameters: dict[str, Any], starts: Path, fault: Fault
) -> None:
    executor.update_parameters(retry=ONCE, **parameters)
    fault.injected()
    jobs = {way: executor.submit(failing.first_by, str(starts), way, way) for way in ("exception", "kill")}
    fine = executor.submit(failing.first_by, str(starts), "fine", "")

    for way in ("exception", "kill"):
        assert jobs[way].result(DEADLINE_S) == f"{way} 1"
        assert failing.starts(starts)[way] == [0, 1]
        fault.seen(f"fails by {way}, under `Retry`", "a result, of the next attempt", backend="local", timed=False)
    assert fine.result(DEADLINE_S) == "fine 0"
    assert failing.starts(starts)["fine"] == [0]

    for job in (jobs["exception"], submitit.LocalJob(executor.folder, jobs["exception"].job_id)):
        wait_for(lambda job=job: job.attempts[-1].end)  # type: ignore[misc]
        first, second = job.attempts
        assert (first.number, first.state, first.again, first.exit_code) == (0, "FAILED", "exception", 1)
        assert (second.number, second.state, second.again, second.exit_code) == (1, "COMPLETED", "", 0)
        for attempt in (first, second):
            assert attempt.node == os.uname().nodename
            assert attempt.start is not None
            assert attempt.end is not None
            assert attempt.start <= attempt.end
            assert attempt.cpu_s
            assert attempt.max_rss_mb
        assert "FlakyError: not today" in (first.stderr() or "")
        assert "FlakyError" not in (second.stderr() or "")
        assert "Attempt 2 of job" in (second.stderr() or "")


def test_what_is_ended_runs_again(executor: submitit.LocalExecutor, starts: Path, fault: Fault) -> None:
    """Out of time, or because another rank has failed."""
    executor.update_parameters(retry=ONCE, timeout_min=0.02)
    fault.injected()
    late = executor.submit(failing.first_by, str(starts), "late", "time")
    executor.update_parameters(timeout_min=10, tasks_per_node=2)
    (starts / "ranks").mkdir()
    ranks = executor.submit(failing.one_rank_first, str(starts / "ranks"), "exception")
    assert late.result(DEADLINE_S) == "late 1"
    assert failing.starts(starts)["late"] == [0, 1]
    expected = [("TIMEOUT", "timeout"), ("COMPLETED", "")]
    assert [(attempt.state, attempt.again) for attempt in late.attempts] == expected
    fault.seen("out of time, under `Retry`", "a result, of the next attempt, which has more time", backend="local")
    assert ranks.results(DEADLINE_S) == [0, 1]
    assert failing.starts(starts / "ranks") == {"0": [0, 1], "1": [0, 1]}
    fault.seen("one rank fails, under `Retry`", "a result, of the next attempt of all ranks", backend="local")


def test_what_does_not_run_again(
    executor: submitit.LocalExecutor, parameters: dict[str, Any], starts: Path, fault: Fault
) -> None:
    executor.update_parameters(retry=submitit.Retry(exception=OSError), **parameters)
    often = executor.submit(failing.first_by, str(starts), "often", "exception", 99)
    others = {way: executor.submit(failing.first_by, str(starts), way, way) for way in ("something else", "kill")}

    error = often.exception(DEADLINE_S)
    assert isinstance(error, errors.FailedJobError)
    assert isinstance(error.__cause__, failing.FlakyError)
    assert failing.starts(starts)["often"] == [0, 1, 2]
    result = often.paths.result_pickle
    assert [Path(set_aside_path(result, number)).exists() for number in range(3)] == [True, True, False]
    fault.seen("fails more often than its `Retry` allows", "`FailedJobError` of the last attempt", backend="local")

    kinds = {way: type(job.exception(DEADLINE_S)) for way, job in others.items()}
    assert kinds == {
        "something else": errors.FailedJobError,
        "kill": errors.UncompletedJobError,
    }
    assert [failing.starts(starts)[way] for way in others] == [[0]] * 2


def test_who_waits_for_its_next_attempt_is_pending(executor: submitit.LocalExecutor, starts: Path) -> None:
    hour = submitit.Retry(exception=OSError, delay_s=3600)
    executor.update_parameters(retry=hour)
    job = executor.submit(failing.first_by, str(starts), "late", "exception")
    wait_for(lambda: job.get_info().get("Restarts") == "1")
    found_again: submitit.Job[Any] = submitit.LocalJob(executor.folder, job.job_id)
    for handle in (job, found_again):
        assert handle.state == "PENDING"
        assert not handle.done()
    # Others pass it by.
    assert executor.submit(failing.first_by, str(starts), "other", "").result(DEADLINE_S) == "other 0"
    job.cancel()
    for handle in (job, found_again):
        assert isinstance(handle.exception(DEADLINE_S), errors.JobCancelledError)
    own = current()
    assert own is not None
    assert not own._open


def test_who_waits_for_a_job_that_runs_again(executor: submitit.LocalExecutor, starts: Path, fault: Fault) -> None:
    """It goes on waiting; and one that never will start is not started again by its own policy."""
    executor.update_parameters(retry=ONCE)
    fault.injected()
    first, failed = (
        executor.submit(failing.first_by, str(starts), name, "exception", count) for name, count in HOW_OFTEN
    )
    with executor.as_futures() as pool:
        after = pool.submit(dependents.plus, submitit.result_of(first), " after")
    never = executor.submit(dependents.plus, submitit.result_of(failed), " never")
    executor.update_parameters(after_any=failed)
    any_end = executor.submit(lambda directory: failing.starts(Path(directory)), str(starts))
    assert after.result() == "first 1 after"
    fault.seen("what a job depends on runs again", "its result", backend="local", timed=False)
    assert any_end.result(DEADLINE_S)["failed"] == [0, 1]
    assert type(dependents.first_failure(never.exception(DEADLINE_S))) is failing.FlakyError
    assert [attempt.state for attempt in never.attempts] == ["CANCELLED"]


HOW_OFTEN = (("first", 1), ("failed", 9))


def test_a_map_whose_job_runs_again_makes_no_call_twice(executor: submitit.LocalExecutor, starts: Path) -> None:
    executor.update_parameters(retry=ONCE, array_parallelism=1)
    ways = ["", "", "kill", ""]
    values = list(executor.map(failing.first_by, [str(starts)] * 4, "abcd", ways, chunksize=2))
    assert values == ["a 0", "b 0", "c 1", "d 1"]
    assert failing.starts(starts) == {"a": [0], "b": [0], "c": [0, 1], "d": [1]}


def test_a_function_that_saves_its_state_goes_on_from_there(executor: submitit.LocalExecutor, starts: Path) -> None:
    executor.update_parameters(retry=ONCE)
    job = executor.submit(failing.Counting(str(starts), "kill"))
    wait_for(lambda: "from-0" in failing.starts(starts))
    job._interrupt()
    assert job.result(DEADLINE_S) == 1
    assert failing.starts(starts) == {"from-0": [0], "from-1": [1, 2]}
    assert [attempt.again for attempt in job.attempts] == ["requeue", "killed", ""]


@pytest.fixture
def group() -> Iterator[Path]:
    """A memory control group that is limited to 200 MB."""
    try:
        with cgroups.memory_group(f"submitit-retry-{os.getpid()}", 200) as made:
            yield made
    except OSError as error:
        pytest.skip(f"no memory control group can be made here: {error}")


def test_memory(group: Path, clients: Clients) -> None:
    """What has asked for no memory, and was killed for it, asks for twice what it had."""
    output = clients.run(
        f"""
Path({str(group)!r}, "cgroup.procs").write_text(str(os.getpid()))
from support import failing
for mem_gb in (0.125, None):
    executor.update_parameters(mem_gb=mem_gb, retry=submitit.Retry(out_of_memory=1))
    job = executor.submit(failing.first_by, os.getcwd(), str(mem_gb), "memory")
    say(job.result())
    say([attempt.state for attempt in job.attempts], job.get_info()["ReqMem"])
"""
    )
    first, told, second, told_too = output.splitlines()
    assert (first, second) == ("0.125 1", "None 1")
    assert told == "['OUT_OF_MEMORY', 'COMPLETED'] 256M"
    states, _, memory = told_too.rpartition(" ")
    assert states == "['OUT_OF_MEMORY', 'COMPLETED']"
    assert 2 * 100 < int(memory.removesuffix("M")) <= 2 * 200


# ---------------------------------------------------------------- once more, by hand


def refuse(directory: str, name: str) -> str:
    if not Path(directory, f"{name}.now").exists():
        raise failing.FlakyError(name)
    return name


refuse.__module__ = "__main__"


def test_resubmit(executor: submitit.LocalExecutor, starts: Path) -> None:
    executor.update_parameters(cpus_per_task=1, signal_delay_s=7, retry=ONCE, name="mine")
    job = executor.submit(refuse, str(starts), "x")
    assert job.exception(DEADLINE_S) is not None
    (starts / "x.now").touch()
    again = job
    for handle in (job, submitit.LocalJob(executor.folder, job.job_id)):
        again = handle.resubmit(timeout_min=3, local_signal_delay_s=8)
        assert again.job_id != job.job_id
        assert again.paths._folder == job.paths._folder
        assert again.result(DEADLINE_S) == "x"
        assert job.exception() is not None
    from submitit.storage import journal
    from submitit.storage.paths import layout_of

    noted = journal.find_submission(layout_of(executor.folder), again.job_id)
    assert noted is not None
    assert noted["parameters"] == {
        "timeout_min": 3,
        "cpus_per_task": 1,
        "signal_delay_s": 8,
        "retry": ONCE.plain() | {"exception": {"types": [f"{failing.__name__}.FlakyError"], "times": 1}},
        "name": "mine",
    }
    with pytest.raises(LookupError, match="says how job 999 was submitted"):
        submitit.LocalJob(executor.folder, "999").resubmit()


def test_retry_failed(executor: submitit.LocalExecutor, starts: Path) -> None:
    names = ["a", "b", "c", "d"]
    (starts / "b.now").touch()
    jobs = executor.map_array(refuse, [str(starts)] * 4, names)
    blocked = executor.submit(calls.touch_and_wait, str(starts / "on"), str(starts / "go"))
    for job in jobs:
        job.wait()
    jobs[3].cancel()
    for name in names:
        (starts / f"{name}.now").touch()
    before = dict(executor.parameters)
    again = executor.retry_failed([*jobs, blocked], timeout_min=4)
    assert executor.parameters == before
    assert again[1] is jobs[1]
    assert again[4] is blocked
    assert [job.result(DEADLINE_S) for job in again[:4]] == names
    assert len({job.job_id for job in [*jobs, *again]}) == 8
    assert executor.retry_failed(again[:4]) == again[:4]
    auto = submitit.AutoExecutor(executor.folder, cluster="local")
    auto.update_parameters(timeout_min=5)
    retried = auto.retry_failed(jobs[:1], local_signal_delay_s=9)
    assert retried[0].result(DEADLINE_S) == "a"
    assert auto._executor.parameters == {"timeout_min": 5}
    (starts / "go").write_text("go")
    assert blocked.exception(DEADLINE_S) is None


def return_what_cannot_be_written(directory: str) -> object:
    failing.note(directory, "unwritable")
    return (number for number in range(3))


return_what_cannot_be_written.__module__ = "__main__"


def test_what_has_returned_does_not_run_again(executor: submitit.LocalExecutor, starts: Path) -> None:
    """Its value cannot be written: that is so the next time as well, and what it did is done."""
    executor.update_parameters(retry=submitit.Retry(exception=5, killed=5))
    job = executor.submit(return_what_cannot_be_written, str(starts))
    with pytest.raises(errors.FailedJobError, match="cannot be pickled"):
        job.result(DEADLINE_S)
    assert failing.starts(starts) == {"unwritable": [0]}


def test_what_somebody_else_can_write_says_nothing_about_another_submission(executor: submitit.LocalExecutor) -> None:
    """Lines of shell are among the parameters that it holds."""
    job = executor.submit(calls.add, 1, 2)
    assert job.result(DEADLINE_S) == 3
    for book in (executor.folder / ".submitit" / "journal").iterdir():
        book.chmod(0o666)
    with pytest.raises(
        errors.UntrustedPickleError, match="every user can write it.*A job that is submitted as it says"
    ):
        job.resubmit()
    trusted: submitit.Job[int] = submitit.LocalJob(executor.folder, job.job_id, trust=True)
    assert trusted.resubmit().result(DEADLINE_S) == 3
