"""Looking for results that no marker told of: a network file system may lose one, or be late with it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    Waitable = Any  # a client.job.Job: the layer above this one

#: For fewer jobs of one directory than this, their own files are looked for: the directory may list far more.
LISTED_FROM = 32


class Sweep:
    """Says which of many jobs may have left a result.

    Thousands of jobs share a directory in which each has a file, or a directory of its own that its script makes. One listing
    rules out all those that have not got so far.
    """

    def __init__(self) -> None:
        # The handle is kept with its place: another one may get the same id() later.
        self._places: dict[int, tuple[Waitable, str, str]] = {}

    def candidates(self, waiting: Iterable[Waitable]) -> list[Waitable]:
        """The jobs whose files are worth a look of their own."""
        by_directory: dict[str, list[tuple[str, Waitable]]] = {}
        for job in waiting:
            place = self._places.get(id(job))
            if place is None:
                place = self._places[id(job)] = (job, *job.paths.entry("result_pickle"))
            by_directory.setdefault(place[1], []).append((place[2], job))
        found: list[Waitable] = []
        for directory, places in by_directory.items():
            listed = _listed(directory) if len(places) >= LISTED_FROM else None
            found += [job for name, job in places if listed is None or name in listed]
        return found


def _listed(directory: str) -> frozenset[str] | None:
    try:
        return frozenset(os.listdir(directory))
    except OSError:
        return None
