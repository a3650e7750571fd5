"""Processes that a measurement consists of: a client under one of the two versions, and commands that are timed."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from samples import Answer, NoFigureError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

WORKLOAD: Final = Path(__file__).with_name("workload.py")
#: An answer that takes longer counts as none.
PATIENCE_S: Final = 180.0


class Client:
    """A process that imports one version of submitit and does what `call` names (see `workload.py`), or another program of that kind.

    It is started by the first call, and after an answer that did not come, by the next one.
    """

    def __init__(
        self, python: str, directory: Path, env: Mapping[str, str] | None = None, program: Path = WORKLOAD
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._program = program
        self._python = python
        self._directory = directory
        self._env = {**os.environ, **(env or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def call(self, action: str, *, patience: float = PATIENCE_S, **arguments: object) -> Answer:
        """The value that the action returns. Raises NoFigureError if it fails, or none comes in `patience` seconds."""
        process = self._process = self._process or self._start()
        requests, answers = process.stdin, process.stdout
        assert requests is not None
        assert answers is not None
        line = b""
        with contextlib.suppress(BrokenPipeError):
            requests.write(json.dumps({"do": action, **arguments}).encode() + b"\n")
            requests.flush()
            if not select.select([answers], [], [], patience)[0]:
                self.close(kill=True)
                raise NoFigureError(f"{action}: no answer in {patience:g} s")
            line = answers.readline()
        if not line:
            self.close()
            raise NoFigureError(f"{action}: the client has died, see client.log in {self._directory}")
        answer = json.loads(line)
        if "error" in answer:
            raise NoFigureError(f"{action}: {answer['error']}")
        value: Answer = answer["value"]
        return value

    def close(self, *, kill: bool = False) -> None:
        """Ends the process; jobs that it started go on."""
        process, self._process = self._process, None
        if process is None:
            return
        if kill:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        with (self._directory / "client.log").open("ab") as log:
            try:
                return subprocess.Popen(
                    [self._python, str(self._program)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    cwd=self._directory,
                    env=self._env,
                    start_new_session=True,
                )
            except OSError as error:
                raise NoFigureError(f"cannot be started: {error}") from error

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def run(argv: Sequence[str], directory: Path, env: Mapping[str, str] | None = None) -> dict[str, float]:
    """Runs a process that prints to nowhere; the seconds of its life (`wall`) and of its work (`cpu`).

    Raises NoFigureError if it fails.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        argv,
        cwd=directory,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # The descriptors of this process are not inheritable anyway, and without closing them the start is cheaper.
        close_fds=False,
    )
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise NoFigureError(f"exit code {process.returncode} of {' '.join(argv[1:])}")
    return {"wall": wall, "cpu": used.ru_utime + used.ru_stime}
