"""Waiting for many jobs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeVar

from submitit.client import waiting
from submitit.orchestrator.tracker import Waiter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from submitit.client.job import Job

R = TypeVar("R")


def as_completed(
    jobs: Sequence[Job[R]],
    timeout: float | None = None,
    poll_frequency: float = 10,  # noqa: ARG001 - of 1.x
) -> Iterator[Job[R]]:
    """Yield each job when it is over, whether it failed or not; those that are over already come first.

    Raises ``TimeoutError`` if not all are ``timeout`` seconds after the first one was asked for. ``poll_frequency`` is 1.x's and
    has no effect: an end is seen as soon as by the job itself, and asking costs the scheduler nothing.
    """
    yield from waiting.as_completed(jobs, timeout)


def _default_custom_logging(monitoring_start_time: float, n_jobs: int, state_jobs: Mapping[str, set[int]]) -> None:
    now = time.strftime("%Y-%m-%d %H:%M:%S")
    failed, running = state_jobs["FAILED"], state_jobs["RUNNING"]
    succeeded = len(state_jobs["DONE"]) - len(failed)
    minutes = int((time.time() - monitoring_start_time) / 60)
    _say(
        f"[{now}] Launched {minutes} minutes ago, {len(running)}/{n_jobs} jobs running, {len(failed)}/{n_jobs} jobs failed, "
        f"{succeeded}/{n_jobs} jobs done"
    )
    if failed:
        _say(f"[{now}] Failed jobs, indices {sorted(failed)}")


def monitor_jobs(
    jobs: Sequence[Job[R]],
    poll_frequency: float = 30,
    test_mode: bool = False,
    custom_logging: Callable[[float, int, Mapping[str, set[int]]], Any] = _default_custom_logging,
) -> None:
    """Return when all jobs are over, saying every ``poll_frequency`` seconds how they are.

    ``custom_logging(start, number, {"RUNNING": …, "FAILED": …, "DONE": …})`` does the saying, with the jobs' indices; DONE holds
    the failed ones too. Less than 30 seconds between two looks is refused unless in ``test_mode``. Where nothing else is to do
    the saying, a terminal and a notebook show it as ``submitit.progress`` does.
    """
    assert test_mode or poll_frequency >= 30, "You can't refresh too often (>= 30s) to avoid overloading squeue"
    if not jobs:
        _say("There are no jobs to monitor")
        return
    arrays = ", ".join(sorted({job.job_id.split("_", 1)[0] for job in jobs}))
    _say(f"Monitoring {len(jobs)} jobs from job arrays {arrays} \n")
    start = time.time()
    states: dict[str, set[int]] = {"RUNNING": set(), "FAILED": set(), "DONE": set()}
    place = {id(job): index for index, job in enumerate(jobs)}
    if custom_logging is _default_custom_logging:
        _watch(jobs)
    waiter = Waiter(jobs)
    pause = 0.0
    while True:
        for index in _over_within(waiter, pause, place):
            states["DONE"].add(index)
            if _failed(jobs[index]):
                states["FAILED"].add(index)
        if not waiter.pending:
            break
        states["RUNNING"] = {
            i for i, job in enumerate(jobs) if i not in states["DONE"] and job.state.upper() == "RUNNING"
        }
        custom_logging(start, len(jobs), states)
        pause = poll_frequency
    _say(f"All jobs finished, jobs with indices {sorted(states['FAILED'])} failed")
    _say(f"Whole process is finished, took {int((time.time() - start) / 60)} minutes")


def _watch(jobs: Sequence[Job[Any]]) -> None:
    """Return when all jobs are over if somebody can look on meanwhile, else at once."""
    from submitit.helpers import displays
    from submitit.helpers.progression import Progress

    display = displays.choose(jobs)
    if not isinstance(display, displays.Lines):
        Progress(jobs, None, display).wait()


def _over_within(waiter: Waiter, seconds: float, place: Mapping[int, int]) -> list[int]:
    """The indices of the jobs that end within some time; returns before it is up once none is left."""
    deadline = time.monotonic() + seconds
    over: list[int] = []
    while True:
        ended = waiter.ended(max(0.0, deadline - time.monotonic()))
        over += [place[id(job)] for job in ended]
        if not ended or not waiter.pending:
            return over


def _failed(job: Job[Any]) -> bool:
    """Whether a job that is over left no value. Loads no result, which may be large."""
    from submitit.storage import outcome

    for number in range(job.num_tasks):
        path = job.task(number).paths.result_pickle
        footer = outcome.read_footer(path) if path.exists() else None
        if footer is not None:
            if not footer.success:
                return True
        elif not path.exists() or job.state.upper() == "FAILED":
            # of a version that writes no footer, or a backend that writes no file: the scheduler's word is all there is
            return job.state.upper() not in ("DONE", "FINISHED", "COMPLETED")
    return False


def _say(text: str) -> None:
    print(text, flush=True)


as_completed.__module__ = monitor_jobs.__module__ = "submitit.helpers"
