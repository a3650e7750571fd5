"""The local backend beside what a user would pick instead: each used in its own way, with a worker for each CPU.

They are not alike: a pool gives its calls to processes that it keeps, and has neither their logs nor their results on disk.
"""

from __future__ import annotations

import os
import re
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

import machine
from processes import Client
from samples import NoFigureError, Race, Series, Target, take_turns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from machine import Bench

NEIGHBOURS: Final = Path(__file__).with_name("neighbours.py")
FRESH_POOL: Final = "process pool, a process a call"
#: Those that start a process for each call get fewer of them.
SLOW: Final = (FRESH_POOL, "executorlib")
#: Those that send each call by itself, where others send many together.
SINGLE: Final = ("dask.distributed", "parsl")
#: The process pool of some Pythons comes to a stop now and then (gh-115634).
PATIENCE_S: Final = 120.0


class _Peer:
    """One library, in a process of its own."""

    def __init__(self, bench: Bench, stack: ExitStack, name: str, python: str) -> None:
        self.name = name
        path = f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}"  # parsl starts programs by their names
        away = bench.new(re.sub(r"\W+", "-", name))
        self._client = stack.enter_context(Client(python, away, {"PATH": path}, program=NEIGHBOURS))

    def versions(self, packages: list[str]) -> dict[str, str]:
        return self._client.call("versions", packages=packages)

    def series(self, repetitions: int, action: str, /, **arguments: int) -> Series:
        return Series(
            repetitions, lambda: self._client.call(action, library=self.name, patience=PATIENCE_S, **arguments)
        )


def measure(bench: Bench) -> Iterator[Race]:
    with ExitStack() as stack:
        missing: list[str] = []
        peers = list(_peers(bench, stack, missing))
        away = bench.new("peers")
        ours = stack.enter_context(Client(bench.ours, away)), str(away / "logs")
        yield _firsts(bench, peers, missing)
        for race in (_calls, _bursts, _maps):
            yield race(bench, *ours, peers)


def _peers(bench: Bench, stack: ExitStack, missing: list[str]) -> Iterator[_Peer]:
    yield _Peer(bench, stack, "process pool", bench.ours)
    if sys.version_info >= (3, 11):  # with max_tasks_per_child
        yield _Peer(bench, stack, FRESH_POOL, bench.ours)
    for name, packages in machine.PEERS.items():
        try:
            peer = _Peer(bench, stack, name, machine.make_peer(bench.build, name))
            bench.versions.update(peer.versions(packages))
        except NoFigureError as error:
            missing.append(str(error))
        else:
            yield peer


def _firsts(bench: Bench, peers: list[_Peer], missing: list[str]) -> Race:
    def first() -> dict[str, float]:
        away = bench.new("first")
        with Client(bench.ours, away) as fresh:
            return fresh.call("first", folder=str(away / "logs"))

    mine = Series(bench.times(3, 1), first)
    series = {peer: peer.series(1, "first") for peer in peers}
    take_turns(mine, *series.values())
    race = _race("peers: the first call, start included", "ms", mine, series)
    race.notes.extend(missing)
    return race


def _calls(bench: Bench, client: Client, folder: str, peers: list[_Peer]) -> Race:
    client.call("local_round_trips", folder=folder, times=2)
    times = bench.times(20, 5)
    mine = Series(bench.times(5, 2), lambda: client.call("local_round_trips", folder=folder, times=times))
    series = {peer: peer.series(bench.times(3, 1), "round_trips", times=times) for peer in peers}
    take_turns(mine, *series.values())
    race = _race("peers: one call at a time", "ms", mine, series)
    race.targets[FRESH_POOL] = Target(2, "ratio")
    return race


def _bursts(bench: Bench, client: Client, folder: str, peers: list[_Peer]) -> Race:
    count = bench.times(500, 100)
    mine = Series(bench.times(3, 1), lambda: client.call("local_burst", folder=folder, count=count, patience=600))
    series = {
        peer: peer.series(bench.times(3, 1), "burst", count=count // 5 if peer.name in SLOW else count)
        for peer in peers
    }
    take_turns(mine, *series.values())
    return _race(f"peers: {count} calls at once, time a call", "ms", mine, series)


def _maps(bench: Bench, client: Client, folder: str, peers: list[_Peer]) -> Race:
    count = bench.times(100_000, 10_000)
    mine = Series(
        bench.times(3, 1),
        lambda: client.call("local_map", folder=folder, count=count, chunksize=1000, patience=600),
    )
    series = {}
    for peer in peers:
        few = count // 1000 if peer.name in SLOW else count // 10 if peer.name in SINGLE else count
        series[peer] = peer.series(bench.times(3, 1), "mapped", count=few)
    take_turns(mine, *series.values())
    return _race(f"peers: map of {count:,} calls, time a call", "µs", mine, series)


def _race(name: str, unit: str, mine: Series, others: dict[_Peer, Series]) -> Race:
    race = Race(name, unit, mine.sample("wall"))  # type: ignore[arg-type]
    if mine.failure is not None:
        race.notes.append(f"ours: {mine.failure}")
    for peer, series in others.items():
        race.add(peer.name, series)
    return race
