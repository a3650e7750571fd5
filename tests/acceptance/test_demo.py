"""`make demo`'s program, as a user runs it."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.left_behind import assert_nothing_is_left

PROGRAM = Path(__file__).resolve().parents[2] / "examples" / "digits_sweep.py"
PNG = b"\x89PNG\r\n\x1a\n"
#: Reached only where something hangs.
DEADLINE_S = 120


def test_sweep_in_a_log(tmp_path: Path) -> None:
    command = [sys.executable, str(PROGRAM), "--tiny", "--cluster", "local", "--folder", "out"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stderr == ""
    assert "4 of 4 ended, 2 failed" in run.stdout
    assert re.search(r"1\s+0\.05\s+0\.\d+\s+9\d\.\d\d%", run.stdout), "the best setting, in the first row of the table"
    assert "2 failed with ValueError: specified nu is infeasible" in run.stdout
    log = re.search(r"the first one's log: (\S+)", run.stdout)
    assert log
    assert "specified nu is infeasible" in (tmp_path / log[1]).read_text()
    assert "\x1b" not in run.stdout
    assert (tmp_path / "out" / "heat_map.png").read_bytes().startswith(PNG)
    assert_nothing_is_left(tmp_path)


class Terminal:
    """A program in a terminal of its own."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self.screen = ""
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execve(command[0], command, {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"})
        self._deadline = time.monotonic() + DEADLINE_S

    def _read(self) -> bool:
        ready, _, _ = select.select([self._fd], [], [], max(0, self._deadline - time.monotonic()))
        assert ready, f"no more output:\n{self.screen}"
        try:
            chunk = os.read(self._fd, 65536)
        except OSError:  # Linux says so that the other side of a terminal was closed.
            return False
        self.screen += chunk.decode(errors="replace")
        return bool(chunk)

    def read_until(self, text: str) -> None:
        while text not in self.screen:
            assert self._read(), f"ended without {text!r}:\n{self.screen}"

    def interrupt(self) -> None:
        os.write(self._fd, b"\x03")

    def exit_code(self) -> int:
        """Reads to the end; a negative code is a signal."""
        while self._read():
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def close(self) -> None:
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
        os.close(self._fd)


@pytest.mark.parametrize("moment", ["submitting", "running"])
def test_interrupt_leaves_no_process(tmp_path: Path, moment: str) -> None:
    terminal = Terminal([sys.executable, str(PROGRAM), "--cluster", "local", "--folder", "out"], tmp_path)
    try:
        if moment == "submitting":
            while not (tmp_path / "out").exists():
                time.sleep(0.001)
        else:
            terminal.read_until("running")
        terminal.interrupt()
        assert terminal.exit_code() == 130, terminal.screen
    finally:
        terminal.close()
    assert "Interrupted: cancelling" in terminal.screen
    assert re.search(r"\d+ jobs were cancelled", terminal.screen)
    assert "Traceback" not in terminal.screen
    assert_nothing_is_left(tmp_path)
