"""What a client of submitit does in a measurement. Runs in a process of its own, under this version or the reference.

    run.py ── {"do": "submit_array", "folder": …} ──▶ this process ── {"value": …} or {"error": …} ──▶ run.py

Only what 1.5.4 offers as well is used. Times are this machine's own clocks: a job of the throwaway cluster runs on it.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import re
import resource
import signal
import subprocess
import sys
import time
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import submitit

if TYPE_CHECKING:
    from collections.abc import Callable

#: More than any measured submission takes; a job that is stuck must not hold its node for longer.
TIMEOUT_MIN = 10
#: Of several ranks, the one that is killed.
VICTIM = 2
#: Files by which ranks and client talk: the time of the death, and that the others may end.
DEATH, STOP = "death", "stop"


# ---------------------------------------------------------------- functions that run in jobs


def trivial() -> int:
    return 42


def clock() -> int:
    return time.monotonic_ns()


def killed(directory: str, victim: int, lifetime: float, others: float) -> str:
    """The rank `victim` kills itself after its lifetime; the others go on until told to stop, or for `others` seconds."""
    rank = int(os.environ.get("SLURM_PROCID", "0"))
    for stream in (sys.stdout, sys.stderr):
        print("the last line of rank", rank, "in", stream.name.strip("<>"), file=stream, flush=True)
    if rank == victim:
        time.sleep(lifetime)
        Path(directory, DEATH).write_text(repr(time.time()))
        os.kill(os.getpid(), signal.SIGKILL)
    deadline = time.monotonic() + others
    while time.monotonic() < deadline and not Path(directory, STOP).exists():
        time.sleep(0.05)
    return "went on"


# ---------------------------------------------------------------- what the client does


@cache
def executor(folder: str, cluster: str, **parameters: Any) -> submitit.AutoExecutor:
    """One a folder: what is made only once is not measured each time."""
    made = submitit.AutoExecutor(folder=folder, cluster=cluster)
    made.update_parameters(timeout_min=TIMEOUT_MIN, **parameters)
    return made


def ready() -> dict[str, str]:
    """Answers when submitit is imported."""
    return {"version": version("submitit")}


def make_submissions(folder: str, count: int) -> dict[str, int]:
    """Leaves the pickles `1_submitted.pkl` … of a function that returns the time of its call."""
    from submitit.core.utils import DelayedSubmission

    Path(folder).mkdir(parents=True)
    for job_id in range(1, count + 1):
        DelayedSubmission(clock).dump(Path(folder, f"{job_id}_submitted.pkl"))
    return {"count": count}


def local_round_trip(folder: str) -> dict[str, float]:
    """Seconds from submission to result."""
    local = executor(folder, "local")
    start = time.perf_counter()
    value = local.submit(trivial).result()
    seconds = time.perf_counter() - start
    assert value == 42
    return {"wall": seconds}


def submit_array(folder: str, elements: int, megabytes: int) -> dict[str, float]:
    """Submits a held array whose function closes over that many megabytes, counts what that wrote and cancels it."""
    slurm = submitit.AutoExecutor(folder=folder, cluster="slurm")
    slurm.update_parameters(timeout_min=TIMEOUT_MIN, slurm_additional_parameters={"hold": True})
    data = os.urandom(megabytes * 1_000_000)

    def function(number: int) -> int:
        return number + len(data)

    before = set(files_below(folder))
    start = time.perf_counter()
    jobs = slurm.map_array(function, range(elements))
    seconds = time.perf_counter() - start
    assert len(jobs) == elements
    written = set(files_below(folder)) - before
    subprocess.run(["scancel", jobs[0].job_id.partition("_")[0]], check=True)
    return {"seconds": seconds, "files": len(written), "bytes": sum(os.lstat(path).st_size for path in written)}


def slurm_round_trip(folder: str, stamps: str, use_srun: bool) -> dict[str, float]:
    """Seconds from the start of `sbatch` to that of the batch script, and from there to the return of `result()`."""
    slurm = executor(folder, "slurm", slurm_use_srun=use_srun)
    submitted = time.time()
    job = slurm.submit(trivial)
    accepted = time.time()
    value = job.result()
    end = time.time()
    assert value == 42
    started = float(Path(stamps, job.job_id).read_text())
    return {"submission": accepted - submitted, "queue": started - submitted, "result": end - started}


def slurm_death(folder: str, tasks: int, lifetime: float, others: float, use_srun: bool, whole: bool) -> dict[str, Any]:
    """Seconds from the SIGKILL of one rank to the error at the client, and what the error says.

    The client asks the rank's own job, or with `whole` the job of all ranks.
    """
    slurm = executor(folder, "slurm", tasks_per_node=tasks, slurm_use_srun=use_srun)
    victim = VICTIM if tasks > 1 else 0
    directory = Path(folder, f"ranks-{time.monotonic_ns()}")
    directory.mkdir(parents=True)
    job = slurm.submit(killed, str(directory), victim, lifetime, others)
    error: Exception | None = None
    try:
        if whole:
            job.results()
        else:
            job.task(victim).result()
    except Exception as raised:  # noqa: BLE001 - whichever it is, that is what is measured
        error = raised
    end = time.time()
    (directory / STOP).touch()
    seconds = end - float((directory / DEATH).read_text())
    if error is None:
        raise RuntimeError("no error although a rank was killed")
    paths = job.task(victim).paths
    said = f"the last line of rank {victim}"
    # Slurm names the node; the throwaway cluster has the nodes n1 and n2.
    named = {
        "signal": "SIGKILL",
        "rank": rf"\btask:? {victim}\b",
        "node": r"\bn[12]\b",
        "path of stderr": re.escape(str(paths.stderr)),
        "path of stdout": re.escape(str(paths.stdout)),
        "end of stderr": f"{said} in stderr",
        "end of stdout": f"{said} in stdout",
    }
    missing = [what for what, words in named.items() if not re.search(words, str(error), re.IGNORECASE)]
    with contextlib.suppress(Exception):
        job.cancel(check=False)
    return {"seconds": seconds, "type": type(error).__name__, "missing": missing}


def slurm_waiting(folder: str, jobs: int, ended: int, seconds: float) -> dict[str, float]:
    """What waiting for jobs that do not end costs: the share of a core, children included, and commands in 30 s.

    So many of the jobs have left a result when the waiting begins; it takes `handed` seconds to be handed those.
    """
    slurm = submitit.AutoExecutor(folder=folder, cluster="slurm")
    slurm.update_parameters(timeout_min=TIMEOUT_MIN, slurm_additional_parameters={"hold": True})
    handles: list[Any] = []
    while len(handles) < jobs:
        handles += slurm.map_array(str, range(min(1000, jobs - len(handles))))
    try:
        for job in handles[:ended]:
            path = Path(job.paths.result_pickle)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(pickle.dumps(("success", 1)))
        log = Path(os.environ["BENCH_COMMANDS"])
        if ended:  # as a client finds them that was started anew
            handles = [submitit.SlurmJob(folder=folder, job_id=job.job_id) for job in handles]
        over = iter(submitit.helpers.as_completed(handles, timeout=seconds))
        begun = time.perf_counter()
        for _ in range(ended):
            next(over)
        handed = time.perf_counter() - begun
        # From here on nothing happens.
        commands, used, start = len(log.read_text().splitlines()), _cpu(), time.perf_counter()
        with contextlib.suppress(TimeoutError):
            next(over)
        took = time.perf_counter() - start
        share = (_cpu() - used) / took
        commands = len(log.read_text().splitlines()) - commands
    finally:
        subprocess.run(["scancel", *{job.job_id.partition("_")[0] for job in handles}], check=True)
    return {"share": share, "commands": commands / (took / 30), "handed": handed}


def _cpu() -> float:
    """Seconds of work of this process and of those that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def files_below(folder: str) -> list[str]:
    return [os.path.join(where, name) for where, _, names in os.walk(folder) for name in names]


ACTIONS: dict[str, Callable[..., Any]] = {
    action.__name__: action
    for action in (
        ready,
        make_submissions,
        local_round_trip,
        submit_array,
        slurm_round_trip,
        slurm_death,
        slurm_waiting,
    )
}


def main() -> NoReturn:
    # What is printed here, or by a job that inherits a descriptor, must not reach the one that answers go to.
    with os.fdopen(os.dup(0)) as requests, os.fdopen(os.dup(1), "w", buffering=1) as answers:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)
        for line in requests:
            request = json.loads(line)
            try:
                answer = {"value": ACTIONS[request.pop("do")](**request)}
            except Exception as error:  # noqa: BLE001 - reported as the reason why there is no figure
                # The first line alone: an error of a job may bring its whole log with it.
                answer = {"error": f"{type(error).__name__}: {error}".partition("\n")[0][:300]}
            print(json.dumps(answer), file=answers)
    sys.exit()


if __name__ == "__main__":
    main()
