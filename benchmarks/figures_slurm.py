"""On a real Slurm, the throwaway cluster of the tests: what an array writes, a round trip, a death's notice, and what waiting costs."""

from __future__ import annotations

import itertools
import os
import shlex
import shutil
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

from machine import ROOT, Bench
from processes import Client
from samples import Answer, Figure, Growth, NoFigureError, Outcome, Sample, Series, Target, take_turns

sys.path.append(str(ROOT / "tests"))

from support.slurm_cluster import ClusterError, SlurmCluster, missing_programs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Sourced by every bash of a job before it reads its script; only the batch script's own leaves the time.
STAMP = """\
[[ $0 == */slurm_script ]] && printf %s "$EPOCHREALTIME" > {directory}/"$SLURM_JOB_ID"
unset BASH_ENV
"""
#: More jobs than all arrays here have elements: finished ones count until Slurm forgets them, after 300 s.
SETTINGS = {"MaxJobCount": 1_000_000, "MaxArraySize": 10_001}
#: How long the ranks that live go on if nobody stops them, and how long the reference is waited for after that.
OTHERS_S = 60.0
REFERENCE_OTHERS_S = 20.0
REFERENCE_PATIENCE_S = 900.0
#: How many jobs are waited for at once.
MANY = 10_000
#: Stands before each command that asks Slurm, and leaves a line a call where the variable says.
SHIM = """\
#!/bin/sh
echo "$0 $*" >> "$BENCH_COMMANDS"
exec {real} "$@"
"""
ASKING = ("squeue", "sacct", "scontrol")


def measure(bench: Bench) -> Iterator[Outcome]:
    """Raises NoFigureError where no cluster can be started."""
    missing = missing_programs()
    if missing:
        raise NoFigureError(f"not installed: {', '.join(missing)}; tests/support/install_programs installs them")
    stamps = bench.work / "stamps"
    stamps.mkdir()
    hook = bench.work / "stamp.bash"
    hook.write_text(STAMP.format(directory=shlex.quote(str(stamps))))
    with ExitStack() as stack:
        try:
            cluster = stack.enter_context(SlurmCluster(bench.work / "cluster", settings=SETTINGS))
        except ClusterError as error:
            raise NoFigureError(str(error).partition("\n")[0]) from error
        env = {**cluster.env, "BASH_ENV": str(hook), "PATH": f"{_shims(bench.work / 'shims')}:{os.environ['PATH']}"}
        sides = []
        for name, python in (("ours", bench.ours), ("reference", bench.reference)):
            directory = bench.work / f"slurm-{name}"
            commands = bench.work / f"commands-{name}"
            commands.touch()
            client = Client(python, directory, {**env, "BENCH_COMMANDS": str(commands)})
            sides.append(_Side(stack.enter_context(client), directory))
        for figures in (_arrays, _growth, _round_trips, _deaths, _waiting):
            yield from figures(bench, *sides)


def _shims(directory: Path) -> Path:
    directory.mkdir()
    for name in ASKING:
        shim = directory / name
        shim.write_text(SHIM.format(real=shutil.which(name)))
        shim.chmod(0o755)
    return directory


class _Side:
    """A client and the folders of its jobs."""

    def __init__(self, client: Client, directory: Path) -> None:
        self.client = client
        self._directory = directory
        self._counter = itertools.count()

    def folder(self, name: str) -> str:
        return str(self._directory / name)

    def new_folder(self, name: str) -> str:
        return str(self._directory / f"{name}-{next(self._counter)}")

    def array(self, times: int, elements: int, megabytes: int) -> Series:
        def submit() -> Answer:
            folder = self.new_folder("array")
            return self.client.call("submit_array", folder=folder, elements=elements, megabytes=megabytes)

        return Series(times, submit)

    def round_trip(self, times: int, stamps: Path, *, use_srun: bool) -> Series:
        folder = self.folder("srun" if use_srun else "no-srun")

        def submit() -> Answer:
            return self.client.call("slurm_round_trip", folder=folder, stamps=str(stamps), use_srun=use_srun)

        return Series(times, submit)

    def waiting(self, times: int, seconds: float, *, ended: int) -> Series:
        def wait() -> Answer:
            folder = self.new_folder("waiting")
            return self.client.call(
                "slurm_waiting", patience=seconds + 240, folder=folder, jobs=MANY, ended=ended, seconds=seconds
            )

        return Series(times, wait)

    def death(
        self,
        lifetimes: list[float],
        *,
        tasks: int = 1,
        use_srun: bool = True,
        whole: bool = False,
        others: float = OTHERS_S,
        patience: float = OTHERS_S,
    ) -> Series:
        left = iter(lifetimes)

        def submit() -> Answer:
            return self.client.call(
                "slurm_death",
                folder=self.folder("deaths"),
                tasks=tasks,
                lifetime=next(left),
                others=others,
                use_srun=use_srun,
                whole=whole,
                patience=patience,
            )

        return Series(len(lifetimes), submit)


def _arrays(bench: Bench, ours: _Side, reference: _Side) -> Iterator[Figure]:
    small, small_ = ours.array(bench.times(7, 2), 1000, 0), reference.array(bench.times(3, 1), 1000, 0)
    take_turns(small, small_)
    name = "Slurm: map_array of 1,000"
    files = Figure(f"{name}, files written", "files", small.sample("files"), small_.sample("files"), Target(5, "worst"))
    yield files.note_failures(small, small_)
    time_of_client = small.sample("seconds"), small_.sample("seconds")
    yield Figure(f"{name}, time of the client", "ms", *time_of_client, Target(5, "ratio"))
    many, many_ = ours.array(bench.times(3, 1), 10_000, 0), reference.array(1, 10_000, 0)
    take_turns(many, many_)
    name = "Slurm: map_array of 10,000, time of the client"
    figure = Figure(name, "ms", many.sample("seconds"), many_.sample("seconds"), Target(0.6))
    yield figure.note_failures(many, many_)
    large, large_ = ours.array(bench.times(3, 1), 200, 10), reference.array(1, 20, 10)
    take_turns(large, large_)
    tenfold = [
        Sample([10 * value[key] for value in large_.values]) if large_.values else None for key in ("bytes", "seconds")
    ]
    name = "Slurm: map_array of 200 that close over 10 MB"
    size = Figure(f"{name}, written", "MB", large.sample("bytes"), tenfold[0], Target(12e6, "worst"))
    size.notes.append("1.5.4: measured with 20 elements, times ten")
    yield size.note_failures(large, large_)
    yield Figure(f"{name}, time of the client", "ms", large.sample("seconds"), tenfold[1])


def _growth(bench: Bench, ours: _Side, reference: _Side) -> Iterator[Growth]:
    growth = Growth("Slurm: map_array, time of the client", "ms")
    for size in bench.sizes():
        mine = ours.array(bench.times(3, 1) if size <= 10_000 else 1, size, 0)
        # It sends no more than one array.
        its = [reference.array(1, size, 0)] if size <= 10_000 else []
        take_turns(mine, *its)
        growth.add(size, mine, *its, key="seconds")
    yield growth


def _round_trips(bench: Bench, ours: _Side, reference: _Side) -> Iterator[Figure]:
    stamps = bench.work / "stamps"
    series = [
        side.round_trip(times, stamps, use_srun=use_srun)
        for use_srun in (True, False)
        for side, times in ((ours, bench.times(20, 5)), (reference, bench.times(5, 1)))
    ]
    take_turns(*series)
    for use_srun, limit in ((True, 0.120), (False, 0.090)):
        mine, its = series[:2] if use_srun else series[2:]
        name = f"Slurm {'with' if use_srun else 'without'} srun"
        figure = Figure(
            f"{name}: script's start to result()", "ms", mine.sample("result"), its.sample("result"), Target(limit)
        )
        yield figure.note_failures(mine, its)
        yield Figure(f"{name}: submit() returns", "ms", mine.sample("submission"), its.sample("submission"))
        yield Figure(
            f"{name}: submit() to script's start (Slurm's own)", "ms", mine.sample("queue"), its.sample("queue")
        )


def _deaths(bench: Bench, ours: _Side, reference: _Side) -> Iterator[Figure]:
    # A client looks the less often the longer it has waited.
    lifetimes = [0.5, 2.0] if bench.quick else [0.2, 0.5, 1.0, 2.0, 15.0]
    cases = {
        "a function": (ours.death(lifetimes), None if bench.quick else reference.death([1.0], patience=120)),
        "a function, without srun": (ours.death(lifetimes, use_srun=False), None),
        "one rank of four": (ours.death(lifetimes, tasks=4), None),
        "one rank of four, at results()": (ours.death(lifetimes, tasks=4, whole=True), None),
    }
    if bench.slow_reference:
        slow = reference.death([1.0], tasks=4, others=REFERENCE_OTHERS_S, patience=REFERENCE_PATIENCE_S)
        cases["one rank of four"] = (cases["one rank of four"][0], slow)
    for name, (mine, its) in cases.items():
        take_turns(*(one for one in (mine, its) if one is not None))
        figure = Figure(
            f"Slurm: SIGKILL of {name}, to the error",
            "s",
            mine.sample("seconds"),
            None if its is None else its.sample("seconds"),
            Target(1.0, "worst"),
        )
        for whose, series in (("ours", mine), ("1.5.4", its)):
            for kind, missing in sorted({(v["type"], tuple(v["missing"])) for v in (series.values if series else [])}):
                lacks = f", whose text lacks {', '.join(missing)}" if missing else ""
                figure.notes.append(f"{whose}: {kind}{lacks}")
        yield figure.note_failures(mine, its)


def _waiting(bench: Bench, ours: _Side, reference: _Side) -> Iterator[Figure]:
    # The beginning is the dearest: looks are frequent at first, and questions come after 30 s, 75 s and less and less often
    # then. A wait that ends after the first of them says nothing of the share.
    seconds, limit = (35.0, None) if bench.quick else (90.0, Target(0.002, "worst"))
    for name, ended in (("none ended", 0), ("all but one ended", MANY - 1)):
        mine, its = (side.waiting(1, seconds, ended=ended) for side in (ours, reference))
        take_turns(*([mine] if bench.quick else [mine, its]))
        title = f"Slurm: waiting for {MANY:,} jobs, {name}"
        share = Figure(f"{title}, of a core", "%", mine.sample("share"), its.sample("share"), limit)
        share.notes.append(f"in the first {seconds:g} s, with the commands that are run")
        yield share.note_failures(mine, its)
        yield Figure(
            f"{title}, in 30 s", "commands", mine.sample("commands"), its.sample("commands"), Target(1.0, "worst")
        )
        if ended:
            yield Figure(f"{title}, to hand out those", "ms", mine.sample("handed"), its.sample("handed"))
