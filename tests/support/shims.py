"""Shell scripts that come before Slurm's own commands on PATH, and do something else now and then."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

TIMED_OUT = "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"


class Shims:
    """The scripts of one test. Each call of a command that has one is counted."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        directory.mkdir()
        self._real = {name: shutil.which(name) for name in ("sbatch", "squeue", "sacct", "scontrol", "sacctmgr")}
        monkeypatch.setenv("PATH", str(directory), prepend=":")

    def put(self, program: str, script: str = 'exec $real "$@"') -> None:
        """Let ``program`` be a shell script. It finds the real one in ``$real`` and the number of its call, from 1, in ``$call``."""
        calls = self.directory / f"{program}.calls"
        calls.touch()
        shim = self.directory / program
        count = f'echo "$@" >> {calls}\ncall=$(wc -l < {calls})\nreal={self._real[program]}\n'
        shim.write_text(f"#!/bin/sh\n{count}{script}\n")
        shim.chmod(0o755)

    def remove(self) -> None:
        """From now on there are only the real commands."""
        shutil.rmtree(self.directory)

    def calls(self, program: str) -> list[str]:
        """The arguments of each call so far."""
        return (self.directory / f"{program}.calls").read_text().splitlines()
