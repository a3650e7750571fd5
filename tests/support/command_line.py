"""The `submitit` command as a user runs it: a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def run(
    *words: str | Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    answer: str | None = None,
    code: int | None = 0,
) -> subprocess.CompletedProcess[str]:
    """Run `submitit` with these words, 80 columns wide; its stdin is empty, or has an `answer`.

    Fails unless it exits with `code`; None takes any.
    """
    done = subprocess.run(
        [sys.executable, "-m", "submitit", *words],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "80", **(env or {})},
        input=answer or "",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert code is None or done.returncode == code, f"exit code {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def answer(*words: str | Path, cwd: Path | None = None, code: int | None = 0) -> Any:
    """What the command prints with `--json`."""
    return json.loads(run(*words, "--json", cwd=cwd, code=code).stdout)
