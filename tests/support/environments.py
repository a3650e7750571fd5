"""Environments of their own for what is not installed beside the tests, kept from run to run below the build directory."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
BUILD: Final = Path(os.environ.get("BUILD") or ROOT / ".build").absolute()


def make(name: str, requirements: Sequence[str]) -> Path:
    """The interpreter of an environment with these requirements. Raises ``CalledProcessError`` where pip cannot install them."""
    known = hashlib.sha256("\n".join([sys.version, *requirements]).encode()).hexdigest()[:12]
    directory = BUILD / f"environment-{name}-{known}"
    python = directory / "bin" / "python"
    if not (directory / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", directory], check=True)
        _install(python, *requirements)
        (directory / "ready").touch()
    return python


def make_with_this_package(name: str, requirements: Sequence[str]) -> Path:
    """The same with this package as it is now, by a wheel that pip builds of it."""
    python = make(name, [str(ROOT), *requirements])
    _install(python, "--force-reinstall", "--no-deps", str(ROOT))
    return python


def _install(python: Path, *arguments: str) -> None:
    subprocess.run([python, "-m", "pip", "-qq", "--disable-pip-version-check", "install", *arguments], check=True)
