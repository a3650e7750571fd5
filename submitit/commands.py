"""The one door to outside commands.

Names are looked up when a command runs, not when this module loads: test suites of programs that build on this library stand
in for a cluster by replacing ``CommandFunction`` (through ``submitit.core.utils``), ``subprocess.check_output``,
``subprocess.check_call`` or ``shutil.which``.
"""

from __future__ import annotations

import os
import shlex
import sys
import threading
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import IO, TYPE_CHECKING, Any

from submitit.errors import FailedJobError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

#: sbatch itself sleeps and retries for about two minutes on a full queue; a shorter limit would cut that off.
SUBMISSION_TIMEOUT_S = 300.0
QUERY_TIMEOUT_S = 60.0

#: How long a ``CommandFunction`` may take: its signature is 1.x's, and programs replace it.
_LIMIT_S: ContextVar[float | None] = ContextVar("submitit_limit_s", default=None)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """A ``CommandFunction`` that is called in the block takes at most that long, and a Ctrl-C at the terminal does not reach it.

    It is ended then, with all that it has started, and ``TimeoutError`` is raised.
    """
    token = _LIMIT_S.set(seconds)
    try:
        yield
    finally:
        _LIMIT_S.reset(token)


def which(program: str) -> str | None:
    """Where ``program`` lies on PATH, or ``None``."""
    import shutil

    return shutil.which(program)


def query(command: Sequence[str], env: Mapping[str, str] | None = None) -> str:
    """What a command that only asks prints on stdout; ``env`` is its whole environment, by default this process's.

    Raises ``subprocess.CalledProcessError``, ``subprocess.TimeoutExpired`` (after ``QUERY_TIMEOUT_S``) or ``OSError``. Its
    stderr is with the error, never on the terminal.
    """
    import subprocess

    keywords: dict[str, Any] = {"stderr": subprocess.PIPE, "timeout": QUERY_TIMEOUT_S}
    if env is not None:
        keywords["env"] = dict(env)
    output: str | bytes = subprocess.check_output(list(command), **keywords)
    return output if isinstance(output, str) else output.decode("utf-8", errors="replace")


def output(command: Sequence[str] | str, **kwargs: Any) -> str:
    """What a command prints on stdout, however long it takes; ``kwargs`` are those of ``subprocess.check_output``.

    Raises ``subprocess.CalledProcessError`` or ``OSError``.
    """
    import subprocess

    printed = subprocess.check_output(command, **kwargs)
    return printed if isinstance(printed, str) else printed.decode("utf-8", errors="replace")


def read(command: Sequence[str], env: Mapping[str, str]) -> str:
    """What a command prints on stdout, however long it takes; bytes that are no text come back as in names of files.

    Raises ``RuntimeError`` with what it printed on stderr if it does not exit with 0, and ``OSError``.
    """
    import subprocess

    text: dict[str, Any] = {"encoding": "utf-8", "errors": "surrogateescape"}
    try:
        return output(command, env=dict(env), stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, **text)
    except subprocess.CalledProcessError as error:
        raise RuntimeError(str(error.stderr or "").strip() or f"exit code {error.returncode}") from error


def call(command: Sequence[str], *, check: bool = True, timeout_s: float | None = None) -> int:
    """Run a command that changes something, and return its exit code.

    With ``check`` a non-zero exit code raises ``subprocess.CalledProcessError``; more than ``timeout_s`` seconds raise
    ``subprocess.TimeoutExpired``.
    """
    import subprocess

    keywords: dict[str, Any] = {} if timeout_s is None else {"timeout": timeout_s}
    run = subprocess.check_call if check else subprocess.call
    return run(list(command), shell=False, **keywords)


class CommandFunction:
    """A shell command as a function: ``CommandFunction(["echo"])("hello")`` returns ``"hello"``.

    Parameters
    ----------
    command: list of str
        the command, without a shell around it
    verbose: bool
        print the command, and its output as it comes
    cwd, env:
        where it runs and with which *additional* environment variables
    """

    def __init__(
        self,
        command: list[str],
        verbose: bool = True,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        if not isinstance(command, list):
            raise TypeError(f"The command must be a list of words, not {command!r}")
        self.command = command
        self.verbose = verbose
        self.cwd = None if cwd is None else str(cwd)
        self.env = env

    def __call__(self, *args: Any, **kwargs: Any) -> str:
        """Run the command with ``args`` appended and each keyword as ``--key=value``; return its stripped stdout.

        Raises ``FailedJobError`` with what it printed on stderr if it does not exit with 0; see also ``time_limit``.
        """
        import subprocess

        full = self.command + [str(arg) for arg in args] + [f"--{key}={value}" for key, value in kwargs.items()]
        if self.verbose:
            print(f"The following command is sent: {shlex.join(full)}")
        env = {**os.environ, **self.env} if self.env else None
        limit_s = _LIMIT_S.get()
        with subprocess.Popen(
            full,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            shell=False,
            cwd=self.cwd,
            env=env,
            start_new_session=limit_s is not None,
        ) as process:
            if limit_s is None:
                stdout, stderr = _collect(process, verbose=self.verbose)
            else:
                stdout, stderr = _collect_within(process, limit_s, verbose=self.verbose)
        if process.returncode:
            raise FailedJobError(stderr or f"{shlex.join(full)} exited with {process.returncode} and said nothing")
        return stdout.strip()


def _collect(process: Any, *, verbose: bool) -> tuple[str, str]:
    """Both streams of a process until they end, each copied to the terminal as it comes if ``verbose``."""
    chunks: tuple[list[str], list[str]] = ([], [])
    terminals: tuple[IO[str], IO[str]] = (sys.stdout, sys.stderr)

    def read(pipe: IO[bytes], into: list[str], terminal: IO[str]) -> None:
        for line in _decoded(pipe):
            into.append(line)
            if verbose:
                terminal.write(line)
                terminal.flush()

    reader = threading.Thread(target=read, args=(process.stderr, chunks[1], terminals[1]), daemon=True)
    reader.start()
    try:
        read(process.stdout, chunks[0], terminals[0])
        process.wait()
    except BaseException:
        process.kill()
        raise
    finally:
        reader.join()
    return "".join(chunks[0]), "".join(chunks[1])


def _collect_within(process: Any, limit_s: float, *, verbose: bool) -> tuple[str, str]:
    """Both streams of a process that leads a session of its own; if that takes too long, the session is ended."""
    import signal
    import subprocess

    try:
        stdout, stderr = (part.decode("utf-8", errors="replace") for part in process.communicate(timeout=limit_s))
    except BaseException as error:
        # Not the process alone: where sbatch is a site's script, the real one is its child, and holds the pipes.
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):  # a file system that hangs keeps even that from it
            process.wait(1)
        if isinstance(error, subprocess.TimeoutExpired):
            raise TimeoutError(f"{shlex.join(process.args)} did not answer within {limit_s:g} s") from error
        raise
    if verbose:
        sys.stdout.write(stdout)
        sys.stderr.write(stderr)
    return stdout, stderr


def _decoded(pipe: IO[bytes]) -> Iterator[str]:
    for line in pipe:
        yield line.decode("utf-8", errors="replace")
