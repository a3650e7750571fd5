"""What a client of submitit does in a measurement. Runs in a process of its own (see `serving`), under this version or the reference.

Only what 1.5.4 offers as well is used, where it is measured beside. Times are this machine's own clocks: a job of the throwaway cluster runs on it.
"""

from __future__ import annotations

import contextlib
import gc
import json
import math
import os
import pickle
import re
import resource
import signal
import statistics
import subprocess
import sys
import time
import tracemalloc
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import serving

import submitit

if TYPE_CHECKING:
    from collections.abc import Callable

#: More than any measured submission takes; a job that is stuck must not hold its node for longer.
TIMEOUT_MIN = 10
#: Of several ranks, the one that is killed.
VICTIM = 2
#: Whether this is the reference.
OLD = version("submitit").startswith("1.")
#: Files by which ranks and client talk: the time of the death, and that the others may end.
DEATH, STOP = "death", "stop"
#: The jobs of `submit_to_nobody`, which are waited for in a later request.
HANDLES: list[Any] = []


# ---------------------------------------------------------------- functions that run in jobs


def trivial() -> int:
    return 42


def square(number: int) -> int:
    return number * number


def import_module(name: str) -> str:
    return str(__import__(name).__name__)


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


def first(folder: str) -> dict[str, float]:
    """Seconds from the making of an executor to its first result."""
    start = time.perf_counter()
    assert executor(folder, "local").submit(trivial).result() == 42
    return {"wall": time.perf_counter() - start}


def local_round_trips(folder: str, times: int) -> dict[str, float]:
    """The median of the seconds from submission to result, one after the other."""
    local = executor(folder, "local")
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        value = local.submit(trivial).result()
        seconds.append(time.perf_counter() - start)
        assert value == 42
    return {"wall": statistics.median(seconds)}


def local_burst(folder: str, count: int) -> dict[str, float]:
    """Seconds a job of so many that are submitted one by one, before the first is waited for."""
    local = executor(folder, "local")
    start = time.perf_counter()
    values = [job.result() for job in [local.submit(trivial) for _ in range(count)]]
    seconds = time.perf_counter() - start
    assert values == [42] * count
    return {"wall": seconds / count}


def local_array(folder: str, count: int) -> dict[str, float]:
    """Seconds until an array is submitted, and a job until all its results are here; wrong results, and peaks of memory.

    ``client`` is this process, ``controller`` its child, ``nursery`` what that keeps for starting tasks (0 where there is none).
    """
    local = executor(folder, "local")
    start = time.perf_counter()
    jobs = local.map_array(square, range(count))
    submission = time.perf_counter() - start
    results = [job.result() for job in jobs]
    seconds = time.perf_counter() - start
    controllers = _children(os.getpid())
    nurseries = [child for controller in controllers for child in _children(controller)]
    return {
        "submission": submission,
        "wall": seconds / count,
        "wrong": sum(result != number * number for number, result in enumerate(results)),
        "client": _peak_memory(os.getpid()),
        "controller": max(map(_peak_memory, controllers)),
        "nursery": max(map(_peak_memory, nurseries), default=0),
    }


def local_files(folder: str, count: int) -> dict[str, float]:
    """Files a job, of jobs submitted one by one when there is everything that is not a job's own."""
    local = executor(folder, "local")
    local.submit(trivial).result()
    before = set(files_below(folder))
    for job in [local.submit(trivial) for _ in range(count)]:
        job.result()
    return {"files": len(set(files_below(folder)) - before) / count}


def local_import(folder: str, module: str, preload: bool, times: int) -> dict[str, float]:
    """The medians of round trips of a function that imports the module, and of one that does not, by turns."""
    local = executor(folder, "local")
    if preload:
        local.update_parameters(local_preload=[module])
    taken: dict[Callable[..., Any], list[float]] = {import_module: [], str: []}
    for number in range(times + 1):
        for function, seconds in taken.items():
            start = time.perf_counter()
            local.submit(function, module).result()
            if number:  # with the first job the module is loaded
                seconds.append(time.perf_counter() - start)
    with_it, without = (statistics.median(seconds) for seconds in taken.values())
    return {"more": with_it - without, "with": with_it, "without": without}


def _children(pid: int) -> list[int]:
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _peak_memory(pid: int) -> int:
    """The most that has been resident of a process, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM:")).split()[1])


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
    subprocess.run(["scancel", *{job.job_id.partition("_")[0] for job in jobs}], check=True)
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


def local_queue(folder: str, count: int) -> dict[str, Any]:
    """Seconds until an array is submitted of which none can start, the bytes of its payload, and peaks of memory.

    The job that takes all CPUs goes on: its controller has to be killed once this client has been.
    """
    local = executor(folder, "local")
    local.update_parameters(cpus_per_task=len(os.sched_getaffinity(0)))
    first = local.submit(time.sleep, 3600)
    while first.state != "RUNNING":
        time.sleep(0.01)
    local.update_parameters(cpus_per_task=1)
    before = set(files_below(folder))
    start = time.perf_counter()
    HANDLES.extend(local.map_array(square, range(count)))
    seconds = time.perf_counter() - start
    assert len(HANDLES) == count
    controllers = _children(os.getpid())
    return {
        "seconds": seconds,
        "bytes": sum(os.lstat(path).st_size for path in set(files_below(folder)) - before if "/payloads/" in path),
        "client": _peak_memory(os.getpid()),
        "controller": max(map(_peak_memory, controllers)),
        "controllers": controllers,
    }


def local_map(folder: str, count: int, chunksize: int) -> dict[str, float]:
    """Seconds a call of `executor.map`, in chunks of so many calls."""
    local = executor(folder, "local")
    list(local.map(square, range(4)))
    start = time.perf_counter()
    values = list(local.map(square, range(count), chunksize=chunksize))
    seconds = time.perf_counter() - start
    assert values == [number * number for number in range(count)]
    return {"wall": seconds / count}


def submit_to_nobody(folder: str, count: int, traced: bool) -> dict[str, Any]:
    """Submits an array to an `sbatch` that takes everything: seconds, bytes and files written, and what is kept in memory.

    `handles` is what Python has allocated for the jobs, in bytes; it is measured, and all else slowed down, if `traced`.
    """
    slurm = executor(folder, "slurm")
    before = set(files_below(folder))
    if traced:
        slurm.map_array(square, range(2))  # with what is made but once
        tracemalloc.start()
    start = time.perf_counter()
    jobs = slurm.map_array(square, range(count))
    seconds = time.perf_counter() - start
    gc.collect()
    handles = tracemalloc.get_traced_memory()[0] if traced else math.nan
    tracemalloc.stop()
    HANDLES[:] = jobs
    written = set(files_below(folder)) - before
    assert len(jobs) == count
    return {
        "seconds": seconds,
        "files": len(written),
        "bytes": sum(os.lstat(path).st_size for path in written),
        "handles": handles,
        "array": jobs[0].job_id.partition("_")[0],
    }


def end_jobs(folder: str, array: str, count: int) -> dict[str, float]:
    """Leaves what an array's elements leave when they have returned a number, by the code that does it there.

    `marked` is the time just before the last one said that it was done.
    """
    from submitit.core.utils import JobPaths

    marked = math.nan
    paths = (JobPaths(folder, job_id=f"{array}_{number}").result_pickle for number in range(count))
    Path(folder).mkdir(parents=True, exist_ok=True)
    if OLD:
        for number, path in enumerate(paths):
            path.parent.mkdir(parents=True, exist_ok=True)
            marked = time.time()
            path.write_bytes(pickle.dumps(("success", number)))
        return {"marked": marked}
    from submitit.storage import events, outcome

    [directory] = Path(folder, ".submitit", "events").iterdir()
    markers = events.EventDirectory(directory)
    footer = outcome.Footer(True, "node", os.getpid(), 0, time.time(), time.time(), 0.1, 30.0, "3.11.7", "2.0.0")
    for number, path in enumerate(paths):
        job_id = f"{array}_{number}"
        markers.mark(job_id, 0, 0, "run", "node")
        path.parent.mkdir(parents=True, exist_ok=True)
        outcome.write_result(path, ("success", number), footer=footer)
        marked = time.time()
        markers.mark(job_id, 0, 0, "done", "node")
        for task in (0, "batch"):
            markers.mark(job_id, task, 0, "exit-0", "node")
    return {"marked": marked}


def wait_for_ended() -> dict[str, float]:
    """Seconds until all jobs of `submit_to_nobody` are handed out, which have ended since, and the client's peak of memory."""
    start = time.perf_counter()
    over = sum(1 for _ in submitit.helpers.as_completed(HANDLES))
    seconds = time.perf_counter() - start
    assert over == len(HANDLES)
    return {"seconds": seconds, "client": _peak_memory(os.getpid())}


def wake_up(folder: str, delay: float) -> dict[str, float]:
    """Seconds from the marker of a job's end, which comes so many seconds after the wait for it began, to the return of `result()`."""
    # A list of one would be no array.
    job = executor(folder, "slurm").map_array(square, [3, 4])[0]
    other = _job_side()
    request = {"do": "end_later", "folder": folder, "array": job.job_id.partition("_")[0], "delay": delay}
    assert other.stdin is not None
    assert other.stdout is not None
    other.stdin.write(json.dumps(request) + "\n")
    other.stdin.flush()
    job.result()
    end = time.time()
    return {"seconds": end - float(json.loads(other.stdout.readline())["value"]["marked"])}


@cache
def _job_side() -> subprocess.Popen[str]:
    """A process like this one, which ends when its input does."""
    process = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write('{"do": "ready"}\n')
    process.stdin.flush()
    process.stdout.readline()
    return process


def end_later(folder: str, array: str, delay: float) -> dict[str, float]:
    """Ends the first element of an array after so many seconds; the time at which its end was marked."""
    time.sleep(delay)
    return end_jobs(folder, array, 1)


def _cpu() -> float:
    """Seconds of work of this process and of those that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def files_below(folder: str) -> list[str]:
    return [os.path.join(where, name) for where, _, names in os.walk(folder) for name in names]


if __name__ == "__main__":
    serving.serve(
        (
            ready,
            make_submissions,
            first,
            local_round_trips,
            local_burst,
            local_array,
            local_files,
            local_import,
            local_queue,
            local_map,
            submit_to_nobody,
            end_jobs,
            end_later,
            wait_for_ended,
            wake_up,
            submit_array,
            slurm_round_trip,
            slurm_death,
            slurm_waiting,
        )
    )
