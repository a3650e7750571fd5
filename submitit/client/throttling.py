"""Changing how many jobs of an array run at once, while they do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from submitit.client.waiting import jobs_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from submitit.client.job import Job


def throttle(jobs: Iterable[Job[Any]], parallelism: int) -> None:
    """Let at most ``parallelism`` jobs at once run of the arrays that these jobs belong to; 0 lifts the limit. Running jobs go on.

    A limit is a whole array's, whichever of its jobs are given. Several arrays share it, as those do that a long list is sent
    as, but each runs one job at least; arrays whose given jobs have all ended get no share.

    Raises ``ValueError``, before anything is changed, for a job that is in no array of a backend which can do this, and for a
    negative number, and ``RuntimeError`` with the scheduler's words if it refuses.
    """
    if isinstance(parallelism, bool) or not hasattr(type(parallelism), "__index__"):
        raise TypeError(f"throttle(jobs, parallelism) takes a whole number of jobs, not {parallelism!r}")
    number = int(parallelism)
    if number < 0:
        raise ValueError(f"throttle(jobs, parallelism) takes 0 (no limit) or more jobs, not {number}")
    arrays: dict[tuple[type[Job[Any]], str], list[Job[Any]]] = {}
    for job in jobs_of(jobs, "throttle"):
        array_id = job._array_id()
        if array_id is None:
            raise ValueError(
                f"Job {job.job_id} ({type(job).__name__}) is in no array whose parallelism can be changed: "
                "throttle takes what map_array, submit_array or a batch returned on Slurm"
            )
        arrays.setdefault((type(job), array_id), []).append(job)
    living = [array for array, known in arrays.items() if len(arrays) == 1 or not all(job.done() for job in known)]
    chosen = living or list(arrays)
    for (job_class, array_id), share in zip(chosen, shares(number, len(chosen)), strict=True):
        job_class._throttle_array(array_id, share, arrays[job_class, array_id])


def shares(number: int, count: int) -> list[int]:
    """``number`` in ``count`` parts that are about equal, each at least 1; 0 is no limit for any."""
    return [max(1, number // count + (place < number % count)) if number else 0 for place in range(count)]
