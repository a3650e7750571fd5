"""Where the figures come from: the two versions, the machine, and the directories of this run."""

from __future__ import annotations

import itertools
import os
import platform
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from samples import NoFigureError

ROOT: Final = Path(__file__).resolve().parents[1]
REFERENCE: Final = "1.5.4"
#: What a user would pick instead, and what has to be installed for it. The versions are those of the day: they are recorded.
PEERS: Final = {
    "joblib/loky": ["joblib", "loky"],
    "dask.distributed": ["distributed"],
    "parsl": ["parsl"],
    "executorlib": ["executorlib"],
}
#: Where Linux has a file system in memory.
IN_MEMORY: Final = Path("/dev/shm")
_numbers = itertools.count()


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
    #: The largest number of jobs whose growth is measured.
    largest: int
    #: The versions of what was measured beside, as they are found.
    versions: dict[str, str] = field(default_factory=dict)

    def times(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    def new(self, name: str, parent: Path | None = None) -> Path:
        """A directory that no other measurement has."""
        directory = (parent or self.work) / f"{name}-{next(_numbers)}"
        directory.mkdir()
        return directory

    def sizes(self) -> list[int]:
        """The numbers of jobs at which growth is measured."""
        return [size for size in (100, 1000, 10_000, 100_000) if size <= self.largest]


def make_reference(build: Path) -> str:
    """The interpreter of the reference's environment, which is made at the first call, with our cloudpickle.

    Raises NoFigureError where it cannot be installed.
    """
    cloudpickle = version("cloudpickle")
    try:
        return _environment(build, "reference", f"submitit=={REFERENCE}", f"cloudpickle=={cloudpickle}")
    except subprocess.CalledProcessError as error:
        raise NoFigureError(f"submitit {REFERENCE} cannot be installed: nothing is measured without it") from error


def make_peer(build: Path, name: str, *, renew: bool = False) -> str:
    """The interpreter of an environment with one of `PEERS`. Raises NoFigureError where it cannot be installed."""
    try:
        return _environment(build, name.replace("/", "-"), *PEERS[name], renew=renew)
    except subprocess.CalledProcessError as error:
        raise NoFigureError(f"{name} cannot be installed (`make bench-peers` tries again)") from error


def _environment(build: Path, name: str, *requirements: str, renew: bool = False) -> str:
    python = "{}.{}".format(*sys.version_info)
    pins = [version for _, _, version in (word.partition("==") for word in requirements) if version]
    environment = build / "-".join(["bench", name, python, *pins])
    interpreter = environment / "bin" / "python"
    ready = environment / "ready"
    if renew or not ready.exists():
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
