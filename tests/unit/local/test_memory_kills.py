"""What the kernel's counters say, and which deaths that explains. The counters are files with what kernels write there."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from submitit.local import memory_kills, processes
from submitit.local.memory_kills import Counter, MemoryKills
from submitit.local.usage import Usage

VERSION_1 = "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n"
VERSION_2 = "low 0\nhigh 0\nmax 23\noom 4\noom_kill {}\noom_group_kill 9\n"


@pytest.fixture
def counter(tmp_path: Path) -> Counter:
    made = Counter(str(tmp_path / "memory.events"), 0)
    count(made, 3)
    return made


def count(counter: Counter, kills: int) -> None:
    Path(counter.path).write_text(VERSION_2.format(kills))


def explain(kills: MemoryKills, start: float = 0.0) -> bool:
    return bool(kills.explain(os.getpid(), 0, start, Usage()))


@pytest.mark.parametrize("text", [VERSION_1, VERSION_2])
def test_counters_are_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_text(text.format(12))
    assert Counter(str(tmp_path / "file"), 0).read() == 12


def test_what_is_no_counter_counts_nothing(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("low 0\noom 4\n")
    assert Counter(str(tmp_path / "old"), 0).read() is None
    assert Counter(str(tmp_path / "missing"), 0).read() is None
    assert not explain(MemoryKills(None))
    assert not explain(MemoryKills(Counter(str(tmp_path / "missing"), 0)))


def test_each_kill_explains_one_death(counter: Counter) -> None:
    kills = MemoryKills(counter)
    assert not explain(kills), "counted before"
    count(counter, 5)
    assert explain(kills)
    assert explain(kills)
    assert not explain(kills)


def test_a_kill_is_remembered_from_a_look_on(counter: Counter) -> None:
    kills = MemoryKills(counter)
    count(counter, 4)
    kills.look([os.getpid()])
    assert explain(kills)


def test_a_kill_explains_no_death_of_a_job_that_began_later(counter: Counter) -> None:
    kills = MemoryKills(counter)
    count(counter, 4)
    kills.look([os.getpid()])
    assert not explain(kills, start=time.monotonic() + 1)


def test_a_kill_explains_no_death_much_later(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    kills = MemoryKills(counter)
    count(counter, 4)
    kills.look([os.getpid()])
    monkeypatch.setattr(memory_kills, "DYING_S", -1.0)
    assert not explain(kills)


@pytest.mark.skipif(not processes.LINUX, reason="only Linux counts")
def test_a_process_that_is_about_to_be_gone_is_where_it_was(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel shows it in other groups than it was in."""
    shown = memory_kills._groups
    monkeypatch.setattr(memory_kills, "_groups", lambda pid: shown(pid) if pid == "self" else "0::/elsewhere\n")
    kills = MemoryKills(counter)
    victim = subprocess.Popen(["sleep", "60"])
    victim.kill()
    os.waitid(os.P_PID, victim.pid, os.WEXITED | os.WNOWAIT)
    count(counter, 4)
    kills.look([victim.pid])
    assert kills.explain(victim.pid, 0, 0.0, Usage())
    victim.wait()
    count(counter, 5)
    kills.look([victim.pid])
    assert kills.explain(victim.pid, 0, 0.0, Usage()), "nor when it is gone"


def test_which_exit_codes_may_be_kills() -> None:
    assert memory_kills.killed(-signal.SIGKILL, shell=False)
    assert memory_kills.killed(137, shell=True)
    assert not memory_kills.killed(137, shell=False)
    assert not memory_kills.killed(-signal.SIGTERM, shell=True)


def test_this_machine_counts() -> None:
    found = memory_kills.own_counter()
    assert found is not None
    assert found.read() is not None
    assert str(found)
