"""The backend without what only Linux has: the suites of the contract and of survival, once more, in processes that do without.

Left out is what needs more than another system has: evidence of kills for memory, and which signals a process handles.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from submitit.local import processes
from support.local_processes import Clients

TESTS = Path(__file__).resolve().parents[2]
#: What is run of each file.
SUITES = {
    "contract/test_contract.py": "local and not folders_of",
    "integration/local/test_survival.py": (
        "SIGKILL or killed_controller or client_and_controller or of_a_job_outlive or told_to_end or cancelling"
    ),
    "integration/local/test_lives.py": "(lives_on and cancel) or cancel_from_another",
    "integration/local/test_nursery.py": "that_is_killed or loaded_once",
    "integration/local/test_usage.py": "of_a_child or together or see_them",
}


@pytest.fixture(scope="module")
def suites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """All of them, at one time: most of theirs is waiting."""
    started: dict[str, subprocess.Popen[str]] = {}
    for name, chosen in SUITES.items():
        directory = tmp_path_factory.mktemp("suite")
        options = ["-q", "-p", "no:cacheprovider", f"--basetemp={directory}/inner"]
        started[name] = subprocess.Popen(
            [sys.executable, "-m", "pytest", *options, str(TESTS / name), "-k", chosen],
            cwd=TESTS.parent,
            env={**os.environ, processes.PORTABLE: "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    yield started
    for suite in started.values():
        if suite.poll() is None:
            suite.terminate()
            suite.communicate()


@pytest.mark.parametrize("name", SUITES)
def test_the_portable_way(suites: dict[str, subprocess.Popen[str]], name: str) -> None:
    printed, _ = suites[name].communicate()
    assert suites[name].returncode == 0, printed
    assert " skipped" not in printed, printed


def test_it_is_the_portable_way(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the client, its controller, the tasks, and those of jobs that these submit; no descriptor is passed on."""
    monkeypatch.setenv(processes.PORTABLE, "1")
    client = clients.start(
        """
        from submitit.local import processes
        def way():
            from submitit.local import processes
            return processes.LINUX or processes.PORTABLE not in os.environ
        def inner(folder):
            import submitit
            return submitit.LocalExecutor(folder).submit(way).result()
        inherited = os.open("inherited", os.O_CREAT)
        os.set_inheritable(inherited, True)
        say(processes.LINUX, executor.submit(way).result(), executor.submit(inner, os.path.abspath("inner")).result())
        say(current().controller)
        sys.stdin.read()
        """
    )
    assert client.stdout is not None
    assert client.stdout.readline() == "False False False\n"
    controller = client.stdout.readline().strip()
    opened = [os.readlink(link) for link in Path(f"/proc/{controller}/fd").iterdir()]
    assert not [what for what in opened if "pidfd" in what or what.endswith("/inherited")]


def test_tasks_end_when_their_starter_is_killed(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel does not do it there: the controller does. Once both are killed it is up to who reads the journal."""
    monkeypatch.setenv(processes.PORTABLE, "1")
    output = clients.run(
        """
        from submitit.local import processes
        job = executor.submit(calls.touch_and_wait, "started", "never")
        task = int(calls.wait_for_file("started"))
        nursery = processes.parent(task)
        assert processes.parent(nursery) == current().controller
        os.kill(nursery, signal.SIGKILL)
        say(type(job.exception()).__name__)
        calls.wait_for(lambda: not processes.start_time(task))
        say(executor.submit(calls.add, 1, 2).result())

        job = executor.submit(calls.touch_and_wait, "again", "never")
        task = int(calls.wait_for_file("again"))
        nursery = processes.parent(task)
        os.kill(current().controller, signal.SIGSTOP)
        os.kill(nursery, signal.SIGKILL)
        os.kill(current().controller, signal.SIGKILL)
        calls.wait_for(lambda: not processes.start_time(nursery))
        say(bool(processes.start_time(task)))
        say(type(job.exception()).__name__, executor.submit(calls.add, 3, 4).result())
        calls.wait_for(lambda: not processes.start_time(task))
        """
    )
    assert output.splitlines() == ["JobNodeFailError", "3", "True", "JobNodeFailError 7"]
