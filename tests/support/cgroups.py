"""A private part of the cgroup (v1) hierarchies, in which a node's daemon believes itself alone.

slurmd names the cgroups of its jobs after node and job id, so the jobs of two clusters on one machine would share them
and kill each other. Each cluster therefore gets directories of its own, below the cgroups of the process that starts
it, and each slurmd a cgroup namespace and a mount namespace in which these are the root: below /sys/fs/cgroup a job
sees what /proc/self/cgroup says.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

#: What Slurm uses to track processes, to limit memory, and to account for both.
CONTROLLERS: Final = ("freezer", "memory", "cpuacct")
ROOT: Final = Path("/sys/fs/cgroup")


def make_cgroups(name: str) -> dict[str, Path]:
    """Makes a directory of this name for each controller; empty if this machine or this user cannot have them."""
    made: dict[str, Path] = {}
    try:
        own = own_cgroups(Path("/proc/self/cgroup").read_text())
        for controller in CONTROLLERS:
            parent = ROOT / controller / own[controller].lstrip("/")
            if not (parent / "cgroup.procs").exists():
                # In a container the mount may begin at this process's own cgroup.
                parent = ROOT / controller
            cgroup = parent / name
            cgroup.mkdir()
            made[controller] = cgroup
        if not (made["memory"] / "memory.limit_in_bytes").exists():
            raise OSError("not a cgroup v1 hierarchy")
        subprocess.run(within(made, ["true"]), check=True, capture_output=True)
    except (OSError, LookupError, subprocess.CalledProcessError):
        for cgroup in made.values():
            with contextlib.suppress(OSError):
                cgroup.rmdir()
        return {}
    return made


def own_cgroups(text: str) -> dict[str, str]:
    """The path for each controller in the text of a /proc/PID/cgroup."""
    found = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        found.update(dict.fromkeys(controllers.split(","), path))
    return found


def within(cgroups: Mapping[str, Path], command: Sequence[str]) -> list[str]:
    """A command that runs `command` with these directories as the roots of its hierarchies."""
    enter = [f"echo $$ > {shlex.quote(str(path / 'cgroup.procs'))}" for path in cgroups.values()]
    mount = [f"mount --bind {shlex.quote(str(path))} {ROOT / controller}" for controller, path in cgroups.items()]
    inner = " && ".join([*mount, 'exec "$@"'])
    # Slave, not private: what is mounted later outside (a user's file system) is seen inside as well.
    unshare = f'exec unshare --cgroup --mount --propagation slave sh -c {shlex.quote(inner)} sh "$@"'
    return ["sh", "-c", " && ".join([*enter, unshare]), "sh", *command]


def is_available() -> bool:
    """Whether this process can give a cluster cgroups of its own."""
    made = make_cgroups(f"submitit-probe-{os.getpid()}")
    for cgroup in made.values():
        cgroup.rmdir()
    return bool(made)


@contextlib.contextmanager
def memory_group(name: str, limit_mb: int) -> Iterator[Path]:
    """A memory cgroup of this name with a limit, below this process's own. ``OSError`` if there can be none.

    What is left in it at the end is killed: whatever runs there belongs to the one who asked for it.
    """
    try:
        own = own_cgroups(Path("/proc/self/cgroup").read_text())["memory"].lstrip("/")
    except LookupError as error:
        raise OSError("no memory hierarchy of version 1") from error
    parent = ROOT / "memory" / own
    group = (parent if (parent / "cgroup.procs").exists() else ROOT / "memory") / name
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(limit_mb << 20))
        yield group
    finally:
        deadline = time.monotonic() + 30
        while members := (group / "cgroup.procs").read_text().split():
            assert time.monotonic() < deadline, f"still in {group}: {members}"
            for pid in members:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            time.sleep(0.01)
        group.rmdir()
