"""The local backend: from submission to result, many jobs at once, and what they take of memory and files."""

from __future__ import annotations

import itertools
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from processes import Client
from samples import Answer, Figure, Series, Target, take_turns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from machine import Bench

#: 1.5.4 lets so much time pass between two submissions of one executor, which is no part of a round trip.
PAUSE_S: Final = 0.25
#: So many round trips in a row make one value, their median.
IN_A_ROW: Final = 20
BURST: Final = 500


class _Clients:
    """Starts the clients of all measurements, each with directories of its own, and ends them."""

    def __init__(self, bench: Bench, stack: ExitStack) -> None:
        self._bench = bench
        self._stack = stack
        self._numbers = itertools.count()
        self.places: Final = {"on disk": bench.work}
        if bench.in_memory is not None:
            self.places["in memory"] = bench.in_memory

    def start(self, python: str, place: str = "on disk") -> tuple[Client, str]:
        """A client that has imported submitit, and a folder for its jobs."""
        away = self.places[place] / f"local-{next(self._numbers)}"
        client = self._stack.enter_context(Client(python, away))
        client.call("ready")
        return client, str(away / "logs")


def measure(bench: Bench) -> Iterator[Figure]:
    with ExitStack() as stack:
        clients = _Clients(bench, stack)
        yield from _round_trips(bench, clients)
        yield _first(bench, clients)
        yield from _bursts(bench, clients)
        yield from _arrays(bench, clients)
        yield _files(bench, clients)
        yield _preloaded(bench, clients)


def _round_trips(bench: Bench, clients: _Clients) -> Iterator[Figure]:
    def warm(place: str) -> Series:
        client, folder = clients.start(bench.ours, place)
        client.call("local_round_trips", folder=folder, times=2)
        return Series(
            bench.times(10, 4), lambda: client.call("local_round_trips", folder=folder, times=bench.times(IN_A_ROW, 5))
        )

    def reference() -> Series:
        client, folder = clients.start(bench.reference)

        def round_trip() -> Answer:
            time.sleep(PAUSE_S)
            return client.call("local_round_trips", folder=folder, times=1)

        return Series(bench.times(5, 2), round_trip)

    ours = {place: warm(place) for place in clients.places}
    old = reference()
    take_turns(*ours.values(), old)
    for place, series in ours.items():
        figure = Figure(f"local: submission to result, {place}", "ms", series.sample("wall"), None, Target(0.006))
        yield figure.note_failures(series)
    disk = ours["on disk"]
    beside = Figure(
        "local: the same, beside 1.5.4", "ms", disk.sample("wall"), old.sample("wall"), Target(150, "ratio")
    )
    yield beside.note_failures(None, old)


def _first(bench: Bench, clients: _Clients) -> Figure:
    def cold(python: str, times: int) -> Series:
        def first() -> Answer:
            client, folder = clients.start(python)
            return client.call("local_round_trips", folder=folder, times=1)

        return Series(times, first)

    ours, reference = cold(bench.ours, bench.times(10, 3)), cold(bench.reference, bench.times(3, 1))
    take_turns(ours, reference)
    name = "local: the same, the client's first submission"
    return Figure(name, "ms", ours.sample("wall"), reference.sample("wall")).note_failures(ours, reference)


def _bursts(bench: Bench, clients: _Clients) -> Iterator[Figure]:
    count = bench.times(BURST, 100)

    def burst(python: str, jobs: int, times: int, place: str = "on disk") -> Series:
        client, folder = clients.start(python, place)
        client.call("local_round_trips", folder=folder, times=1)
        return Series(times, lambda: client.call("local_burst", folder=folder, count=jobs, patience=600))

    ours = {place: burst(bench.ours, count, bench.times(3, 1), place) for place in clients.places}
    # For as many jobs it would need minutes.
    old = burst(bench.reference, bench.times(20, 5), 1)
    take_turns(*ours.values(), old)
    for place, series in ours.items():
        name = f"local: {count} jobs in a loop, time a job, {place}"
        sample = series.sample("wall")
        figure = Figure(name, "ms", sample, old.sample("wall"), Target(1 / 300))
        if sample is not None:
            figure.notes.append(f"{1 / sample.median:.0f} jobs a second")
        yield figure.note_failures(series, old)


def _arrays(bench: Bench, clients: _Clients) -> Iterator[Figure]:
    for place in clients.places:
        yield from _array(bench, clients, place)


def _array(bench: Bench, clients: _Clients, place: str) -> Iterator[Figure]:
    count = bench.times(20_000, 2000)
    client, folder = clients.start(bench.ours, place)
    series = Series(1, lambda: client.call("local_array", folder=folder, count=count, patience=900))
    series.take()
    client.close()
    name = f"local: array of {count} jobs, {place}"
    submission = Figure(f"{name}: submission", "s", series.sample("submission"), None, Target(count / 10_000))
    yield submission.note_failures(series)
    yield Figure(f"{name}: wrong results", "jobs", series.sample("wrong"), None, Target(0))
    yield Figure(f"{name}: the client's peak memory", "MB", series.sample("client"), None, Target(80e6))
    yield Figure(f"{name}: the controller's", "MB", series.sample("controller"), None, Target(60e6))
    yield Figure(f"{name}: the nursery's", "MB", series.sample("nursery"))
    yield Figure(f"{name}: time a job", "ms", series.sample("wall"))


def _files(bench: Bench, clients: _Clients) -> Figure:
    client, folder = clients.start(bench.ours)
    series = Series(1, lambda: client.call("local_files", folder=folder, count=20))
    series.take()
    return Figure("local: files a job", "files", series.sample("files"), None, Target(6)).note_failures(series)


def _preloaded(bench: Bench, clients: _Clients) -> Figure:
    """How much more a job takes that imports numpy than one that does not; the reference is the same without preloading."""

    def importing(preload: bool) -> Series:
        client, folder = clients.start(bench.ours)
        return Series(
            bench.times(5, 2),
            lambda: client.call(
                "local_import", folder=folder, module="numpy", preload=preload, times=bench.times(20, 4)
            ),
        )

    ours, plain = importing(preload=True), importing(preload=False)
    take_turns(ours, plain)
    name = "local: import of numpy, preloaded, above no import"
    figure = Figure(name, "ms", ours.sample("more"), plain.sample("more"), Target(0.002), beside="not preloaded")
    return figure.note_failures(ours, plain)
