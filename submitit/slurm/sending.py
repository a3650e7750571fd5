"""A list of submissions as arrays that Slurm takes: none longer than it allows, and each when there is room for it."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

from submitit import commands
from submitit.errors import SubmissionRefusedError
from submitit.executors import arrays, pickling
from submitit.slurm import limits, queries

if TYPE_CHECKING:
    from collections.abc import Callable

    from submitit.executors.arrays import Part
    from submitit.slurm.room import Room

#: Elements that an array may have unless an administrator said otherwise (slurm.conf.5, MaxArraySize): up to here nobody is asked.
USUAL_ELEMENTS = 1001


def in_parts(count: int, send: Callable[[Part, int], None]) -> None:
    """Call ``send`` for the parts of a list of ``count`` submissions, in order, until all are sent.

    It is told the part and how many elements an array has at most (0: the cluster takes none, each is a job of its own), and
    raises ``SubmissionRefusedError`` for a part that was refused. One that is too large is sent again in smaller ones; where
    there is no room, this waits. Any other refusal is raised.
    """
    largest = count
    if count > USUAL_ELEMENTS:
        cluster = cluster_limits()
        allowed = None if cluster is None else cluster.array_elements
        largest = count if allowed is None else min(count, allowed)
    room: Room | None = None
    first = 0
    while first < count:
        size = arrays.parts(count - first, largest)[0].size
        if room is not None:
            size = min(size, room.size(count - first))
        try:
            send(arrays.Part(first, size), largest)
        except SubmissionRefusedError as refusal:
            words = pickling.words_of(refusal)
            if limits.is_invalid_array(words):
                largest = _smaller(size, refusal)
                continue
            if limits.classify(words) is not limits.Refusal.BACK_PRESSURE:
                raise
            if room is None:
                from submitit.slurm.room import Room

                room = Room(count, cluster_limits)
            room.refused(size, refusal, words)
            continue
        first += size
        if room is not None:
            room.accepted(size)


def cluster_limits() -> limits.ClusterLimits | None:
    """The configuration of the cluster, asked for once a process; ``None`` where it cannot be had now."""
    try:
        return _ask(*(os.environ.get(name) for name in ("SLURM_CONF", "SLURM_CLUSTERS")))
    except Exception:  # noqa: BLE001 - slurmctld is away, or there is a stand-in that has no such command
        return None


@functools.cache
def _ask(*_: str | None) -> limits.ClusterLimits:
    return limits.parse_config(commands.query(limits.config_command(), queries.environment(os.environ)))


def _smaller(size: int, refusal: SubmissionRefusedError) -> int:
    """How long arrays may be, where one of ``size`` elements was refused for that."""
    cluster = cluster_limits()
    allowed = USUAL_ELEMENTS if cluster is None else cluster.array_elements
    if allowed is None or size <= allowed:
        raise refusal  # it has another reason
    return allowed
