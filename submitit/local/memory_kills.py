"""Whether the kernel has killed a process for memory, by the counters that it keeps.

The victim has nothing that tells this SIGKILL from another. But the kernel counts, in the memory control group that the victim
was in, and for the machine as a whole. A group's counter alone decides where there is one: what dies elsewhere on the machine
is no evidence. Each kill that was counted explains one death, of a process that died soon after.

Other systems than Linux have no such counters: there, a kill for memory is a SIGKILL like any other.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING, NamedTuple

from submitit.local import processes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from submitit.local.usage import Usage

#: A large process may need that long to die.
DYING_S = 10.0
#: What version 1 of the interface says of a group without a limit is the largest number of whole pages.
_NO_LIMIT = 1 << 60
_ROOTS = {1: "/sys/fs/cgroup/memory", 2: "/sys/fs/cgroup"}
_COUNTERS = {1: ("memory.oom_control",), 2: ("memory.events.local", "memory.events")}
_LIMITS = {1: "memory.limit_in_bytes", 2: "memory.max"}


class Counter(NamedTuple):
    """A file in which the kernel counts what it has killed for memory."""

    path: str
    #: 0 for the machine's.
    version: int

    def read(self) -> int | None:
        """The count; ``None`` if it cannot be read (any more)."""
        with contextlib.suppress(OSError, ValueError), open(self.path, encoding="ascii") as file:
            for line in file:
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
        return None

    def limit_mb(self) -> float | None:
        """The memory that the group and those above it leave its processes; ``None`` without a limit."""
        limits = []
        directory = os.path.dirname(self.path)
        while self.version and directory.startswith(_ROOTS[self.version]):
            path = f"{directory}/{_LIMITS[self.version]}"
            with contextlib.suppress(OSError, ValueError), open(path, encoding="ascii") as file:
                limits.append(int(file.read()))  # or "max"
            directory = os.path.dirname(directory)
        return min((limit / 1024**2 for limit in limits if limit < _NO_LIMIT), default=None)

    def __str__(self) -> str:
        limit_mb = self.limit_mb()
        where = f"the control group {os.path.dirname(self.path)}" if self.version else "this machine"
        return where if limit_mb is None else f"{where}, which is limited to {limit_mb:.0f} MB"


class MemoryKills:
    """The kills that were counted, as far as they concern this process and those that it looks after."""

    def __init__(self, own: Counter | None) -> None:
        self._own = own
        self._own_groups = _groups("self")
        #: Of the processes that were last looked at, those that are in another group.
        self._elsewhere: dict[int, Counter] = {}
        self._counts: dict[Counter, int] = {}
        #: Kills that explain no death yet, and when the last of them was counted.
        self._unexplained: dict[Counter, tuple[int, float]] = {}
        if self._own is not None:
            self._refresh(self._own)

    def look(self, pids: Iterable[int]) -> None:
        """See which groups these processes are in, and what was counted there."""
        elsewhere = {}
        for pid in pids:
            groups = _groups(pid)
            if groups == self._own_groups:
                continue
            # On its way out a process is shown in the roots of version 1's hierarchies (cgroup.c, proc_cgroup_show), and one that
            # was killed for its memory may be long on it.
            counter = _counter(groups) if groups and not processes.exiting(pid) else self._elsewhere.get(pid)
            if counter is not None and counter != self._own:
                elsewhere[pid] = counter
        self._elsewhere = elsewhere
        wanted = {*self._elsewhere.values(), *([] if self._own is None else [self._own])}
        for known in self._counts.keys() - wanted:
            del self._counts[known]
        for counter in wanted:
            self._refresh(counter)

    def explain(self, pid: int, rank: int, start: float, usage: Usage, asked_gb: float = 0.0) -> str:
        """For the user: what has killed a task that has just died, how large the job was, what it had asked for, what can be done.

        Empty if no kill was counted since ``start`` (of `time.monotonic`) that would explain it.
        """
        counter = self._elsewhere.get(pid, self._own)
        if counter is None:
            return ""
        self._refresh(counter)
        count, when = self._unexplained.get(counter, (0, 0.0))
        if not count or when < start or time.monotonic() - when > DYING_S:
            return ""
        self._unexplained[counter] = (count - 1, when)
        asked = f"asked for {asked_gb:g} GB (mem_gb)" if asked_gb else "not asked for any (mem_gb)"
        return (
            f"task {rank} was killed by the kernel for memory, in {counter}. The job had used {usage.peak_mb:.0f} MB, and had {asked}. "
            "Have it use less, or ask for what it needs, so that less runs beside it."
        )

    def _refresh(self, counter: Counter) -> None:
        count = counter.read()
        if count is None:
            return
        new = count - self._counts.get(counter, count)
        self._counts[counter] = count
        if new > 0:
            now = time.monotonic()
            left, when = self._unexplained.get(counter, (0, now))
            self._unexplained[counter] = (new + (left if now - when <= DYING_S else 0), now)


def own_counter() -> Counter | None:
    """The one that counts what is killed of this process's group; ``None`` where nothing counts."""
    return _counter(_groups("self"))


def _groups(pid: int | str) -> str:
    """The control groups of a process as the kernel writes them; empty where there are none."""
    if not processes.LINUX:
        return ""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _counter(groups: str) -> Counter | None:
    """The counter of the memory group among these; the machine's where none can be read."""
    for line in groups.splitlines():
        _, controllers, path = line.split(":", 2)
        version = 2 if controllers == "" else 1 if "memory" in controllers.split(",") else 0
        # In a container the path may be the host's: there the root is its own group.
        for directory in dict.fromkeys((_ROOTS[version] + path.rstrip("/"), _ROOTS[version])) if version else ():
            for name in _COUNTERS[version]:
                counter = Counter(f"{directory}/{name}", version)
                if counter.read() is not None:
                    return counter
    machine = Counter("/proc/vmstat", 0)
    return machine if processes.LINUX and machine.read() is not None else None


def killed(code: int | None, *, shell: bool) -> bool:
    """Whether a task with this exit code was, or may have been, ended by SIGKILL; a shell says it of its command."""
    return code == -signal.SIGKILL or (shell and code == 128 + signal.SIGKILL)
