"""The batch block."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path
from typing import Any

import pytest

import submitit
from support import calls
from support.fakes import FakeExecutor

FORBIDDEN = "^Accessing job attributes is forbidden within 'with executor.batch\\(\\)' context"


@pytest.fixture
def executor(tmp_path: Path) -> FakeExecutor:
    return FakeExecutor(tmp_path / "%j")


def test_one_submission_at_the_end_of_the_block(executor: FakeExecutor) -> None:
    with executor.batch():
        jobs = [executor.submit(calls.add, number, 2) for number in range(3)]
        assert executor.sent == []
    assert [[call.args for call in sent] for sent in executor.sent] == [[(0, 2), (1, 2), (2, 2)]]
    assert [job.job_id.split("_")[1] for job in jobs] == ["0", "1", "2"]


def test_arrays_in_the_block_are_submitted_at_once_as_in_version_1(executor: FakeExecutor) -> None:
    with executor.batch():
        executor.submit(calls.add, 1, 2)
        mapped = executor.map_array(calls.add, [3, 4], [5, 6])
        listed: list[submitit.Job[Any]] = executor.submit_array([list])
        assert [[call.args for call in sent] for sent in executor.sent] == [[(3, 5), (4, 6)], [()]]
        assert all(job.job_id for job in (*mapped, *listed))
    assert len(executor.sent) == 3


def test_the_same_objects_become_jobs_of_the_executors_class(executor: FakeExecutor) -> None:
    with executor.batch():
        job: Any = executor.submit(calls.add, 1, 2)
        assert type(job).__name__ == "DelayedJob"
        assert issubclass(type(job), submitit.Job)
        assert "DelayedJob object at" in repr(job)
        found, numbers = {job}, {job: 1}
        job.note = "kept"
        assert job.note == "kept"
    assert type(job).__name__ == "FakeJob"
    assert job in found
    assert numbers[job] == 1
    assert job.note == "kept"
    assert "_submitit_executor" not in vars(job)
    job.finish(3)
    assert job.result() == 3


def test_a_batch_of_one_is_no_array(executor: FakeExecutor) -> None:
    with executor.batch():
        job = executor.submit(calls.add, 1, 2)
    assert "_" not in job.job_id


@pytest.mark.parametrize(
    "name", ["job_id", "done", "result", "state", "paths", "cancel", "task", "watcher", "_job_id", "_tasks", "blublu"]
)
def test_nothing_can_be_asked_of_a_job_in_the_block(executor: FakeExecutor, name: str) -> None:
    with executor.batch():
        job = executor.submit(calls.add, 1, 2)
        with pytest.raises(
            AttributeError, match=f"{FORBIDDEN}: '{name}' of a job was asked for, and its submission happens"
        ):
            getattr(job, name)
        assert not hasattr(job, name)
        assert executor.sent == []


def test_a_job_cannot_be_pickled_in_the_block(executor: FakeExecutor) -> None:
    with executor.batch():
        job = executor.submit(calls.add, 1, 2)
        with pytest.raises(AttributeError, match=FORBIDDEN):
            pickle.dumps(job)
    assert pickle.loads(pickle.dumps(job)).job_id == job.job_id


def test_implicit_submission_sends_what_is_collected_so_far(executor: FakeExecutor) -> None:
    with executor.batch(allow_implicit_submissions=True):
        first, second = executor.submit(calls.add, 1, 2), executor.submit(calls.add, 3, 4)
        assert first.job_id.endswith("_0")
        assert len(executor.sent) == 1
        assert second.job_id.endswith("_1")
        assert len(executor.sent) == 1
        third = executor.submit(calls.add, 5, 6)
        assert type(third).__name__ == "DelayedJob"
    assert len(executor.sent) == 2
    assert "_" not in third.job_id


def test_implicit_submission_is_for_one_block(executor: FakeExecutor) -> None:
    with executor.batch(allow_implicit_submissions=True):
        pass
    with executor.batch():
        job = executor.submit(calls.add, 1, 2)
        with pytest.raises(AttributeError, match=FORBIDDEN):
            _ = job.job_id


def test_a_job_of_a_dropped_batch_does_not_submit_the_next_one(executor: FakeExecutor) -> None:
    with pytest.raises(KeyError), executor.batch():
        dropped = executor.submit(calls.add, 1, 2)
        raise KeyError
    with executor.batch(allow_implicit_submissions=True):
        executor.submit(calls.add, 3, 4)
        with pytest.raises(AttributeError, match="never submitted"):
            _ = dropped.job_id
        assert executor.sent == []


def test_an_empty_block_warns_where_the_user_wrote_it(executor: FakeExecutor) -> None:
    message = '^No submission happened during "with executor.batch'
    with pytest.warns(RuntimeWarning, match=message) as caught, executor.batch():
        pass
    assert [warning.filename for warning in caught] == [__file__]


def test_an_empty_block_with_implicit_submissions_is_silent(executor: FakeExecutor) -> None:
    with executor.batch(allow_implicit_submissions=True):
        pass


def test_blocks_do_not_nest_and_the_outer_one_goes_on(executor: FakeExecutor) -> None:
    with executor.batch():
        job = executor.submit(calls.add, 1, 2)
        message = '^Nesting "with executor.batch\\(\\)" contexts is not allowed.$'
        with pytest.raises(RuntimeError, match=message), executor.batch():
            pass
    assert len(executor.sent) == 1
    assert job.job_id


def test_parameters_cannot_change_in_the_block(executor: FakeExecutor) -> None:
    with executor.batch():
        executor.submit(calls.add, 1, 2)
        with pytest.raises(
            RuntimeError, match='^Changing parameters within batch context "with executor.batch\\(\\):" is'
        ):
            executor.update_parameters(minutes=1)
    executor.update_parameters(minutes=1)


@pytest.mark.parametrize("error", [KeyError("changed my mind"), KeyboardInterrupt()], ids=repr)
def test_an_exception_drops_the_batch(
    executor: FakeExecutor, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(type(error)) as raised, executor.batch():
        job = executor.submit(calls.add, 1, 2)
        raise error
    assert raised.value is error
    assert executor.sent == []
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == [
        'Caught error within "with executor.batch()" context, submissions are dropped (1 jobs).'
    ]
    with pytest.raises(AttributeError, match="its batch was dropped, it was never submitted"):
        job.result()
    assert "_" not in executor.submit(calls.add, 3, 4).job_id


def test_a_submission_that_fails_ends_the_block(executor: FakeExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> list[submitit.Job[object]]:
        raise submitit.FailedSubmissionError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(executor, "_internal_process_submissions", refuse)
        with pytest.raises(submitit.FailedSubmissionError, match="no room"), executor.batch():
            job = executor.submit(calls.add, 1, 2)
    with pytest.raises(AttributeError, match="never submitted"):
        job.result()
    assert executor.submit(calls.add, 1, 2).job_id


def test_a_job_that_is_collected_in_the_block_is_submitted_all_the_same(executor: FakeExecutor) -> None:
    with executor.batch():
        for number in range(3):
            executor.submit(calls.add, number, 1)
    assert len(executor.sent[0]) == 3


def test_jobs_of_several_tasks(tmp_path: Path) -> None:
    executor = FakeExecutor(tmp_path, tasks=2)
    with executor.batch():
        job = executor.submit(calls.add, 1, 2)
    assert job.num_tasks == 2
    assert [job.task(number).task_id for number in range(2)] == [0, 1]
