"""Work trees of git that tests make."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "protocol.file.allow=always"]
    done = subprocess.run(["git", "-C", folder, *identity, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def write(root: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def make(root: Path, files: Mapping[str, str]) -> Path:
    """A repository with one commit of these files."""
    write(root, files)
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "x")
    return root


def contents(root: Path | str) -> dict[str, str]:
    """What lies in a directory, less git's own: the text of each file, what each link points to, nothing for a directory."""
    found = {}
    for path in Path(root).rglob("*"):
        name = str(path.relative_to(root))
        if ".git" in path.parts or name.startswith(".submitit"):
            continue
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        elif path.is_file():
            found[name] = path.read_text()
        elif not any(path.iterdir()):
            found[f"{name}/"] = ""
    return found
