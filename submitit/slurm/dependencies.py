"""What jobs wait for, as ``--dependency`` says it: pure, text out.

A job, or all elements of an array, wait for whole jobs: ``afterok:12:13,afterany:14``. Element by element between arrays it is
``aftercorr:12``, where an element waits for the one of its own index (sbatch.1). Slurm has nothing else for elements that wait
for different jobs: they are sent in runs, one array or job for each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from submitit.orchestrator.dependencies import Upstream, Waits


class Run(NamedTuple):
    """Consecutive elements of a list that can be sent as one array."""

    #: The place of the first in the list.
    first: int
    size: int
    #: The arrays whose elements they wait for one by one; none: all of them wait for the same.
    arrays: tuple[str, ...] = ()
    #: The index of the first of these elements, which is that of the first of the run then.
    base: int = 0


def runs(waits: Sequence[Waits]) -> list[Run]:
    """The list as few runs, in order."""
    found: list[Run] = []
    first = 0
    while first < len(waits):
        alike = _alike(waits, first)
        arrays, index, in_step = _in_step(waits, first)
        found.append(Run(first, in_step, arrays, index) if in_step > alike else Run(first, alike))
        first = found[-1].first + found[-1].size
    return found


def _alike(waits: Sequence[Waits], first: int) -> int:
    """How many elements from one on wait for the same."""
    own = frozenset(waits[first].own)
    size = 1
    while first + size < len(waits) and frozenset(waits[first + size].own) == own:
        size += 1
    return size


def _in_step(waits: Sequence[Waits], first: int) -> tuple[tuple[str, ...], int, int]:
    """The same of elements that wait for elements of one index of the same arrays, which grows by one: arrays, index, how many."""
    arrays, index = _elements(waits[first].own)
    if not arrays:
        return (), 0, 0
    size = 1
    while first + size < len(waits) and _elements(waits[first + size].own) == (arrays, index + size):
        size += 1
    return arrays, index, size


def _elements(upstreams: Sequence[Upstream]) -> tuple[tuple[str, ...], int]:
    """The arrays of elements that have all the same index, and it; no arrays where it is not so."""
    parts = [upstream.job_id.partition("_") for upstream in upstreams]
    indices = {index for _, _, index in parts}
    if len(indices) != 1 or not (index := indices.pop()).isdecimal():
        return (), 0
    return tuple(sorted({array for array, _, _ in parts})), int(index)


def text(
    waits: Sequence[Waits],
    run: Run,
    sizes: dict[str, int],
    succeeded: Collection[Upstream],
    ended: Collection[Upstream] = (),
) -> str:
    """The value of ``--dependency`` for a run, or for a part of one; ``""`` where there is nothing to wait for.

    ``waits`` are those of its elements. ``sizes`` are the elements of arrays, where known: of an array that is waited for as a
    whole it is enough to name it. Of jobs that have ``succeeded``, or ``ended`` where that is enough, Slurm may know nothing any
    more.
    """
    kinds: dict[str, list[str]] = {"afterok": [], "aftercorr": [], "afterany": []}
    ok = list(waits[0].ok)
    if run.arrays:
        if any(upstream not in succeeded for each in waits for upstream in each.own):
            kinds["aftercorr"] += run.arrays
    else:
        ok += waits[0].own
    kinds["afterok"] = _joined(ok, sizes, succeeded)
    kinds["afterany"] = _joined(waits[0].any, sizes, ended)
    return ",".join(":".join([kind, *dict.fromkeys(ids)]) for kind, ids in kinds.items() if ids)


def _joined(upstreams: Sequence[Upstream], sizes: dict[str, int], done: Collection[Upstream]) -> list[str]:
    """The ids of those that are not done, with an array in the place of all its elements."""
    wanted = dict.fromkeys(upstream.job_id for upstream in upstreams if upstream not in done)
    elements: dict[str, int] = {}
    for job_id in wanted:
        array, is_element, _ = job_id.partition("_")
        if is_element:
            elements[array] = elements.get(array, 0) + 1
    whole = {array for array, count in elements.items() if count == sizes.get(array)}
    return list(dict.fromkeys(array if (array := job_id.partition("_")[0]) in whole else job_id for job_id in wanted))


def merged(given: str | None, own: str) -> str:
    """What the user has given for ``dependency``, with what the jobs wait for. ``ValueError`` where the two cannot be joined."""
    if given and "?" in given:
        raise ValueError(
            f"dependency={given!r} waits for any one of several ('?'), which Slurm does not join with what after= and result_of() wait for"
        )
    return f"{given},{own}" if given else own
