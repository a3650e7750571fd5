"""What jobs have used: arithmetic, and looks at real processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submitit.local import processes, usage
from submitit.local.processes import Seen
from submitit.local.usage import Usage
from support import calls


@pytest.fixture
def holding(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process with a child of its own that holds 100 MB."""
    program = (
        "import subprocess, sys\nfrom support.appetites import hold\n"
        "hold(100, sys.argv[1] + '/held', sys.argv[1] + '/go').wait()"
    )
    root = str(Path(__file__).resolve().parents[2])
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], env={"PYTHONPATH": root}) as process:
        calls.wait_for((tmp_path / "held").exists)
        yield process
        (tmp_path / "go").touch()


def test_a_look_sees_what_a_process_has_started(holding: subprocess.Popen[bytes]) -> None:
    found = Usage()
    usage.look({holding.pid: found})
    assert 100 < found.peak_mb < 180
    assert found.cpu_s > 0


def test_a_look_without_proc(holding: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "LINUX", False)
    monkeypatch.setattr(processes, "_PROC", "/dev/null/proc")
    found = Usage()
    usage.look({holding.pid: found})
    assert 100 < found.peak_mb < 180


def test_what_processes_share_counts_once() -> None:
    """A child that was just forked has all that its parent has."""
    program = (
        "import os, sys; held = b'1' * (100 << 20); [os.fork() for _ in range(3)]; os.write(1, b'.'); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read(8) == b"." * 8
        found = Usage()
        usage.look({process.pid: found})
        process.communicate()
    assert 100 < found.peak_mb < 200


def test_a_process_belongs_to_the_nearest_task_above_it() -> None:
    one, other = Usage(), Usage()
    table = [
        Seen(1, 0, 1, 1, 0.0),
        Seen(5, 1, 5, 1, 0.0),  # the controller
        Seen(10, 5, 10, 1, 0.0),  # a task
        Seen(11, 10, 10, 1, 0.0),
        Seen(12, 11, 12, 1, 0.0),  # in a group of its own
        Seen(13, 12, 12, 1, 0.0),
        Seen(20, 5, 20, 1, 0.0),  # another task
        Seen(21, 1, 20, 1, 0.0),  # has lost its parent, not its group
        Seen(22, 21, 22, 1, 0.0),
        Seen(30, 1, 30, 1, 0.0),  # nobody's
        Seen(40, 40, 40, 1, 0.0),
    ]
    found = usage.trees(table, {10: one, 20: other, 99: Usage()})
    assert {job: [seen.pid for seen in members] for job, members in found.items()} == {
        one: [10, 11, 12, 13],
        other: [20, 21, 22],
    }


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5)), max_size=12))
def test_any_table_has_an_answer(rows: list[tuple[int, int, int]]) -> None:
    """Even one in which a parent is its child's child."""
    found = usage.trees([Seen(*row, 1, 0.0) for row in rows], {3: "a", 4: "b"})
    pids = [seen.pid for members in found.values() for seen in members]
    assert len(pids) == len(set(pids))
    assert {3, 4} & {pid for pid, _, _ in rows} <= set(pids)


def test_the_peak_is_the_most_of_all() -> None:
    used = Usage()
    used.seen(2.0, 1.0)
    used.seen(1.0, 2.0)
    assert (used.peak_mb, used.cpu_s) == (2.0, 2.0)
    used.ended(0.5, 4.0)
    assert (used.peak_mb, used.cpu_s) == (4.0, 2.0), "a child that nobody waited for stays counted"
    used.seen(1.0, 3.0)
    assert used.cpu_s == 3.5, "one task has ended, and the others have used more meanwhile"
    used.ended(0.0, 0.0)
    assert (used.peak_mb, used.cpu_s) == (4.0, 3.5)
