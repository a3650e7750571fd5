"""How long a person waits for the list of thousands of jobs, and for a report of them: the commands, from start to end."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Final

from machine import ROOT
from processes import run
from samples import Answer, Figure, Series, Target, take_turns

sys.path.append(str(ROOT / "tests"))

from support import sweep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from machine import Bench

LISTED: Final = 10_000
REPORTED: Final = 5_000
#: Jobs of an array.
ELEMENTS: Final = 1_000
#: What a job of one task leaves on Slurm, under srun.
MARKERS: Final = ("batch.0.run", "0.0.run", "0.0.done", "0.0.exit-0", "batch.0.exit-0")


def measure(bench: Bench) -> Iterator[Figure]:
    listed, reported = bench.times(LISTED, LISTED // 10), bench.times(REPORTED, REPORTED // 10)
    away = bench.work / "views"
    away.mkdir()
    folders = {"Slurm": _arrays(away / "slurm", listed), "local": sweep.make(away / "local", listed).parent}
    report = sweep.make(away / "report", reported).parent
    nothing = _series(bench, away, "--version")
    commands = {
        f"submitit ls: {listed} {kind} jobs{words}": _series(bench, away, "ls", "--no-ask", *options, str(folder))
        for kind, folder in folders.items()
        for words, options in (("", ()), (", a line each", ("--all",)))
    }
    page = _series(bench, away, "report", "--force", "-o", "page.html", str(report))
    take_turns(nothing, *commands.values(), page)
    yield Figure("submitit --version", "ms", nothing.sample("wall"), None).note_failures(nothing)
    for name, series in commands.items():
        yield Figure(name, "ms", series.sample("wall"), None, Target(0.5)).note_failures(series)
    yield Figure(f"submitit report: {reported} jobs", "s", page.sample("wall"), None, Target(5)).note_failures(page)


def _series(bench: Bench, away: Path, *words: str) -> Series:
    def call() -> Answer:
        return run([bench.ours, "-m", "submitit", *words], away)

    return Series(bench.times(15, 4), _after_one(call))


def _after_one(call: Callable[[], Answer]) -> Callable[[], Answer]:
    """The first time, in which files are read and modules compiled, does not count."""
    call()
    return call


def _arrays(root: Path, jobs: int) -> Path:
    """A folder as arrays on Slurm leave it, all of whose jobs have succeeded: a journal, and markers."""
    journals, events = root / ".submitit" / "journal", root / ".submitit" / "events" / "client"
    journals.mkdir(parents=True)
    events.mkdir(parents=True)
    with (journals / "client.jsonl").open("w") as journal:
        for number in range(1, jobs // ELEMENTS + 1):
            about = {
                "event": "submitted",
                "time": time.time(),
                "client": "client",
                "backend": "slurm",
                "name": "sweep",
                "function": "train.fit",
                "parameters": {"time": 60, "mem": "4GB", "cpus_per_task": 4},
                "tasks": 1,
                "jobs": {"array": str(number), "count": ELEMENTS, "first": 0},
                "folder": f"{root}/%A_%a",
            }
            journal.write(json.dumps(about) + "\n")
            for index in range(ELEMENTS):
                for marker in MARKERS:
                    (events / f"{number}_{index}-{marker}").touch()
    return root
