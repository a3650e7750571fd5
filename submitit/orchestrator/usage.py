"""What this process and what it has started have used: CPU time, and memory at its largest.

Children that were waited for the kernel has counted. Those that live on are looked up, where there is /proc and there are any.
This is part of every job: nothing is imported that a job has not loaded by then.
"""

from __future__ import annotations

import os
import sys

#: Kilobytes (getrusage(2)); on macOS bytes.
_PER_MB = 1024 if sys.platform != "darwin" else 1024 * 1024


def so_far() -> tuple[float, float]:
    """CPU seconds, user and system, and the larger of two sizes in MB (1024²): that of the largest process so far, and that of all
    that live now, shared pages counted in each.
    """
    import resource

    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu_s = sum(usage.ru_utime + usage.ru_stime for usage in used)
    largest_mb = max(usage.ru_maxrss for usage in used) / _PER_MB
    below = _descendants(os.getpid())
    if not below:
        return cpu_s, largest_mb
    living = [found for found in map(_of_process, below) if found is not None]
    own = _of_process(os.getpid())
    together_mb = sum(size_mb for _, size_mb in living) + (0.0 if own is None else own[1])
    return cpu_s + sum(seconds for seconds, _ in living), max(largest_mb, together_mb)


def _descendants(pid: int) -> list[int]:
    """The processes below one, as far as /proc shows them."""
    found = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += [int(child) for child in file.read().split()]
    except OSError:
        pass
    return found + [below for child in found for below in _descendants(child)]


def _of_process(pid: int) -> tuple[float, float] | None:
    """CPU seconds, with those of the children it waited for, and size in MB of one process; see proc_pid_stat(5)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    cpu_s = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return cpu_s, int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 1024**2
