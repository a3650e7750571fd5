"""Shell scripts that come before the real commands on PATH: they note each call, and do something else where a test wants it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

TIMED_OUT = "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"
_JUST_RUN = 'exec $real "$@"'


class Shim:
    """Stands before one command, which a ``script`` finds as ``$real``, and the number of its call, from 1, as ``$call``."""

    def __init__(self, command: str, directory: Path, real: str | None, script: str = _JUST_RUN) -> None:
        #: The arguments, one line a call; there from the beginning.
        self.log = directory / f"{command}.log"
        self.log.touch()
        self._words = directory / f"{command}.fails"
        shim = directory / command
        shim.write_text(
            f'#!/bin/sh\necho "$@" >> {self.log}\ncall=$(wc -l < {self.log})\nreal={real}\n'
            f"if [ -e {self._words} ]; then cat {self._words} >&2; exit 1; fi\n{script}\n"
        )
        shim.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        return self.log.read_text().splitlines()

    def fail(self, words: str) -> None:
        """From now on the command fails with these words."""
        self._words.write_text(words + "\n")

    def work(self) -> None:
        """From now on it is as always."""
        self._words.unlink(missing_ok=True)


class Shims:
    """The shims of one test."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        self._path = os.environ["PATH"]
        self._made: dict[str, Shim] = {}
        directory.mkdir(parents=True)
        monkeypatch.setenv("PATH", str(directory), prepend=":")

    def put(self, program: str, script: str = _JUST_RUN) -> Shim:
        """Let ``program`` be a shell script."""
        self._made[program] = Shim(program, self.directory, shutil.which(program, path=self._path), script)
        return self._made[program]

    def remove(self) -> None:
        """From now on there are only the real commands."""
        shutil.rmtree(self.directory)

    def calls(self, program: str) -> list[str]:
        """The arguments of each call so far."""
        return self._made[program].calls


def put_before(monkeypatch: pytest.MonkeyPatch, directory: Path, *commands: str) -> list[Shim]:
    """A shim for each of the commands, for the time of the test."""
    shims = Shims(directory, monkeypatch)
    return [shims.put(command) for command in commands]


def only_on_path(monkeypatch: pytest.MonkeyPatch, directory: Path, *without: str) -> None:
    """PATH has everything that it had, but for these commands."""
    directory.mkdir(parents=True)
    for place in os.environ["PATH"].split(":"):
        for program in Path(place).iterdir() if Path(place).is_dir() else ():
            beside = directory / program.name
            if program.name not in without and not beside.is_symlink():
                beside.symlink_to(program)
    monkeypatch.setenv("PATH", str(directory))
