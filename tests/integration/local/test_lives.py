"""From submission to the end: queueing, time-outs, checkpoints, cancellation, and what is left of a job."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import submitit
from submitit.local import processes
from submitit.local.processes import start_time
from support import calls
from support.local_processes import Clients, put


def _pid(path: Path) -> int:
    calls.wait_for(lambda: path.exists() and path.read_text())
    return int(path.read_text())


# ---------------------------------------------------------------- the queue


def test_what_does_not_fit_waits(executor: submitit.LocalExecutor, tmp_path: Path) -> None:
    executor.update_parameters(max_cpus=3, cpus_per_task=2)
    first, second = (executor.submit(calls.touch_and_wait, str(tmp_path / f"s{k}"), str(tmp_path / "go")) for k in "01")
    _pid(tmp_path / "s0")
    calls.wait_for(lambda: first.state == "RUNNING")
    assert second.state == "PENDING"
    assert second.get_info()["State"] == "PENDING"
    assert second.stdout() in ("", None)
    executor.update_parameters(cpus_per_task=1)
    assert executor.submit(calls.add, 1, 2).result() == 3, "a small job is not held up"
    assert second.state == "PENDING"
    put(tmp_path / "go", "went")
    assert [first.result(), second.result()] == ["went", "went"]
    assert first.state == second.state == "COMPLETED"


def test_a_job_larger_than_the_machine_runs_alone(
    executor: submitit.LocalExecutor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    executor.update_parameters(max_cpus=2)
    small = executor.submit(calls.touch_and_wait, str(tmp_path / "s0"), str(tmp_path / "go"))
    executor.update_parameters(cpus_per_task=500)
    with caplog.at_level("WARNING", logger="submitit"):
        big = executor.submit(calls.touch_and_wait, str(tmp_path / "big"), str(tmp_path / "go big"))
    assert "500 CPUs" in caplog.text
    executor.update_parameters(cpus_per_task=1)
    _pid(tmp_path / "s0")
    assert big.state == "PENDING"
    put(tmp_path / "go", "went")
    small.result()
    _pid(tmp_path / "big")
    late = executor.submit(calls.add, 1, 2)
    assert late.state == "PENDING"
    put(tmp_path / "go big", "big")
    assert (big.result(), late.result()) == ("big", 3)


def test_array_parallelism(executor: submitit.LocalExecutor, tmp_path: Path) -> None:
    executor.update_parameters(max_cpus=10, array_parallelism=2)
    paths = [str(tmp_path / f"s{k}") for k in range(5)]
    jobs = executor.map_array(calls.touch_and_wait, paths, [str(tmp_path / "go")] * 5)
    _pid(tmp_path / "s0")
    _pid(tmp_path / "s1")
    calls.wait_for(lambda: [job.state for job in jobs] == ["RUNNING"] * 2 + ["PENDING"] * 3)
    put(tmp_path / "go", "x")
    assert [job.result() for job in jobs] == ["x"] * 5


def test_jobs_start_in_order(executor: submitit.LocalExecutor, tmp_path: Path) -> None:
    executor.update_parameters(max_cpus=1)

    def note(number: int) -> None:
        with open(tmp_path / "notes", "a") as file:
            file.write(f"{number} ")

    note.__module__ = "__main__"
    for job in executor.map_array(note, range(12)):
        job.result()
    assert (tmp_path / "notes").read_text().split() == [str(k) for k in range(12)]


# ---------------------------------------------------------------- time-outs and checkpoints


def test_a_plain_function_out_of_time(executor: submitit.LocalExecutor) -> None:
    executor.update_parameters(timeout_min=0.4 / 60)
    job = executor.submit(calls.wait_for_file, "/never")
    error = job.exception()
    assert isinstance(error, submitit.UncompletedJobError)
    assert job.state == "TIMEOUT"
    assert isinstance(error, (submitit.JobTimeoutError, submitit.FailedJobError))


def test_time_counts_from_the_start(executor: submitit.LocalExecutor, tmp_path: Path) -> None:
    """A job that waits longer than its limit still has all of it."""
    executor.update_parameters(max_cpus=1)
    first = executor.submit(calls.wait_for_file, str(tmp_path / "go"))
    executor.update_parameters(timeout_min=2 / 60)
    second = executor.submit(calls.add, 1, 2)
    with pytest.raises(TimeoutError):
        second.result(timeout=2.5)
    put(tmp_path / "go", "went")
    first.result()
    assert second.result() == 3


def test_a_checkpointable_function_goes_on_after_a_time_out(executor: submitit.LocalExecutor, tmp_path: Path) -> None:
    executor.update_parameters(timeout_min=1.5 / 60, signal_delay_s=1)
    job = executor.submit(calls.Counter(2, str(tmp_path / "notes")))
    assert job.result() == 2
    assert (tmp_path / "notes").read_text() == "start 0\nstart 1\nstart 2\n"
    assert job.get_info()["Restarts"] == "2"
    assert "(1 remaining timeouts)" in (job.stdout() or "")
    assert job.submission()._timeout_countdown == 1


def test_time_outs_are_counted(tmp_path: Path) -> None:
    executor = submitit.LocalExecutor(tmp_path / "jobs", max_num_timeout=1)
    executor.update_parameters(timeout_min=1.5 / 60, signal_delay_s=1)
    job = executor.submit(calls.Counter(9, str(tmp_path / "notes")))
    error = job.exception()
    assert isinstance(error, submitit.FailedJobError)
    assert "timed-out too many times" in str(error)
    assert (tmp_path / "notes").read_text() == "start 0\nstart 1\n"


def test_interrupt_asks_for_a_checkpoint(executor: submitit.LocalExecutor, tmp_path: Path) -> None:
    job = executor.submit(calls.Counter(1, str(tmp_path / "notes")))
    calls.wait_for(lambda: (tmp_path / "notes").exists())
    job._interrupt()
    assert job.result() == 1
    assert job.state == "COMPLETED"


def test_interrupt_from_another_process(clients: Clients) -> None:
    client = clients.start('say(executor.submit(calls.Counter(1, "notes")).job_id); time.sleep(600)')
    assert client.stdout is not None
    job = clients.job(client.stdout.readline().strip())
    calls.wait_for(lambda: (clients.directory / "notes").exists())
    job._interrupt()
    assert job.result() == 1


def test_a_signal_before_the_runner_is_ready_is_kept_for_it(executor: submitit.LocalExecutor, tmp_path: Path) -> None:
    job = executor.submit(calls.Counter(1, str(tmp_path / "notes")))
    calls.wait_for(lambda: job.state == "RUNNING")
    job._interrupt()
    assert job.result() == 1


@pytest.mark.parametrize("lines", [["export VALUE=1"], []])
def test_the_warning_finds_the_runner_below_a_shell(tmp_path: Path, lines: list[str]) -> None:
    executor = submitit.LocalExecutor(tmp_path / "jobs", python=f"true && VALUE=1 {sys.executable}")
    executor.update_parameters(timeout_min=10, setup=lines)
    job = executor.submit(calls.Counter(1, str(tmp_path / "notes")))
    calls.wait_for(lambda: (tmp_path / "notes").exists())
    job._interrupt()
    assert job.result() == 1
    assert job.get_info()["Restarts"] == "1"


def test_a_requeued_job_of_several_tasks(executor: submitit.LocalExecutor, tmp_path: Path) -> None:
    executor.update_parameters(tasks_per_node=2, max_cpus=2)
    job = executor.submit(calls.Counter(1, str(tmp_path / "notes")))
    calls.wait_for(lambda: (tmp_path / "notes").exists() and (tmp_path / "notes").read_text().count("\n") == 2)
    job._interrupt()
    assert job.results() == [1, 1]
    assert job.get_info()["Restarts"] == "1"


# ---------------------------------------------------------------- cancelling


def test_cancel_while_it_waits(executor: submitit.LocalExecutor, tmp_path: Path) -> None:
    executor.update_parameters(max_cpus=1)
    first = executor.submit(calls.wait_for_file, str(tmp_path / "go"))
    second = executor.submit(calls.touch_and_wait, str(tmp_path / "started"), "/never")
    second.cancel()
    assert isinstance(second.exception(), submitit.JobCancelledError)
    assert second.state == "CANCELLED"
    put(tmp_path / "go", "went")
    first.result()
    assert executor.submit(calls.add, 1, 2).result() == 3
    assert not (tmp_path / "started").exists()


def test_cancel_while_it_runs(executor: submitit.LocalExecutor, tmp_path: Path) -> None:
    job = executor.submit(calls.touch_and_wait, str(tmp_path / "started"), "/never")
    pid = _pid(tmp_path / "started")
    job.cancel()
    assert job.done()
    assert isinstance(job.exception(), submitit.JobCancelledError)
    calls.wait_for(lambda: not start_time(pid))
    calls.wait_for(lambda: job.get_info().get("End"))
    assert job.get_info()["State"] == "CANCELLED"


def test_a_cancelled_job_is_not_requeued(executor: submitit.LocalExecutor, tmp_path: Path) -> None:
    job = executor.submit(calls.Counter(5, str(tmp_path / "notes")))
    calls.wait_for(lambda: (tmp_path / "notes").exists())
    job._interrupt()
    job.cancel()
    calls.wait_for(lambda: job.get_info().get("End"))
    assert job.get_info()["State"] == "CANCELLED"


def test_cancel_after_the_end_does_nothing(executor: submitit.LocalExecutor) -> None:
    job = executor.submit(calls.add, 1, 2)
    assert job.result() == 3
    calls.wait_for(lambda: job.get_info().get("End"))  # a result may be there before its process has ended
    job.cancel()
    assert job.state == "COMPLETED"
    assert job.result() == 3


def test_cancel_from_another_process(clients: Clients) -> None:
    client = clients.start(
        """
        executor.update_parameters(max_cpus=1)
        jobs = [executor.submit(calls.touch_and_wait, f"started{k}", "/never") for k in range(2)]
        calls.wait_for(Path("started0").exists)
        say(*(job.job_id for job in jobs))
        for job in jobs:
            say(type(job.exception()).__name__, job.state)
        """
    )
    assert client.stdout is not None
    running, queued = (clients.job(job_id) for job_id in client.stdout.readline().split())
    queued.cancel()
    assert queued.done()
    calls.wait_for(lambda: queued.get_info().get("End"))
    running.cancel()
    assert isinstance(running.exception(), submitit.JobCancelledError)
    assert client.stdout.read() == "JobCancelledError CANCELLED\n" * 2
    assert not (clients.directory / "started1").exists()


def test_cancel_at_deletion(executor: submitit.LocalExecutor, tmp_path: Path) -> None:
    job = executor.submit(calls.touch_and_wait, str(tmp_path / "started"), "/never").cancel_at_deletion()
    pid = _pid(tmp_path / "started")
    del job
    calls.wait_for(lambda: not start_time(pid))


def test_cancel_at_deletion_at_the_end_of_the_program(clients: Clients) -> None:
    """Of that program: the end of a forked copy means nothing."""
    clients.run(
        """
        job = executor.submit(calls.touch_and_wait, "started", "/never").cancel_at_deletion()
        calls.wait_for(Path("started").exists)
        pid = os.fork()
        if pid:
            os.waitpid(pid, 0)
            executor.submit(calls.add, 1, 2).result()
            assert job.state == "RUNNING", job.state
        """
    )
    calls.wait_for(lambda: not clients.living())


# ---------------------------------------------------------------- what is left


DETACHED = """
import os, signal, sys, time
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2):
    signal.signal(number, signal.SIG_IGN)
if os.fork():
    while not os.path.exists(sys.argv[1]):
        time.sleep(0.01)
    os._exit(0)
os.setsid()
with open(sys.argv[1] + ".new", "w") as file:
    file.write(str(os.getpid()))
os.rename(sys.argv[1] + ".new", sys.argv[1])
time.sleep(3600)
"""


def _leave_processes(path: str, how: str) -> str:
    subprocess.Popen(["sleep", "3600"])  # in the task's own group
    subprocess.run([sys.executable, "-c", DETACHED, path], check=True)
    if how == "return":
        return "ended"
    return calls.wait_for_file("/never")


_leave_processes.__module__ = "__main__"


@pytest.mark.parametrize("how", ["return", "cancel"])
def test_nothing_of_a_job_lives_on(executor: submitit.LocalExecutor, tmp_path: Path, how: str) -> None:
    """Not even what made a session of its own and ignores SIGTERM."""
    job = executor.submit(_leave_processes, str(tmp_path / "pid"), how)
    detached = _pid(tmp_path / "pid")
    if how == "return":
        assert job.result() == "ended"
    else:
        job.cancel()
    calls.wait_for(lambda: not start_time(detached))
    calls.wait_for(lambda: job.get_info().get("End"))


def _leave_children(path: str) -> list[int]:
    executed = subprocess.Popen(["sleep", "3600"], start_new_session=True)
    forked = os.fork()
    if forked == 0:
        os.setsid()
        Path(path).write_text("there")
        while True:
            signal.pause()
    calls.wait_for_file(path)
    return [executed.pid, forked]


_leave_children.__module__ = "__main__"


def test_nor_what_has_a_session_of_its_own_when_the_function_returns(
    executor: submitit.LocalExecutor, tmp_path: Path
) -> None:
    """One that shows the variables of its job, and one that shows those that its nursery was started with."""
    left = executor.submit(_leave_children, str(tmp_path / "there")).result()
    calls.wait_for(lambda: not any(map(start_time, left)))


def test_a_job_leaves_at_most_six_files(executor: submitit.LocalExecutor) -> None:
    before = {path for path in executor.folder.rglob("*") if path.is_file()} if executor.folder.exists() else set()
    executor.submit(calls.add, 1, 2).result()
    first = {path for path in executor.folder.rglob("*") if path.is_file()} - before
    executor.submit(calls.add, 1, 2).result()
    second = {path for path in executor.folder.rglob("*") if path.is_file()} - before - first
    assert len(second) <= 6, sorted(second)
    assert not [path for path in first | second if path.suffix in (".tmp", ".save_tmp", ".new")]


def test_an_array_writes_one_payload(executor: submitit.LocalExecutor) -> None:
    jobs = executor.map_array(calls.add, range(30), range(30))
    assert [job.result() for job in jobs] == [2 * k for k in range(30)]
    assert len(list((executor.folder / ".submitit" / "payloads").iterdir())) == 1
    assert not list(executor.folder.glob("*_submitted.pkl"))
    assert jobs[7].submission().args == (7, 7)


# ---------------------------------------------------------------- endings without a result


def _end(how: str) -> Any:
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(7)


_end.__module__ = "__main__"


def test_exit_codes_are_told(executor: submitit.LocalExecutor) -> None:
    killed, exited = executor.submit(_end, "kill"), executor.submit(_end, "exit")
    error = killed.exception()
    assert type(error) is submitit.UncompletedJobError
    assert "has not produced any output (state: FAILED)" in str(error)
    assert killed.get_info()["ExitCode"] == killed.get_info()["TaskExitCodes"] == "0:9"
    assert exited.exception() is not None
    assert exited.get_info()["ExitCode"] == "7:0"


def test_a_command_that_does_not_exist(tmp_path: Path) -> None:
    executor = submitit.LocalExecutor(tmp_path / "jobs", python="/no/such/python")
    error = executor.submit(calls.add, 1, 2).exception()
    assert "/no/such/python" in str(error)


def test_a_working_directory_that_is_gone(
    executor: submitit.LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor.update_parameters(max_cpus=1)
    first = executor.submit(calls.wait_for_file, str(tmp_path / "go"))
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    second = executor.submit(calls.add, 1, 2)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gone").rmdir()
    put(tmp_path / "go", "went")
    first.result()
    assert "could not be started" in str(second.exception())


def test_a_folder_deleted_under_a_running_job(tmp_path: Path) -> None:
    import shutil

    executor = submitit.LocalExecutor(tmp_path / "jobs" / "%j")
    job = executor.submit(calls.touch_and_wait, str(tmp_path / "started"), str(tmp_path / "go"))
    _pid(tmp_path / "started")
    shutil.rmtree(tmp_path / "jobs")
    (tmp_path / "jobs").write_text("in the way")
    put(tmp_path / "go", "x")
    assert isinstance(job.exception(), submitit.JobVanishedError)
    (tmp_path / "jobs").unlink()
    assert executor.submit(calls.add, 1, 2).result() == 3


# ---------------------------------------------------------------- ids


def test_two_clients_of_one_folder_have_distinct_ids(clients: Clients) -> None:
    programs = [
        clients.start(
            f"say(*((job.job_id, job.result()) for job in executor.map_array(calls.add, range(20), [{k}] * 20)))"
        )
        for k in (100, 200)
    ]
    outputs = [program.communicate(timeout=120)[0] for program in programs]
    found = [eval(f"[{','.join(line.replace(') (', '), (') for line in output.splitlines())}]") for output in outputs]
    assert [[value for _, value in jobs] for jobs in found] == [
        [100 + k for k in range(20)],
        [200 + k for k in range(20)],
    ]
    assert len({job_id for jobs in found for job_id, _ in jobs}) == 40


@pytest.mark.parametrize("folder", ["jobs", "jobs/%j", "jobs/a_%j/%t"])
def test_an_id_never_comes_again(tmp_path: Path, folder: str) -> None:
    import shutil

    executor = submitit.LocalExecutor(tmp_path / folder)
    seen = set()
    for _ in range(3):
        job = executor.submit(calls.add, 1, 2)
        assert job.result() == 3
        seen.add(job.job_id)
        for path in (tmp_path / "jobs").iterdir():
            if path.name != ".submitit":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert seen == {"1", "2", "3"}


# ---------------------------------------------------------------- other processes are safe


def test_a_recorded_process_number_that_is_anothers_is_not_signalled(clients: Clients) -> None:
    """The journal says that a job runs as a process that now is somebody else's."""
    from submitit.local import records, requests
    from submitit.storage.journal import Journal

    bystander = subprocess.Popen(["sleep", "600"])
    try:
        journal = Journal(clients.folder / ".submitit" / "journal" / "gone.jsonl")
        me = processes.identify(os.getpid())
        journal.append(records.Header("gone", str(clients.folder / ".submitit" / "local" / "gone"), me, me).write())
        journal.append(records.Record("77", "RUNNING", pids=[(bystander.pid, "12345")], start=1.0).write())
        job = clients.job("77")
        assert job.state == "RUNNING"
        requests.ask(str(clients.folder), "77", "signal")
        assert not processes.send(processes.Identity(me.machine, bystander.pid, "12345"), signal.SIGKILL)
        assert processes.send(processes.identify(bystander.pid), signal.SIGKILL)
        assert bystander.wait(timeout=60) == -signal.SIGKILL
    finally:
        bystander.kill()
        bystander.wait()
