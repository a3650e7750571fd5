"""How soon a client that waits sees the end of a job, beside 1.5.4. What is aimed at is measured by `figures_waiting`."""

from __future__ import annotations

import random
from contextlib import ExitStack
from typing import TYPE_CHECKING

import nobody
from processes import Client
from samples import Answer, Figure, Series, take_turns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from machine import Bench


def measure(bench: Bench) -> Iterator[Figure]:
    with ExitStack() as stack:
        clients = {}
        for name, python in (("ours", bench.ours), ("reference", bench.reference)):
            directory = bench.work / f"waking-{name}"
            client = Client(python, directory, nobody.environment(bench.work / f"nobody-{name}"))
            clients[name] = stack.enter_context(client), str(directory / "logs")

        def waking(name: str, times: int, delay: float) -> Series:
            client, folder = clients[name]

            def wake_up() -> Answer:
                # What looks once a second would else find it soon each time, or late.
                after = delay * random.uniform(0.5, 1.5)
                return client.call("wake_up", patience=after + 60, folder=folder, delay=after)

            return Series(times, wake_up)

        short, short_ = waking("ours", bench.times(20, 5), 0.3), waking("reference", bench.times(5, 1), 0.3)
        take_turns(short, short_)
        seconds = short.sample("seconds"), short_.sample("seconds")
        figure = Figure("waking: end of a job to result(), after about 0.3 s", "ms", *seconds)
        yield figure.note_failures(short, short_)
        long = waking("ours", bench.times(6, 1), 15.0 if not bench.quick else 3.0)
        long_ = waking("reference", bench.times(2, 1), 15.0 if not bench.quick else 3.0)
        take_turns(long, long_)
        seconds = long.sample("seconds"), long_.sample("seconds")
        name = f"waking: the same, after about {3 if bench.quick else 15} s"
        yield Figure(name, "ms", *seconds).note_failures(long, long_)
