"""Rows of ``submitit.usage``, made up."""

from __future__ import annotations

from typing import Any

from submitit.views.usage import Row


def row(job_id: str = "1", **fields: Any) -> Row:
    """A job of a minute that succeeded, but for what is given."""
    usual = Row(
        folder="/logs/%j",
        job_id=job_id,
        array=None,
        name="sweep",
        function="train.fit",
        backend="local",
        state="COMPLETED",
        over=True,
        submitted=1e9,
        start=1e9 + 10,
        end=1e9 + 70,
        queued_s=10.0,
        run_s=60.0,
        attempts=1,
        earlier_s=0.0,
        node="node1",
        nodes=1,
        tasks=1,
        asked_cpus=1,
        asked_gpus=None,
        asked_mem_mb=None,
        asked_time_s=None,
        cpu_s=60.0,
        max_rss_mb=100.0,
        exit_code=0,
        reason=None,
        stdout=f"/logs/{job_id}/{job_id}_0_log.out",
        stderr=f"/logs/{job_id}/{job_id}_0_log.err",
    )
    made: Row = {**usual, **fields}  # type: ignore[typeddict-item]
    return made


def rows(number: int, **fields: Any) -> list[Row]:
    """So many alike."""
    return [row(str(place + 1), **fields) for place in range(number)]
