"""Jobs outlive their client; they do not outlive their controller, and nobody waits for ever."""

from __future__ import annotations

import os
import signal
import textwrap
from pathlib import Path

import pytest

import submitit
from submitit.local import connection
from submitit.local.processes import catches, start_time
from support import calls
from support.local_processes import Clients, put
from support.reliability import Fault

RUNNING_AND_QUEUED = """
    executor.update_parameters(max_cpus=1)
    jobs = [executor.submit(calls.touch_and_wait, f"started{k}", "go") for k in range(3)]
    calls.wait_for(Path("started0").exists)
    say(*(job.job_id for job in jobs))
"""


def _ids(client: object) -> list[str]:
    stdout = client.stdout  # type: ignore[attr-defined]
    return str(stdout.readline()).split()


@pytest.mark.parametrize("how", ["end", "SIGKILL", "SIGHUP", "SIGINT"])
def test_jobs_outlive_their_client(clients: Clients, how: str) -> None:
    """The running one ends normally, the queued ones still start."""
    ending = "" if how == "end" else f"os.killpg(0, signal.{how}); time.sleep(60)"
    client = clients.start(RUNNING_AND_QUEUED + "    " + ending)
    ids = _ids(client)
    client.wait(timeout=60)
    jobs = [clients.job(job_id) for job_id in ids]
    calls.wait_for(lambda: jobs[0].state == "RUNNING")
    assert jobs[1].state == "PENDING"
    assert not jobs[0].done()
    put(clients.directory / "go", "went on")
    assert [job.result() for job in jobs] == ["went on"] * 3
    assert [job.state for job in jobs] == ["COMPLETED"] * 3


def test_the_end_of_a_program_does_not_wait_for_its_futures(clients: Clients) -> None:
    client = clients.start("""
    future = executor.as_futures().submit(calls.touch_and_wait, "started", "go")
    future.add_done_callback(print)
    calls.wait_for(Path("started").exists)
    say(future.job.job_id)
    """)
    job = clients.job(_ids(client)[0])
    assert client.wait(timeout=60) == 0
    assert not job.done()
    put(clients.directory / "go", "went on")
    assert job.result() == "went on"


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGHUP"])
def test_jobs_outlive_the_terminal_of_their_client(clients: Clients, fault: Fault, how: str) -> None:
    """The program is its foreground, and dies of it."""
    terminal = clients.start_on_terminal(RUNNING_AND_QUEUED + "    time.sleep(600)")
    jobs = [clients.job(job_id) for job_id in _ids(terminal.program)]
    if how == "Ctrl-C":
        terminal.press(b"\x03")
        terminal.program.wait(timeout=60)
    terminal.close()
    assert terminal.program.wait(timeout=60) == -(signal.SIGINT if how == "Ctrl-C" else signal.SIGHUP)
    calls.wait_for(lambda: [job.state for job in jobs] == ["RUNNING", "PENDING", "PENDING"])
    put(clients.directory / "go", "went on")
    assert [job.result() for job in jobs] == ["went on"] * 3
    what = "Ctrl-C in its client's terminal" if how == "Ctrl-C" else "its client's terminal is closed"
    fault.seen(what, "its result, from any process", backend="local", timed=False)


def test_jobs_outlive_a_client_whose_workers_live_on(clients: Clients, fault: Fault) -> None:
    """What the client has forked is not the client: its controller goes on without it, and ends with the last job."""
    client = clients.start(
        RUNNING_AND_QUEUED
        + """
    if os.fork() == 0:
        os.setsid()
        calls.wait_for(Path("leave").exists)
        os._exit(0)
    say(current().controller)
    os.kill(os.getpid(), signal.SIGKILL)
    """
    )
    jobs = [clients.job(job_id) for job_id in _ids(client)]
    assert client.stdout is not None
    controller = int(client.stdout.readline())
    assert client.wait(timeout=60) == -signal.SIGKILL
    calls.wait_for(lambda: [job.state for job in jobs] == ["RUNNING", "PENDING", "PENDING"])
    put(clients.directory / "go", "went on")
    assert [job.result() for job in jobs] == ["went on"] * 3
    fault.seen("its client is killed by SIGKILL", "its result, from any process", backend="local", timed=False)
    calls.wait_for(lambda: not start_time(controller))
    assert clients.living(), "the worker"
    put(clients.directory / "leave", "now")


WITHOUT_PIDFD = """
from submitit.local import boot
boot._CODE = "import os; del os.pidfd_open\\n" + boot._CODE
"""


@pytest.mark.parametrize("preparation", ["", WITHOUT_PIDFD], ids=["pidfd", "portable"])
def test_who_holds_the_clients_end_of_the_line_is_not_the_client(clients: Clients, preparation: str) -> None:
    client = clients.start(
        textwrap.dedent(preparation)
        + """
import subprocess
say(executor.submit(calls.add, 1, 2).result())
os.set_inheritable(current().fileno(), True)
subprocess.Popen(["cat"], close_fds=False)
os._exit(0)
"""
    )
    assert client.stdout is not None
    assert client.stdin is not None
    assert client.stdout.readline() == "3\n"
    client.wait(timeout=60)
    calls.wait_for(lambda: len(clients.living()) == 1)
    assert clients.living()[0].endswith("cat")
    client.stdin.close()


def test_a_forked_child_knows_its_parents_jobs(clients: Clients) -> None:
    output = clients.run(
        """
        job = executor.submit(calls.wait_for_file, "go")
        if os.fork() == 0:
            calls.wait_for(lambda: job.state == "RUNNING")
            say(current())
            Path("go").write_text("from the child")
            say(job.result())
            os._exit(0)
        say(job.result())
        os.wait()
        """
    )
    assert sorted(output.splitlines()) == ["None", "from the child", "from the child"]


def test_a_forked_child_submits_under_a_controller_of_its_own(clients: Clients) -> None:
    output = clients.run(
        """
        first = executor.submit(calls.add, 1, 2)
        pid = os.fork()
        job = executor.submit(calls.add, 10, os.getpid() * 0)
        value = job.result()
        assert first.result() == 3
        os.write(1, f"{job.job_id}:{value}:{current().controller}\\n".encode())
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        """
    )
    lines = [line.split(":") for line in output.splitlines()]
    assert len(lines) == 2
    assert {line[1] for line in lines} == {"10"}
    assert len({line[0] for line in lines}) == 2
    assert len({line[2] for line in lines}) == 2


def test_client_and_controller_killed(clients: Clients) -> None:
    """Nobody is left to start or to tell anything: another process sees both, and waits for nothing."""
    client = clients.start(
        RUNNING_AND_QUEUED
        + """
    say(current().controller)
    time.sleep(600)
    """
    )
    ids = _ids(client)
    assert client.stdout is not None
    controller = int(client.stdout.readline())
    jobs = [clients.job(job_id) for job_id in ids]
    calls.wait_for(lambda: [job.state for job in jobs] == ["RUNNING", "PENDING", "PENDING"])
    task = int((clients.directory / "started0").read_text())
    client.kill()
    client.wait()
    os.kill(controller, signal.SIGKILL)
    for job in jobs:
        with pytest.raises(submitit.JobNodeFailError, match="is gone"):
            job.result()
    assert not start_time(task)


def test_a_stopped_controller_is_waited_for(clients: Clients, fault: Fault) -> None:
    client = clients.start(
        """
        executor.submit(calls.add, 1, 1).result()
        os.kill(current().controller, signal.SIGSTOP)
        job = executor.submit(calls.add, 1, 2)
        try:
            job.result(timeout=0.3)
        except TimeoutError:
            say("waits", job.state)
        os.kill(current().controller, signal.SIGCONT)
        say(job.result())
        """
    )
    output, _ = client.communicate(timeout=60)
    assert output == "waits PENDING\n3\n"
    fault.seen("the controller is stopped for a while (SIGSTOP)", "its result, later", backend="local", timed=False)


def test_a_controller_that_dies_again_and_again_is_given_up(clients: Clients) -> None:
    output = clients.run(
        """
        from submitit.local import boot
        executor.submit(calls.add, 1, 1).result()
        boot._CODE = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
        os.kill(current().controller, signal.SIGKILL)
        job = executor.submit(calls.add, 1, 2)
        error = job.exception()
        say(type(error).__name__, job.state, job.get_info()["Reason"])
        """
    )
    assert output.startswith("JobNodeFailError NODE_FAIL the controller")


def test_the_controller_ends_with_its_client(clients: Clients) -> None:
    """It leaves its journal, and neither a process nor an empty directory."""
    clients.run("say(executor.submit(calls.add, 1, 2).result())")
    calls.wait_for(lambda: not clients.living())
    state = clients.folder / ".submitit"
    assert sorted(path.name for path in (state / "local").iterdir()) == ["next-id"]
    closed = [path for path in (state / "journal").iterdir() if '"closed"' in path.read_text()]
    assert len(closed) == 1


def test_a_job_that_submits_jobs_and_waits_does_not_deadlock(executor: submitit.LocalExecutor, tmp_path: Path) -> None:
    executor.update_parameters(max_cpus=1)

    def outer(folder: str, depth: int) -> int:
        import submitit

        if not depth:
            return 1
        inner = submitit.LocalExecutor(folder)
        inner.update_parameters(max_cpus=1)
        return sum(inner.submit(outer, folder, depth - 1).result() for _ in range(2))

    outer.__module__ = "__main__"
    assert executor.submit(outer, str(tmp_path / "inner"), 3).result() == 8


def test_more_jobs_that_wait_for_jobs_than_cpus(executor: submitit.LocalExecutor, tmp_path: Path) -> None:
    """All of them at a time, on three levels."""
    executor.update_parameters(max_cpus=2)

    def outer(folder: str, depth: int) -> int:
        import submitit

        if not depth:
            return 1
        inner = submitit.LocalExecutor(folder)
        inner.update_parameters(max_cpus=1)
        jobs = inner.map_array(outer, [folder] * 2, [depth - 1] * 2)
        return sum(job.result() for job in jobs)

    outer.__module__ = "__main__"
    jobs = executor.map_array(outer, [str(tmp_path / "inner")] * 3, [2] * 3)
    assert [job.result() for job in jobs] == [4] * 3


def test_jobs_of_a_job_outlive_it(executor: submitit.LocalExecutor, tmp_path: Path) -> None:
    def outer(folder: str, path: str) -> list[str]:
        import submitit
        from support import calls

        inner = submitit.LocalExecutor(folder)
        inner.update_parameters(max_cpus=1)
        return [inner.submit(calls.wait_for_file, path).job_id for _ in range(2)]

    outer.__module__ = "__main__"
    ids = executor.submit(outer, str(tmp_path / "inner"), str(tmp_path / "go")).result()
    put(tmp_path / "go", "gone")
    assert [submitit.LocalJob(tmp_path / "inner", job_id).result() for job_id in ids] == ["gone", "gone"]


def test_cancelling_a_job_ends_the_jobs_of_its_jobs(executor: submitit.LocalExecutor, tmp_path: Path) -> None:
    def outer(folder: str, started: str) -> None:
        import submitit
        from support import calls

        submitit.LocalExecutor(folder).submit(calls.touch_and_wait, started, "/never").result()

    outer.__module__ = "__main__"
    job = executor.submit(outer, str(tmp_path / "inner"), str(tmp_path / "started"))
    calls.wait_for((tmp_path / "started").exists)
    calls.wait_for(lambda: (tmp_path / "started").read_text())
    inner = int((tmp_path / "started").read_text())
    job.cancel()
    assert isinstance(job.exception(), submitit.JobCancelledError)
    calls.wait_for(lambda: not start_time(inner))


def test_the_client_is_where_the_controller_is_looked_for(executor: submitit.LocalExecutor) -> None:
    """One controller a process, whatever the number of executors and threads."""
    import threading

    jobs: list[submitit.Job[float]] = []
    threads = [threading.Thread(target=lambda: jobs.append(executor.submit(calls.add, 1, 2))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [job.result() for job in jobs] == [3] * 8
    own = connection.current()
    assert own is not None
    assert all(own.knows(str(executor.folder), job.job_id) for job in jobs)
    assert catches(own.controller, signal.SIGTERM)


def test_a_controller_that_is_told_to_end_cancels_its_jobs(clients: Clients) -> None:
    """And the client goes on under another."""
    output = clients.run(
        """
        executor.update_parameters(max_cpus=1)
        jobs = [executor.submit(calls.touch_and_wait, f"started{k}", "never") for k in range(2)]
        calls.wait_for(Path("started0").exists)
        first = current().controller
        os.kill(first, signal.SIGTERM)
        say(*(type(job.exception()).__name__ for job in jobs), *(job.state for job in jobs))
        say(executor.submit(calls.add, 1, 2).result(), jobs[0].get_info()["Reason"])
        """
    )
    assert output.splitlines() == [
        "JobCancelledError JobCancelledError CANCELLED CANCELLED",
        "3 the controller was told to end",
    ]
