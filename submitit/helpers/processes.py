"""Running commands, and reading what processes print."""

from __future__ import annotations

import sys
from typing import IO, TYPE_CHECKING, Any

from submitit import commands

if TYPE_CHECKING:
    from collections.abc import Sequence


def run_cmd(str_args: Sequence[str] | str, **kwargs: Any) -> str:
    """What a command prints on stdout, stripped; ``kwargs`` are those of ``subprocess.check_output``.

    Raises ``subprocess.CalledProcessError`` if it does not exit with 0.
    """
    return commands.output(str_args, **kwargs).strip()


def copy_process_streams(process: Any, stdout: IO[str], stderr: IO[str], verbose: bool = False) -> None:
    """Write what a process prints to ``stdout`` and ``stderr`` until it closes both; ``verbose`` shows it as well.

    The process was started with pipes for both.
    """
    import threading

    def copy(source: IO[bytes], into: IO[str], terminal: IO[str]) -> None:
        for line in source:
            text = line.decode("utf-8", errors="replace")
            into.write(text)
            if verbose:
                terminal.write(text)
                terminal.flush()

    other = threading.Thread(target=copy, args=(process.stderr, stderr, sys.stderr), daemon=True)
    other.start()
    copy(process.stdout, stdout, sys.stdout)
    other.join()
