"""What a task finds when it begins: its environment, its descriptors, its signals, its place."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

import submitit
from support import calls
from support.local_processes import Clients


def _look_around() -> dict[str, Any]:
    import os
    import resource
    import signal
    import sys

    signal.pthread_sigmask(signal.SIG_BLOCK, ())
    mask = os.umask(0)
    os.umask(mask)
    return {
        "argv": sys.argv,
        "cwd": os.getcwd(),
        "path": sys.path,
        "pid": os.getpid(),
        "parent": os.getppid(),
        "group": os.getpgid(0),
        "session": os.getsid(0),
        "stdin": os.readlink("/proc/self/fd/0"),
        "descriptors": [fd for fd in range(3, 4096) if os.path.exists(f"/proc/self/fd/{fd}")],
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "ignored": sorted(n for n in signal.valid_signals() if signal.getsignal(n) is signal.SIG_IGN),
        "umask": mask,
        "files": resource.getrlimit(resource.RLIMIT_NOFILE),
        "environ": dict(os.environ),
        "main": getattr(sys.modules["__main__"].__spec__, "name", None),
        "flags": str(sys.flags),
    }


_look_around.__module__ = "__main__"


def test_a_task_is_on_its_own(executor: submitit.LocalExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    held = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(held, True)
    before = os.umask(0o027)
    monkeypatch.setenv("A_VALUE", "1 with 'quotes'")
    monkeypatch.setenv("LATIN", os.fsdecode(b"\xff"))
    try:
        job = executor.submit(_look_around)
        seen = job.result()
    finally:
        os.umask(before)
        os.close(held)
    assert seen["pid"] == seen["group"] == seen["session"]
    assert seen["session"] != os.getsid(0)
    assert seen["cwd"] == os.getcwd()
    assert seen["stdin"] == "/dev/null"
    assert seen["descriptors"] == []
    assert seen["blocked"] == []
    assert seen["ignored"] == [signal.SIGPIPE, signal.SIGXFSZ], "as in any Python"
    assert seen["umask"] == 0o027
    assert seen["argv"][1:] == [str(executor.folder)]
    assert seen["main"] == "submitit.core._submit"
    env = seen["environ"]
    assert env["A_VALUE"] == "1 with 'quotes'"
    assert env["LATIN"] == os.fsdecode(b"\xff")
    assert env["SUBMITIT_EXECUTOR"] == "local"
    assert env["CUDA_VISIBLE_DEVICES"] == ""
    assert {name: value for name, value in env.items() if name.startswith("SUBMITIT_LOCAL_")}.items() >= {
        "SUBMITIT_LOCAL_JOB_ID": job.job_id,
        "SUBMITIT_LOCAL_NTASKS": "1",
        "SUBMITIT_LOCAL_JOB_NUM_NODES": "1",
        "SUBMITIT_LOCAL_NODEID": "0",
        "SUBMITIT_LOCAL_GLOBALID": "0",
        "SUBMITIT_LOCAL_LOCALID": "0",
        "SUBMITIT_LOCAL_TIMEOUT_S": "600",
        "SUBMITIT_LOCAL_SIGNAL_DELAY_S": "30",
        "SUBMITIT_LOCAL_ATTEMPT": "0",
    }.items()


def test_what_the_client_ignores_or_blocks_is_no_business_of_its_jobs(clients: Clients) -> None:
    output = clients.run(
        """
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD})
        import subprocess
        held = [os.open("/dev/null", os.O_RDONLY) for _ in range(500)]
        for descriptor in held:
            os.set_inheritable(descriptor, True)
        def look():
            import os, signal
            ignored = [int(n) for n in signal.valid_signals() if signal.getsignal(n) is signal.SIG_IGN]
            return ignored, signal.pthread_sigmask(signal.SIG_BLOCK, ()), len(os.listdir("/proc/self/fd"))
        say(*executor.submit(look).result())
        say(len(os.listdir(f"/proc/{current().controller}/fd")) < 20)
        """
    )
    assert output.splitlines() == [f"[{int(signal.SIGPIPE)}, {int(signal.SIGXFSZ)}] set() 4", "True"]


def test_a_client_without_standard_streams(clients: Clients) -> None:
    clients.run(
        """
        out = os.dup(1)
        for descriptor in range(3):
            os.close(descriptor)
        os.write(out, str(executor.submit(calls.add, 1, 2).result()).encode())
        os.dup2(out, 1)
        """
    )


def test_the_submitters_outer_job_is_not_the_jobs(
    executor: submitit.LocalExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "SUBMITIT_EXECUTOR": "slurm",
        "SUBMITIT_EVENTS": "/somewhere",
        "SUBMITIT_LOCAL_REQUEUE": "/somewhere",
        "RANK": "3",
        "SLURM_JOB_ID": "12",
        "SUBMITIT_LOG_LEVEL": "WARNING",
    }.items():
        monkeypatch.setenv(name, value)
    env = executor.submit(calls.environment).result()
    assert env["SUBMITIT_EXECUTOR"] == "local"
    assert env["SLURM_JOB_ID"] == "12", "the job runs in that allocation"
    assert env["SUBMITIT_LOG_LEVEL"] == "WARNING"
    assert "SUBMITIT_EVENTS" not in env
    assert "RANK" not in env


def test_tasks_have_ranks(executor: submitit.LocalExecutor) -> None:
    executor.update_parameters(tasks_per_node=3, gpus_per_node=2, visible_gpus=(4, 6, 8))
    job = executor.submit(_look_around)
    seen = job.results()
    assert [task["environ"]["SUBMITIT_LOCAL_GLOBALID"] for task in seen] == ["0", "1", "2"]
    assert {task["environ"]["CUDA_VISIBLE_DEVICES"] for task in seen} == {"4,6"}
    assert len({task["session"] for task in seen}) == 3
    calls.wait_for(lambda: job.get_info().get("End"))
    assert job.get_info()["TaskExitCodes"] == "0:0,0:0,0:0"


@pytest.mark.parametrize("gpus, expected", [(0, ""), (1, "0"), (3, "0,1,2")])
def test_gpus_are_numbered_from_0(executor: submitit.LocalExecutor, gpus: int, expected: str) -> None:
    executor.update_parameters(gpus_per_node=gpus)
    assert executor.submit(calls.environment).result()["CUDA_VISIBLE_DEVICES"] == expected


def test_setup_lines_come_first_and_are_logged(executor: submitit.LocalExecutor) -> None:
    executor.update_parameters(setup=["export VALUE='a b'", "echo from setup; echo err >&2", "cd /"])
    job = executor.submit(calls.describe)
    assert job.result()["cwd"] == "/"
    assert executor.submit(calls.environment).result()["VALUE"] == "a b"
    assert (job.stdout() or "").startswith("from setup\n")
    assert job.stderr() == "err\n"


def test_setup_that_fails_and_ends(executor: submitit.LocalExecutor) -> None:
    executor.update_parameters(setup=["exit 5"])
    job = executor.submit(calls.add, 1, 2)
    assert job.exception() is not None
    assert job.get_info()["ExitCode"] == "5:0"


def test_python_is_a_shell_command(tmp_path: Path) -> None:
    executor = submitit.LocalExecutor(tmp_path / "jobs", python=f"VALUE=7 {sys.executable} -O")
    assert executor.submit(calls.environment).result()["VALUE"] == "7"
    assert "optimize=1" in executor.submit(_look_around).result()["flags"]


def test_an_overridden_command_is_kept_verbatim(tmp_path: Path) -> None:
    class Wrapped(submitit.LocalExecutor):
        @property
        def _submitit_command_str(self) -> str:
            return f"echo before\n{super()._submitit_command_str}\ncode=$?\necho after\nexit $code"

    executor = Wrapped(tmp_path / "jobs")
    job = executor.submit(calls.add, 1, 2)
    assert job.result() == 3
    calls.wait_for(lambda: job.get_info().get("End"))
    lines = (job.stdout() or "").splitlines()
    assert (lines[0], lines[-1]) == ("before", "after")


def test_a_package_of_the_working_directory_wins(
    executor: submitit.LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "colorsys.py").write_text("")
    monkeypatch.chdir(tmp_path / "place")

    def where() -> str:
        import colorsys

        return str(colorsys.__file__)

    where.__module__ = "__main__"
    assert executor.submit(where).result() == str(tmp_path / "place" / "colorsys.py")


def test_a_module_of_the_working_directory_does_not_reach_the_controller(clients: Clients) -> None:
    output = clients.run(
        """
        executor.update_parameters(setup=["cd /"])
        for name in ("selectors", "json", "ctypes", "submitit"):
            Path(name + ".py").write_text("raise SystemExit(9)")
        job = executor.submit(calls.add, 1, 2)
        say(job.result(), current()._deaths)
        """
    )
    assert output == "3 0\n"


def test_logs_grow_while_the_job_runs_and_over_its_attempts(executor: submitit.LocalExecutor, tmp_path: Path) -> None:
    job = executor.submit(calls.Counter(1, str(tmp_path / "notes")))
    calls.wait_for(lambda: "Starting with" in (job.stdout() or ""))
    calls.wait_for(lambda: (tmp_path / "notes").exists())
    job._interrupt()
    assert job.result() == 1
    assert (job.stdout() or "").count("Starting with") == 2
