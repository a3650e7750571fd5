"""The ``submitit`` command as a user calls it: in a pipe, or in a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

DEADLINE_S = 120.0
#: What sets colours, and clears a line after a carriage return: all that the command itself sends.
_OWN_SEQUENCES = re.compile(r"\x1b\[\d*m|\x1b\[K")


class Said(NamedTuple):
    """What one call has printed, and its exit code."""

    out: str
    err: str
    code: int

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Command:
    """Calls of the command by a user whose folders of jobs are noted in ``state``; if none is given, where the test's are."""

    def __init__(self, state: Path | None = None) -> None:
        self.state = state or Path(os.environ["XDG_STATE_HOME"])
        self.env = {**os.environ, "XDG_STATE_HOME": str(self.state), "TERM": "xterm-256color"}
        for name in ("COLUMNS", "NO_COLOR"):
            self.env.pop(name, None)

    def argv(self, *words: str | os.PathLike[str]) -> list[str]:
        return [sys.executable, "-m", "submitit", *(os.fspath(word) for word in words)]

    def __call__(self, *words: str | os.PathLike[str], code: int | None = 0, cwd: Path | None = None) -> Said:
        """In pipes, with nobody to ask. Fails where the exit code is another one than ``code``, if that is given."""
        done = subprocess.run(
            self.argv(*words),
            env=self.env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert code in (None, done.returncode), f"{words}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return Said(done.stdout, done.stderr, done.returncode)

    def answer(self, *words: str | os.PathLike[str], code: int | None = 0, cwd: Path | None = None) -> Any:
        """What it prints with ``--json``."""
        return self(*words, "--json", code=code, cwd=cwd).json

    def start(self, *words: str | os.PathLike[str]) -> subprocess.Popen[str]:
        """In pipes, left running."""
        return subprocess.Popen(
            self.argv(*words),
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def in_terminal(
        self,
        *words: str | os.PathLike[str],
        columns: int = 80,
        answers: Sequence[tuple[str, str]] = (),
        env: Mapping[str, str] | None = None,
    ) -> Said:
        """In a terminal of so many columns, whose user answers to each prompt what stands beside it."""
        pid, terminal = pty.fork()
        if pid == 0:
            with contextlib.suppress(OSError):
                argv = self.argv(*words)
                os.execve(argv[0], argv, {**self.env, **(env or {})})
            os._exit(127)
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        text, left = _converse(pid, terminal, list(answers))
        assert not left, f"never asked: {left}\n{text}"
        status = os.waitpid(pid, 0)[1]
        os.close(terminal)
        return Said(text.replace("\r\n", "\n"), "", os.waitstatus_to_exitcode(status))


def _converse(pid: int, terminal: int, answers: list[tuple[str, str]]) -> tuple[str, list[tuple[str, str]]]:
    data = b""
    seen = 0
    deadline = time.monotonic() + DEADLINE_S
    while True:
        if not select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))[0]:
            os.kill(pid, signal.SIGKILL)
            raise TimeoutError(data.decode(errors="replace"))
        try:
            read = os.read(terminal, 1 << 16)
        except OSError:  # its other end is closed
            read = b""
        if not read:
            return data.decode(errors="replace"), answers
        data += read
        if answers and answers[0][0].encode() in data[seen:]:
            seen = len(data)
            os.write(terminal, answers.pop(0)[1].encode() + b"\n")


def seen(text: str) -> str:
    """What a terminal shows of what the command has written: without its own sequences, and there are no others."""
    shown = _OWN_SEQUENCES.sub("", text)
    assert "\x1b" not in shown, repr(shown)
    return shown
