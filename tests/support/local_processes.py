"""Client processes of the local backend, and what they and their jobs leave behind."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from pathlib import Path

import submitit
from submitit.local import processes

_MARK = "SUBMITIT_TEST_MARK"
_PREAMBLE = """
import os, signal, sys, time
from pathlib import Path
import submitit
from support import calls
from submitit.local.connection import current
executor = submitit.LocalExecutor("jobs")
executor.update_parameters(timeout_min=10)
def say(*words):
    # a line at a time, where a process and its child say something
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())
"""

#: A session's leader gets the first terminal that it opens.
_ON_TERMINAL = "import os; os.close(os.open(os.ttyname(0), os.O_RDWR))\n"


class Clients:
    """Starts programs that submit local jobs, each in a process and a session of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.folder = directory / "jobs"
        self.mark = uuid.uuid4().hex
        self._started: list[subprocess.Popen[str]] = []

    def start(self, program: str) -> subprocess.Popen[str]:
        """Run a program in which ``executor``, ``calls`` and ``say`` are defined; its stdout is a pipe of lines."""
        client = subprocess.Popen(
            [sys.executable, "-u", "-c", _PREAMBLE + textwrap.dedent(program)],
            cwd=self.directory,
            env={**os.environ, _MARK: self.mark, "PYTHONPATH": os.pathsep.join(import_path())},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._started.append(client)
        return client

    def start_on_terminal(self, program: str) -> Terminal:
        """The same on a terminal of its own, whose foreground it is; its stdout is a pipe nevertheless."""
        ours, theirs = pty.openpty()
        self._started.append(
            subprocess.Popen(
                [sys.executable, "-u", "-c", _ON_TERMINAL + _PREAMBLE + textwrap.dedent(program)],
                cwd=self.directory,
                env={**os.environ, _MARK: self.mark, "PYTHONPATH": os.pathsep.join(import_path())},
                stdin=theirs,
                stdout=subprocess.PIPE,
                stderr=theirs,
                text=True,
                start_new_session=True,
            )
        )
        os.close(theirs)
        return Terminal(self._started[-1], ours)

    def run(self, program: str) -> str:
        """Run a program to its end and return what it printed; it has to succeed."""
        client = self.start(program)
        output, _ = client.communicate(timeout=120)
        assert client.returncode == 0, output
        return output

    def job(self, job_id: str, tasks: int = 1) -> submitit.LocalJob[object]:
        """A job of one of these programs, as this process finds it."""
        return submitit.LocalJob(self.folder, job_id, list(range(tasks)))

    def living(self) -> list[str]:
        """The processes that the programs have started and that live, as their command lines."""
        return [f"{pid}: {' '.join(processes.command_line(pid))[:200]}" for pid in marked(self.mark)]

    def close(self) -> None:
        for client in self._started:
            client.kill()
            client.wait()
            for pipe in (client.stdin, client.stdout):
                if pipe is not None:
                    pipe.close()


class Terminal:
    """The screen and the keyboard of a program."""

    def __init__(self, program: subprocess.Popen[str], end: int) -> None:
        self.program = program
        self._end = end

    def press(self, keys: bytes) -> None:
        os.write(self._end, keys)

    def close(self) -> None:
        """Who works on it is hung up on."""
        os.close(self._end)


def put(path: Path, text: str) -> None:
    """Make a file that appears with its content."""
    beside = path.with_name(path.name + ".new")
    beside.write_text(text)
    beside.rename(path)


def import_path() -> list[str]:
    """Where clients find the package and the tests' support."""
    root = Path(__file__).resolve().parent.parent
    return [str(Path(submitit.__file__).parent.parent), str(root)]


def marked(mark: str) -> list[int]:
    """The living processes with the mark in their environment, whichever way the library would look for them."""
    words = f"{_MARK}={mark}".encode()
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            # Of a zombie it is empty.
            with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as file:
                if words in file.read().split(b"\0"):
                    found.append(int(name))
    return found


def wait_until_none(clients: Clients, timeout_s: float = 30.0) -> list[str]:
    """Wait until nothing that the programs started lives; what does after ``timeout_s``, which is killed."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if not marked(clients.mark):
            return []
        time.sleep(0.02)
    left = clients.living()
    for pid in marked(clients.mark):
        os.kill(pid, signal.SIGKILL)
    return left
