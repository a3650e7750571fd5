"""What a job has asked for, in the same units whatever its backend."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from submitit.slurm import parameters as slurm_parameters
from submitit.slurm import queries

if TYPE_CHECKING:
    from submitit.views.entry import JobEntry


class Asked(NamedTuple):
    """What was asked for a whole job; ``None`` where it was left to the scheduler."""

    nodes: int = 1
    tasks: int = 1
    #: Of all tasks.
    cpus: int | None = None
    gpus: int | None = None
    #: Of each node, in MB (1024²).
    mem_mb: float | None = None
    time_s: float | None = None


def asked(entry: JobEntry) -> Asked:
    """What a job's record says that it asked for. Odd values are left out."""
    given = {name: value for name, value in entry.parameters.items() if value is not None}
    slurm = entry.backend == "slurm"
    nodes = _number(given.get("nodes")) or 1
    gpus = _count(given.get("gpus_per_node", given.get("num_gpus")))
    if gpus is None and slurm and (found := re.search(r"gpu:(?:[\w.-]+:)?(\d+)", str(given.get("gres", "")))):
        gpus = int(found[1])
    cpus = _number(given.get("cpus_per_task"))
    minutes = slurm_parameters.time_limit_min(given.get("time", 5)) if slurm else _amount(given.get("timeout_min", 2))
    return Asked(
        nodes=nodes,
        tasks=entry.tasks,
        cpus=cpus * entry.tasks if cpus else None if slurm else entry.tasks,
        gpus=gpus * nodes if gpus else None,
        mem_mb=_memory_mb(given, entry.tasks // nodes or 1) if slurm else _times(_amount(given.get("mem_gb")), 1024),
        time_s=_times(minutes, 60),
    )


def _memory_mb(given: dict[str, Any], tasks: int) -> float | None:
    """Slurm's memory of a node: a number is MB, and a unit may follow (sbatch.1 ``--mem``)."""
    for name, times in (("mem", 1), ("mem_per_cpu", tasks * (_number(given.get("cpus_per_task")) or 1))):
        text = str(given.get(name, ""))
        found = queries.memory_bytes(text + "M" if text.isdecimal() else text.upper().removesuffix("B"))
        if found:
            return found / 1024**2 * times
    return None


def _number(value: object) -> int | None:
    """A count as somebody may have written it: ``2`` or ``"2"``; of nodes also ``"2-4"``, of which it is the least."""
    text = str(value).partition("-")[0]
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def _count(value: object) -> int | None:
    """The number of GPUs: ``2``, ``"v100:2"``."""
    return None if value is None else _number(str(value).rpartition(":")[2])


def _amount(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _times(value: float | None, factor: float) -> float | None:
    return value * factor if value and value != float("inf") else None
