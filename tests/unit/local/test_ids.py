from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

import pytest

from submitit.local import ids
from submitit.local.ids import reserve


@pytest.mark.parametrize("folder", ["jobs", "jobs/%j", "jobs/%t", "jobs/x_%j_y/%t/z", "jobs/%t/%j", "jobs/%A"])
def test_ids_count_up(tmp_path: Path, folder: str) -> None:
    assert reserve(tmp_path / folder, 3) == ["1", "2", "3"]
    assert reserve(tmp_path / folder, 1) == ["4"]


def test_the_claim_is_the_jobs_own_directory(tmp_path: Path) -> None:
    reserve(tmp_path / "jobs" / "x_%j" / "%t", 1)
    assert (tmp_path / "jobs" / "x_1" / "0").is_dir()


def test_the_claim_is_the_jobs_first_log(tmp_path: Path) -> None:
    reserve(tmp_path / "jobs", 1)
    assert [path.name for path in (tmp_path / "jobs").iterdir() if path.is_file()] == ["1_0_log.out"]


@pytest.mark.parametrize("name", ["2_submitted.pkl", "2_0_result.pkl", "2_0_log.out"])
@pytest.mark.parametrize("count", [3, 30])
def test_ids_of_others_are_passed_over(tmp_path: Path, name: str, count: int) -> None:
    (tmp_path / name).touch()
    assert reserve(tmp_path, count) == ["1", *map(str, range(3, count + 2))]
    assert (tmp_path / name).read_bytes() == b""


def test_a_directory_of_another_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    assert reserve(tmp_path / "%j", 1) == ["2"]


def test_ids_of_removed_jobs_do_not_come_again(tmp_path: Path) -> None:
    reserve(tmp_path, 2)
    for log in tmp_path.glob("*_log.out"):
        log.unlink()
    assert reserve(tmp_path, 1) == ["3"]


def test_a_damaged_memory_costs_nothing(tmp_path: Path) -> None:
    reserve(tmp_path, 2)
    (tmp_path / ".submitit" / "local" / "next-id").write_text("nonsense")
    assert reserve(tmp_path, 1) == ["3"]


def test_many_at_a_time(tmp_path: Path) -> None:
    taken: list[str] = []
    threads = [threading.Thread(target=lambda: taken.extend(reserve(tmp_path / "%j", 25))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(int, taken)) == list(range(1, 201))


def test_a_process_forked_meanwhile_keeps_nobody_waiting(tmp_path: Path) -> None:
    """It has the descriptor that is locked, and never closes it."""
    directory = tmp_path / ".submitit" / "local"
    reading, writing = os.pipe()
    with ids._next_id(str(directory)):
        pid = os.fork()
        if not pid:
            os.close(writing)
            os.read(reading, 1)
            os._exit(0)
    try:
        with (directory / "next-id").open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(writing)
        os.close(reading)
        os.waitpid(pid, 0)


def test_index_tag_makes_no_sense(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="%a"):
        reserve(tmp_path / "%a", 1)


def test_others_may_not_write(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        reserve(tmp_path / "a", 1)
        reserve(tmp_path / "b" / "%j", 1)
    finally:
        os.umask(before)
    for path in (tmp_path / "a" / "1_0_log.out", tmp_path / "b" / "1"):
        assert not path.stat().st_mode & 0o002
