"""``executor.map`` on local jobs that are killed, interrupted, slow or awkward."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import submitit
from submitit import errors
from support import calls, mapped
from support.local_processes import Clients


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where calls of `mapped.noted` say that they were made."""
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


def map_noted(executor: submitit.LocalExecutor, place: Path, count: int, waits_at: int, **how: Any) -> Any:
    return executor.map(mapped.noted, range(count), [str(place)] * count, [waits_at] * count, **how)


def errors_of(results: Iterator[Any], count: int) -> list[errors.UncompletedJobError]:
    found = []
    for _ in range(count):
        with pytest.raises(errors.UncompletedJobError) as raised:
            next(results)
        found.append(raised.value)
    return found


# ---------------------------------------------------------------- while the jobs go on


@pytest.mark.parametrize("ordered", [True, False])
def test_results_come_before_their_chunk_has_ended(
    executor: submitit.LocalExecutor, place: Path, ordered: bool
) -> None:
    """Those as well that ended in the moment before a call that takes long."""
    results = map_noted(executor, place, 6, 4, chunksize=6, ordered=ordered)
    assert [next(results) for _ in range(4)] == [0, 10, 20, 30]
    mapped.until_started(place, 4)
    assert results.progress() == [(range(6), 4)]
    assert pickle.loads(pickle.dumps(results)).progress() == [(range(6), 4)], "without having handed out any"
    assert not results.jobs[0].done()
    (place / "go").write_text("now")
    assert list(results) == [40, 50]
    assert results.progress() == [(range(6), 6)]


def test_the_order_is_kept_although_a_later_chunk_is_ready(executor: submitit.LocalExecutor, place: Path) -> None:
    executor.update_parameters(max_cpus=4)
    executor._jobs_at_a_time = lambda: 2  # type: ignore[method-assign]
    unordered = map_noted(executor, place, 8, 1, chunksize=2, ordered=False)
    assert len(unordered.jobs) == 2
    first = [next(unordered) for _ in range(7)]
    assert sorted(first) == [0, 20, 30, 40, 50, 60, 70], "a job has made all chunks but the one that waits"
    ordered = pickle.loads(pickle.dumps(unordered))
    ordered._ordered = True
    assert next(ordered) == 0
    (place / "go").write_text("now")
    assert list(ordered) == [10 * number for number in range(1, 8)]
    assert list(unordered) == [10]


def test_a_time_out_ends_neither_jobs_nor_iterator(executor: submitit.LocalExecutor, place: Path) -> None:
    results = map_noted(executor, place, 3, 1, chunksize=3, timeout=0.3)
    found = []
    with pytest.raises(TimeoutError, match="of 3 calls had no result in time"):
        while True:
            found.append(next(results))
    assert found in ([0], [])
    mapped.until_started(place, 1)
    assert not results.jobs[0].done()
    (place / "go").write_text("now")
    assert results.jobs[0].result()[-1].value == 20
    assert found + list(results) == [0, 10, 20], "what is there is handed out, however late it is"


def test_leaving_the_iterator_ends_no_job(executor: submitit.LocalExecutor, place: Path) -> None:
    results = map_noted(executor, place, 2, 0, chunksize=2)
    (job,) = results.jobs
    mapped.until_started(place, 0)
    del results
    (place / "go").write_text("now")
    assert [outcome.value for outcome in job.result()] == [0, 10]


def test_cancelled_calls_say_so(executor: submitit.LocalExecutor, place: Path) -> None:
    results = map_noted(executor, place, 3, 1, chunksize=3)
    assert next(results) == 0
    mapped.until_started(place, 1)
    results.cancel()
    found = errors_of(results, 2)
    assert [type(error) for error in found] == [errors.JobCancelledError] * 2
    assert "Call 2 of 3 has no result, since its job left none: call 1 was running when it ended" in str(found[1])
    (place / "go").write_text("no reason to wait for SIGKILL")
    assert list(results) == []


def test_ctrl_c_ends_the_wait_alone(
    executor: submitit.LocalExecutor, place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    results = map_noted(executor, place, 3, 1, chunksize=3)
    assert next(results) == 0
    mapped.until_started(place, 1)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(KeyboardInterrupt):
            next(results)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert results.jobs[0].job_id in capfd.readouterr().err
    (place / "go").write_text("now")
    assert list(results) == [10, 20]


# ---------------------------------------------------------------- jobs that end too soon


@pytest.mark.parametrize("ordered", [True, False])
def test_what_had_ended_before_a_kill_is_kept(executor: submitit.LocalExecutor, place: Path, ordered: bool) -> None:
    results = map_noted(executor, place, 5, 3, chunksize=5, ordered=ordered)
    process = mapped.until_started(place, 3)
    calls.wait_for(lambda: results.progress()[0].ended == 3)
    os.kill(process, signal.SIGKILL)
    assert [next(results) for _ in range(3)] == [0, 10, 20]
    for number, error in enumerate(errors_of(results, 2), 3):
        assert type(error) is errors.UncompletedJobError
        assert f"Call {number} of 5 has no result, since its job left none: call 3 was running" in str(error)
        assert "SIGKILL(-9)" in str(error)
    with pytest.raises(StopIteration):
        next(results)


@pytest.mark.parametrize("ordered", [True, False])
def test_a_kill_costs_one_chunk_of_those_that_jobs_share(executor: submitit.LocalExecutor, ordered: bool) -> None:
    executor._jobs_at_a_time = lambda: 2  # type: ignore[method-assign]
    results = executor.map(mapped.die_at, range(40), [11] * 40, chunksize=4, ordered=ordered)
    values, failed = [], []
    for _ in range(40):
        try:
            values.append(next(results))
        except errors.UncompletedJobError as error:
            failed.append(str(error))
    assert sorted(values) == [number for number in range(40) if number != 11]
    assert len(failed) == 1
    assert "Call 11 of 40 has no result, since its job left none: call 11 was running" in failed[0]


@pytest.mark.parametrize("ordered", [True, False])
def test_chunks_that_no_job_is_left_for(executor: submitit.LocalExecutor, ordered: bool) -> None:
    executor.update_parameters(array_parallelism=1)
    results = executor.map(mapped.die_at, range(6), [1] * 6, chunksize=2, ordered=ordered)
    assert next(results) == 0
    for error in errors_of(results, 5):
        assert "SIGKILL(-9)" in str(error)
    assert list(results) == []


def test_a_job_that_cannot_make_its_calls(executor: submitit.LocalExecutor, tmp_path: Path) -> None:
    executor.update_parameters(array_parallelism=1)
    results = executor.map(mapped.tenfold, range(4), chunksize=2)
    for job in results.jobs:
        job.wait()
    assert [next(results) for _ in range(4)] == [0, 10, 20, 30]
    results.jobs[0].paths.folder.joinpath(f"{results.jobs[0].job_id}_0_calls.bin").unlink()
    again = pickle.loads(pickle.dumps(results))
    for error in errors_of(again, 4):
        assert "_calls.bin" in str(error)


# ---------------------------------------------------------------- jobs that run again


@pytest.mark.parametrize("chunksize", [2, 6])
def test_an_interrupted_job_goes_on_at_the_call_where_it_was(
    executor: submitit.LocalExecutor, place: Path, chunksize: int
) -> None:
    """Whether it has a chunk of its own or takes one after the other."""
    executor.update_parameters(array_parallelism=1)
    results = map_noted(executor, place, 6, 3, chunksize=chunksize)
    (job,) = results.jobs
    mapped.until_started(place, 3)
    (place / "started-3").unlink()
    job._interrupt()
    mapped.until_started(place, 3)
    (place / "go").write_text("now")
    assert list(results) == [0, 10, 20, 30, 40, 50]
    assert mapped.made(place) == [0, 1, 2, 3, 3, 4, 5]
    assert [outcome.value for outcome in job.result()] == [0, 10, 20, 30, 40, 50]


def test_a_call_cannot_swallow_the_end_of_its_job(executor: submitit.LocalExecutor, place: Path) -> None:
    results = executor.map(mapped.swallow, [str(place)] * 2, range(2), chunksize=2)
    mapped.until_started(place, 0)
    (place / "started-0").unlink()
    results.jobs[0]._interrupt()
    mapped.until_started(place, 0)
    (place / "go").write_text("now")
    assert list(results) == ["now", "now"]
    assert mapped.made(place) == [0, 0, 1]


@pytest.mark.long
def test_time_outs_count_where_no_call_has_ended(executor: submitit.LocalExecutor, place: Path) -> None:
    """A job that gets on may run out of time as often as it does."""
    executor.max_num_timeout = 0
    executor.update_parameters(timeout_min=1.6 / 60, signal_delay_s=0.8)
    results = executor.map(mapped.slow, range(4), [0.4] * 4, chunksize=4)
    assert list(results) == [0, 1, 2, 3]
    assert "Requeued job" in (results.jobs[0].stdout() or "")
    stuck = executor.map(mapped.slow, range(2), [60] * 2, chunksize=2)
    for error in errors_of(stuck, 2):
        assert type(error) is errors.FailedJobError
        assert "call 0 was running" in str(error)
        assert "timed-out too many times" in str(error)


# ---------------------------------------------------------------- other clients


def test_another_client_has_the_results_of_one_that_died(clients: Clients, tmp_path: Path) -> None:
    client = clients.start(
        """
        import pickle
        from support import mapped
        Path("place").mkdir()
        results = executor.map(mapped.noted, range(4), ["place"] * 4, [2] * 4, chunksize=4)
        Path("results.pkl").write_bytes(pickle.dumps(results))
        assert next(results) == 0
        mapped.until_started(Path("place"), 2)
        say(results.jobs[0].job_id)
        time.sleep(60)
        """
    )
    assert client.stdout is not None
    job_id = client.stdout.readline().strip()
    client.kill()
    again = pickle.loads((clients.directory / "results.pkl").read_bytes())
    assert [next(again), next(again)] == [0, 10]
    (clients.directory / "place" / "go").write_text("now")
    assert list(again) == [20, 30]
    found: Any = clients.job(job_id)
    assert [outcome.value for outcome in found.result()] == [0, 10, 20, 30]


def test_huge_results_do_not_gather_in_memory(executor: submitit.LocalExecutor) -> None:
    executor.update_parameters(array_parallelism=1)
    results = executor.map(bytes, [10 << 20] * 10, chunksize=10)
    results.jobs[0].wait()
    assert sum(len(value) for value in results) == 100 << 20
    info = results.jobs[0].get_info()
    if "MaxRSS" in info:
        assert int(info["MaxRSS"].rstrip("K")) < 100 << 10


def test_few_files_are_made(executor: submitit.LocalExecutor, tmp_path: Path) -> None:
    executor.update_parameters(array_parallelism=2)
    results = executor.map(mapped.tenfold, range(100), chunksize=1)
    assert len(list(results)) == 100
    for job in results.jobs:
        job.wait()
    files = [path for path in (tmp_path / "jobs").rglob("*") if path.is_file()]
    assert len(files) <= 6 * len(results.jobs) + 3, files


def test_nothing_is_asked_of_a_forked_child(executor: submitit.LocalExecutor) -> None:
    """A process that a call has forked and that ends by ``sys.exit`` makes no calls."""
    results = executor.map(mapped.fork_and_exit, range(3), chunksize=3)
    assert list(results) == [7, 7, 7]
