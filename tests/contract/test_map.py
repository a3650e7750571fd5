"""``executor.map`` over every executor."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import pytest

import submitit
from submitit.core import utils
from support import mapped
from support.backends import Backend


def numbers(count: int) -> Iterator[int]:
    yield from range(count)


def all_of(results: Iterator[Any]) -> list[Any]:
    """Values, and the types of errors with those of their causes."""
    found: list[Any] = []
    while True:
        try:
            found.append(next(results))
        except StopIteration:
            return found
        except submitit.UncompletedJobError as error:
            found.append((type(error), type(error.__cause__)))


def test_results_come_in_order_or_as_they_are(executor: submitit.AutoExecutor) -> None:
    expected = [10 * number for number in range(25)]
    results = executor.map(mapped.tenfold, numbers(25), chunksize=10)
    unordered = executor.map(mapped.tenfold, range(25), chunksize=10, ordered=False)
    assert len(results.jobs) <= 3
    assert list(results) == expected
    assert list(results) == []
    assert sorted(unordered) == expected
    assert sum(chunk.ended for chunk in results.progress()) == 25


def test_the_shortest_iterable_ends_them_all(executor: submitit.AutoExecutor) -> None:
    assert list(executor.map(pow, [2, 3, 4], numbers(2), chunksize=2)) == [1, 3]
    empty = executor.map(pow, [2, 3], [])
    assert list(empty) == []
    assert empty.jobs == []
    assert list(executor.map(mapped.tenfold, ())) == []


def test_an_exception_is_its_calls_alone(executor: submitit.AutoExecutor) -> None:
    results = executor.map(mapped.halve, range(6), chunksize=3)
    unordered = executor.map(mapped.halve, range(6), chunksize=3, ordered=False)
    failed = (utils.FailedJobError, ValueError)
    assert next(results) == 0.0
    with pytest.raises(utils.FailedJobError, match=r"Call 1 of 6 .*(?s:.*)mapped\.py(?s:.*)1 is odd") as raised:
        next(results)
    assert results.jobs[0].job_id in str(raised.value)
    assert all_of(results) == [1.0, failed, 2.0, failed]
    found = all_of(unordered)
    assert sorted(value for value in found if isinstance(value, float)) == [0.0, 1.0, 2.0]
    assert found.count(failed) == 3


def test_in_a_batch_block_it_is_submitted_at_once(executor: submitit.AutoExecutor) -> None:
    with executor.batch():
        results = executor.map(mapped.tenfold, range(4), chunksize=2)
        assert list(results) == [0, 10, 20, 30]
        job = executor.submit(mapped.tenfold, 7)
    assert job.result() == 70


def test_a_job_has_the_outcomes_of_its_calls(backend: Backend, executor: submitit.AutoExecutor) -> None:
    results = executor.map(mapped.halve, [4, 5, 6], chunksize=3)
    assert next(results) == 2.0
    (job,) = results.jobs
    outcomes = job.result()
    assert [(outcome.call, outcome.status) for outcome in outcomes] == [(0, "success"), (1, "error"), (2, "success")]
    assert [outcomes[0].value, outcomes[-1].value] == [2.0, 3.0]
    assert "5 is odd" in outcomes[1].value
    assert type(outcomes[1].exception) is ValueError
    assert len(outcomes) == 3
    with pytest.raises(IndexError):
        outcomes[3]
    if backend.durable:  # a pickled iterator begins anew
        again = pickle.loads(pickle.dumps(results))
        failed = (utils.FailedJobError, ValueError)
        assert all_of(again) == [2.0, failed, 3.0]
        assert all_of(results) == [failed, 3.0]


@pytest.mark.needs("durable")
def test_endings_of_all_kinds(executor: submitit.AutoExecutor) -> None:
    found = all_of(executor.map(mapped.awkward, range(15), chunksize=15))
    kinds = [value if isinstance(value, tuple) else type(value) for value in found]
    failed = utils.FailedJobError
    assert kinds == [
        type(None),
        (failed, TypeError),
        (failed, SystemExit),
        bytes,
        (failed, type(None)),
        (failed, type(None)),
        dict,
        str,
        str,
        (failed, ValueError),
        (failed, RecursionError),
        (failed, StopIteration),
        bool,
        list,
        list,
    ]
    assert found[-2] == [13], "what it was when its call ended"
    assert found[6] == {"a": [1, (2, "x" * 1000)]}
    assert len(found[3]) == 5 << 20
    assert found[-1] == [13, 14]


def test_jobs_share_the_chunks_that_are_more_than_may_run(backend: Backend, folder: Any) -> None:
    executor = backend.executor(folder)
    if backend.name in ("slurm", "local"):
        executor.update_parameters(**{f"{backend.name}_array_parallelism": 2})
    results = executor.map(mapped.job_of_call if backend.separate else str, range(12), chunksize=2)
    made_by = list(results)
    if backend.name in ("slurm", "local"):
        assert len(results.jobs) == 2
        assert set(made_by) <= {job.job_id for job in results.jobs}
        assert [len(set(made_by[first : first + 2])) for first in range(0, 12, 2)] == [1] * 6
    else:
        assert len(results.jobs) == 6
    assert sorted(outcome.call for job in results.jobs for outcome in job.result()) == list(range(12))
