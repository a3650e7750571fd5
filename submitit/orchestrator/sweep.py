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

    def __init__(self, jobs: Iterable[Waitable]) -> None:
        self._places: dict[str, dict[str, list[Waitable]]] = {}
        #: How many jobs there are.
        self.size = 0
        for job in jobs:
            self.size += 1
            directory, name = job.paths.entry("result_pickle")
            self._places.setdefault(directory, {}).setdefault(name, []).append(job)

    def candidates(self) -> list[Waitable]:
        """The jobs whose files are worth a look of their own."""
        found: list[Waitable] = []
        for directory, places in self._places.items():
            listed = _listed(directory) if sum(map(len, places.values())) >= LISTED_FROM else None
            found += [job for name, jobs in places.items() if listed is None or name in listed for job in jobs]
        return found


def _listed(directory: str) -> frozenset[str] | None:
    try:
        return frozenset(os.listdir(directory))
    except OSError:
        return None
