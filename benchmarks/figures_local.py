"""From the submission of a trivial function to its result, on the local backend."""

from __future__ import annotations

import itertools
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from processes import Client
from samples import Answer, Figure, Series, Target, take_turns

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from machine import Bench

#: Longer than the least time between two submissions of one executor (0.2 s), which is no part of a round trip.
PAUSE_S = 0.25


def measure(bench: Bench) -> Iterator[Figure]:
    counter = itertools.count()
    with ExitStack() as stack:

        def start(python: str, name: str) -> tuple[Client, Path]:
            away = bench.work / f"local-{name}-{next(counter)}"
            return stack.enter_context(Client(python, away)), away / "logs"

        def warm(python: str, name: str, times: int) -> Series:
            client, folder = start(python, name)

            def round_trip() -> Answer:
                time.sleep(PAUSE_S)
                return client.call("local_round_trip", folder=str(folder))

            client.call("ready")
            return Series(times, round_trip)

        def cold(python: str, name: str, times: int) -> Series:
            def first() -> Answer:
                client, folder = start(python, name)
                client.call("ready")
                return client.call("local_round_trip", folder=str(folder))

            return Series(times, first)

        firsts = cold(bench.ours, "ours", bench.times(10, 3)), cold(bench.reference, "reference", bench.times(3, 1))
        take_turns(*firsts)
        later = warm(bench.ours, "ours", bench.times(20, 5)), warm(bench.reference, "reference", bench.times(5, 2))
        take_turns(*later)
    yield Figure(
        "local: submission to result", "ms", later[0].sample("wall"), later[1].sample("wall"), Target(8, "ratio")
    ).note_failures(*later)
    yield Figure(
        "local: the same, the client's first submission", "ms", firsts[0].sample("wall"), firsts[1].sample("wall")
    ).note_failures(*firsts)
