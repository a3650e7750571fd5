"""Marker files that say "look now"."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submitit.storage import events
from submitit.storage.events import EventDirectory, Marker, marker_name, parse_marker
from support.users import User

JOB_IDS = st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=30)


@given(
    JOB_IDS,
    st.integers(0, 10**6).map(str) | st.just("batch"),
    st.integers(0, 100),
    st.sampled_from(["run", "done", "term", "requeue", "memory", "retry-node_fail", "refused-killed", "final"])
    | st.integers(-64, 255).map(lambda code: f"exit-{code}"),
)
def test_names_are_read_back(job_id: str, task: str, attempt: int, kind: str) -> None:
    code = int(kind.removeprefix("exit-")) if kind.startswith("exit-") else None
    assert parse_marker(marker_name(job_id, task, attempt, kind)) == Marker(job_id, task, attempt, kind, code)


@pytest.mark.parametrize(
    ("name", "marker"),
    [
        ("12-0.0.run", Marker("12", "0", 0, "run")),
        ("12_3-batch.2.exit-137", Marker("12_3", "batch", 2, "exit-137", 137)),
        ("DEBUG_1-0.0.done", Marker("DEBUG_1", "0", 0, "done")),
        ("site.job-7-11.0.term", Marker("site.job-7", "11", 0, "term")),
        ("12-0.0.exit--9", Marker("12", "0", 0, "exit--9", -9)),
    ],
)
def test_names(name: str, marker: Marker) -> None:
    assert parse_marker(name) == marker
    assert marker_name(*marker[:4]) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "12",
        "12-0",
        "12-0.0",
        "12-0.0.",
        "12-0.0.ran",
        "12-0.0.retry",
        "12-0.0.refused-",
        "12-0.0.exit",
        "12-0.0.exit-",
        "12-0.0.exit-x",
        "-0.0.run",
        "12-x.0.run",
        "12-.0.run",
        "12-0.x.run",
        "12-0.-1.run",
        "12-0.².run",
        "a/12-0.0.run",
        ".submitit-h-1-0.tmp",
    ],
)
def test_what_is_no_marker(name: str) -> None:
    assert parse_marker(name) is None


@pytest.mark.parametrize(
    "parts", [("12", "0", 0, "ran"), ("a/b", "0", 0, "run"), ("12", "all", 0, "run"), ("1\0", 0, 0, "run")]
)
def test_what_cannot_be_marked(parts: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Not a marker"):
        EventDirectory(tmp_path).mark(*parts)


def scanned(directory: EventDirectory, refresh: bool = False) -> list[Marker]:
    """The markers of the jobs that have left a new one."""
    return [marker for job_id in directory.scan(refresh=refresh) for marker in directory.markers(job_id)]


def test_a_marker_is_returned_once(tmp_path: Path) -> None:
    directory = EventDirectory(tmp_path / "events" / "client")
    assert scanned(directory) == []
    directory.make()
    assert scanned(directory) == []
    assert directory.mark("12", 0, 0, "run", "node1")
    assert scanned(directory) == [Marker("12", "0", 0, "run")]
    assert scanned(directory) == []
    assert directory.mark("12", 0, 0, "run", "node1")
    assert scanned(directory) == []
    assert directory.node(Marker("12", "0", 0, "run")) == "node1"
    assert directory.node(Marker("13", "0", 0, "run")) == ""
    assert directory.path == tmp_path / "events" / "client"


def test_each_task_in_the_order_of_its_life(tmp_path: Path) -> None:
    directory = EventDirectory(tmp_path / "new")
    for kind in ("exit-1", "done", "term", "run"):
        for attempt in (1, 0):
            assert directory.mark("12", "0", attempt, kind)
    assert [(marker.attempt, marker.kind) for marker in scanned(directory)] == [
        (attempt, kind) for attempt in (0, 1) for kind in ("run", "term", "done", "exit-1")
    ]


def test_what_is_no_marker_is_passed_over(tmp_path: Path) -> None:
    directory = EventDirectory(tmp_path)
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / ".nfs000012").write_text("")
    directory.mark("1", 0, 0, "done")
    assert scanned(directory) == [Marker("1", "0", 0, "done")]


class Clock:
    """The monotonic clock, and the number of listings, of which each takes ``listing_s`` seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, listing_s: float = 0.0) -> None:
        self.now = 100.0
        self.listings = 0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        listdir = os.listdir

        def counting(path: str) -> list[str]:
            self.listings += 1
            self.now += listing_s
            return listdir(path)

        monkeypatch.setattr(os, "listdir", counting)


def test_a_quiet_directory_is_not_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    directory = EventDirectory(tmp_path)
    for _ in range(10):
        directory.scan()
        clock.now += 1
    assert clock.listings == 3, "at 0 s, at 1 s, and once more when the time can no longer be the same by chance"


def test_a_marker_of_the_same_clock_tick_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file system's clock may stand still for up to two seconds."""
    clock = Clock(monkeypatch)
    directory = EventDirectory(tmp_path)
    times = (10**18, 10**18)
    os.utime(tmp_path, ns=times)
    directory.scan()
    clock.now += 1.9
    directory.mark("1", 0, 0, "run")
    os.utime(tmp_path, ns=times)
    assert scanned(directory) == [Marker("1", "0", 0, "run")]
    directory.mark("2", 0, 0, "run")
    os.utime(tmp_path, ns=times)
    clock.now += 5
    assert scanned(directory) == [Marker("2", "0", 0, "run")]
    assert clock.listings == 3
    assert scanned(directory) == []
    assert clock.listings == 3


def test_the_clock_of_a_file_server_may_be_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    directory = EventDirectory(tmp_path)
    for behind in (-3600, 3600):
        server = time.time_ns() - behind * 10**9
        os.utime(tmp_path, ns=(server, server))
        directory.scan()
        directory.mark("1", behind % 7, 0, "run")
        os.utime(tmp_path, ns=(server, server))
        clock.now += 0.01
        assert len(directory.scan()) == 1


def test_a_large_directory_takes_a_tenth_of_the_time_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, listing_s=0.1)
    directory = EventDirectory(tmp_path)
    start = clock.now
    while clock.now < start + 1.9:
        directory.scan()
        clock.now += 0.005
    assert clock.listings <= 3
    directory.mark("1", 0, 0, "run")
    assert len(directory.scan()) == 1, "a time that has moved is looked at at once"


def test_refresh_asks_the_server_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a network file system hides behind its cache shows once the directory's times are set."""
    clock = Clock(monkeypatch)
    directory = EventDirectory(tmp_path)
    old = (10**18, 10**18)
    os.utime(tmp_path, ns=old)
    for _ in range(4):
        directory.scan()
        clock.now += 1
    directory.mark("1", 0, 0, "done")
    os.utime(tmp_path, ns=old)
    assert scanned(directory) == []
    assert scanned(directory, refresh=True) == [Marker("1", "0", 0, "done")]
    assert tmp_path.stat().st_mtime_ns > old[0]


def test_a_directory_that_is_gone(tmp_path: Path) -> None:
    directory = EventDirectory(tmp_path / "client")
    directory.mark("1", 0, 0, "run")
    assert len(directory.scan()) == 1
    for path in (tmp_path / "client").iterdir():
        path.unlink()
    (tmp_path / "client").rmdir()
    assert scanned(directory, refresh=True) == []
    assert directory.mark("1", 0, 0, "done")
    assert Marker("1", "0", 0, "done") in scanned(directory)


def test_changes_of_a_large_directory_wait_for_half_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While thousands of jobs end, one after the other."""
    clock = Clock(monkeypatch, listing_s=0.1)
    directory = EventDirectory(tmp_path)
    directory.scan()
    directory.mark("1", 0, 0, "run")
    os.utime(tmp_path, ns=(1, 1))
    assert directory.scan() == []
    clock.now += 0.49
    assert directory.scan() == []
    clock.now += 0.02
    assert directory.scan() == ["1"]


def test_histories_are_kept_once(tmp_path: Path) -> None:
    directory = EventDirectory(tmp_path)
    for job_id in "12":
        for kind in ("exit-0", "run"):
            directory.mark(job_id, 0, 0, kind)
        directory.scan()
        directory.mark(job_id, 0, 0, "done")
        directory.scan()
    for task in range(20):
        directory.mark("3", task, 0, "run")
    directory.scan()
    assert directory.history("1") is directory.history("2")
    assert list(directory.history("1")) == ["0.0.run", "0.0.done", "0.0.exit-0"]
    assert {marker.task for marker in directory.markers("3")} == set(map(str, range(20)))
    assert directory.history("4") == ()


def test_scanning_is_quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LATE_S", 0)
    directory = EventDirectory(tmp_path)
    for index in range(20_000):
        os.close(os.open(tmp_path / f"{index}-0.0.run", os.O_CREAT))
    assert len(directory.scan()) == 20_000
    directory.mark("x", 0, 0, "run")
    start = time.process_time()
    assert len(directory.scan()) == 1
    assert time.process_time() - start < 0.5, "10 ms on an idle machine"


def test_a_marker_that_cannot_be_written_is_no_error(user: User, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert not EventDirectory(tmp_path / "file").mark("1", 0, 0, "run")
    program = "from submitit.storage.events import EventDirectory\nprint(EventDirectory('/usr').mark('1', 0, 0, 'run'))"
    assert user.run([sys.executable, "-c", program]).stdout == "False\n"


def test_modes(tmp_path: Path) -> None:
    directory = EventDirectory(tmp_path / "a" / "b")
    directory.mark("1", 0, 0, "run")
    assert (tmp_path / "a" / "b" / "1-0.0.run").stat().st_mode & 0o7777 == 0o664
    assert (tmp_path / "a" / "b").stat().st_mode & 0o7777 == 0o775


def test_kinds() -> None:
    assert events.KINDS == ("run", "term", "memory", "done", "requeue", "retry", "refused", "final", "exit")
