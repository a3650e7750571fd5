"""Pieces of large logs, and logs that would steer the terminal."""

from __future__ import annotations

import builtins
import io
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from submitit.cli import logfile
from submitit.cli.logfile import Harmless, last_lines, start_of_last


@given(st.text(alphabet="ab\n", max_size=60), st.integers(0, 8), st.integers(1, 7))
def test_the_last_lines_are_those_of_tail(
    tmp_path_factory: pytest.TempPathFactory, text: str, count: int, block: int
) -> None:
    path = tmp_path_factory.mktemp("log") / "log"
    path.write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logfile, "_BLOCK", block)
        begin = start_of_last(str(path), count)
    kept = text.splitlines(keepends=True)[-count:] if count else []
    assert begin == len(text) - len("".join(kept))


def test_a_large_log_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"".join(b"line %d\n" % number for number in range(500_000)))
    read = 0
    opened = builtins.open

    class Counting(io.BufferedReader):
        def read(self, size: int | None = -1, /) -> bytes:
            nonlocal read
            data = super().read(size)
            read += len(data)
            return data

    def counting(path: Any, mode: str) -> io.BufferedReader:
        assert mode == "rb"
        return Counting(io.FileIO(path))

    monkeypatch.setattr(logfile, "open", counting, raising=False)
    assert last_lines(str(path), 3) == ["line 499997", "line 499998", "line 499999"]
    assert 0 < read < 200_000
    assert builtins.open is opened


def test_a_progress_bar_is_what_it_showed_last(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"begin\r\n  1%\r 50%\r100%\nred \x1b[31mword\x1b[0m\n\n\n")
    assert last_lines(str(path), 9) == ["begin", "100%", "red word"]
    assert last_lines(str(tmp_path / "none"), 9) == []


HOSTILE = "a\x1b[31mred\x1b[0m \x1b]0;title\x07b\x1b[2Jc\x08\x9b1Ad 日本\u202e\r\n  1%\r100%\nend"
SHOWN = "ared bcd 日本\n  1%\r\x1b[K100%\nend"


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_a_log_is_harmless_however_it_comes_in_pieces(size: int) -> None:
    harmless = Harmless()
    data = HOSTILE.encode()
    text = "".join(harmless(data[place : place + size]) for place in range(0, len(data), size))
    assert text + harmless(b"", final=True) == SHOWN


def test_a_line_without_an_end_is_shown_at_once() -> None:
    assert Harmless()(b"waiting ...") == "waiting ..."
