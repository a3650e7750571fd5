"""What this machine has for jobs, and what a job sees of it."""

from __future__ import annotations

import contextlib
import functools
import os
import re
from typing import TYPE_CHECKING

from submitit.local import processes

if TYPE_CHECKING:
    from collections.abc import Mapping


def available_cpus() -> int:
    """How many CPUs this process may use: its affinity mask, less where a control group limits it. At least 1."""
    count = len(os.sched_getaffinity(0)) if processes.LINUX else os.cpu_count() or 1
    limit = _cgroup_cpus()
    return max(1, count if limit is None else min(count, limit))


def available_memory() -> int | None:
    """Bytes of memory that this process and others of its control group may use together; ``None`` where it cannot be told."""
    limits = []
    for directory, version in _cgroup_directories("memory"):
        with contextlib.suppress(OSError, ValueError):  # "max" is no number
            limits.append(_number(directory, "memory.max" if version == 2 else "memory.limit_in_bytes"))
    with contextlib.suppress(AttributeError, OSError, ValueError):
        pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
        if pages > 0 and size > 0:
            limits.append(pages * size)
    return min((limit for limit in limits if limit > 0), default=None)


def visible_gpus(env: Mapping[str, str]) -> list[str]:
    """The GPUs that jobs submitted under ``env`` may have: those of ``CUDA_VISIBLE_DEVICES``, by default the machine's.

    An empty variable hides GPUs from the submitter alone, as jobs without a GPU have it; ``-1`` says that there are none.
    """
    named = env.get("CUDA_VISIBLE_DEVICES", "").strip()
    if not named:
        return list(machine_gpus())
    found: list[str] = []
    for word in map(str.strip, named.split(",")):
        # As in CUDA, what follows an entry that is none is not visible.
        if not re.fullmatch(r"\d+|(GPU|MIG)-[\w/-]+", word):
            break
        found.append(word)
    return list(dict.fromkeys(found))


@functools.cache
def machine_gpus(proc: str = "/proc/driver/nvidia/gpus", dev: str = "/dev") -> tuple[str, ...]:
    """The numbers of the GPUs that the driver shows to this process; none where it cannot be told that there are any."""
    for directory, pattern in ((proc, r".+"), (dev, r"nvidia\d+")):
        with contextlib.suppress(OSError):
            count = sum(1 for name in os.listdir(directory) if re.fullmatch(pattern, name))
            if count:
                # CUDA counts what it sees, whatever number the device has.
                return tuple(map(str, range(count)))
    from submitit import commands

    if commands.which("nvidia-smi") is None:
        return ()
    try:
        listed = commands.query(["nvidia-smi", "-L"])
    except Exception:  # noqa: BLE001 - a tool without its driver, or one that hangs: nothing is known
        return ()
    return tuple(re.findall(r"^GPU (\d+):", listed, re.MULTILINE))


def _cgroup_cpus() -> int | None:
    """Whole CPUs that the quota of this process's control group amounts to, rounded up; ``None`` without a quota."""
    limits = []
    for directory, version in _cgroup_directories("cpu"):
        with contextlib.suppress(OSError, ValueError):
            quota, period = _quota(directory, version)
            if quota > 0 and period > 0:
                limits.append(max(1, -(-quota // period)))
    return min(limits, default=None)


def _cgroup_directories(controller: str) -> list[tuple[str, int]]:
    """The control group of this process for ``cpu`` or ``memory`` and those above it, with the version of the interface."""
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
        elif controller in controllers.split(","):
            root, version = f"/sys/fs/cgroup/{controller}", 1
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
    return _number(directory, "cpu.cfs_quota_us"), _number(directory, "cpu.cfs_period_us")


def _number(directory: str, name: str) -> int:
    with open(f"{directory}/{name}", encoding="ascii") as file:
        return int(file.read())
