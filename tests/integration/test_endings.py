"""Every way in which a job can end, on real processes: locally in both ways, on Slurm with srun, on Slurm without.

The client may look and listen only: the questions to the scheduler that come by the clock, the sweep over the result files and
the wait for late ones are put off for an hour, so that an ending which is not noticed by itself fails its test.
"""

from __future__ import annotations

import importlib
import os
import re
import signal
import subprocess
import sys
import textwrap
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import submitit
from submitit import errors
from submitit.orchestrator import collector, tracker
from support import calls, faults
from support.local_processes import import_path
from support.reliability import Fault
from support.slurm_cluster import SlurmCluster
from support.slurm_jobs import DEADLINE_S, clear_away, is_alive, is_gone, start_again, until

HOUR_S = 3600.0


class Place(NamedTuple):
    """Where jobs run, and how."""

    name: str
    cluster: str
    parameters: dict[str, Any]
    #: Those of a job of four tasks; none where a job has one task.
    four_tasks: dict[str, Any] | None


LOCAL = Place("local", "local", {"local_max_cpus": 16}, {"tasks_per_node": 4})
#: Lines of shell before the command need a new interpreter: the task is not forked.
LOCAL_FRESH = LOCAL._replace(name="local fresh", parameters={**LOCAL.parameters, "local_setup": [":"]})
SRUN = Place("srun", "slurm", {}, {"nodes": 2, "tasks_per_node": 2})
NO_SRUN = Place("no srun", "slurm", {"slurm_use_srun": False}, None)


class Here:
    """One place, ready to be submitted to."""

    def __init__(self, place: Place, directory: Path, slurm: SlurmCluster | None) -> None:
        self.place = place
        self.directory = directory
        self.slurm = slurm
        self.folder = directory / "jobs" / "%j"

    def executor(self, python: str | None = None, **parameters: Any) -> submitit.AutoExecutor:
        arguments = {} if python is None else {f"{self.place.cluster}_python": python}
        executor = submitit.AutoExecutor(self.folder, cluster=self.place.cluster, **arguments)
        executor.update_parameters(timeout_min=10, **{**self.place.parameters, **parameters})
        return executor

    def submit(self, function: Callable[..., Any], *args: Any) -> submitit.Job[Any]:
        return self.executor().submit(function, *args)


ON_SLURM = [pytest.param(SRUN, marks=pytest.mark.slurm), pytest.param(NO_SRUN, marks=pytest.mark.slurm)]


@pytest.fixture(
    scope="module",
    params=[LOCAL, LOCAL_FRESH, *ON_SLURM],
    ids=lambda place: place.name,
)
def here(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    place: Place = request.param
    slurm: SlurmCluster | None = request.getfixturevalue("cluster") if place.cluster == "slurm" else None
    directory = tmp_path_factory.mktemp("endings")
    (directory / "cwd").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory / "cwd")
        for name, value in (slurm.env if slurm is not None else {}).items():
            patch.setenv(name, value)
        for name in ("FIRST_QUESTION_S", "RAREST_QUESTION_S", "SWEEP_S"):
            patch.setattr(tracker, name, HOUR_S)
        patch.setattr(submitit.SlurmJob, "_results_timeout_s", HOUR_S)
        patch.setattr(tracker, "_QUESTIONS", {})
        submitit.SlurmJob.watcher.clear()
        yield Here(place, directory, slurm)
        if slurm is not None:
            clear_away(slurm, tmp_path_factory.getbasetemp())


#: What is submitted at once, each read by a test of its own.
SIMPLE: dict[str, tuple[Any, ...]] = {
    "value": (calls.add, 1, 2),
    "exception": (calls.fail, "bad luck"),
    "unpicklable exception": (calls.fail_with_unpicklable,),
    "demanding exception": (calls.fail_with_demanding,),
    "unpicklable result": (calls.unpicklable_result,),
    "sys.exit(0)": (calls.exit_with, 0),
    "sys.exit(3)": (calls.exit_with, 3),
    "os._exit(0)": (calls.exit_at_once, 0),
    "os._exit(5)": (calls.exit_at_once, 5),
    "SIGKILL": (faults.die_by, signal.SIGKILL),
    "SIGSEGV": (faults.access_nowhere,),
    "MemoryError": (calls.out_of_memory_error,),
    "recursion": (faults.recurse,),
    "unreadable bytes": (faults.print_unreadable_bytes, 5),
    "endless thread": (faults.thread_without_end,),
    "endless exit handler": (faults.exit_handler_without_end,),
}


@pytest.fixture(scope="module")
def jobs(here: Here) -> Iterator[dict[str, submitit.Job[Any]]]:
    made = {name: here.submit(*call) for name, call in SIMPLE.items()}
    yield made
    for job in made.values():  # some never end by themselves
        job.cancel(check=False)


def failure(job: submitit.Job[Any]) -> errors.FailedJobError:
    """The error of a job whose function is to blame; nothing but its exact type will do."""
    error = job.exception(DEADLINE_S)
    assert type(error) is errors.FailedJobError, repr(error)
    assert str(job.paths.stderr) in str(error)
    assert str(job.paths.stdout) in str(error)
    with pytest.raises(errors.FailedJobError):
        job.result()
    return error


def loss(job: submitit.Job[Any], kind: type[errors.UncompletedJobError] = errors.UncompletedJobError) -> str:
    """The words of a job that left no result."""
    error = job.exception(DEADLINE_S)
    assert type(error) is kind, repr(error)
    text = str(error)
    assert f"Job {job.job_id} (task: {job.task_id or 0})" in text
    assert "has not produced any output" in text
    with pytest.raises(kind):
        job.result()
    return text


def note(fault: Fault, here: Here, what: str, words: str, lost: str = "what it did") -> None:
    """A row of the table of faults. How soon is measured elsewhere: the jobs of a place are submitted together."""
    backend = "local" if here.slurm is None else "Slurm"
    sees = f"`UncompletedJobError`: {words}, the node, the ends of both logs"
    fault.seen(what, sees, backend=backend, lost=lost, timed=False)


def names_place(here: Here, text: str, job: submitit.Job[Any]) -> bool:
    """Whether a text names the node and the logs of a job of one task."""
    node = r"n[12]" if here.slurm is not None else re.escape(os.uname().nodename)
    return (
        re.search(rf"Task 0 on node {node}\b", text) is not None
        and str(job.paths.stderr) in text
        and str(job.paths.stdout) in text
    )


# ---------------------------------------------------------------- processes that do not end

HANGING = ("endless thread", "endless exit handler")


@pytest.mark.parametrize("what", HANGING)
def test_what_never_ends_hides_no_result(here: Here, jobs: dict[str, submitit.Job[Any]], what: str) -> None:
    job = jobs[what]
    pid = job.result(DEADLINE_S)
    assert is_alive(pid)
    assert job.done()
    if here.slurm is None:  # for Slurm: below
        job.cancel()
        until(partial(is_gone, pid), f"the end of the process with an {what}")
        assert job.result() == pid


@pytest.mark.long
@pytest.mark.slurm
def test_what_never_ends_is_gone_after_a_cancel_on_slurm(slurm: SlurmCluster, tmp_path: Path) -> None:
    """After half a minute: Slurm's KillWait, in which its node takes no new jobs."""
    jobs = []
    for use_srun in (True, False):
        executor = submitit.AutoExecutor(tmp_path / "%j", cluster="slurm")
        executor.update_parameters(timeout_min=10, slurm_use_srun=use_srun)
        jobs += [executor.submit(faults.thread_without_end), executor.submit(faults.exit_handler_without_end)]
    pids = [job.result(DEADLINE_S) for job in jobs]
    assert all(map(is_alive, pids))
    for job in jobs:
        job.cancel()
    until(lambda: all(map(is_gone, pids)), "the end of every process")
    assert [job.result() for job in jobs] == pids


# ---------------------------------------------------------------- the function's own endings


def test_a_value(jobs: dict[str, submitit.Job[Any]]) -> None:
    assert jobs["value"].result(DEADLINE_S) == 3
    assert jobs["value"].exception() is None


def test_an_exception(jobs: dict[str, submitit.Job[Any]]) -> None:
    error = failure(jobs["exception"])
    assert "ValueError: bad luck" in str(error)
    assert "calls.py" in str(error)
    assert type(error.__cause__) is ValueError
    assert error.__cause__.args == ("bad luck",)


def test_an_exception_that_does_not_pickle(jobs: dict[str, submitit.Job[Any]]) -> None:
    error = failure(jobs["unpicklable exception"])
    assert "support.calls.Unpicklable: has a lock" in str(error)
    assert error.__cause__ is None


def test_an_exception_that_does_not_unpickle(jobs: dict[str, submitit.Job[Any]]) -> None:
    error = failure(jobs["demanding exception"])
    assert "support.calls.Demanding: one two" in str(error)
    assert error.__cause__ is None


def test_a_result_that_does_not_pickle(jobs: dict[str, submitit.Job[Any]]) -> None:
    error = failure(jobs["unpicklable result"])
    assert "cannot be pickled" in str(error)
    assert "['bad'][0]" in str(error)
    assert "lock" in str(error)
    assert type(error.__cause__) is TypeError


@pytest.mark.parametrize("code", [0, 3])
def test_sys_exit(jobs: dict[str, submitit.Job[Any]], code: int) -> None:
    error = failure(jobs[f"sys.exit({code})"])
    assert f"exit code {code}; a job's function has to return" in str(error)
    assert type(error.__cause__) is SystemExit
    assert error.__cause__.code == code


def test_memory_error(jobs: dict[str, submitit.Job[Any]]) -> None:
    error = failure(jobs["MemoryError"])
    assert "MemoryError: no memory left" in str(error)
    assert type(error.__cause__) is MemoryError


def test_recursion(jobs: dict[str, submitit.Job[Any]]) -> None:
    error = failure(jobs["recursion"])
    assert "RecursionError: maximum recursion depth exceeded" in str(error)
    assert type(error.__cause__) is RecursionError
    assert len(str(error)) < 10_000


def test_a_module_that_only_the_client_has(here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "submitit_test_only_here"
    source = tmp_path / f"{name}.py"
    source.write_text("def function(): return 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    module = importlib.import_module(name)
    monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, name, module)
    source.unlink()

    error = failure(here.submit(module.function))
    assert f"No module named '{name}'" in str(error)
    assert type(error.__cause__) is ModuleNotFoundError


# ---------------------------------------------------------------- the process's


@pytest.mark.parametrize("code", [0, 5])
def test_os_exit(here: Here, jobs: dict[str, submitit.Job[Any]], fault: Fault, code: int) -> None:
    job = jobs[f"os._exit({code})"]
    text = loss(job)
    note(fault, here, "its process ends without a word (`os._exit`)", "the exit code")
    assert f"ended with exit code {code} and recorded no result" in text
    assert names_place(here, text, job)


def test_sigkill(here: Here, jobs: dict[str, submitit.Job[Any]], fault: Fault) -> None:
    job = jobs["SIGKILL"]
    text = loss(job)
    note(fault, here, "its process is killed by SIGKILL", "the signal")
    assert "was killed by SIGKILL(-9)" in text
    assert names_place(here, text, job)
    assert "last words on stderr" in text


def test_sigsegv_shows_the_stack(here: Here, jobs: dict[str, submitit.Job[Any]], fault: Fault) -> None:
    job = jobs["SIGSEGV"]
    text = loss(job)
    note(fault, here, "its process crashes (SIGSEGV)", "the signal, the Python stack")
    assert "was killed by SIGSEGV(-11)" in text
    assert names_place(here, text, job)
    assert "Fatal Python error: Segmentation fault" in text
    assert "in access_nowhere" in text


def test_one_rank_of_four_is_killed(here: Here, tmp_path: Path, fault: Fault) -> None:
    if here.place.four_tasks is None:
        return  # there is one task without srun
    job = here.executor(**here.place.four_tasks).submit(faults.one_rank_dies, 2, str(tmp_path))
    error = job.exception(DEADLINE_S)

    # The others wait still: it was not their end that told.
    assert type(error) is errors.UncompletedJobError
    text = str(error)
    node = "n2" if here.slurm is not None else os.uname().nodename
    assert f"Task 2 on node {node} was killed by SIGKILL(-9)" in text
    assert "last words on stderr" in text
    dead = job.task(2)
    assert str(dead.paths.stderr) in text
    assert str(dead.paths.stdout) in text
    note(fault, here, "one rank of four is killed by SIGKILL", "the signal and the rank", lost="that rank's result")
    assert is_alive(int((tmp_path / "3").read_text()))
    assert type(dead.exception()) is errors.UncompletedJobError

    (tmp_path / "go").write_text("go")
    assert [job.task(rank).result(DEADLINE_S) for rank in (0, 1, 3)] == [0, 1, 3]
    with pytest.raises(errors.UncompletedJobError, match=r"Task 2 .* SIGKILL"):
        job.results()


def test_an_interpreter_that_does_not_exist(here: Here, fault: Fault) -> None:
    job = here.executor(python="/nowhere/python").submit(calls.add, 1, 2)
    text = loss(job)
    note(fault, here, "its interpreter does not exist", "what the shell said", lost="nothing")
    assert "/nowhere/python: No such file or directory" in text
    assert "state: FAILED" in text


@pytest.mark.parametrize("here", ON_SLURM, indirect=True, ids=lambda place: place.name)
def test_a_job_killed_for_memory(here: Here) -> None:
    if here.slurm is None or not here.slurm.has_cgroup:
        pytest.skip("memory is not limited here")
    job = here.executor(mem_gb=0.2).submit(faults.fill_memory, 600)
    text = loss(job, errors.JobOutOfMemoryError)
    assert "state: OUT_OF_MEMORY" in text
    assert "ReqMem=204M" in text
    assert re.search(r"MaxRSS=\d", text)
    assert "SIGKILL(-9)" in text


# ---------------------------------------------------------------- logs


def test_unreadable_bytes_in_the_logs(jobs: dict[str, submitit.Job[Any]]) -> None:
    job = jobs["unreadable bytes"]
    text = loss(job)
    assert "caf\N{REPLACEMENT CHARACTER} on stderr" in text
    assert "caf\N{REPLACEMENT CHARACTER} on stdout" in (job.stdout() or "")
    assert "caf\N{REPLACEMENT CHARACTER} on stderr" in (job.stderr() or "")


def test_a_print_is_seen_at_once(here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    job = here.submit(calls.print_and_wait, str(tmp_path / "go"))
    until(lambda: "seen while running" in (job.stdout() or ""), "the print")
    assert not job.done()
    (tmp_path / "go").touch()
    assert job.result(DEADLINE_S) == "went on"


def test_a_hundred_megabytes_of_output_cost_the_client_nothing(here: Here) -> None:
    job = here.submit(faults.print_and_exit, 100)
    tracemalloc.start()
    try:
        text = loss(job)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    size = job.paths.stdout.stat().st_size
    job.paths.stdout.unlink()
    assert size > 100 * 2**20
    assert text.count("x" * 1023) < collector.TAIL_LINES
    assert "the last line" in text
    assert peak < 4 * 2**20


# ---------------------------------------------------------------- signals


def together(pid: int, names: tuple[str, ...]) -> None:
    for name in names:
        os.kill(pid, getattr(signal, name))


SIGNALS = ("SIGTERM", "SIGCONT", "SIGUSR2")


def _said(job: submitit.Job[Any], words: str, times: int) -> bool:
    return (job.stdout() or "").count(words) == times


def test_signals_of_the_same_moment_pass_a_plain_function_by(here: Here, tmp_path: Path) -> None:
    started, go = tmp_path / "started", tmp_path / "go"
    job = here.submit(faults.wait_between, str(started), str(go))
    until(started.exists, "a start")
    pid = int(started.read_text())
    words = (
        "Bypassing signal SIGTERM",
        "Bypassing signal SIGCONT",
        "Caught signal SIGUSR2",
        "Job not requeued because",
    )

    def counts() -> set[int]:
        return {(job.stdout() or "").count(word) for word in words}

    for number, names in enumerate(permutations(SIGNALS), 1):
        together(pid, names)
        until(lambda expected={number}: counts() == expected, f"the end of the signals {number}")  # type: ignore[misc]
    assert not job.done()
    go.write_text("went on")
    assert job.result(DEADLINE_S) == {"pid": pid, "text": "went on"}


def test_signals_of_the_same_moment_make_one_checkpoint(here: Here, tmp_path: Path) -> None:
    first = tmp_path / "attempt-0"
    job = here.submit(faults.Saving(2, str(tmp_path)))
    until(first.exists, "a start")
    together(int(first.read_text()), SIGNALS)
    if here.slurm is not None:
        start_again(here.slurm, job.job_id)
    assert job.result(DEADLINE_S) == 1
    assert (tmp_path / "attempt-1").read_text() != first.read_text()
    calls.wait_for_output(job, "Calling checkpoint method.")
    calls.wait_for_output(job, "Starting with JobEnvironment", 2)


# ---------------------------------------------------------------- Ctrl-C in the client

CLIENT = """
import os, signal, sys, threading, time
import submitit
from support import calls

def interrupt_when_waiting():
    main = threading.main_thread().ident
    def is_waiting():
        frame = sys._current_frames()[main]
        while frame is not None:
            if frame.f_code.co_filename.endswith("tracker.py") and frame.f_code.co_name != "<module>":
                return True
            frame = frame.f_back
    while not is_waiting():
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGINT)

executor = submitit.AutoExecutor({folder!r}, cluster={cluster!r})
executor.update_parameters(timeout_min=10, **{parameters!r})
job = executor.submit(calls.touch_and_wait, {started!r}, {go!r})
print(job.job_id, flush=True)
calls.wait_for(lambda: os.path.exists({started!r}))
threading.Thread(target=interrupt_when_waiting).start()
job.result()
"""


def test_an_interrupted_wait_says_that_the_job_goes_on(here: Here, tmp_path: Path) -> None:
    started, go = tmp_path / "started", tmp_path / "go"
    program = textwrap.dedent(CLIENT).format(
        folder=str(here.folder),
        cluster=here.place.cluster,
        parameters=here.place.parameters,
        started=str(started),
        go=str(go),
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(import_path())},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == -signal.SIGINT, done.stderr
    job_id = done.stdout.strip()
    said = done.stderr.partition("Traceback")[0]
    assert f"Stopped waiting for job {job_id}, which goes on" in said
    assert "cancel()" in said
    made = re.search(r"found again with (\w+)\((folder=.*)\); its", said)
    assert made is not None
    job = eval(f"submitit.{made[1]}({made[2]})", {"submitit": submitit})  # what it says is what one types

    assert is_alive(int(started.read_text()))
    assert not job.done()
    go.write_text("to its end")
    assert job.result(DEADLINE_S) == "to its end"


# ---------------------------------------------------------------- what the scheduler saw of it


def test_the_scheduler_knows_who_failed(jobs: dict[str, submitit.Job[Any]]) -> None:
    good = {"value", "os._exit(0)"}
    expected = {name: "COMPLETED" if name in good else "FAILED" for name in jobs if name not in HANGING}

    def seen() -> dict[str, str]:
        return {name: jobs[name].get_info(mode="force").get("State", "") for name in expected}

    until(lambda: all(state in ("COMPLETED", "FAILED") for state in seen().values()), "every job over")
    assert seen() == expected
