"""`executor.map` on the local backend: many trivial calls in few jobs, beside a process pool with the same chunks."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from processes import Client
from samples import Answer, Figure, Series, Target, take_turns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from machine import Bench

MAPS: Final = Path(__file__).with_name("maps.py")
CALLS: Final = 100_000
CHUNKSIZE: Final = 1000
#: At least half as fast as the pool, which writes nothing down.
SHARE: Final = 0.5


def measure(bench: Bench) -> Iterator[Figure]:
    calls = bench.times(CALLS, CALLS // 10)
    places = {"on disk": bench.work}
    if bench.in_memory is not None:
        places["in memory"] = bench.in_memory
    size = {"calls": calls, "chunksize": CHUNKSIZE}
    with ExitStack() as stack:

        def client(away: Path) -> Client:
            return stack.enter_context(Client(bench.ours, away, program=MAPS))

        def ours(place: str) -> Series:
            away = places[place] / "map"
            ours, folder = client(away), str(away / "logs")
            return _warm(bench, lambda: ours.call("by_jobs", folder=folder, **size))

        def beside() -> Series:
            pool = client(bench.work / "map-pool")
            return _warm(bench, lambda: pool.call("by_pool", **size))

        series, pool = {place: ours(place) for place in places}, beside()
        take_turns(*series.values(), pool)
    for place, one in series.items():
        name = f"map: {calls} trivial calls, {CHUNKSIZE} a chunk, {place}"
        figure = Figure(
            name, "ms", one.sample("wall"), pool.sample("wall"), Target(SHARE, "ratio"), beside="process pool"
        )
        yield figure.note_failures(one, pool)


def _warm(bench: Bench, measure: Callable[[], Answer]) -> Series:
    """The first time does not count."""
    measure()
    return Series(bench.times(15, 4), measure)
