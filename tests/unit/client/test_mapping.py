"""What ``map`` makes of its arguments, before and after it submits."""

from __future__ import annotations

import functools
import pickle
from pathlib import Path
from typing import Any

import pytest

import submitit
from submitit.client.map_results import MapResults, Plan
from submitit.local import resources
from submitit.orchestrator.chunks import Outcomes
from submitit.storage import claims, payload
from submitit.storage.calls import Run, Writer
from submitit.storage.claims import Claims
from support import calls, mapped
from support.fakes import FakeExecutor, FakeJob, files_below


def sizes(results: Any) -> list[int]:
    return [len(chunk.calls) for chunk in results.progress()]


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ({"chunksize": 0}, ValueError, "1 call or more, not 0"),
        ({"chunksize": -3}, ValueError, "1 call or more, not -3"),
        ({"chunksize": 2.0}, TypeError, r"a whole number of calls, not 2\.0"),
        ({"chunksize": True}, TypeError, "a whole number of calls, not True"),
        ({"timeout": "soon"}, TypeError, "a number of seconds, or None to wait for ever, not 'soon'"),
    ],
)
def test_wrong_arguments_get_a_sentence(
    tmp_path: Path, arguments: dict[str, Any], kind: type[Exception], words: str
) -> None:
    executor = FakeExecutor(tmp_path)
    with pytest.raises(kind, match=words):
        executor.map(calls.add, [1], [2], **arguments)
    with pytest.raises(TypeError, match=r"map\(fn, …\) takes the function itself"):
        executor.map(3, [1])  # type: ignore[call-overload]
    assert executor.sent == []


def test_jobs_of_several_tasks_are_refused(tmp_path: Path) -> None:
    executor = submitit.LocalExecutor(tmp_path / "jobs")
    executor.update_parameters(tasks_per_node=2)
    with pytest.raises(ValueError, match="jobs of this LocalExecutor have 2: set tasks_per_node=1"):
        executor.map(mapped.tenfold, [1])
    assert not (tmp_path / "jobs").exists()


def test_where_nobody_knows_how_many_jobs_run_each_chunk_is_one(tmp_path: Path) -> None:
    executor = FakeExecutor(tmp_path)
    results = executor.map(calls.add, [float(n) for n in range(10)], range(20), chunksize=4)
    (sent,) = executor.sent
    made = [(each.args[0], *map(pickle.loads, each.args[1])) for each in sent]
    assert made == [
        (calls.add, [0.0, 1.0, 2.0, 3.0], [0, 1, 2, 3]),
        (calls.add, [4.0, 5.0, 6.0, 7.0], [4, 5, 6, 7]),
        (calls.add, [8.0, 9.0], [8, 9]),
    ]
    assert len(results) == 10
    assert sizes(results) == [4, 4, 2]
    assert sizes(executor.map(len, [""] * 10)) == [3, 3, 3, 1]
    assert repr(results) == "<MapResults of 10 calls in 3 jobs, 10 to come>"


def test_by_default_there_are_four_chunks_for_each_job_at_a_time(tmp_path: Path) -> None:
    local = submitit.LocalExecutor(tmp_path)
    local.update_parameters(array_parallelism=1)
    results = local.map(mapped.tenfold, range(9))
    assert sizes(results) == [3, 3, 3]
    assert len(results.jobs) == 1
    assert list(results) == [10 * number for number in range(9)]


def test_how_many_local_jobs_run_at_a_time(tmp_path: Path) -> None:
    local = submitit.LocalExecutor(tmp_path)
    cpus = resources.available_cpus()
    assert local._jobs_at_a_time() == cpus
    local.update_parameters(cpus_per_task=cpus + 1)
    assert local._jobs_at_a_time() == 1
    local.update_parameters(cpus_per_task=1, max_jobs=1)
    assert local._jobs_at_a_time() == 1
    local.update_parameters(max_jobs=submitit.UNSET, array_parallelism=1)
    assert local._jobs_at_a_time() == 1
    memory = resources.available_memory()
    assert memory is not None
    local.update_parameters(array_parallelism=submitit.UNSET, mem_gb=memory / 2**30 / 1.5)
    assert local._jobs_at_a_time() == 1
    local.update_parameters(mem_gb=0, gpus_per_node=1, visible_gpus=[5])
    assert local._jobs_at_a_time() == 1


def test_what_calls_share_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Among the calls of a chunk and among chunks, whichever way they become jobs."""
    text = bytes(1_000_000)
    for at_a_time in (1, 8):
        local = submitit.LocalExecutor(tmp_path / f"{at_a_time}")
        monkeypatch.setattr(local, "_jobs_at_a_time", functools.partial(int, at_a_time))
        results = local.map(mapped.length_of, [text] * 8, range(8), chunksize=2)
        assert len(results.jobs) == min(at_a_time, 4)
        assert list(results) == [1_000_000 + number for number in range(8)]
        written = list((tmp_path / f"{at_a_time}" / ".submitit" / "payloads").glob("*"))
        assert 1_000_000 < sum(path.stat().st_size for path in written) < 1_020_000


def test_what_cannot_be_sent_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    local = submitit.LocalExecutor(tmp_path / "jobs")
    local.update_parameters(array_parallelism=1)
    for chunksize in (1, 2):
        with pytest.raises(
            TypeError, match=r"the call of joined for its job: element 2: args\[1\]: cannot pickle '_thread.lock'"
        ):
            local.map(mapped.joined, "abc", [1, 2, threading.Lock()], chunksize=chunksize)
        lock = threading.Lock()
        with pytest.raises(TypeError, match="closure variable lock of held"):
            local.map(mapped.holding(lock), [1, 2], chunksize=chunksize)
    local.max_pickle_size_gb = 1e-6
    with pytest.raises(RuntimeError, match="max_pickle_size_gb"):
        local.map(mapped.tenfold, range(100_000), chunksize=1000)
    assert files_below(tmp_path / "jobs") == []
    local.max_pickle_size_gb = 1
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(FileNotFoundError, match="working directory"):
        local.map(mapped.tenfold, range(3), chunksize=1)
    assert files_below(tmp_path / "jobs" / ".submitit" / "payloads") == []


def test_an_element_of_a_payload_is_read_as_often_as_one_likes(tmp_path: Path) -> None:
    """What elements share is one object for all that are read of an open payload."""
    from submitit.storage.submission import DelayedSubmission

    shared = {"large": "x" * 1000}
    payload.write_payload(tmp_path / "p.pkl", [DelayedSubmission(mapped.tenfold, shared, k) for k in range(3)])
    with payload.Payload(tmp_path / "p.pkl") as opened:
        first, second, again = opened.submission(0), opened.submission(2), opened.submission(2)
        assert first.args[0] is second.args[0]
        assert [first.args[1], second.args[1], again.args[1]] == [0, 2, 2]
        with pytest.raises(IndexError, match="3 submission"):
            opened.submission(3)


class Made:
    """A map of four calls in two chunks that two jobs have shared and made: which outcomes each has noted is said."""

    def __init__(self, folder: Path, made: list[list[Run]]) -> None:
        self.jobs: list[FakeJob[Any]] = [FakeJob(folder / "%j", f"7_{number}") for number in range(2)]
        taken = folder / "map.claims"
        claims.make(taken, 2)
        for number, (job, runs) in enumerate(zip(self.jobs, made, strict=True)):
            assert Claims(taken, number).take() == number
            job.paths.folder.mkdir()
            writer = Writer(job.paths.locate("calls"), "map")
            for run in runs:
                writer.write(run)
            job.finish(Outcomes(job.paths.locate("calls"), "map", writer.close(), 3))
        self._plan = Plan("map", 4, 2, str(taken), streams=True)

    def results(self, *, ordered: bool) -> MapResults[int]:
        return MapResults(self.jobs, self._plan, ordered=ordered)


@pytest.mark.parametrize("ordered", [True, False])
def test_a_chunk_that_two_jobs_have_made_is_handed_out_once(tmp_path: Path, ordered: bool) -> None:
    """As where the locks of a file system are those of each node alone."""
    twice = [[Run(0, [0, 10], {}), Run(2, [20], {})], [Run(2, [20, 30], {}), Run(0, [0], {})]]
    results = Made(tmp_path, twice).results(ordered=ordered)
    assert [chunk.ended for chunk in results.progress()] == [2, 2]
    assert sorted(results) == [0, 10, 20, 30]
    assert results._reached == [2, 4]


def test_what_is_not_handed_out_yet_is_not_all_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("submitit.client.map_results._ENOUGH", 10)
    results = Made(tmp_path, [[Run(0, [0, 10], {})], [Run(2, [20, 30], {})]]).results(ordered=False)
    assert next(results) == 0
    assert results._readers[1].place == 0
    assert list(results) == [10, 20, 30]


def test_ctrl_c_in_a_call_of_this_process(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    results = submitit.DebugExecutor(tmp_path).map(mapped.interrupted, range(2), chunksize=1)
    with pytest.raises(KeyboardInterrupt):
        next(results)
    assert "go on" not in capfd.readouterr().err
