"""Write the files beside this one with the 1.x library: what jobs of 1.5.4 have left on people's disks.

    python3.11 -m venv v1 && v1/bin/pip install submitit==1.5.4
    v1/bin/python tests/data/v1/make.py

(The KeyboardInterrupt that it shows is that of the cancelled job's controller.)

Every pickle is stored as 1.5.4 wrote it. What is callable in them comes from the standard library or from the library
itself, so that they load anywhere, on any Python. In the texts (scripts, logs) the folder reads `/jobs`, the host
`node1`, a time 2026-01-01; the ids of local jobs, which are process ids, are renamed. The library runs from a copy
without source: a traceback inside a result then quotes none of it and names no path of this machine.

`contents.json` lists the jobs: folder, id, tasks and, for each task, `["success", repr(value)]`, `["error", the last
line of the traceback]`, or null where no result was written. The jobs, by folder:

slurm/          written through `sbatch` (a stand-in), run as `python -u -m submitit.core._submit FOLDER`
    101         `operator.add(1, 2)`
    102         `operator.truediv(1, 0)`: an error
    103         `math.sqrt(16)`: queued, never run: script and submission only
    104         a verbose `FunctionSequence` of `abs`, `divmod` and `int("12", base=8)`
    105         a `FunctionSequence` of `abs`, `time.sleep(1)` and `operator.add`, interrupted by a time-out in its second
                function, checkpointed (the first result is kept, two time-outs remain) and queued again
    106         an instance of a subclass of `Checkpointable`, pickled by value (its `__call__` is `math.hypot`)
    107_0-3     an array of `math.sqrt`: two values, one error, one still queued
    108         two tasks, `os.getenv("SLURM_PROCID")`
    109         a `FunctionSequence` out of time with no time-out left: an error
    110         a plain function out of time: an error
    111         `sys.exit(3)`: it ended without a result
    112         `threading.Lock()`: the result cannot be pickled, a `.save_tmp` is left
    113         `dict(...)` with values of several types, standard error sent to standard output
slurm_tagged/   the same with the folder `slurm_tagged/%j`: 201, and the array 202_0-1
local/          `LocalExecutor`
    301         `operator.add(1, 2)`
    302         `operator.truediv(1, 0)`: an error
    303 - 305   `map_array(math.sqrt, ...)`: jobs of their own
    306         two tasks, `os.getenv("SUBMITIT_LOCAL_GLOBALID")`
    307         cancelled while it slept: no result
handles/        jobs and executors pickled by a client, their folder being `/jobs/slurm` or `/jobs/local`
    slurm_job.pkl (101)  slurm_tasks_job.pkl (108)  slurm_array_jobs.pkl (a list, 107_0-3)  local_job.pkl (301)
    slurm_executor.pkl  auto_executor.pkl  function_sequence.pkl  delayed_submission.pkl
"""

from __future__ import annotations

import argparse
import compileall
import datetime as dt
import decimal
import json
import math
import operator
import os
import pathlib
import pickle
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

HERE = pathlib.Path(__file__).resolve().parent
VERSION = "1.5.4"
FOLDERS = ("slurm", "slurm_tagged", "local", "handles")

# Enough of the commands for a submission: ids come from a counter, a script is run by `run_task`.
COMMANDS = {
    "srun": "",
    "scontrol": "",
    "sbatch": 'id=$(cat "$NEXT_ID"); echo $((id + 1)) >"$NEXT_ID"; echo "Submitted batch job $id"\n',
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the data files of 1.x.")
    parser.add_argument("destination", nargs="?", type=pathlib.Path, default=HERE)
    parser.add_argument("--work", type=pathlib.Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work is not None:
        write(arguments.work)
        return
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name).resolve()
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SUBMITIT_"))}
        environment |= {
            "PYTHONPATH": str(copy_without_source(work / "lib")),
            "PATH": f"{write_commands(work / 'bin')}{os.pathsep}{os.environ['PATH']}",
            "NEXT_ID": str(work / "next_id"),
        }
        # From a directory without a package of that name: what is beside `python -m` would win over the copy.
        subprocess.run([sys.executable, str(HERE / "make.py"), "--work", name], env=environment, cwd=work, check=True)
        deliver(work / "jobs", arguments.destination)


def copy_without_source(lib: pathlib.Path) -> pathlib.Path:
    """Copy the installed 1.x library as byte code whose file names are relative, and give the folder to import from."""
    import submitit

    if submitit.__version__ != VERSION:
        sys.exit(f"This needs submitit {VERSION}, not {submitit.__version__} ({submitit.__file__}).")
    package = lib / "submitit"
    shutil.copytree(pathlib.Path(submitit.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    compileall.compile_dir(package, quiet=1, legacy=True, stripdir=str(lib))
    for source in package.rglob("*.py"):
        source.unlink()
    return lib


def write_commands(folder: pathlib.Path) -> pathlib.Path:
    folder.mkdir()
    for name, body in COMMANDS.items():
        command = folder / name
        command.write_text(f"#!/bin/sh\n{body}")
        command.chmod(0o755)
    return folder


def write(work: pathlib.Path) -> None:
    """Submit and run everything, by 1.5.4, below `work/jobs`."""
    jobs = work / "jobs"
    write_slurm(work, jobs / "slurm")
    write_tagged(work, jobs / "slurm_tagged")
    write_local(jobs / "local")
    write_handles(jobs / "handles")


def write_slurm(work: pathlib.Path, folder: pathlib.Path) -> None:
    from submitit import helpers

    next_id(work, 101)
    executor = slurm_executor(folder)
    run_task(folder, executor.submit(operator.add, 1, 2))
    run_task(folder, executor.submit(operator.truediv, 1, 0))
    executor.submit(math.sqrt, 16)
    run_task(folder, executor.submit(sequence((abs, -3), (divmod, 7, 2), (int, "12"), base=8)))

    interrupted = executor.submit(sequence((abs, -3), (time.sleep, 1), (operator.add, 1, 2)))
    run_task(folder, interrupted, interrupt_after="Starting from 0/3")

    # The class has no function of its own, hence no byte code: its pickle suits every version of Python.
    hypot = type("Hypot", (helpers.Checkpointable,), {"__call__": math.hypot})()
    hypot.precision = 1e-9
    run_task(folder, executor.submit(hypot, 3, 4))

    for job in executor.map_array(math.sqrt, [1, 4, -1, 16])[:3]:
        run_task(folder, job)

    two_tasks = slurm_executor(folder, ntasks_per_node=2).submit(os.getenv, "SLURM_PROCID")
    for rank in range(2):
        run_task(folder, two_tasks, rank=rank, tasks=2)

    no_timeout_left = slurm_executor(folder, max_num_timeout=0)
    run_task(folder, no_timeout_left.submit(sequence((abs, -3), (signal.raise_signal, int(signal.SIGUSR2)))))
    run_task(folder, executor.submit(signal.raise_signal, int(signal.SIGUSR2)))
    run_task(folder, executor.submit(sys.exit, 3))
    run_task(folder, executor.submit(threading.Lock))
    values: dict[str, Any] = {
        "day": dt.date(2026, 1, 1),
        "exact": decimal.Decimal("1.50"),
        "path": pathlib.PurePosixPath("a/b"),
        "nested": [(1, {2}), None, b"\x00\xff"],
    }
    run_task(folder, slurm_executor(folder, stderr_to_stdout=True).submit(dict, **values))


def write_tagged(work: pathlib.Path, folder: pathlib.Path) -> None:
    next_id(work, 201)
    executor = slurm_executor(folder / "%j")
    run_task(folder / "%j", executor.submit(operator.add, 1, 2))
    for job in executor.map_array(math.sqrt, [1, 4]):
        run_task(folder / "%j", job)


def write_local(folder: pathlib.Path) -> None:
    import submitit

    executor = submitit.LocalExecutor(folder)
    executor.update_parameters(timeout_min=5)
    jobs: list[Any] = [executor.submit(operator.add, 1, 2), executor.submit(operator.truediv, 1, 0)]
    jobs += executor.map_array(math.sqrt, [4, 9, 16])
    executor.update_parameters(tasks_per_node=2)
    jobs.append(executor.submit(os.getenv, "SUBMITIT_LOCAL_GLOBALID"))
    executor.update_parameters(tasks_per_node=1)
    for job in jobs:
        job.wait()
    cancelled = executor.submit(time.sleep, 60)
    wait_for(cancelled.paths.stdout, "Loading pickle")
    cancelled.cancel()
    cancelled._process.wait()
    wait_for(cancelled.paths.stderr, "KeyboardInterrupt\n")
    for number, job in enumerate([*jobs, cancelled], start=301):
        for path in folder.glob(f"{job.job_id}_*"):
            text = path.read_bytes()
            if path.suffix != ".pkl":
                text = re.sub(rf"\b{job.job_id}(?=_|,)".encode(), str(number).encode(), text)
            path.write_bytes(text)
            path.rename(folder / path.name.replace(job.job_id, str(number), 1))


def write_handles(folder: pathlib.Path) -> None:
    import submitit
    from submitit.core import utils

    folder.mkdir(parents=True)
    slurm = slurm_executor(pathlib.Path("/jobs/slurm"))
    auto = submitit.AutoExecutor("/jobs/slurm", cluster="slurm", slurm_python="python")
    auto.update_parameters(timeout_min=10, mem_gb=3.5, name="train", slurm_partition="main")
    done = sequence((abs, -3), (operator.add, 1, 2))
    done.verbose = False
    done()
    submission = utils.DelayedSubmission(operator.add, 1, 2)
    submission.set_timeout(60, 3)
    handles: dict[str, object] = {
        "slurm_job": submitit.SlurmJob("/jobs/slurm", "101"),
        "slurm_tasks_job": submitit.SlurmJob("/jobs/slurm", "108", tasks=[0, 1]),
        "slurm_array_jobs": [submitit.SlurmJob("/jobs/slurm", f"107_{index}") for index in range(4)],
        "local_job": submitit.LocalJob("/jobs/local", "301"),
        "slurm_executor": slurm,
        "auto_executor": auto,
        "function_sequence": done,
        "delayed_submission": submission,
    }
    for name, handle in handles.items():
        utils.cloudpickle_dump(handle, folder / f"{name}.pkl")


def slurm_executor(folder: pathlib.Path, max_num_timeout: int = 3, **parameters: Any) -> Any:
    import submitit

    executor = submitit.SlurmExecutor(folder, max_num_timeout=max_num_timeout, python="python")
    executor.update_parameters(**parameters)
    return executor


def sequence(*calls: tuple[Any, ...], **last_keywords: Any) -> Any:
    """Give a verbose `FunctionSequence` of the calls, the last one with these keywords."""
    from submitit import helpers

    functions = helpers.FunctionSequence(verbose=True)
    for function, *arguments in calls[:-1]:
        functions.add(function, *arguments)
    function, *arguments = calls[-1]
    functions.add(function, *arguments, **last_keywords)
    return functions


def next_id(work: pathlib.Path, number: int) -> None:
    (work / "next_id").write_text(f"{number}\n")


def run_task(folder: pathlib.Path, job: Any, rank: int = 0, tasks: int = 1, interrupt_after: str = "") -> None:
    """Run one task as slurmd would, up to its end; with `interrupt_after`, warn it of its time limit at that output."""
    main_id, _, index = job.job_id.partition("_")
    variables = {
        "SUBMITIT_EXECUTOR": "slurm",
        "SLURM_JOB_ID": main_id,
        "SLURM_NTASKS": str(tasks),
        "SLURM_JOB_NUM_NODES": "1",
        "SLURM_NODEID": "0",
        "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": str(rank),
        "SLURM_JOB_NODELIST": "node1",
    }
    if index:
        variables |= {"SLURM_ARRAY_JOB_ID": main_id, "SLURM_ARRAY_TASK_ID": index}
    paths = job.task(rank).paths if tasks > 1 else job.paths
    merged = "--error" not in job_script(folder, main_id)
    with open(paths.stdout, "ab") as out, open(os.devnull if merged else paths.stderr, "ab") as err:
        task = subprocess.Popen(
            [sys.executable, "-u", "-m", "submitit.core._submit", str(folder)],
            stdout=out,
            stderr=subprocess.STDOUT if merged else err,
            env={**os.environ, **variables},
        )
        if interrupt_after:
            wait_for(paths.stdout, interrupt_after)
            time.sleep(0.3)  # it enters the function that sleeps
            task.send_signal(signal.SIGUSR2)
        task.wait(timeout=60)


def job_script(folder: pathlib.Path, main_id: str) -> str:
    return pathlib.Path(str(folder).replace("%j", main_id), f"{main_id}_submission.sh").read_text()


def wait_for(path: pathlib.Path, text: str) -> None:
    deadline = time.monotonic() + 60
    while not (path.exists() and text in path.read_text()):
        if time.monotonic() > deadline:
            sys.exit(f"{text!r} did not appear in {path}.")
        time.sleep(0.01)


def deliver(jobs: pathlib.Path, destination: pathlib.Path) -> None:
    """Move what was written to its place, texts without what belongs to this machine."""
    paths = {str(jobs): "/jobs", sys.prefix: "/python", sys.base_prefix: "/python"}
    for link in [path for path in jobs.rglob(".submission_file_*") if path.is_symlink()]:
        link.unlink()
    for path in jobs.rglob("*"):
        if path.suffix in {".sh", ".out", ".err"}:
            path.write_text(anonymous(path.read_text(), paths))
    for path in jobs.rglob("*"):
        for secret in (str(jobs.parent), str(pathlib.Path.home()), sys.prefix, sys.base_prefix):
            if path.is_file() and secret.encode() in path.read_bytes():
                sys.exit(f"{path.relative_to(jobs)} holds the path {secret}.")
    for name in FOLDERS:
        shutil.rmtree(destination / name, ignore_errors=True)
        shutil.copytree(jobs / name, destination / name)
    lines = [json.dumps(job) for job in contents(destination)]
    (destination / "contents.json").write_text("[\n  " + ",\n  ".join(lines) + "\n]\n")


def anonymous(text: str, paths: Mapping[str, str]) -> str:
    for path, name in paths.items():
        text = text.replace(path, name)
    text = re.sub(r"\(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\)", "(2026-01-01 00:00:00,000)", text)
    host = re.escape(socket.gethostname())
    return re.sub(rf"(hostname=|Caught signal \w+ on ){host}\b", r"\1node1", text)


def contents(destination: pathlib.Path) -> list[dict[str, Any]]:
    """List the jobs below `destination`, with what each task has left."""
    found = []
    for submitted in sorted(destination.rglob("*_submitted.pkl"), key=str):
        job_id = submitted.name.removesuffix("_submitted.pkl")
        tasks = max(1, len(list(submitted.parent.glob(f"{job_id}_*_log.out"))))
        folder = str(submitted.parent.relative_to(destination)).replace(f"/{job_id}", "/%j")
        outcomes = [outcome(submitted.with_name(f"{job_id}_{task}_result.pkl")) for task in range(tasks)]
        found.append({"folder": folder, "job_id": job_id, "tasks": tasks, "outcomes": outcomes})
    return found


def outcome(path: pathlib.Path) -> list[str] | None:
    if not path.exists():
        return None
    word, value = pickle.loads(path.read_bytes())
    return [word, repr(value) if word == "success" else value.strip().splitlines()[-1]]


if __name__ == "__main__":
    main()
