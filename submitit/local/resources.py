"""What this machine has for jobs, and what a job sees of it."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def available_cpus() -> int:
    """How many CPUs this process may use: its affinity mask, less where a control group limits it. At least 1."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        count = os.cpu_count() or 1
    limit = _cgroup_cpus()
    return max(1, count if limit is None else min(count, limit))


def visible_devices(granted: Sequence[int]) -> str:
    """``CUDA_VISIBLE_DEVICES`` of a job: the GPUs it was given, none if it was given none."""
    return ",".join(map(str, granted))


def _cgroup_cpus() -> int | None:
    """Whole CPUs that the quota of this process's control group amounts to, rounded up; ``None`` without a quota."""
    limits = []
    for directory, version in _cgroup_directories():
        with contextlib.suppress(OSError, ValueError):
            quota, period = _quota(directory, version)
            if quota > 0 and period > 0:
                limits.append(max(1, -(-quota // period)))
    return min(limits, default=None)


def _cgroup_directories() -> list[tuple[str, int]]:
    """The CPU control group of this process and those above it, with the version of the interface."""
    try:
        with open("/proc/self/cgroup", encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, version = "/sys/fs/cgroup", 2
        elif "cpu" in controllers.split(","):
            root, version = "/sys/fs/cgroup/cpu", 1
        else:
            continue
        # In a container the path may be the host's: then only the root, which is the container's own group, exists.
        while True:
            found.append((root + path.rstrip("/"), version))
            if path in ("/", ""):
                break
            path = os.path.dirname(path)
    return found


def _quota(directory: str, version: int) -> tuple[int, int]:
    if version == 2:
        with open(f"{directory}/cpu.max", encoding="ascii") as file:
            quota, period = file.read().split()
        return (0 if quota == "max" else int(quota)), int(period)
    with open(f"{directory}/cpu.cfs_quota_us", encoding="ascii") as file:
        quota_us = int(file.read())
    with open(f"{directory}/cpu.cfs_period_us", encoding="ascii") as file:
        return quota_us, int(file.read())
