"""Pieces of work that several processes take from one file."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from submitit.storage import claims
from submitit.storage.claims import Claims
from support.local_processes import import_path

TAKE_ALL = """
import sys
from submitit.storage.claims import Claims
mine = Claims(sys.argv[1], int(sys.argv[2]), 3)
sys.stdin.readline()
print(*iter(mine.take, None))
"""


def test_each_piece_is_taken_once(tmp_path: Path) -> None:
    path = tmp_path / "work.claims"
    claims.make(path, 2000)
    takers = [
        subprocess.Popen(
            [sys.executable, "-c", TAKE_ALL, path, str(taker)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(import_path())},
        )
        for taker in range(3)
    ]
    for process in takers:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    taken = [[int(word) for word in process.communicate(timeout=60)[0].split()] for process in takers]
    assert sorted(piece for pieces in taken for piece in pieces) == list(range(2000))
    for taker, pieces in enumerate(taken):
        assert Claims(path, taker).taken() == pieces == sorted(pieces)
        assert {Claims(path).taker(piece) for piece in pieces} <= {taker}


def test_nobody_has_taken_what_is_left(tmp_path: Path) -> None:
    path = tmp_path / "work.claims"
    claims.make(path, 3)
    assert Claims(path, 1, 2).take() == 0
    assert [Claims(path).taker(piece) for piece in range(3)] == [1, None, None]
    assert Claims(path, 0, 2).take() == 1
    assert Claims(path, 0, 2).take() == 2
    assert Claims(path, 1, 2).take() is None


def test_without_locks_each_has_its_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "work.claims"
    claims.make(path, 5)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    first, second = Claims(path, 0, 2), Claims(path, 1, 2)
    assert [first.take(), second.take()] == [0, 1]
    assert list(iter(second.take, None)) == [3]
    assert list(iter(first.take, None)) == [2, 4]
    assert first.taken() == [0, 2, 4]
