"""Where the figures come from: the two versions, the machine, and the directories of this run."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
REFERENCE: Final = "1.5.4"
EXECUTORLIB: Final = "1.11.0"
#: Where Linux has a file system in memory.
IN_MEMORY: Final = Path("/dev/shm")


@dataclass(frozen=True)
class Bench:
    """What every measurement is given."""

    #: The interpreter that runs this program: its environment has the version that is measured.
    ours: str
    #: The interpreter of an environment with the reference.
    reference: str
    #: An empty directory of this run. Nothing in it is deleted while there is something to measure: on ext4 every
    #: file made in the minute after a large deletion costs twenty times as much.
    work: Path
    #: Another one on a file system in memory; None where there is none.
    in_memory: Path | None
    #: Where environments are kept from run to run.
    build: Path
    quick: bool
    slow_reference: bool

    def times(self, full: int, quick: int) -> int:
        return quick if self.quick else full


def make_reference(build: Path) -> str:
    """The interpreter of the reference's environment, which is made at the first call, with our cloudpickle."""
    cloudpickle = version("cloudpickle")
    return _environment(build, "reference", f"submitit=={REFERENCE}", f"cloudpickle=={cloudpickle}")


def make_executorlib(build: Path) -> str:
    """The interpreter of an environment with executorlib. Raises CalledProcessError where it cannot be installed."""
    return _environment(build, "executorlib", f"executorlib=={EXECUTORLIB}")


def _environment(build: Path, name: str, *requirements: str) -> str:
    python = "{}.{}".format(*sys.version_info)
    environment = build / "-".join(["bench", name, python, *(word.partition("==")[2] for word in requirements)])
    interpreter = environment / "bin" / "python"
    ready = environment / "ready"
    if not ready.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(environment)], check=True)
        subprocess.run([str(interpreter), "-m", "pip", "install", "-qq", *requirements], check=True)
        ready.touch()
    return str(interpreter)


def make_work(parent: Path, prefix: str = "") -> Path:
    work = parent / f"{prefix}{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    work.mkdir(parents=True)
    return work


def make_work_in_memory() -> Path | None:
    """None where there is no such file system, or no room for files in it."""
    try:
        return make_work(IN_MEMORY, "submitit-bench-") if IN_MEMORY.is_dir() else None
    except OSError:
        return None


def describe() -> dict[str, str]:
    """The machine and the versions, each as it is printed."""
    return {
        "submitit": _ours(),
        "reference": f"submitit {REFERENCE}",
        "cloudpickle": _version("cloudpickle"),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "slurm": slurm_version() or "none",
        "processor": f"{_processor()}, {len(os.sched_getaffinity(0))} cores",
        "system": f"{platform.system()} {platform.release()}, glibc {platform.libc_ver()[1]}",
    }


def load() -> str:
    return " ".join(f"{value:.1f}" for value in os.getloadavg())


def slurm_version() -> str | None:
    # The commands of users print it only where they find a cluster, and Debian keeps daemons out of a user's PATH.
    daemon = shutil.which(
        "slurmctld", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    )
    if daemon is None:
        return None
    return subprocess.run([daemon, "-V"], capture_output=True, text=True, check=False).stdout.split()[-1]


def _ours() -> str:
    found = find_spec("submitit")
    if found is None or found.origin is None:
        return "not installed"
    here = Path(found.origin).resolve().parents[1] == ROOT
    return f"{_version('submitit')}{' (the checkout, not an installed wheel)' if here else ''}"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
