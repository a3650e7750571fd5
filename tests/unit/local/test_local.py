"""The executor's parameters and how a job is to be started; handles of jobs that nobody runs."""

from __future__ import annotations

import os
import pickle
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import submitit
from submitit.executors import foreign_python
from submitit.local import processes, records
from submitit.local.journals import journal_source
from submitit.local.local import LocalExecutor, LocalJob, LocalJobEnvironment
from submitit.orchestrator.tracker import Waiter
from submitit.storage.journal import Journal
from support import calls


@pytest.fixture
def executor(tmp_path: Path) -> LocalExecutor:
    return LocalExecutor(tmp_path / "a b")


def launch(executor: LocalExecutor) -> Any:
    return executor._launch(executor._submitit_command_str)


def test_defaults(executor: LocalExecutor, tmp_path: Path) -> None:
    made = launch(executor)
    assert made.command == [sys.executable, "-u", "-m", "submitit.core._submit", str(tmp_path / "a b")]
    assert (made.shell, made.tasks, made.cpus, made.max_cpus, made.parallelism) == (False, 1, 1, None, None)
    assert (made.mem_gb, made.max_jobs, made.gpus, made.visible_gpus, made.lease_gpus) == (0, None, 0, [], False)
    assert (made.timeout_s, made.signal_delay_s, made.stderr_to_stdout) == (120, 30, False)
    assert (made.cwd, made.user_signal) == (os.getcwd(), signal.SIGUSR2)
    assert executor.parameters == {}
    assert (executor.affinity(), executor._num_tasks(), executor._equivalence_dict()) == (1, 1, None)
    assert (executor.max_num_timeout, executor.max_pickle_size_gb, executor.python) == (
        3,
        1.0,
        shlex.quote(sys.executable),
    )


def test_parameters_reach_the_launch(executor: LocalExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUBMITIT_PREEMPT_SIGNAL", "USR1")
    executor.update_parameters(
        timeout_min=0.5, tasks_per_node=3, cpus_per_task=2, gpus_per_node=2, visible_gpus=[3, 5, 7], signal_delay_s=4,
        stderr_to_stdout=True, max_cpus=6, array_parallelism=2, max_jobs=4, name="x", mem_gb=3.5, nodes=1,
    )  # fmt: skip
    made = launch(executor)
    assert (made.tasks, made.cpus, made.max_cpus, made.parallelism, made.max_jobs) == (3, 6, 6, 2, 4)
    assert (made.mem_gb, made.gpus, made.visible_gpus, made.lease_gpus) == (3.5, 2, ["3", "5", "7"], True)
    assert (made.timeout_s, made.signal_delay_s, made.stderr_to_stdout) == (30, 4, True)
    assert made.user_signal == signal.SIGUSR1


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"nodes": 2}, "can use only one node"),
        ({"visible_gpus": 3}, "not an instance of Sequence"),
        ({"visible_gpus": "0,1"}, "not an int"),
        ({"visible_gpus": ("0",)}, "not an int"),
        ({"gpus_per_node": 3, "visible_gpus": (0, 1)}, r"3 gpus requested, but only \(0, 1\) were specified visible"),
        ({"max_cpus": 0}, "max_cpus"),
        ({"max_jobs": 1.5}, "max_jobs"),
        ({"mem_gb": -1}, "mem_gb has to be a number of gigabytes, not -1"),
        ({"mem_gb": float("nan")}, "mem_gb"),
        ({"mem_gb": "4GB"}, "mem_gb"),
        ({"array_parallelism": "many"}, "array_parallelism"),
    ],
)
def test_what_this_machine_cannot_give(executor: LocalExecutor, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        executor.update_parameters(**parameters)
    assert executor.parameters == {}


def test_anything_can_be_unset(executor: LocalExecutor, tmp_path: Path) -> None:
    names = ("nodes", "timeout_min", "tasks_per_node", "cpus_per_task", "gpus_per_node", "visible_gpus", "max_cpus", "max_jobs", "array_parallelism", "setup", "stderr_to_stdout", "signal_delay_s", "mem_gb", "name")  # fmt: skip
    executor.update_parameters(
        nodes=1, gpus_per_node=1, visible_gpus=[3], tasks_per_node=2, max_cpus=3, setup=["a"], mem_gb=3
    )
    executor.update_parameters(**dict.fromkeys(names, submitit.UNSET))
    unset, fresh = launch(executor), launch(LocalExecutor(tmp_path / "a b"))
    assert unset.timeout_s > 10**8
    assert unset._replace(timeout_s=0) == fresh._replace(timeout_s=0)


def test_gpus_are_checked_against_what_was_visible_before(executor: LocalExecutor) -> None:
    executor.update_parameters(visible_gpus=(0, 1))
    with pytest.raises(ValueError, match="3 gpus requested"):
        executor.update_parameters(gpus_per_node=3)


def test_gpus_that_others_may_use_are_warned_about(
    executor: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SUBMITIT_LOCAL_LEASES", str(tmp_path / "file"))
    executor.update_parameters(gpus_per_node=1, visible_gpus=(0, 1))
    for _ in range(2):
        executor._warn_about(launch(executor))
    assert caplog.text.count("Other processes may use the GPUs of these jobs at the same time") == 1
    assert str(tmp_path / "file") in caplog.text


def test_a_default_can_be_removed(executor: LocalExecutor) -> None:
    executor.update_parameters(timeout_min=submitit.UNSET)
    assert launch(executor).timeout_s > 10**8


@pytest.mark.parametrize(
    "python, setup, expected",
    [
        (None, [], ""),
        (None, ["a", "b"], "a\nb\nexec {default}"),
        (None, "a", "a\nexec {default}"),
        ("conda run python", [], "{check}\nconda run python -u -m submitit.core._submit {folder}"),
        ("X=1 python", ["a"], "a\n{check}\nX=1 python -u -m submitit.core._submit {folder}"),
    ],
)
def test_the_command_goes_through_a_shell_where_it_must(
    tmp_path: Path, python: str | None, setup: Any, expected: str
) -> None:
    executor = LocalExecutor(tmp_path / "a b", python=python)
    executor.update_parameters(setup=setup)
    made = launch(executor)
    folder = shlex.quote(str(tmp_path / "a b"))
    default = f"{shlex.quote(sys.executable)} -u -m submitit.core._submit {folder}"
    if expected:
        check = foreign_python.check(python or "")
        text = expected.format(default=default, folder=folder, check=check)
        assert (made.shell, made.command) == (True, [text])
    else:
        assert (made.shell, made.command) == (False, shlex.split(default))


def test_the_environment_is_the_submitters(executor: LocalExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", "1")
    monkeypatch.setenv("SUBMITIT_EVENTS", "kept outside of a job")
    env = launch(executor).env
    assert env["MINE"] == "1"
    assert "SUBMITIT_EVENTS" in env
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "local")
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    env = launch(executor).env
    assert "SUBMITIT_EVENTS" not in env
    assert env["SLURM_JOB_ID"] == "12"


def test_a_deleted_working_directory_is_named(
    executor: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(FileNotFoundError, match="working directory of this process was deleted"):
        launch(executor)


def test_hooks_of_version_1(executor: LocalExecutor) -> None:
    assert executor._make_submission_file_text("command", "uid") == ""
    assert executor._make_submission_command(Path("x")) == []
    assert executor._get_job_id_from_submission_command("x") == "0"
    assert "setup" in executor._valid_parameters()


# ---------------------------------------------------------------- handles


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "jobs"


def write(root: Path, *written: records.Record, name: str = "c1", **who: processes.Identity) -> Journal:
    journal = Journal(root / ".submitit" / "journal" / f"{name}.jsonl")
    me = processes.identify(os.getpid())
    header = records.Header(name, str(root / ".submitit" / "local" / name), who.get("who", me), who.get("client", me))
    journal.append(header.write())
    for record in written:
        journal.append(record.write())
    return journal


def gone() -> processes.Identity:
    return processes.identify(os.getpid())._replace(started="1")


def test_a_job_of_another_process_is_read_in_its_journal(root: Path) -> None:
    me = processes.identify(os.getpid())
    journal = write(root, records.Record("1", "PENDING"), records.Record("1", "RUNNING", pids=[(me.pid, me.started)]))
    job: LocalJob[Any] = LocalJob(root / "%j", "1")
    assert (job.state, job.done()) == ("RUNNING", False)
    journal.append(records.Record("1", "FAILED", True, exits=[-9], time=5.0).write())
    assert job.done()
    assert (job.state, job.get_info()["ExitCode"]) == ("FAILED", "0:9")
    error = job.exception()
    assert type(error) is submitit.UncompletedJobError


def test_journals_of_clients_are_passed_over(root: Path) -> None:
    Journal(root / ".submitit" / "journal" / "client.jsonl").append({"event": "submitted", "jobs": ["1"]})
    write(root, records.Record("1", "RUNNING", pids=[]))
    assert LocalJob(root, "1").state == "RUNNING"


def test_ids_of_two_folders_are_two_jobs(tmp_path: Path) -> None:
    write(tmp_path / "a", records.Record("1", "COMPLETED", True))
    write(tmp_path / "b", records.Record("1", "CANCELLED", True))
    assert [LocalJob(tmp_path / name, "1").state for name in "ab"] == ["COMPLETED", "CANCELLED"]


def test_the_newest_journal_counts(root: Path) -> None:
    write(root, records.Record("1", "PENDING", time=3.0), name="c2")
    write(root, records.Record("1", "RUNNING", time=1.0), name="c1", who=gone())
    assert LocalJob(root, "1").state == "PENDING"


def test_jobs_of_a_dead_controller_are_lost(root: Path) -> None:
    write(
        root,
        records.Record("1", "RUNNING", pids=[(os.getpid(), "1")]),
        records.Record("2", "PENDING"),
        records.Record("3", "CANCELLED"),
        records.Record("4", "COMPLETED", True),
        who=gone(),
        client=gone(),
    )
    assert [LocalJob(root, number).state for number in "1234"] == ["NODE_FAIL", "NODE_FAIL", "CANCELLED", "COMPLETED"]
    assert "is gone" in LocalJob(root, "1").get_info()["Reason"]


def test_tasks_that_outlive_their_controller_still_run(root: Path) -> None:
    me = processes.identify(os.getpid())
    write(root, records.Record("1", "RUNNING", pids=[(me.pid, me.started)]), who=gone(), client=gone())
    assert LocalJob(root, "1").state == "RUNNING"


def test_what_waits_is_started_again_by_a_living_client(root: Path) -> None:
    write(root, records.Record("1", "PENDING"), who=gone())
    assert LocalJob(root, "1").state == "PENDING"


def test_controllers_of_other_machines_are_believed(root: Path) -> None:
    elsewhere = gone()._replace(machine="elsewhere")
    write(root, records.Record("1", "RUNNING", pids=[(1, "1")]), who=elsewhere, client=elsewhere)
    assert LocalJob(root, "1").state == "RUNNING"


def test_an_unknown_job_is_given_up_after_a_while(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job: LocalJob[Any] = LocalJob(root, "1")
    assert (job.state, job.done(), job.get_info()) == ("UNKNOWN", False, {})
    monkeypatch.setattr("submitit.local.job._UNKNOWN_S", 0)
    assert isinstance(job.exception(), submitit.JobVanishedError)


def test_a_handle_without_a_journal_but_with_a_result(root: Path) -> None:
    """Of a folder whose `.submitit` was removed, or of version 1."""
    root.mkdir()
    with (root / "1_0_result.pkl").open("wb") as file:
        pickle.dump(("success", 5), file)
    assert LocalJob(root, "1").result() == 5
    assert LocalJob(root, "1").state == "COMPLETED"


def test_handles_survive_pickling(root: Path) -> None:
    write(root, records.Record("1", "COMPLETED", True))
    again = pickle.loads(pickle.dumps(LocalJob(root, "1", tasks=[0, 1])))
    assert (again.state, again.num_tasks, again.job_id) == ("COMPLETED", 2, "1")


@pytest.mark.parametrize("looked", [True, False], ids=["seen", "unseen"])
@pytest.mark.parametrize("difference", [-50, 0, 50])
def test_a_journal_that_was_deleted_is_begun_anew(root: Path, looked: bool, difference: int) -> None:
    """By a controller that lives: what it then writes is read, however long it is."""
    job: LocalJob[Any] = LocalJob(root, "1")
    path = Path(write(root, records.Record("1", "RUNNING", pids=[], reason="r" * 200)).path)
    size = path.stat().st_size
    assert job.state == "RUNNING"
    path.unlink()
    if looked:
        assert not job.done()
    final = records.Record("1", "FAILED", True, exits=[1], vanished=True, reason="r")
    again = Path(write(root, final, name="again").path).read_text().replace('"time":', '"time":1', 1)  # later
    path.write_text(again.replace('"r"', '"' + "r" * (size + difference - len(again) + 1) + '"'))
    (path.parent / "again.jsonl").unlink()
    os.utime(path, (time.time(), time.time() + 1))  # the clock of a file system does not tell milliseconds apart
    assert path.stat().st_size == size + difference
    assert isinstance(job.exception(), submitit.JobVanishedError)


def test_a_reader_that_is_interrupted_loses_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle of what was just written."""
    write(root, *(records.Record(number, "COMPLETED", True) for number in "123"))
    read = records.read_line
    left = 3

    def interrupted(line: dict[str, Any]) -> Any:
        nonlocal left
        left -= 1
        if not left:
            raise KeyboardInterrupt
        return read(line)

    monkeypatch.setattr(records, "read_line", interrupted)
    with pytest.raises(KeyboardInterrupt):
        LocalJob(root, "3").done()
    assert [LocalJob(root, number).state for number in "123"] == ["COMPLETED"] * 3


def test_a_fork_in_the_middle_of_a_look(root: Path) -> None:
    """The thread that looked does not exist in the copy, which looks for itself."""
    write(root, records.Record("1", "COMPLETED", True))
    source = journal_source(str(root))
    with source._refreshing:
        pid = os.fork()
        if not pid:
            os._exit(0 if LocalJob(root, "1").state == "COMPLETED" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_job_may_be_waited_for_before_it_is_written_down(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("submitit.local.job._UNKNOWN_S", 3600)
    job: LocalJob[Any] = LocalJob(root, "1")
    waiter = Waiter([job])
    assert waiter.ended(0) == []
    journal = write(root, records.Record("1", "PENDING"))
    calls.wait_for(lambda: waiter.ended(0) or not waiter._plain)
    journal.append(records.Record("1", "FAILED", True, exits=[1]).write())
    assert waiter.ended(60) == [job]


def test_an_own_watcher_is_kept(root: Path) -> None:
    class Mine(LocalJob[Any]):
        watcher = submitit.local.watcher.LocalInfoWatcher()

    assert Mine(root, "1").watcher is Mine.watcher
    assert LocalJob(root, "1").watcher is LocalJob(root, "2").watcher
    assert LocalJob.watcher.get_state("of nobody") == "UNKNOWN"
    with pytest.raises(ValueError, match="mode"):
        LocalJob.watcher.get_state("1", mode="sometimes")


# ---------------------------------------------------------------- inside a job


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> LocalJobEnvironment:
    for name, value in {
        "SUBMITIT_EXECUTOR": "local",
        "SUBMITIT_LOCAL_JOB_ID": "12",
        "SUBMITIT_LOCAL_NTASKS": "4",
        "SUBMITIT_LOCAL_GLOBALID": "2",
        "SUBMITIT_LOCAL_LOCALID": "2",
        "SUBMITIT_LOCAL_ATTEMPT": "3",
    }.items():
        monkeypatch.setenv(name, value)
    found = submitit.JobEnvironment()
    assert isinstance(found, LocalJobEnvironment)
    return found


def test_a_job_knows_itself(environment: LocalJobEnvironment) -> None:
    assert (environment.name(), environment.job_id, environment.num_tasks) == ("local", "12", 4)
    assert (environment.global_rank, environment.local_rank, environment.node, environment.num_nodes) == (2, 2, 0, 1)
    assert (environment._attempt, environment.array_job_id) == (3, None)
    assert environment.hostnames == [os.uname().nodename]


def test_requeueing_leaves_a_file(
    environment: LocalJobEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUBMITIT_LOCAL_REQUEUE", str(tmp_path / "requeue-12"))
    environment._requeue(2)
    assert (tmp_path / "requeue-12").exists()


def test_a_controller_of_version_1_is_asked_by_the_exit_code(
    environment: LocalJobEnvironment, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        environment._requeue(2)
    assert raised.value.code == 144
    assert "(2 remaining timeouts)" in capfd.readouterr().out
