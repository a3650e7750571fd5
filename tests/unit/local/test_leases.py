"""A GPU is one job's at a time, whoever submitted it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from submitit.local import processes
from submitit.local.leases import DIRECTORY, Lease, Leases, make_directory
from support.local_processes import import_path


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """Where the leases are; nothing of them is left."""
    yield tmp_path / "leases"
    assert list((tmp_path / "leases").iterdir()) == []


def leases(directory: Path, name: str) -> Leases:
    return Leases(name, {DIRECTORY: str(directory)})


def take(who: Leases, *gpus: str) -> Lease:
    lease = who.take(gpus, 60)
    assert lease is not None
    return lease


def myself() -> list[tuple[int, str]]:
    return [(os.getpid(), processes.start_time(os.getpid()))]


def test_a_gpu_is_leased_once(directory: Path) -> None:
    mine, others = leases(directory, "mine"), leases(directory, "others")
    lease = take(mine, "0")
    assert others.take(("0",), 60) is None
    assert 0 < others.elsewhere["0"] - time.time() <= 60
    other = take(others, "1")
    mine.give_back(lease)
    assert others.look(), "it is worth another try"
    assert not others.elsewhere
    assert not others.look()
    for held in (other, take(others, "0")):
        others.give_back(held)


def test_all_or_none(directory: Path) -> None:
    mine, others = leases(directory, "mine"), leases(directory, "others")
    lease = take(mine, "1")
    assert others.take(("0", "1", "2"), 60) is None
    assert list(others.elsewhere) == ["1"]
    all_three = [lease, take(mine, "0"), take(mine, "2")]
    for held in all_three:
        mine.give_back(held)


def test_names_of_gpus_that_are_no_names_of_files(directory: Path) -> None:
    mine = leases(directory, "mine")
    mine.give_back(take(mine, "MIG-GPU-8932f937/1/0"))


def test_a_job_without_gpus_needs_no_directory(tmp_path: Path) -> None:
    mine = leases(tmp_path / "leases", "mine")
    mine.give_back(take(mine))
    assert not (tmp_path / "leases").exists()


HOLDER = """
import subprocess, sys, time
from submitit.local.leases import Leases
lease = Leases("holder", {"SUBMITIT_LOCAL_LEASES": sys.argv[1]}).take(("0",), 60)
child = subprocess.Popen(["sleep", "60"], close_fds=False)
print(child.pid, flush=True)
time.sleep(60)
"""


def test_a_killed_holder_holds_nothing_whatever_it_has_started(directory: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(directory)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(import_path())},
    )
    assert holder.stdout is not None
    with holder:
        child = int(holder.stdout.readline())
        mine = leases(directory, "mine")
        assert mine.take(("0",), 60) is None
        holder.kill()
    lease = take(mine, "0")
    os.kill(child, signal.SIGKILL)
    mine.give_back(lease)


def test_the_jobs_of_a_job_share_out_what_it_has(directory: Path) -> None:
    outer, inner, beside = (leases(directory, name) for name in ("outer", "inner", "beside"))
    lease = take(outer, "0")
    assert inner.take(("0",), 60) is None, "nobody has said that this process is part of the job"
    lease.name([(1, "long ago"), *myself()])
    below = take(inner, "0")
    assert beside.take(("0",), 60) is None, "of two jobs of one job, one has it"
    below.name(myself())
    beside.give_back(take(beside, "0"))
    inner.give_back(below)
    outer.give_back(lease)


def test_a_gpu_is_not_free_before_the_last_job_of_the_job_has_given_it_back(directory: Path) -> None:
    outer, inner, others = (leases(directory, name) for name in ("outer", "inner", "others"))
    lease = take(outer, "0", "1")
    lease.name(myself())
    below = take(inner, "0")
    lease.name([])
    outer.give_back(lease)
    assert outer.lingering
    assert others.take(("0",), 60) is None
    others.give_back(take(others, "1"))
    outer.look()
    assert outer.lingering
    inner.give_back(below)
    outer.look()
    assert not outer.lingering
    others.give_back(take(others, "0"))


def test_what_a_killed_controller_has_left_within_a_job_is_removed(directory: Path) -> None:
    outer = leases(directory, "outer")
    lease = take(outer, "0")
    (directory / "0@outer.1").write_text("{}")
    outer.give_back(lease)


def test_what_cannot_be_read_is_somebody_elses(directory: Path) -> None:
    mine, others = leases(directory, "mine"), leases(directory, "others")
    lease = take(mine, "0")
    (directory / "0").write_text('{"job": "mi')
    assert others.take(("0",), 60) is None
    assert others.elsewhere == {"0": 0}
    mine.give_back(lease)


def test_files_in_use_look_used(directory: Path) -> None:
    mine = leases(directory, "mine")
    lease = take(mine, "0")
    os.utime(directory / "0", (0, 0))
    mine.look()
    assert (directory / "0").stat().st_mtime > 10**9
    mine.give_back(lease)


IN_TURN = """
import os, sys
from submitit.local.leases import Leases
directory, busy = sys.argv[1:]
leases = Leases(str(os.getpid()), {"SUBMITIT_LOCAL_LEASES": directory})
had = 0
while had < 150:
    lease = leases.take(("0",), 60)
    if lease is not None:
        os.close(os.open(busy, os.O_CREAT | os.O_EXCL))
        os.unlink(busy)
        leases.give_back(lease)
        had += 1
"""


def test_files_that_come_and_go_are_locked_by_one_all_the_same(directory: Path, tmp_path: Path) -> None:
    directory.mkdir(mode=0o700)
    started = [
        subprocess.Popen(
            [sys.executable, "-c", IN_TURN, str(directory), str(tmp_path / "busy")],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(import_path())},
        )
        for _ in range(3)
    ]
    assert [process.wait(timeout=120) for process in started] == [0, 0, 0]


# ---- the directory


def test_the_directory_is_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_directory({DIRECTORY: str(tmp_path / "a" / "b")})
    assert made == str(tmp_path / "a" / "b")
    assert os.stat(made).st_mode & 0o777 == 0o700
    assert make_directory({DIRECTORY: made}) == made
    monkeypatch.setattr(os, "makedirs", lambda *_args, **_keywords: None)
    monkeypatch.setattr(os, "lstat", lambda path: os.stat(made) if path == f"/tmp/submitit-{os.getuid()}" else None)
    assert make_directory({}) == f"/tmp/submitit-{os.getuid()}"


def _link(path: Path) -> None:
    path.with_name("elsewhere").mkdir()
    path.symlink_to(path.with_name("elsewhere"))


def _open_to_all(path: Path) -> None:
    path.mkdir()
    path.chmod(0o777)


def _of_another(path: Path) -> None:
    path.mkdir()
    if os.getuid():
        pytest.skip("only root can make it")
    os.chown(path, 12345, 12345)


@pytest.mark.parametrize("make", [_link, _open_to_all, _of_another, Path.touch])
def test_a_directory_that_could_be_anothers_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "leases")
    with pytest.raises(OSError, match="leases"):
        make_directory({DIRECTORY: str(tmp_path / "leases")})
    mine, others = leases(tmp_path / "leases", "mine"), leases(tmp_path / "leases", "others")
    assert mine.take(("0",), 60) is not None
    assert others.take(("0",), 60) is not None, "jobs run without leases rather than not at all"
