"""Cancelling many jobs at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from submitit.client.waiting import jobs_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from submitit.client.job import Job


def cancel(jobs: Iterable[Job[Any]], check: bool = True) -> None:
    """End these jobs, of any backend, as ``job.cancel()`` does one: thousands on Slurm with one ``scancel``.

    Jobs that are known to be over are left alone. With ``check`` a refusal raises, after all others were cancelled.
    """
    by_class: dict[type[Job[Any]], list[Job[Any]]] = {}
    for job in jobs_of(jobs, "cancel"):
        by_class.setdefault(type(job), []).append(job)
    first: Exception | None = None
    for job_class, its in by_class.items():
        try:
            job_class._cancel_all(its, check)
        except Exception as error:  # noqa: BLE001 - raised below: the other backends' jobs are to be cancelled too
            first = first or error
    if first is not None:
        raise first
