"""Programs in a terminal: a real pseudo-terminal, and what a person would see on its screen."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyte

#: Only a defect, or a stalled machine, reaches it.
DEADLINE_S = 60.0


class Program:
    """A Python program that runs in a terminal."""

    def __init__(self, master: int, process: subprocess.Popen[bytes], columns: int, rows: int) -> None:
        self._master = master
        self._process = process
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        #: All that it has written.
        self.written = b""

    @property
    def lines(self) -> list[str]:
        """The lines of the screen that have something in them."""
        return [line.rstrip() for line in self.screen.display if line.strip()]

    def wait_for(self, condition: Callable[[list[str]], bool]) -> list[str]:
        """Read on until the screen's lines meet a condition; return them."""
        deadline = time.monotonic() + DEADLINE_S
        while not condition(self.lines):
            assert time.monotonic() < deadline, "\n".join(self.lines)
            assert self._read() or condition(self.lines), "it has ended:\n" + "\n".join(self.lines)
        return self.lines

    def type(self, keys: bytes) -> None:
        """As if somebody had typed it."""
        os.write(self._master, keys)

    def end(self) -> int:
        """Read to the end; return the exit code."""
        deadline = time.monotonic() + DEADLINE_S
        while self._read():
            assert time.monotonic() < deadline, "\n".join(self.lines)
        return self._process.wait(DEADLINE_S)

    def _read(self) -> bool:
        if not select.select([self._master], [], [], 1.0)[0]:
            return True
        try:
            text = os.read(self._master, 1 << 16)
        except OSError:  # its last descriptor of the terminal is closed
            return False
        self.written += text
        self._stream.feed(text)
        return bool(text)


#: So that Ctrl-C is a signal.
_TAKE_TERMINAL = "import fcntl, termios\nfcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"


@contextlib.contextmanager
def in_terminal(
    code: str, *arguments: object, columns: int = 80, rows: int = 24, **environment: str
) -> Iterator[Program]:
    """Run a program that may import what tests submit. It is killed at the end of the block if it still runs."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-c", _TAKE_TERMINAL + code, *map(str, arguments)],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**kept, "TERM": "xterm-256color", "PYTHONPATH": str(Path(__file__).parents[1]), **environment},
        start_new_session=True,
    )
    os.close(slave)
    try:
        yield Program(master, process, columns, rows)
    finally:
        process.kill()
        process.wait()
        os.close(master)
