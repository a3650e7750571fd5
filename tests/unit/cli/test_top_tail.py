"""The end of a log that grows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from submitit.cli.tui import tail as module
from submitit.cli.tui.tail import Grown, Tail


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def grow(lines: list[str], tail: Tail) -> list[str]:
    """The lines that somebody sees who is told of news alone."""
    news = tail.read()
    return lines if news is None else lines[: news.after] + news.lines


def test_what_is_written_follows_what_was_there(log: Path) -> None:
    tail = Tail(str(log))
    assert tail.read() is None
    assert not tail.there
    log.write_bytes(b"one\ntw")
    seen = grow([], tail)
    assert (seen, tail.there, tail.cut) == (["one", "tw"], True, False)
    assert tail.read() is None
    append(log, b"o\nthree\n")
    news = tail.read()
    assert news == Grown(1, ["two", "three"])
    append(log, b"\nfive")
    assert grow(["one", "two", "three"], tail) == ["one", "two", "three", "", "five"]


def test_sequences_and_letters_may_come_in_two_parts(log: Path) -> None:
    log.write_bytes(b"a\x1b[3")
    tail = Tail(str(log))
    seen = grow([], tail)
    append(log, b"1mred\x1b[0m \xe2\x82")
    seen = grow(seen, tail)
    append(log, b"\xac\n")
    assert grow(seen, tail) == ["ared €"]


def test_of_a_progress_bar_the_last_state_is_shown(log: Path) -> None:
    log.write_bytes(b"\r 10%\r 20%")
    tail = Tail(str(log))
    seen = grow([], tail)
    assert seen == [" 20%"]
    append(log, b"\r 30%\r\nwindows\r\n")
    assert grow(seen, tail) == [" 30%", "windows"]


def test_a_file_that_is_replaced_cut_or_gone_begins_anew(log: Path) -> None:
    log.write_bytes(b"first\n")
    tail = Tail(str(log))
    seen = grow([], tail)
    other = log.with_name("other")
    other.write_bytes(b"another, longer\n")
    os.replace(other, log)
    seen = grow(seen, tail)
    assert seen == ["another, longer"]
    log.write_bytes(b"x\n")
    seen = grow(seen, tail)
    assert seen == ["x"]
    log.unlink()
    assert grow(seen, tail) == []
    assert not tail.there


def test_of_a_long_log_the_end_is_read(log: Path) -> None:
    lines = [f"line {number}" for number in range(60_000)]
    log.write_text("\n".join(lines) + "\n")
    assert log.stat().st_size > module.MOST_BYTES
    tail = Tail(str(log))
    seen = grow([], tail)
    assert tail.cut
    assert seen[-1] == lines[-1]
    assert seen == lines[-len(seen) :]
    assert len(seen) <= module.MOST_LINES


def test_not_more_lines_are_kept_than_one_scrolls_through(log: Path) -> None:
    log.write_bytes(b"")
    tail = Tail(str(log))
    seen = grow([], tail)
    for number in range(0, 30_000, 1000):
        append(log, b"".join(b"%d\n" % line for line in range(number, number + 1000)))
        seen = grow(seen, tail)
        assert seen == tail.lines
        assert len(seen) <= module.MOST_LINES
    assert seen[-1] == "29999"
    assert tail.cut


def test_a_line_without_an_end_does_not_grow_for_ever(log: Path) -> None:
    log.write_bytes(b"")
    tail = Tail(str(log))
    for _ in range(8):
        append(log, b"x" * 60_000)
        tail.read()
    assert len(tail.lines) == 1
    assert len(tail.lines[0]) <= module.LONGEST
