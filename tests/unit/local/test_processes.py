"""Processes are told apart, with what Linux has and with what is portable."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from submitit.local import processes


@pytest.fixture(params=["linux", "portable"])
def _ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time without /proc and without pidfd."""
    if request.param == "portable":
        monkeypatch.setattr(processes, "LINUX", False)
        monkeypatch.setattr(processes, "_PROC", "/dev/null/proc")


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []

    def _start(program: str) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        return started[-1]

    yield _start
    for process in started:
        process.kill()
        process.communicate()


Start = Callable[[str], "subprocess.Popen[bytes]"]
WAIT = "input()"


@pytest.mark.usefixtures("_ways")
def test_an_identity_ends_with_its_process(start: Start) -> None:
    process = start(WAIT)
    who = processes.identify(process.pid)
    assert who.started
    assert processes.alive(who)
    assert processes.parent(process.pid) == os.getpid()
    process.kill()
    process.wait()
    assert processes.alive(who) is False
    assert not processes.send(who, signal.SIGKILL)
    assert processes.start_time(process.pid) == ""


@pytest.mark.usefixtures("_ways")
def test_a_later_process_of_the_same_number_is_another(start: Start) -> None:
    process = start(WAIT)
    earlier = processes.identify(process.pid)._replace(started="1")
    assert processes.alive(earlier) is False
    assert not processes.send(earlier, signal.SIGKILL)
    assert process.poll() is None


def test_a_process_of_another_machine_cannot_be_seen() -> None:
    me = processes.identify(os.getpid())
    elsewhere = me._replace(machine="elsewhere")
    assert processes.alive(me)
    assert processes.alive(elsewhere) is None
    assert not processes.send(elsewhere, signal.SIGKILL)


@pytest.mark.usefixtures("_ways")
def test_signals_reach_the_process_meant(start: Start) -> None:
    process = start(WAIT)
    assert processes.send(processes.identify(process.pid), signal.SIGTERM)
    assert process.wait(timeout=60) == -signal.SIGTERM


@pytest.mark.usefixtures("_ways")
def test_descendants_are_found(start: Start) -> None:
    process = start("import subprocess, sys; p = subprocess.Popen(['sleep', '600']); print(p.pid, flush=True); input()")
    assert process.stdout is not None
    grandchild = int(process.stdout.readline())
    try:
        assert process.pid in processes.children()
        assert processes.descendants([process.pid]) == [process.pid, grandchild]
    finally:
        os.kill(grandchild, signal.SIGKILL)


@pytest.mark.usefixtures("_ways")
def test_a_zombie_is_not_alive(start: Start) -> None:
    process = start("")
    who = processes.identify(process.pid)
    deadline = time.monotonic() + 60
    while not processes.is_zombie(process.pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert processes.alive(who) is False


_ENDED = """
import os, signal, sys, time
from submitit.local import processes
assert processes.next_ended() is None
pid = os.fork()
if pid == 0:
    child = os.fork()
    if child == 0:
        held = b"1" * (50 << 20)
        while time.process_time() < 0.2:
            pass
        os._exit(0)
    os.waitpid(child, 0)
    os.kill(os.getpid(), signal.SIGKILL) if sys.argv[1] == "killed" else os._exit(3)
while (ended := processes.next_ended(*([pid] * (sys.argv[2] == "named")))) is None:
    time.sleep(0.01)
assert ended[0] == pid
if processes.LINUX:
    assert processes.next_ended(pid) == ended
used = processes.reap(pid)
assert 0.19 <= used.cpu_s < 5, used
assert 50 < used.max_rss_mb < 150, used
assert processes.next_ended() is None
assert processes.reap(pid) == (0, 0)
print(ended[1])
"""


@pytest.mark.parametrize("ending, code", [("killed", "-9"), ("exit", "3")])
@pytest.mark.parametrize("which", ["any", "named"])
@pytest.mark.parametrize("variables", [{}, {processes.PORTABLE: "1"}], ids=["linux", "portable"])
def test_an_end_tells_what_was_used(variables: dict[str, str], which: str, ending: str, code: str) -> None:
    command = [sys.executable, "-c", _ENDED, ending, which]
    printed = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=False)
    assert printed.stdout.split() == [code], printed.stderr


@pytest.mark.usefixtures("_ways")
def test_a_table_has_everybody(start: Start) -> None:
    process = start("import time; held = b'1' * (50 << 20); print(1, flush=True); time.sleep(600)")
    assert process.stdout is not None
    process.stdout.readline()
    (seen,) = (seen for seen in processes.table() if seen.pid == process.pid)
    assert (seen.parent, seen.group) == (os.getpid(), os.getpgrp())
    assert 50 * 1024 < seen.resident_kb < 150 * 1024
    assert 0 <= seen.cpu_s < 5


@pytest.mark.parametrize(
    "text, seconds", [("00:01:02", 62.0), ("1-02:03:04", 93784.0), ("0:07.25", 7.25), ("100:00.50", 6000.5)]
)
def test_times_of_ps(text: str, seconds: float) -> None:
    assert processes._seconds(text) == seconds


@pytest.mark.usefixtures("_ways")
def test_members_of_a_session_are_found(start: Start) -> None:
    process = start("import os, time; os.setsid(); os.fork(); os.write(1, b'%d\\n' % os.getpid()); time.sleep(600)")
    assert process.stdout is not None
    members = {int(process.stdout.readline()) for _ in range(2)}
    found = processes.session_members(process.pid)
    os.killpg(process.pid, signal.SIGKILL)
    assert set(found) == members


def test_who_catches_a_signal(start: Start) -> None:
    process = start("import signal; signal.signal(signal.SIGUSR2, lambda *_: None); print(1, flush=True); input()")
    assert process.stdout is not None
    process.stdout.readline()
    assert processes.catches(process.pid, signal.SIGUSR2) is True
    assert processes.catches(process.pid, signal.SIGUSR1) is False


def test_what_cannot_be_read_is_unknown() -> None:
    nobody = 2**22 + 1
    assert processes.catches(nobody, signal.SIGUSR2) is None
    assert processes.environment(nobody) == {}
    assert processes.command_line(nobody) == []
    assert processes.start_time(nobody) == ""
    assert processes.parent(nobody) == 0
    with pytest.raises(ProcessLookupError):
        processes.open_pidfd(nobody)


@pytest.mark.usefixtures("_ways")
def test_environment_and_command_line_are_those_of_the_start(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")  # by which `ps` cuts its lines, if it is not told otherwise
    process = start("import time; print(1, flush=True); time.sleep(600)" + " " * 100 + "# the end")
    assert process.stdout is not None
    process.stdout.readline()
    assert processes.environment(process.pid)["PATH"] == os.environ["PATH"]
    assert processes.command_line(process.pid)[1] == "-c"
    assert processes.command_line(process.pid)[-1].endswith("end")


@pytest.mark.usefixtures("_ways")
def test_umask_is_read_and_stays() -> None:
    before = os.umask(0o026)
    try:
        assert processes.current_umask() == 0o026
        assert processes.current_umask() == 0o026
    finally:
        assert os.umask(before) == 0o026


def test_limits_are_given_as_far_as_the_hard_ones_allow() -> None:
    program = """
from submitit.local import processes
name, infinite = "RLIMIT_NOFILE", processes.limits()["RLIMIT_CPU"]
hard = processes.limits()[name][1]
processes.set_limits({name: (64, hard - 8), "RLIMIT_CPU": infinite})
assert processes.limits()[name] == (64, hard - 8), processes.limits()
processes.set_limits({name: (128, 2**40)})  # more than the kernel gives anybody
assert processes.limits()[name] == (128, hard - 8), processes.limits()
"""
    subprocess.run([sys.executable, "-c", program], check=True)
