"""Lists of submissions as job arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class Part(NamedTuple):
    """Consecutive elements of a list that are sent as one array, or as a plain job if there is one."""

    #: The place of the first in the list.
    first: int
    size: int

    @property
    def stop(self) -> int:
        """The place after the last."""
        return self.first + self.size


def parts(count: int, largest: int) -> list[Part]:
    """``count`` elements in as few arrays as possible, none of more than ``largest`` elements, all about equally long."""
    if count <= 0:
        return []
    import itertools

    number = -(-count // max(1, largest))
    bounds = [count * k // number for k in range(number + 1)]
    return [Part(first, stop - first) for first, stop in itertools.pairwise(bounds)]


def element_ids(array_id: str, count: int, first: int = 0) -> list[str]:
    """The job ids of an array's elements, numbered from ``first`` on."""
    return [f"{array_id}_{index}" for index in range(first, first + count)]


class Run(NamedTuple):
    """Consecutive elements of one array, or one plain job (``array`` is empty then)."""

    array: str
    #: The job's id; of elements, the first index.
    first: str
    size: int


def runs(job_ids: Iterable[str]) -> list[Run]:
    """Job ids in order, with consecutive elements of an array as one."""
    found: list[Run] = []
    for job_id in job_ids:
        array, separator, index = job_id.partition("_")
        if not separator or not index.isdecimal():
            found.append(Run("", job_id, 1))
            continue
        last = found[-1] if found else None
        if last is not None and last.array == array and int(last.first) + last.size == int(index):
            found[-1] = last._replace(size=last.size + 1)
        else:
            found.append(Run(array, index, 1))
    return found


def words(job_ids: Iterable[str], most: int = 20) -> str:
    """Job ids for a message, consecutive elements together: ``"7, 12_[0-999], 13_4"``; after ``most`` of them, ``"…"``."""
    found = runs(job_ids)
    texts = [_word(run) for run in found[:most]]
    return ", ".join([*texts, "…"] if len(found) > most else texts)


def _word(run: Run) -> str:
    if run.size == 1:
        return f"{run.array}_{run.first}" if run.array else run.first
    return f"{run.array}_[{run.first}-{int(run.first) + run.size - 1}]"
