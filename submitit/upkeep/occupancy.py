"""What takes space in a folder of jobs, summed up."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from submitit.upkeep import inventory
from submitit.upkeep.inventory import KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from submitit.upkeep.inventory import File, Inventory, Key


class Share(NamedTuple):
    """Some files together; what has several names is counted once."""

    size: int = 0
    files: int = 0


class Occupancy(NamedTuple):
    """What a folder of jobs takes of the disk."""

    root: str
    total: Share
    #: By kind, those that there are, in the order of ``inventory.KINDS``.
    kinds: Mapping[str, Share]
    #: Each job's own files by kind, the largest job first. What the elements of an array share is in no job's.
    jobs: Mapping[Key, Mapping[str, Share]]


def occupancy(root: str, listed: Inventory) -> Occupancy:
    """Sum up an inventory. A file with several names counts once, as what its first name is."""
    order = list(KINDS)
    files = sorted(listed.files, key=lambda file: order.index(file.kind))
    own = listed.of_jobs()
    jobs = {job: _by_kind(own[job]) for job in own}
    return Occupancy(
        root,
        _share(files),
        _by_kind(files),
        dict(sorted(jobs.items(), key=lambda item: -sum(share.size for share in item[1].values()))),
    )


def _by_kind(files: list[File]) -> dict[str, Share]:
    found: dict[str, list[File]] = {}
    seen: set[tuple[int, int]] = set()
    for file in files:
        if file.inode not in seen:
            seen.add(file.inode)
            found.setdefault(file.kind, []).append(file)
    return {kind: _share(found[kind]) for kind in KINDS if kind in found}


def _share(files: list[File]) -> Share:
    return Share(inventory.size_of(files), len({file.inode for file in files}))
