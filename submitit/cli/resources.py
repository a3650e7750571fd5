"""What a job has asked for and used, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from submitit import amounts

if TYPE_CHECKING:
    from submitit.views.asked import Asked
    from submitit.views.entry import JobEntry


def asked_text(given: Asked) -> str:
    """``"1 node, 2 tasks, 4 CPUs, 16 GB of memory, up to 1:00:00"``: what was asked for."""
    parts = [amounts.count(given.nodes, "node"), amounts.count(given.tasks, "task")]
    parts += [amounts.count(given.cpus, "CPU")] if given.cpus else []
    parts += [amounts.count(given.gpus, "GPU")] if given.gpus else []
    of_each = " a node" if given.nodes > 1 else ""
    parts += [f"{amounts.memory(given.mem_mb)} of memory{of_each}"] if given.mem_mb else []
    parts += [f"up to {amounts.clock(given.time_s)}"] if given.time_s else []
    return ", ".join(parts)


def used_text(entry: JobEntry, given: Asked) -> str:
    """``"3:20 of CPU time (83 % of 4 CPUs), 1.2 GB of memory (60 % of 2 GB)"``: what is known to have been used."""
    parts = []
    if entry.cpu_s is not None:
        share = ""
        if entry.start is not None and entry.end is not None and given.cpus and entry.end - entry.start > 1:
            held_s = (entry.end - entry.start) * given.cpus
            share = f" ({amounts.share(entry.cpu_s, held_s)} of {amounts.count(given.cpus, 'CPU')})"
        parts.append(f"{amounts.clock(entry.cpu_s)} of CPU time{share}")
    if entry.max_rss_mb is not None:
        share = (
            f" ({amounts.share(entry.max_rss_mb, given.mem_mb)} of {amounts.memory(given.mem_mb)})"
            if given.mem_mb
            else ""
        )
        parts.append(f"{amounts.memory(entry.max_rss_mb)} of memory{share}")
    return ", ".join(parts)
