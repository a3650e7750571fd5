"""The file of calls, read while it is written and after its writer was killed."""

from __future__ import annotations

import os
import resource
import signal
import stat
from pathlib import Path

import pytest

from submitit.errors import UntrustedPickleError
from submitit.storage.calls import Reader, Run, Writer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "1_0_calls.bin"


def test_what_is_written_is_read_once(path: Path) -> None:
    reader = Reader(path, "map")
    assert reader.read() == []
    writer = Writer(path, "map")
    assert reader.read() == []
    first, second = Run(0, [1, None], {1: ("success", "", b"pickle")}), Run(2, [3.5], {})
    writer.write(first)
    assert reader.read() == [first]
    assert reader.read() == []
    writer.write(second)
    assert writer.close() == path.stat().st_size
    assert reader.read() == [second]
    assert reader.place == path.stat().st_size
    assert Reader(path, "map").read() == [first, second]


def test_a_look_tells_what_has_ended_and_takes_nothing(path: Path) -> None:
    reader = Reader(path, "map")
    assert reader.look() == []
    writer = Writer(path, "map")
    assert reader.look() == []
    writer.write(Run(0, [1, 2], {}))
    writer.write(Run(2, [3], {}))
    assert reader.look() == [(0, 2), (2, 3)]
    assert len(reader.read()) == 2
    writer.write(Run(3, ["x" * 100], {}))
    os.truncate(path, path.stat().st_size - 1)
    assert reader.look() == []
    assert Reader(path, "other").look() == []


@pytest.mark.parametrize("damage", ["head", "body", "checksum"])
def test_a_frame_that_is_not_whole_is_none(path: Path, damage: str) -> None:
    writer = Writer(path, "map")
    writer.write(Run(0, [1], {}))
    whole = path.stat().st_size
    writer.write(Run(1, [2], {}))
    end = path.read_bytes()[whole:]
    os.truncate(path, whole)
    with path.open("ab") as file:
        file.write({"head": end[:5], "body": end[:-1], "checksum": end[:-1] + b"!"}[damage])
    reader = Reader(path, "map")
    assert reader.read() == [Run(0, [1], {})]
    assert reader.read() == []

    again = Writer(path, "map")
    assert again.runs == [(0, 1)]
    again.write(Run(1, [3], {}))
    assert reader.read() == [Run(1, [3], {})]


def test_what_was_written_twice_is_read_once(path: Path) -> None:
    """The writer was interrupted after the first time, and another call had ended since."""
    writer = Writer(path, "map")
    writer.write(Run(4, [40, None], {1: ("success", "", b"five")}))
    writer.write(Run(4, [40, None, None], {1: ("success", "", b"five"), 2: ("success", "", b"six")}))
    writer.write(Run(7, [70], {}))
    writer.write(Run(2, [20], {}))
    assert Reader(path, "map").read() == [
        Run(4, [40, None], {1: ("success", "", b"five")}),
        Run(6, [None], {0: ("success", "", b"six")}),
        Run(7, [70], {}),
        Run(2, [20], {}),
    ]


def test_a_file_of_another_map_is_begun_anew(path: Path) -> None:
    Writer(path, "old").write(Run(0, ["old"], {}))
    reader = Reader(path, "new")
    assert reader.read() == []
    writer = Writer(path, "new")
    assert writer.runs == []
    writer.write(Run(0, ["new"], {}))
    assert reader.read() == [Run(0, ["new"], {})]


def test_much_is_read_in_pieces(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("submitit.storage.calls._AT_ONCE", 1000)
    writer = Writer(path, "map")
    for number in range(5):
        writer.write(Run(number, ["x" * 600], {}))
    reader = Reader(path, "map")
    assert [len(reader.read()) for _ in range(4)] == [2, 2, 1, 0]


def test_a_writer_that_closes_the_file_now_and_then_goes_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("submitit.storage.calls._QUICKEST_CLOSE_S", 0.0)
    writer = Writer(path, "map")
    open_before = len(os.listdir("/proc/self/fd"))
    for number in range(5):
        writer.write(Run(number, [number], {}))
    assert len(os.listdir("/proc/self/fd")) == open_before
    assert [run.first for run in Reader(path, "map").read()] == [0, 1, 2, 3, 4]


def test_nobody_else_may_have_written_it(path: Path) -> None:
    before = os.umask(0)
    try:
        Writer(path, "map").write(Run(0, [1], {}))
    finally:
        os.umask(before)
    assert not stat.S_IMODE(path.stat().st_mode) & 0o022
    path.chmod(0o666)
    with pytest.raises(UntrustedPickleError, match=path.name):
        Reader(path, "map").read()
    for content in (path.read_bytes(), b""):
        path.write_bytes(content)
        with pytest.raises(UntrustedPickleError, match=path.name):
            Writer(path, "map")


def test_a_full_disk_leaves_whole_frames(path: Path) -> None:
    writer = Writer(path, "map")
    writer.write(Run(0, [1], {}))
    before, size = resource.getrlimit(resource.RLIMIT_FSIZE), path.stat().st_size
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, before[1]))
    try:
        with pytest.raises(OSError, match=path.name):
            writer.write(Run(1, ["x" * 1000], {}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.stat().st_size == size
    writer.write(Run(1, [2], {}))
    assert len(Reader(path, "map").read()) == 2
