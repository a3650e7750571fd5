"""What type checkers must accept and reject of jobs and their results; see `api.py` for how it is said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from typing_extensions import assert_type

import submitit
from submitit import helpers
from submitit.core import core


def load(path: str) -> dict[str, float]:
    return {path: 0.0}


def results(executor: submitit.AutoExecutor) -> None:
    job = executor.submit(load, "x")
    assert_type(job, submitit.Job[dict[str, float]])
    assert_type(job.result(), dict[str, float])
    assert_type(job.results(), list[dict[str, float]])
    assert_type(job.result(timeout=3.5), dict[str, float])
    assert_type(job.exception(), submitit.UncompletedJobError | None)
    assert_type(job.task(1).result(), dict[str, float])
    assert_type(job.cancel_at_deletion().result(), dict[str, float])
    number: int = job.result()  # type: ignore[assignment]
    job.result().append(1)  # type: ignore[attr-defined]
    job.result(timeout="3")  # type: ignore[arg-type]
    job.task("1")  # type: ignore[arg-type]
    job.results().items()  # type: ignore[attr-defined]
    job.exception().args  # type: ignore[union-attr]  # noqa: B018
    job.value  # type: ignore[attr-defined]  # noqa: B018
    job.job_id = "3"  # type: ignore[misc]
    print(number)


def found_again() -> None:
    job: submitit.Job[int] = submitit.SlurmJob(folder="logs/%j", job_id="12")
    assert_type(job.result(), int)
    local: submitit.LocalJob[str] = submitit.LocalJob("logs/%j", "12", tasks=[0, 1])
    assert_type(local.results(), list[str])
    submitit.SlurmJob(folder="logs/%j")  # type: ignore[call-arg]
    submitit.SlurmJob(folder="logs/%j", job_id=12)  # type: ignore[arg-type]


def variance(job: submitit.Job[bool], jobs: list[submitit.Job[bool]], general: submitit.Job[int]) -> None:
    """Where a job of something general is wanted, one of something particular will do; not the other way round."""
    wider: submitit.Job[int] = job
    widest: submitit.Job[object] = wider
    sequence: Sequence[submitit.Job[int]] = jobs
    narrower: submitit.Job[bool] = general  # type: ignore[assignment]
    invariant: list[submitit.Job[int]] = jobs  # type: ignore[assignment]
    print(widest, sequence, narrower, invariant)


async def asynchronous(job: submitit.Job[bytes]) -> None:
    proxy = job.awaitable()
    assert_type(proxy, core.AsyncJobProxy[bytes])
    assert_type(await proxy.result(), bytes)
    assert_type(await proxy.results(), list[bytes])
    await proxy.wait(poll_interval=2)
    for future in proxy.results_as_completed():
        assert_type(await future, bytes)
    text: str = await proxy.result()  # type: ignore[assignment]
    size: int = len(proxy.result())  # type: ignore[arg-type]
    print(text, size)


def helping(jobs: list[submitit.Job[float]]) -> None:
    over = helpers.as_completed(jobs, timeout=3)
    assert_type(over, Iterator[submitit.Job[float]])
    assert_type([job.result() for job in over], list[float])
    helpers.as_completed([3])  # type: ignore[arg-type]
    helpers.as_completed(jobs, timeout="3")  # type: ignore[arg-type]
    helpers.monitor_jobs(jobs, custom_logging=lambda start, number, states: print(start, number, states))
    helpers.monitor_jobs(jobs[0])  # type: ignore[arg-type]
    submitit.throttle(jobs, "3")  # type: ignore[arg-type]


def anything(job: submitit.Job[Any]) -> int:
    """Where the function's type is not known, its value fits anything."""
    value: int = job.result()
    return value
