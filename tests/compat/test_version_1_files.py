"""What 1.5.4 has left on disk is read, and what it has queued is run (see tests/data/v1/make.py)."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import submitit
from submitit import helpers
from submitit.core import core, utils
from support import calls
from support.stand_in import StandIn

V1 = Path(__file__).parents[1] / "data" / "v1"


class Left(NamedTuple):
    """A job of 1.5.4."""

    folder: str
    job_id: str
    tasks: int
    #: of each task: "success" and the value's repr, "error" and the last line of the traceback, or nothing
    outcomes: list[list[str] | None]

    def handle(self, root: Path) -> core.Job[Any]:
        kind: Any = submitit.LocalJob if self.folder == "local" else submitit.SlurmJob
        made: core.Job[Any] = kind(root / self.folder, self.job_id, list(range(self.tasks)))
        return made


LEFT = [Left(**job) for job in json.loads((V1 / "contents.json").read_text())]


def named(left: Left) -> str:
    return f"{left.folder.partition('/')[0]}-{left.job_id}"


@pytest.mark.parametrize("left", LEFT, ids=named)
def test_submissions(v1: Path, left: Left) -> None:
    job = left.handle(v1)
    call = job.submission()
    assert type(call) is utils.DelayedSubmission
    assert type(utils.DelayedSubmission.load(job.paths.submitted_pickle)) is utils.DelayedSubmission
    assert callable(call.function)
    assert call._timeout_min == 5
    assert call._timeout_countdown == {"105": 2, "109": -1}.get(left.job_id, 3)
    assert not call.done()


@pytest.mark.parametrize("left", [left for left in LEFT if None not in left.outcomes], ids=named)
def test_results(v1: Path, stand_in: StandIn, left: Left) -> None:
    job = left.handle(v1)
    assert job.done()
    for number, outcome in enumerate(left.outcomes):
        assert outcome is not None
        task = job.task(number)
        status, value = task._get_outcome_and_result()
        assert status == outcome[0]
        if status == "success":
            assert repr(value) == outcome[1]
            assert repr(task.result()) == outcome[1]
            assert task.exception() is None
        else:
            assert value.strip().splitlines()[-1] == outcome[1]
            error = task.exception()
            assert type(error) is utils.FailedJobError
            assert outcome[1] in str(error)
            with pytest.raises(utils.FailedJobError):
                task.result()
    if all(outcome and outcome[0] == "success" for outcome in left.outcomes):
        assert len(job.results()) == left.tasks
    assert "Starting with JobEnvironment" in (job.stdout() or "")
    # they leave no markers, and nothing is known of them here: nobody is asked
    assert stand_in.sent == []


@pytest.mark.parametrize("left", [left for left in LEFT if None in left.outcomes and left.folder != "local"], ids=named)
def test_jobs_without_a_result(v1: Path, stand_in: StandIn, left: Left) -> None:
    job = left.handle(v1)
    stand_in.set_state(left.job_id, "RUNNING")
    assert job.state == "RUNNING"
    assert not job.done()
    job._results_timeout_s = 0
    stand_in.set_state(left.job_id, "FAILED")
    assert job.done(force_check=True)
    error = job.exception()
    assert type(error) is utils.UncompletedJobError
    assert "has not produced any output (state: FAILED)" in str(error)


# ---------------------------------------------------------------- pickled handles


@pytest.fixture
def handles(v1: Path, stand_in: StandIn) -> dict[str, Any]:
    return {path.stem: utils.pickle_load(path) for path in (v1 / "handles").iterdir()}


def test_jobs_are_pickled_with_their_place(handles: dict[str, Any]) -> None:
    job = handles["slurm_job"]
    assert type(job) is submitit.SlurmJob
    assert (job.job_id, job.num_tasks, job.task_id) == ("101", 1, 0)
    assert job.paths.result_pickle == Path("/jobs/slurm/101_0_result.pkl")
    assert job.paths.submitted_pickle == Path("/jobs/slurm/101_submitted.pkl")
    assert submitit.SlurmJob.watcher._registered >= {"101", "108", "107_0"}
    assert job.state == "UNKNOWN"
    assert not job.done()
    assert repr(job) == 'SlurmJob<job_id=101, task_id=0, state="UNKNOWN">'
    tasks = handles["slurm_tasks_job"]
    assert (tasks.num_tasks, tasks.task_id) == (2, None)
    assert tasks.task(1).paths.stdout == Path("/jobs/slurm/108_1_log.out")
    assert [element.job_id for element in handles["slurm_array_jobs"]] == [f"107_{index}" for index in range(4)]
    local = handles["local_job"]
    assert type(local) is submitit.LocalJob
    assert local.paths.stdout == Path("/jobs/local/301_0_log.out")
    assert local.state == "UNKNOWN"


def test_a_job_that_is_pickled_is_found_where_it_lies(handles: dict[str, Any], v1: Path) -> None:
    for name, folder, value in (("slurm_job", "slurm", 3), ("local_job", "local", 3)):
        job = handles[name]
        job._paths = utils.JobPaths(v1 / folder, job_id=job.job_id, task_id=0)
        assert job.done()
        assert job.result() == value
        assert job.submission().args == (1, 2)


@pytest.mark.parametrize("name", ["slurm_executor", "auto_executor"])
def test_executors_go_on_to_submit(handles: dict[str, Any], stand_in: StandIn, folder: Path, name: str) -> None:
    executor = handles[name]
    real = getattr(executor, "_executor", executor)
    assert real.folder == Path("/jobs/slurm")
    if name == "auto_executor":
        assert real.parameters == {"time": 10, "mem": "3584MB", "job_name": "train", "partition": "main"}
    executor.folder = real.folder = folder
    executor.update_parameters(**{"slurm_comment" if real is not executor else "comment": "again"})
    job = executor.submit(calls.add, 1, 2)
    assert "#SBATCH --comment=again\n" in stand_in.scripts["12"]
    assert f" python -u -m submitit.core._submit {folder}" in stand_in.scripts["12"]
    stand_in.run(folder, job.job_id)
    assert job.result() == 3


def test_calls_and_sequences(handles: dict[str, Any]) -> None:
    call = handles["delayed_submission"]
    assert (call.result(), call._timeout_min, call._timeout_countdown) == (3, 60, 3)
    sequence = handles["function_sequence"]
    assert type(sequence) is helpers.FunctionSequence
    assert isinstance(sequence, helpers.Checkpointable)
    assert [done.done() for done in sequence] == [True, True]
    sequence.add(divmod, 7, 2)
    assert sequence() == [3, 3, (3, 1)]
    assert type(sequence.checkpoint()) is utils.DelayedSubmission


# ---------------------------------------------------------------- jobs that are still to run


class Machine:
    """Starts tasks as the scripts and controllers of 1.5.4 do: by its command line, with its variables and none of ours."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._started: list[subprocess.Popen[bytes]] = []
        self.requeued = directory / "requeued"
        (directory / "bin").mkdir()
        scontrol = directory / "bin" / "scontrol"
        scontrol.write_text(f'#!/bin/sh\n[ "$1" = requeue ] || exit 1\nshift\necho "$@" >> {self.requeued}\n')
        scontrol.chmod(0o755)

    def start(self, folder: Path, variables: dict[str, str]) -> subprocess.Popen[bytes]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "SUBMITIT_"))}
        kept["PATH"] = f"{self.directory / 'bin'}{os.pathsep}{kept['PATH']}"
        job_id, rank = variables["job_id"], variables.get("rank", "0")
        with (
            open(folder / f"{job_id}_{rank}_log.out", "ab") as out,
            open(folder / f"{job_id}_{rank}_log.err", "ab") as err,
        ):
            task = subprocess.Popen(
                [sys.executable, "-u", "-m", "submitit.core._submit", str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=self.directory,
                env={**kept, **{name: value for name, value in variables.items() if name.isupper()}},
            )
        self._started.append(task)
        return task

    def slurm(self, folder: Path, job_id: str) -> subprocess.Popen[bytes]:
        main, _, index = job_id.partition("_")
        variables = {
            "job_id": job_id,
            "SUBMITIT_EXECUTOR": "slurm",
            "SLURM_JOB_ID": main,
            "SLURM_NTASKS": "1",
            "SLURM_JOB_NUM_NODES": "1",
            "SLURM_NODEID": "0",
            "SLURM_PROCID": "0",
            "SLURM_LOCALID": "0",
            "SLURM_JOB_NODELIST": "node1",
        }
        if index:
            variables |= {"SLURM_JOB_ID": str(int(main) + 1), "SLURM_ARRAY_JOB_ID": main, "SLURM_ARRAY_TASK_ID": index}
        return self.start(folder, variables)

    def local(self, folder: Path, job_id: str, rank: int = 0, tasks: int = 1) -> subprocess.Popen[bytes]:
        variables = {
            "job_id": job_id,
            "rank": str(rank),
            "SUBMITIT_EXECUTOR": "local",
            "SUBMITIT_FOLDER": str(folder),
            "SUBMITIT_LOCAL_JOB_ID": job_id,
            "SUBMITIT_LOCAL_NTASKS": str(tasks),
            "SUBMITIT_LOCAL_COMMAND": "python -u -m submitit.core._submit",
            "SUBMITIT_LOCAL_TIMEOUT_S": "300",
            "SUBMITIT_LOCAL_SIGNAL_DELAY_S": "30",
            "SUBMITIT_LOCAL_NODEID": "0",
            "SUBMITIT_LOCAL_JOB_NUM_NODES": "1",
            "SUBMITIT_LOCAL_WITH_SHELL": "",
            "SUBMITIT_LOCAL_LOCALID": str(rank),
            "SUBMITIT_LOCAL_GLOBALID": str(rank),
            "SUBMITIT_STDERR_TO_STDOUT": "",
            "CUDA_VISIBLE_DEVICES": "",
        }
        return self.start(folder, variables)

    def end(self) -> None:
        for task in self._started:
            task.kill()
            task.wait()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    (tmp_path / "machine").mkdir()
    made = Machine(tmp_path / "machine")
    try:
        yield made
    finally:
        made.end()


@pytest.mark.parametrize(
    ("job_id", "value"), [("103", 4.0), ("105", [3, None, 3]), ("107_3", 4.0), ("101", 3)], ids=str
)
def test_a_queued_job_of_slurm_runs(v1: Path, machine: Machine, stand_in: StandIn, job_id: str, value: object) -> None:
    folder = v1 / "slurm"
    job: core.Job[Any] = submitit.SlurmJob(folder, job_id)
    job.paths.result_pickle.unlink(missing_ok=True)
    stand_in.set_state(job_id, "PENDING")
    assert not job.done()
    assert machine.slurm(folder, job_id).wait() == 0
    assert job.done()
    assert job.result() == value
    assert "Job completed successfully" in (job.stdout() or "")
    # a 1.x that is still around reads it as well
    assert pickle.loads(job.paths.result_pickle.read_bytes()) == ("success", value)


def test_a_queued_job_that_fails(v1: Path, machine: Machine, stand_in: StandIn) -> None:
    folder = v1 / "slurm"
    job: core.Job[Any] = submitit.SlurmJob(folder, "102")
    job.paths.result_pickle.unlink()
    assert machine.slurm(folder, "102").wait() == 1
    with pytest.raises(utils.FailedJobError, match="ZeroDivisionError") as caught:
        job.result()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_tasks_of_a_local_job_run(v1: Path, machine: Machine) -> None:
    folder = v1 / "local"
    for path in folder.glob("306_*_result.pkl"):
        path.unlink()
    started = [machine.local(folder, "306", rank, 2) for rank in range(2)]
    assert [task.wait() for task in started] == [0, 0]
    job: core.Job[Any] = submitit.LocalJob(folder, "306", [0, 1])
    assert job.done()
    assert job.results() == ["0", "1"]


def _between(path: Path, seconds: int) -> None:
    """The second call of the sequence, which sleeps, is to take so long."""
    call = utils.DelayedSubmission.load(path)
    functions: Any = call.function
    functions.delayed_functions[1].args = (seconds,)
    call.dump(path)


@pytest.mark.parametrize("backend", ["slurm", "local"])
def test_a_warned_job_saves_its_state_and_is_run_again(
    v1: Path, machine: Machine, stand_in: StandIn, backend: str
) -> None:
    folder = v1 / "slurm"
    kind: Any = submitit.SlurmJob if backend == "slurm" else submitit.LocalJob
    job = kind(folder, "105")
    job.paths.stdout.write_text("")
    _between(job.paths.submitted_pickle, 600)
    start = machine.slurm if backend == "slurm" else machine.local
    task = start(folder, "105")
    calls.wait_for(lambda: "Starting from 1/3" in job.stdout())
    task.send_signal(signal.SIGUSR2)
    code = task.wait()
    if backend == "slurm":
        assert code == 255
        assert machine.requeued.read_text() == "105\n"
        assert "Requeued job 105 (1 remaining timeouts)" in job.stdout()
    else:
        assert code == 144  # what the controller of 1.5.4 waits for
    assert job.submission()._timeout_countdown == 1
    assert not job.paths.result_pickle.exists()

    _between(job.paths.submitted_pickle, 0)
    assert start(folder, "105").wait() == 0
    assert job.result() == [3, None, 3]


def test_a_pickle_that_comes_late_is_waited_for(v1: Path, machine: Machine) -> None:
    """1.5.4 moves the pickle to its place after sbatch has answered."""
    folder = v1 / "slurm"
    pickled = folder / "103_submitted.pkl"
    pickled.rename(v1 / "away.pkl")
    task = machine.slurm(folder, "103")
    stdout = folder / "103_0_log.out"
    calls.wait_for(lambda: stdout.exists() and "Loading pickle" in stdout.read_text())
    (v1 / "away.pkl").rename(pickled)
    assert task.wait() == 0
    job: core.Job[Any] = submitit.SlurmJob(folder, "103")
    assert job.result() == 4.0
