"""What happens to jobs when something around them breaks: each fault with its outcome, on real processes."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import submitit
from submitit.local import processes, signalling
from submitit.local.processes import start_time
from support import calls, disks
from support.local_processes import Clients, put
from support.reliability import Fault

TWO_RUN_AND_TWENTY_WAIT = """
    executor.update_parameters(max_cpus=2)
    running = [executor.submit(calls.touch_and_wait, f"started{k}", "never") for k in range(2)]
    queued = executor.map_array(calls.add, range(20), range(20))
    calls.wait_for(lambda: all(Path(f"started{k}").exists() for k in range(2)))
    def nursery():
        return [pid for pid in processes.children(current().controller)
                if "submitit-local-nursery" in processes.command_line(pid)][0]
    from submitit.local import processes
"""


@pytest.mark.parametrize("victim", ["controller", "nursery"])
def test_who_runs_the_tasks_is_killed(clients: Clients, fault: Fault, victim: str) -> None:
    """What ran is lost, and the error says why; what waited runs under another."""
    client = clients.start(
        TWO_RUN_AND_TWENTY_WAIT
        + f"""
    os.kill(current().controller if "{victim}" == "controller" else nursery(), signal.SIGKILL)
    for job in running:
        error = job.exception()
        say(type(error).__name__, job.state, "SIGKILL(-9)" in str(error), "Starting with" in str(error))
        say(job.get_info()["Reason"].partition(" (")[0])
    say([job.result() for job in queued] == [2 * k for k in range(20)])
    """
    )
    assert client.stdout is not None
    starter = "the controller" if victim == "controller" else "the process that its tasks were started by"
    for _ in range(2):
        assert client.stdout.readline() == "JobNodeFailError NODE_FAIL True True\n"
        assert client.stdout.readline() == starter + "\n"
    fault.seen(
        f"{starter} is killed, 2 jobs run and 20 wait",
        "`JobNodeFailError` of the 2: the signal, the ends of both logs; the 20 run",
        backend="local",
        lost="what the 2 did",
        timed=False,
    )
    assert client.stdout.readline() == "True\n"
    assert client.wait(timeout=60) == 0
    for number in range(2):
        pid = int((clients.directory / f"started{number}").read_text())
        calls.wait_for(lambda pid=pid: not start_time(pid))  # type: ignore[misc]
    seen_by_another = clients.job("1")
    assert "SIGKILL(-9)" in str(seen_by_another.exception())
    assert seen_by_another.state == "NODE_FAIL"


# ---------------------------------------------------------------- the disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    with disks.small_disk(tmp_path / "disk") as place:
        yield place


def _large(size: int) -> bytes:
    return bytes(size)


def _large_within(limit: int, size: int) -> bytes:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    return bytes(size)


def _fill(path: str) -> None:
    """Write until nothing more fits, not even an error."""
    with open(path, "wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


for _function in (_large, _large_within, _fill):
    _function.__module__ = "__main__"


def _no_room(job: submitit.Job[Any], words: str) -> None:
    error = job.exception()
    assert type(error) is submitit.FailedJobError
    assert f"its result could not be written: {words}" in str(error)
    assert f"'{job.paths.result_pickle}'\n" in str(error)
    assert isinstance(error.__cause__, OSError)
    assert job.state in ("RUNNING", "FAILED")  # its process may not have ended yet
    assert not [path for path in job.paths.folder.iterdir() if "tmp" in path.name]


def test_a_full_disk_under_a_result(
    executor: submitit.LocalExecutor, small_disk: Path, fault: Fault, tmp_path: Path
) -> None:
    """The error of a result that does not fit is told, and leaves nothing half written."""
    elsewhere = submitit.LocalExecutor(small_disk / "jobs")
    job = elsewhere.submit(_large, 8 << 20)
    _no_room(job, "[Errno 28] No space left on device")
    fault.seen(
        "the disk is full when its result is written",
        "`FailedJobError`: the result could not be written, why, its path",
        backend="local",
        lost="its result",
        timed=False,
    )
    assert elsewhere.submit(calls.add, 1, 2).result() == 3


def test_a_full_disk_on_which_nothing_can_be_said(
    executor: submitit.LocalExecutor, small_disk: Path, fault: Fault
) -> None:
    """Not even the error. The controller knows better, and other processes learn it as soon as there is room."""
    elsewhere = submitit.LocalExecutor(small_disk / "jobs")
    job = elsewhere.submit(_fill, str(small_disk / "filler"))
    error = job.exception()
    assert type(error) is submitit.UncompletedJobError
    assert "Reason=no space is left on the disk of the job's folder" in str(error)
    fault.seen(
        "the disk is so full that not even an error can be written",
        "`UncompletedJobError`: no space is left",
        backend="local",
        lost="its result",
        timed=False,
    )
    with pytest.raises(OSError, match="No space left on device"):
        elsewhere.submit(_large, 1 << 20)
    (small_disk / "filler").unlink()
    read = "import submitit, sys; print(submitit.LocalJob(*sys.argv[1:]).exception())"
    told = subprocess.run(
        [sys.executable, "-c", read, str(small_disk / "jobs"), job.job_id],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    assert "Reason=no space is left" in told.stdout


def test_a_limit_on_the_size_of_files(executor: submitit.LocalExecutor) -> None:
    job = executor.submit(_large_within, 1 << 20, 8 << 20)
    _no_room(job, "[Errno 27] File too large")


def test_what_could_not_be_written_down_is_written_when_it_can_be(clients: Clients) -> None:
    """The client is told at once, others when there is a journal again; nothing else has to happen for it."""
    client = clients.start(
        """
        def end():
            calls.touch_and_wait("started", "go")
            os._exit(5)
        job = executor.submit(end)
        calls.wait_for(Path("started").exists)
        say(job.job_id)
        say(type(job.exception()).__name__)
        time.sleep(600)
        """
    )
    assert client.stdout is not None
    other = clients.job(client.stdout.readline().strip())
    calls.wait_for(lambda: other.state == "RUNNING")
    journals = clients.folder / ".submitit" / "journal"
    journals.rename(clients.directory / "journal")
    journals.write_text("in the way")
    put(clients.directory / "go", "x")
    assert client.stdout.readline() == "UncompletedJobError\n"
    journals.unlink()
    (clients.directory / "journal").rename(journals)
    assert "exit code 5" in str(other.exception())


# ---------------------------------------------------------------- the folder


@pytest.mark.parametrize("folder", ["jobs", "jobs/%j"])
def test_the_folder_of_a_running_job_is_deleted(clients: Clients, fault: Fault, folder: str) -> None:
    """The job ends; its handle says what happened, and another process's, which waits, as well."""
    import shutil

    client = clients.start(
        f"""
        executor = submitit.LocalExecutor("{folder}")
        job = executor.submit(calls.touch_and_wait, "started", "go")
        calls.wait_for(Path("started").exists)
        say(job.job_id)
        say(type(job.exception()).__name__, "folder was deleted while it ran" in str(job.exception()))
        sys.stdin.readline()
        say(executor.submit(calls.add, 1, 2).result())
        """
    )
    assert client.stdout is not None
    assert client.stdin is not None
    other: submitit.LocalJob[Any] = submitit.LocalJob(clients.directory / folder, client.stdout.readline().strip())
    calls.wait_for(lambda: other.state == "RUNNING")
    seen: list[BaseException | None] = []
    waiter = threading.Thread(target=lambda: seen.append(other.exception()))
    waiter.start()
    shutil.rmtree(clients.folder)
    put(clients.directory / "go", "x")
    assert client.stdout.readline() == "JobVanishedError True\n"
    waiter.join()
    assert [type(error) for error in seen] == [submitit.JobVanishedError]
    fault.seen(
        "its folder is deleted while it runs",
        "`JobVanishedError`: the folder was deleted",
        backend="local",
        lost="its result",
        timed=False,
    )
    client.stdin.write("\n")
    client.stdin.flush()
    assert client.stdout.readline() == "3\n", "the executor goes on"


# ---------------------------------------------------------------- process numbers


def test_a_lost_task_whose_number_is_anothers_is_left_alone() -> None:
    """A client ends what its killed controller has left, and nothing else."""
    bystander = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        who = processes.identify(bystander.pid)
        signalling.kill_lost_task(who._replace(started="12345"), "1")
        assert not processes.send(who._replace(started="12345"), signal.SIGKILL)
        bystander.send_signal(signal.SIGTERM)
        assert bystander.wait(timeout=60) == -signal.SIGTERM
    finally:
        bystander.kill()
        bystander.wait()


# ---------------------------------------------------------------- what clients do


def test_a_client_that_forks_while_its_threads_submit(clients: Clients) -> None:
    """Everybody has results of his own, under ids of his own. (What Python imports while it is forked is locked for ever.)"""
    output = clients.run(
        """
        import threading
        def work(who):
            for k in range(3):
                job = executor.submit(calls.add, who, k)
                array = executor.map_array(calls.add, [who] * 3, range(3))
                assert [job.result(), *(element.result() for element in array)] == [who + k, who, who + 1, who + 2]
                say(job.job_id, *(element.job_id for element in array))
        work(0)
        threads = [threading.Thread(target=work, args=(100 * k,)) for k in range(1, 4)]
        for thread in threads:
            thread.start()
        children = []
        for k in range(4, 7):
            pid = os.fork()
            if not pid:
                work(100 * k)
                os._exit(0)
            children.append(pid)
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
        for thread in threads:
            thread.join()
        assert codes == [0, 0, 0], codes
        """
    )
    ids = output.split()
    assert len(ids) == len(set(ids)) == 7 * 3 * 4


def test_nothing_of_a_client_with_thousands_of_open_files_is_inherited(clients: Clients) -> None:
    """By its controller, by its nursery, by its tasks; and its own line to them has a number like any other."""
    output = clients.run(
        """
        import resource, sys
        from submitit.local import processes
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        held = [os.open("/dev/null", os.O_RDONLY) for _ in range(5000)]
        for descriptor in held:
            os.set_inheritable(descriptor, True)
        look = eval("lambda: __import__('os').listdir('/proc/self/fd')")
        say(len(executor.submit(look).result()))
        executor.update_parameters(setup=["true"])
        say(len(executor.submit(look).result()))
        say(current().fileno() > 1024)
        own = [current().controller, *processes.children(current().controller)]
        say(len(own), all(len(os.listdir(f"/proc/{pid}/fd")) < 20 for pid in own))
        """
    )
    assert output.splitlines() == ["4", "4", "True", "2 True"]


@pytest.mark.long
def test_a_gigabyte_of_output(clients: Clients) -> None:
    """It is on disk, and the client, which reads the end of it, does not grow."""
    output = clients.run(
        """
        import resource
        def shout():
            for _ in range(1024):
                os.write(1, b"x" * 1023 * 1024 + b"\\n" * 1024)
            os.write(2, b"the last line\\n")
            os._exit(5)
        executor.submit(calls.fail, "as a measure").exception()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        job = executor.submit(shout)
        error = job.exception()
        say("the last line" in str(error), os.path.getsize(job.paths.stdout) > 2**30)
        say((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < 10)
        job.paths.stdout.unlink()
        """
    )
    assert output.splitlines() == ["True True", "True"]
