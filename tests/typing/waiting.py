"""What type checkers must accept and reject of waiting for jobs; see `api.py` for how it is said."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from typing_extensions import assert_type

import submitit


def verbs(jobs: list[submitit.Job[int]], one: submitit.Job[str]) -> None:
    done, not_done = submitit.wait(jobs, timeout=3.5, return_when="FIRST_EXCEPTION")
    assert_type([job.result() for job in done], list[int])
    assert_type([job.result() for job in not_done], list[int])
    assert_type([job.result() for job in submitit.wait(iter(jobs)).done], list[int])
    assert_type([job.result() for job in submitit.as_completed(jobs, timeout=3)], list[int])
    assert_type(next(submitit.as_completed({one})).result(), str)
    over: Iterator[submitit.Job[int]] = submitit.as_completed(jobs)
    assert_type([job.result() for job in submitit.progress(jobs, timeout=3, title="sweep")], list[int])
    with submitit.progress({one}) as shown:
        assert_type(next(shown).result(), str)
        shown.wait()
    submitit.cancel(jobs)
    submitit.cancel(job for job in jobs)
    print(over)


def wrong(jobs: list[submitit.Job[int]], one: submitit.Job[str]) -> None:
    submitit.wait(one)  # type: ignore[arg-type]
    submitit.progress(one)  # type: ignore[arg-type]
    submitit.progress(jobs, 3.0)  # type: ignore[call-arg]
    submitit.wait([3])  # type: ignore[arg-type]
    submitit.wait(jobs, "3")  # type: ignore[arg-type]
    submitit.wait(jobs, return_when=1)  # type: ignore[arg-type]
    submitit.wait(jobs, until=1)  # type: ignore[call-arg]
    submitit.as_completed(one)  # type: ignore[arg-type]
    submitit.as_completed(["12_3"])  # type: ignore[arg-type]
    submitit.as_completed(jobs, timeout="3")  # type: ignore[arg-type]
    submitit.cancel(one)  # type: ignore[arg-type]
    submitit.cancel(["12_3"])  # type: ignore[list-item]
    for job in submitit.as_completed(jobs):
        text: str = job.result()  # type: ignore[assignment]
        print(text)


def futures(job: submitit.Job[int], other: submitit.Job[str], any_job: submitit.Job[Any]) -> None:
    def told(job: submitit.Job[int]) -> None:
        print(job.result())

    def told_of_any(job: submitit.Job[object]) -> None:
        print(job.job_id)

    assert_type(job.running(), bool)
    assert_type(job.cancelled(), bool)
    job.add_done_callback(told)
    job.add_done_callback(told_of_any)
    job.add_done_callback(print)
    job.add_done_callback(lambda job: print(job.result()))
    any_job.add_done_callback(told)
    job.add_done_callback(told(job))  # type: ignore[arg-type, func-returns-value]
    job.add_done_callback(lambda: None)  # type: ignore[arg-type, misc]
    sorted([job, other], key=lambda job: job.key)


async def asynchronous(jobs: list[submitit.Job[int]], one: submitit.Job[str]) -> None:
    assert_type(await one, str)
    assert_type(await asyncio.wait_for(one, 3), str)
    assert_type(await asyncio.gather(*jobs), list[int])
    async for job in submitit.as_completed(jobs):
        assert_type(job.result(), int)
    number: int = await one  # type: ignore[assignment]
    async for _ in jobs:  # type: ignore[attr-defined]
        pass
    print(number)
