"""What tests do to jobs on the throwaway cluster from outside: look, push and clear away."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest

import submitit
from support.slurm_cluster import SlurmCluster

#: Only a defect, or a stalled machine, reaches it.
DEADLINE_S = 120.0


class Client:
    """Submits to a cluster from this process, with a folder below a directory."""

    def __init__(self, cluster: SlurmCluster, directory: Path) -> None:
        self.cluster = cluster
        self.directory = directory
        self.folder = directory / "jobs" / "%j"

    def executor(self, **parameters: Any) -> submitit.AutoExecutor:
        """``max_num_timeout`` is the constructor's, the others are parameters."""
        arguments = {f"slurm_{name}": parameters.pop(name) for name in ("max_num_timeout",) if name in parameters}
        executor = submitit.AutoExecutor(self.folder, cluster="slurm", **arguments)
        executor.update_parameters(**{"timeout_min": 10, **parameters})
        return executor

    def submit(self, function: Callable[..., Any], *args: Any, **parameters: Any) -> submitit.Job[Any]:
        return self.executor(**parameters).submit(function, *args)

    def find(self, job_id: str, tasks: int = 1) -> submitit.Job[Any]:
        """A new handle of a job, as another process would make it."""
        found: submitit.Job[Any] = submitit.SlurmJob(self.folder, job_id, range(tasks))
        return found


def use(cluster: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process's Slurm commands reach a cluster, in the place of any other, of whose jobs nothing is known any more."""
    for name, value in cluster.env.items():
        monkeypatch.setenv(name, value)
    submitit.SlurmJob.watcher.clear()


def until(is_true: Callable[[], object], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Return when ``is_true`` is; fail with ``what`` was waited for after a time that only a defect reaches."""
    deadline = time.monotonic() + deadline_s
    while not is_true():
        assert time.monotonic() < deadline, f"not within {deadline_s:g} s: {what}"
        time.sleep(0.1)


def state_of(cluster: SlurmCluster, job_id: str) -> str:
    """The state of a job that slurmctld remembers, as squeue prints it; of an array, one of them."""
    done = cluster.run("squeue", "-h", "-t", "all", "-j", job_id, "-o", "%T", check=False)
    return done.stdout.split("\n", 1)[0].strip()


def jobs_below(cluster: SlurmCluster, directory: Path) -> dict[str, str]:
    """The states of the jobs in the queue that were submitted from somewhere below a directory."""
    lines = cluster.run("squeue", "-h", "-o", "%A|%T|%Z").stdout.splitlines()
    jobs = [line.split("|", 2) for line in lines]
    return {job_id: state for job_id, state, where in jobs if Path(where).is_relative_to(directory)}


def clear_away(cluster: SlurmCluster, directory: Path) -> None:
    """End all jobs that were submitted from somewhere below a directory; on return nothing of them is left."""

    def none_is_left() -> bool:
        jobs = jobs_below(cluster, directory)
        left = [job_id for job_id, state in jobs.items() if state != "COMPLETING"]
        if left:
            cluster.run("scancel", *left, check=False)
        # A function has KillWait, half a minute, to answer SIGTERM in.
        processes = processes_of(cluster, jobs)
        for pid in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left and not processes

    until(none_is_left, "an empty queue")


def processes_of(cluster: SlurmCluster, raw_ids: Collection[str]) -> list[int]:
    """The living processes of jobs; of elements of an array, by the ids that they have as jobs of their own.

    Another cluster of this machine may have jobs of the same ids.
    """
    here = {f"{name}={value}".encode() for name, value in cluster.env.items()}
    wanted = {f"SLURM_JOB_ID={job_id}".encode() for job_id in raw_ids}
    found = []
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            variables = set(Path("/proc", name, "environ").read_bytes().split(b"\0")) if name.isdigit() else set()
            if here <= variables and wanted & variables:
                found.append(int(name))
    return found


def restarts_of(cluster: SlurmCluster, job_id: str) -> int:
    """How many times a job was requeued, as slurmctld counts."""
    shown = cluster.run("scontrol", "show", "job", job_id, check=False).stdout
    found = re.search(r"\bRestarts=(\d+)", shown)
    return int(found[1]) if found else 0


def start_again(cluster: SlurmCluster, job_id: str, attempt: int = 1) -> None:
    """Let a job that is being requeued start soon instead of two minutes later; on return its ``attempt`` has started.

    Not within the second in which its earlier attempt was ended: slurmd has revoked the job's credentials then, and the job
    fails ("Killing non-startable batch JobId=…: Job credential revoked").
    """
    until(lambda: restarts_of(cluster, job_id) >= attempt, f"job {job_id} requeued")
    asked = float("-inf")

    def has_started() -> bool:
        nonlocal asked
        if state_of(cluster, job_id) not in ("PENDING", "COMPLETING"):
            return True
        # Slurm sets the time once more when the last of the earlier attempt's processes is gone.
        if time.monotonic() - asked > 6:
            asked = time.monotonic()
            cluster.run("scontrol", "update", f"jobid={job_id}", "StartTime=now+3", check=False)
        return False

    until(has_started, f"job {job_id} started again")


def run_out_of_time(cluster: SlurmCluster, job_id: str, seconds: int = 8) -> None:
    """Let the time of a running job be up soon, its warning signal being due at once.

    Slurm looks at limits every 30 s: it finds both due together, and does not always warn a batch shell then.
    """
    cluster.run("scontrol", "update", f"jobid={job_id}", f"EndTime=now+{seconds}")


def is_alive(pid: int) -> bool:
    """Whether a process of this machine, where all nodes are, lives."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def is_gone(pid: int) -> bool:
    return not is_alive(pid)
