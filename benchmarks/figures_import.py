"""What it costs to import the library, to make an executor, and to start a job's process: fresh processes, in turns."""

from __future__ import annotations

import itertools
import os
import pickle
import time
from typing import TYPE_CHECKING

from processes import Client, run
from samples import Answer, Figure, NoFigureError, Series, Target, take_turns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from machine import Bench

IMPORT = "import submitit"
#: The environment of a job of one task: what is set in both versions.
JOB = {
    "SUBMITIT_EXECUTOR": "slurm",
    "SLURM_JOB_NUM_NODES": "1",
    "SLURM_JOB_NODELIST": "localhost",
    "SLURM_NTASKS": "1",
    "SLURM_NODEID": "0",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
}


def measure(bench: Bench) -> Iterator[Figure]:
    yield from _imports(bench)
    yield from _runner(bench)


def _imports(bench: Bench) -> Iterator[Figure]:
    times = bench.times(40, 10)
    away = bench.work / "import"
    away.mkdir()
    make = f"{IMPORT}; submitit.AutoExecutor(folder={str(away / 'logs')!r}, cluster='local')"

    def series(python: str, program: str) -> Series:
        return Series(times, _after_one(lambda: run([python, "-c", program], away)))

    ours = [series(bench.ours, program) for program in ("pass", IMPORT, make)]
    reference = [series(bench.reference, program) for program in ("pass", IMPORT, make)]
    take_turns(*ours, *reference)
    yield Figure("python -c pass", "ms", ours[0].sample("wall"), reference[0].sample("wall"))
    yield _difference("import submitit, above `python -c pass`", ours[:2], reference[:2], Target(0.005))
    yield _difference("AutoExecutor(cluster='local') made, above the import", ours[1:], reference[1:], Target(0.035))
    yield _difference("both, above `python -c pass`", ours[::2], reference[::2])


def _runner(bench: Bench) -> Iterator[Figure]:
    times = bench.times(40, 10)
    ours = _runner_series(bench, bench.ours, "ours", times)
    reference = _runner_series(bench, bench.reference, "reference", times)
    take_turns(*ours, *reference)
    name = "runner up to the function's call, above importing cloudpickle"
    yield _difference(name, ours, reference, Target(0.015))
    yield Figure("the same, above nothing", "ms", ours[1].sample("wall"), reference[1].sample("wall"))


def _difference(name: str, ours: Sequence[Series], reference: Sequence[Series], target: Target | None = None) -> Figure:
    """How much the second series of a pair is above the first."""
    figure = Figure(name, "ms", ours[1].above(ours[0]), reference[1].above(reference[0]), target)
    cpu = [pair[1].above(pair[0], "cpu") for pair in (ours, reference)]
    words = ["-" if sample is None else f"{sample.median * 1000:.1f} ms" for sample in cpu]
    # On a busy machine it says more than the time that has passed.
    figure.notes.append(f"processor time: {words[0]}, 1.5.4 {words[1]}")
    return figure.note_failures(ours[1], reference[1])


def _runner_series(bench: Bench, python: str, name: str, times: int) -> tuple[Series, Series]:
    """Of a process that imports cloudpickle, and of the runner: from the start to the last line, or the function's call.

    The processor time is that of the whole life.
    """
    away = bench.work / f"runner-{name}"
    folder = away / "logs"
    with Client(python, away) as client:
        client.call("make_submissions", folder=str(folder), count=times + 1)
    job_ids = itertools.count(1)

    def runner() -> Answer:
        job_id = str(next(job_ids))
        env = {**os.environ, **JOB, "SLURM_JOB_ID": job_id}
        start = time.monotonic_ns()
        used = run([python, "-u", "-m", "submitit.core._submit", str(folder)], away, env)
        return {**used, "wall": (_result(folder / f"{job_id}_0_result.pkl") - start) / 1e9}

    stamp = away / "cloudpickle"
    program = f"import cloudpickle, time; now = time.monotonic_ns(); open({str(stamp)!r}, 'w').write(str(now))"

    def cloudpickle() -> Answer:
        start = time.monotonic_ns()
        used = run([python, "-u", "-c", program], away)
        return {**used, "wall": (int(stamp.read_text()) - start) / 1e9}

    return Series(times, _after_one(cloudpickle)), Series(times, _after_one(runner))


def _result(path: Path) -> int:
    """The value in a result file: the pickle of its outcome comes first in both versions."""
    with path.open("rb") as file:
        outcome, value = pickle.load(file)
    if outcome != "success":
        raise NoFigureError(f"the runner's function failed, see {path}")
    return int(value)


def _after_one(action: Callable[[], Answer]) -> Callable[[], Answer]:
    """The same action, which is done once more before its first time: then the byte code is written and files are cached."""
    done: list[Answer] = []

    def warmed() -> Answer:
        if not done:
            done.append(action())
        return action()

    return warmed
