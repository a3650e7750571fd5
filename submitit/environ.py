"""Environment variables: what a submission made inside a job must not inherit from that job.

Slurm describes a job to its processes by variables that are, to ``sbatch`` and ``srun``, options of the next job. Whoever
submits from inside a job means the new job's parameters, not the running one's. What the user or the site set stays: every
``SBATCH_*`` but the memory binding that slurmd sets, and the variables by which the commands find their configuration.
"""

from __future__ import annotations

import contextlib
import functools
import os
from contextvars import ContextVar
from typing import TYPE_CHECKING

from submitit.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Slurm variables that no job sets: they say how to reach the cluster or how commands print.
#: Sources: the ENVIRONMENT VARIABLES sections of sbatch.1, srun.1, squeue.1, sacct.1, scontrol.1 and slurm.1.
_KEPT = frozenset(
    {
        "SLURM_CONF",
        "SLURM_CONF_SERVER",
        "SLURM_CLUSTERS",
        "SLURM_JWT",
        "SLURM_TIME_FORMAT",
        "SLURM_UMASK_SITE",
        "SLURM_EXIT_ERROR",
        "SLURM_EXIT_IMMEDIATE",
        "SLURM_DEBUG_FLAGS",
        "SLURM_BITSTR_LEN",
        "SLURM_SACK_KEY",
        "SLURM_SACK_SOCKET",
    }
)
#: Set by slurmd or srun in the processes of a job, or by this library there. Sources: sbatch.1 and srun.1 OUTPUT ENVIRONMENT
#: VARIABLES; PMI and PMIx standards; torch.distributed's environment initialisation.
_DROPPED_PREFIXES = (
    "SLURM_",
    "SLURMD_",
    "SLURMSTEPD_",
    "SRUN_",
    "SBATCH_MEM_BIND",
    "SBATCH_CPU_BIND",
    "PMI_",
    "PMI2_",
    "PMIX_",
    "SUBMITIT_",
)
_SUBMITIT_KEPT = frozenset(
    {
        "SUBMITIT_PREEMPT_SIGNAL",
        "SUBMITIT_LOG_LEVEL",
        "SUBMITIT_TRUST_FOREIGN_PICKLES",
        "SUBMITIT_START_REQUEUED",
        "SUBMITIT_LOCAL_LEASES",
        "SUBMITIT_PORTABLE",
        "SUBMITIT_SNAPSHOT",
        "SUBMITIT_SNAPSHOT_OF",
    }
)
_RENDEZVOUS = frozenset(
    {"MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "ROLE_RANK"}
)


def inside_a_job(env: Mapping[str, str]) -> bool:
    """Whether ``env`` is that of a process which Slurm or this library started as part of a job."""
    return "SLURM_JOB_ID" in env or "SUBMITIT_EXECUTOR" in env


def inherited(name: str) -> bool:
    """Whether the variable ``name`` describes the job that a process runs in, and must not reach a job submitted from it."""
    if name in _KEPT or name in _SUBMITIT_KEPT:
        return False
    return name.startswith(_DROPPED_PREFIXES) or name in _RENDEZVOUS


def submission_environment(env: Mapping[str, str]) -> dict[str, str]:
    """``env`` without what describes the job that this process runs in; all of it outside a job."""
    if not inside_a_job(env):
        return dict(env)
    return {name: value for name, value in env.items() if not inherited(name)}


@contextlib.contextmanager
def environment_variables(**kwargs: object) -> Iterator[None]:
    """Set variables (their ``str``) for the time of the block; afterwards the whole environment is as it was."""
    before = dict(os.environ)
    os.environ.update({name: str(value) for name, value in kwargs.items()})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def outside_of_jobs() -> Iterator[None]:
    """For the time of the block this process's environment is ``submission_environment``'s."""
    dropped = {} if not inside_a_job(os.environ) else {n: v for n, v in os.environ.items() if inherited(n)}
    for name in dropped:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(dropped)


def import_path() -> str:
    """The entries of this process's ``sys.path`` that a job's interpreter cannot know, joined by ``os.pathsep``.

    Entries below this interpreter's own prefixes are left out: another interpreter must not import from them.
    """
    import sys

    entries = dict.fromkeys(os.path.abspath(entry or os.curdir) for entry in sys.path)
    return os.pathsep.join(full for full in entries if os.pathsep not in full and not _is_interpreters(full))


@functools.lru_cache(maxsize=1024)  # a loop of submissions asks for the same again and again
def _is_interpreters(path: str) -> bool:
    import sys

    own = tuple({os.path.realpath(prefix) + os.sep for prefix in (sys.prefix, sys.base_prefix, sys.exec_prefix)})
    return (os.path.realpath(path) + os.sep).startswith(own)


# ---------------------------------------------------------------- where jobs start


class Copy(NamedTuple):
    """A snapshot of the code that jobs run in."""

    #: the work tree that it was made of
    root: str
    path: str
    #: where in it jobs start
    directory: str


_COPY: ContextVar[Copy | None] = ContextVar("submitit_copy", default=None)


@contextlib.contextmanager
def jobs_run_in(copy: Copy) -> Iterator[None]:
    """What is submitted in the block starts in the copy, and imports from there what it would from the work tree."""
    token = _COPY.set(copy)
    try:
        yield
    finally:
        _COPY.reset(token)


def jobs_start_in() -> str | None:
    """The directory in a snapshot where jobs are to start; ``None``: in this process's working directory."""
    copy = _COPY.get()
    return None if copy is None else copy.directory


def snapshot_variables() -> dict[str, str]:
    """What a job is told of the snapshot that it runs in, or that this process runs in itself."""
    copy = _COPY.get()
    if copy is not None:
        return {"SUBMITIT_SNAPSHOT": copy.path, "SUBMITIT_SNAPSHOT_OF": copy.root}
    names = ("SUBMITIT_SNAPSHOT", "SUBMITIT_SNAPSHOT_OF")
    return {name: os.environ[name] for name in names if name in os.environ}


def own_copy() -> Copy | None:
    """The snapshot that this process, a job's, works in; ``None`` where it works elsewhere."""
    path, root = (os.environ.get(name, "") for name in ("SUBMITIT_SNAPSHOT", "SUBMITIT_SNAPSHOT_OF"))
    directory = os.getcwd()
    if not path or not f"{directory}/".startswith(f"{os.path.realpath(path)}/"):
        return None
    return Copy(root, path, directory)
