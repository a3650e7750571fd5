"""What jobs have used: memory at its peak, and CPU time.

::

    a look (0.5 s) ─▶ one pass over the processes ─▶ those of each job ─▶ their memory together, the most of all looks
    a task's end   ─▶ CPU and largest size of it and of the children that it waited for, as the kernel has counted them

A job's peak is the most that was seen of all its processes at one time, and never less than the largest of them had. A job
that is over before its first look has the latter alone, and has cost nothing. What a short burst between two looks took is
seen in the second way only.

Memory that processes share counts once, as long as finding that out is cheap (see `_PSS_KB`); else each counts all that it
sees, as Slurm has it. A child that was just forked shares everything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from submitit.local import processes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from submitit.local.processes import Seen

J = TypeVar("J")

#: A job that is younger is not looked at.
FIRST_LOOK_S = 0.3
#: The next look stays away for this many times the CPU time of the last.
REST = 50
#: Processes that are larger together count what they share each: the kernel needs 7 ms for a GB to tell it apart.
_PSS_KB = 4 * 1024 * 1024


class Usage:
    """What one start of a job has used so far."""

    __slots__ = ("_ended_s", "_seen_s", "peak_mb")

    def __init__(self) -> None:
        self.peak_mb = 0.0
        self._seen_s = 0.0
        self._ended_s = 0.0

    @property
    def cpu_s(self) -> float:
        """CPU seconds. Those of a process that nobody waited for count up to the last look at it."""
        return max(self._seen_s, self._ended_s)

    def seen(self, memory_mb: float, cpu_s: float) -> None:
        """The job's living processes had used that much together."""
        self.peak_mb = max(self.peak_mb, memory_mb)
        # A task that has ended meanwhile is not among the living.
        self._seen_s = max(self._seen_s, self._ended_s + cpu_s)

    def ended(self, cpu_s: float, max_rss_mb: float) -> None:
        """A task has ended, and had used that much with the children that it waited for."""
        self.peak_mb = max(self.peak_mb, max_rss_mb)
        self._ended_s += cpu_s


def look(jobs: Mapping[int, Usage]) -> None:
    """Take in what the jobs use now. Each task's job is named by the number of its process."""
    for usage, members in trees(processes.table(), jobs).items():
        memory_kb = sum(seen.resident_kb for seen in members)
        if 1024 * usage.peak_mb < memory_kb <= _PSS_KB and len(members) > 1:
            memory_kb = sum(_proportional_kb(seen) for seen in members)
        usage.seen(memory_kb / 1024, sum(seen.cpu_s for seen in members))


def trees(table: Iterable[Seen], leaders: Mapping[int, J]) -> dict[J, list[Seen]]:
    """The processes of each job: its tasks with all below them, and what has lost its parent but not left its task's group."""
    by_pid = {seen.pid: seen for seen in table}
    owners: dict[int, J | None] = {}

    def owner(seen: Seen) -> J | None:
        path = []
        at: Seen | None = seen
        found = None
        while found is None and at is not None and at.pid not in owners:
            path.append(at.pid)
            owners[at.pid] = None  # numbers are used again while they are read: a parent may be a child's child
            found = leaders.get(at.pid) or leaders.get(at.group)
            at = by_pid.get(at.parent)
        if found is None and at is not None:
            found = owners[at.pid]
        owners.update(dict.fromkeys(path, found))
        return found

    found: dict[J, list[Seen]] = {}
    for seen in by_pid.values():
        job = owner(seen)
        if job is not None:
            found.setdefault(job, []).append(seen)
    return found


def _proportional_kb(seen: Seen) -> int:
    proportional_kb = processes.proportional_kb(seen.pid)
    return seen.resident_kb if proportional_kb is None else proportional_kb
