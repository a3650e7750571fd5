"""Small file systems, and how to fill them."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

PAGE = os.sysconf("SC_PAGESIZE")


@contextlib.contextmanager
def small_disk(place: Path, size: str = "2m", inodes: int = 0) -> Iterator[Path]:
    """A file system of so many bytes, and so many files if that is limited; skips the test where nothing can be mounted."""
    place.mkdir()
    options = f"size={size}" + (f",nr_inodes={inodes}" if inodes else "")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "submitit-test", place], check=False)
    if mounted.returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@contextlib.contextmanager
def filled(place: Path, but: int) -> Iterator[None]:
    """For the time of the block there are only so many pages left."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(PAGE))
    os.truncate(filler, max(0, filler.stat().st_size - but * PAGE))
    try:
        yield
    finally:
        filler.unlink()


@contextlib.contextmanager
def crowded(place: Path, but: int) -> Iterator[None]:
    """For the time of the block there can be only so many more files."""
    fillers = place / "fillers"
    fillers.mkdir()
    count = 0
    with contextlib.suppress(OSError):
        while True:
            (fillers / str(count)).touch()
            count += 1
    for number in range(min(but, count)):
        (fillers / str(number)).unlink()
    try:
        yield
    finally:
        for path in fillers.iterdir():
            path.unlink()
        fillers.rmdir()
