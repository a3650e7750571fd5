"""What ever more jobs take of one client: the time to submit them and to be handed the ended ones, their payload, and memory.

Slurm itself is left out here (see `nobody`); `figures_slurm` measures the submission to a real one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from typing import TYPE_CHECKING

import nobody
from processes import Client
from samples import Answer, Growth, NoFigureError, Series, take_turns

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from machine import Bench

#: What an ended job takes of a file system in memory: four markers and a result, a page and a file each.
ENDED_BYTES = 30_000
PATIENCE_S = 900.0


def measure(bench: Bench) -> Iterator[Growth]:
    yield from _queues(bench)
    yield from _handles(bench)
    yield from _waits(bench)


def _queues(bench: Bench) -> Iterator[Growth]:
    seconds = Growth("local: map_array, submission", "ms")
    payload = Growth("local: map_array, payload", "MB")
    client = Growth("local: map_array, the client's peak memory", "MB")
    controller = Growth("local: map_array, the controller's peak memory", "MB")
    for size in bench.sizes():
        series = Series(bench.times(3, 1), lambda size=size: _queue(bench, size))  # type: ignore[misc]
        take_turns(series)
        for growth, key in (
            (seconds, "seconds"),
            (payload, "bytes"),
            (client, "client"),
            (controller, "controller"),
        ):
            growth.add(size, series, key=key)
    yield from (seconds, payload, client, controller)


def _queue(bench: Bench, size: int) -> Answer:
    away = bench.new("queue")
    with Client(bench.ours, away) as client:
        answer = client.call("local_queue", patience=PATIENCE_S, folder=str(away / "logs"), count=size)
        # A living client would have them started by another controller.
        client.close(kill=True)
    for pid in answer["controllers"]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return answer


def _handles(bench: Bench) -> Iterator[Growth]:
    growth = Growth("memory of a job's handle", "bytes")
    for size in bench.sizes():
        series = [Series(1, lambda side=side, size=size: _traced(bench, side, size)) for side in _sides(bench, size)]  # type: ignore[misc]
        take_turns(*series)
        growth.add(size, *series, key="handles", share=1 / size)
    yield growth


def _traced(bench: Bench, python: str, size: int) -> Answer:
    away = bench.new("handles")
    with Client(python, away, nobody.environment(away / "bin")) as client:
        return client.call("submit_to_nobody", patience=PATIENCE_S, folder=str(away / "logs"), count=size, traced=True)


def _waits(bench: Bench) -> Iterator[Growth]:
    submission = Growth("Slurm: map_array, without Slurm's part", "ms")
    seconds = Growth("waiting for jobs that have ended", "ms")
    client = Growth("waiting for jobs that have ended, the client's peak memory", "MB")
    for size in bench.sizes():
        room = _room(bench.in_memory)
        if room < size * ENDED_BYTES:
            for growth in (seconds, client):
                growth.notes.append(f"{size:,} not measured: no {size * ENDED_BYTES / 1e9:.0f} GB of room in memory")
            break
        times = bench.times(3, 1) if size <= 10_000 else 1
        series = [
            Series(times if side == bench.ours else 1, lambda side=side, size=size: _wait(bench, side, size))  # type: ignore[misc]
            for side in _sides(bench, size)
        ]
        take_turns(*series)
        for growth, key in ((submission, "submission"), (seconds, "seconds"), (client, "client")):
            growth.add(size, *series, key=key)
    yield from (submission, seconds, client)


def _wait(bench: Bench, python: str, size: int) -> Answer:
    if bench.in_memory is None:
        raise NoFigureError("no file system in memory, and on disk the endings would take too long")
    away = bench.new("waits", bench.in_memory)
    folder = str(away / "logs")
    with Client(python, away, nobody.environment(away / "bin")) as client, Client(python, away / "jobs") as jobs:
        sent = client.call("submit_to_nobody", patience=PATIENCE_S, folder=folder, count=size, traced=False)
        jobs.call("end_jobs", patience=PATIENCE_S, folder=folder, array=sent["array"], count=size)
        return {"submission": sent["seconds"], **client.call("wait_for_ended", patience=PATIENCE_S)}


def _sides(bench: Bench, size: int) -> list[str]:
    """The reference takes no more than one array, and its waits are long."""
    return [bench.ours, bench.reference] if size <= 10_000 else [bench.ours]


def _room(directory: Path | None) -> float:
    return 0 if directory is None else shutil.disk_usage(directory).free
