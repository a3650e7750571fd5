"""The end of a log."""

from __future__ import annotations

import os
from pathlib import Path

from submitit.orchestrator import logs


def test_the_last_bytes_whatever_is_before_them(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * 5000 + "\nend é\n".encode())
    assert logs.end_of(path, 8) == "\nend é\n"
    assert logs.end_of(path, 10_000) == path.read_text()
    assert logs.end_of(path, 2) == "�\n"


def test_what_is_no_log_has_no_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "none", tmp_path, tmp_path / "pipe", "nul\0"):
        assert logs.end_of(path, 100) == ""


def test_lines_are_fit_for_a_terminal() -> None:
    assert logs.lines_of("1%\r2%\r\n\x1b[31mred\x1b[0m\n") == ["1%", "2%", "red"]
