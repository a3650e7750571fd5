"""Disks that are full, that fail, and that give back something else than was written."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import submitit
from submitit import errors
from submitit.storage import outcome, payload
from support import calls, disks
from support.local_processes import put
from support.reliability import Fault
from support.shims import Shims
from support.slurm_cluster import SlurmCluster
from support.slurm_jobs import clear_away

ON = [pytest.param("local"), pytest.param("slurm", marks=[pytest.mark.slurm, pytest.mark.long])]


class Place:
    """A backend, and a directory for its jobs."""

    def __init__(self, cluster: str, directory: Path) -> None:
        self.cluster = cluster
        self.backend = "local" if cluster == "local" else "Slurm"
        self.directory = directory

    def executor(self, folder: Path, **parameters: Any) -> submitit.AutoExecutor:
        executor = submitit.AutoExecutor(folder, cluster=self.cluster)
        executor.update_parameters(timeout_min=10, **{f"{self.cluster}_{k}": v for k, v in parameters.items()})
        return executor

    def find(self, folder: Path, job_id: str) -> submitit.Job[Any]:
        """A handle as another process would make it."""
        made: submitit.Job[Any] = (submitit.LocalJob if self.cluster == "local" else submitit.SlurmJob)(folder, job_id)
        return made


@pytest.fixture(params=ON)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    slurm: SlurmCluster | None = request.getfixturevalue("slurm") if request.param == "slurm" else None
    yield Place(request.param, tmp_path)
    if slurm is not None:
        clear_away(slurm, tmp_path)


# ---------------------------------------------------------------- full

WRITES = {"bytes": "nothing more fits on the disk", "files": "there can be no more files on the disk"}


@pytest.mark.parametrize("what", WRITES)
@pytest.mark.parametrize("place", ["local"], indirect=True)
def test_a_disk_that_is_full_at_each_write(place: Place, fault: Fault, what: str) -> None:
    """With room for nothing, for one page or file more, and so on until there is room for all.

    Whatever could not be written is told, with its name: by the submission, or by the job. Nothing is half written.
    """
    notes = place.directory / "notes"
    with disks.small_disk(place.directory / "disk", "1m", inodes=120 if what == "files" else 0) as disk:
        executor = place.executor(disk / "jobs")
        before = executor.submit(calls.add, 1, 2)
        assert before.result() == 3
        seen: list[str] = []
        room = 0
        while seen.count("result") < 2:
            assert room < 40, seen
            job: submitit.Job[str] | None = None
            pickles = set((disk / "jobs").rglob("*.pkl"))
            with (disks.filled if what == "bytes" else disks.crowded)(disk, room):
                try:
                    job = executor.submit(calls.note_line, str(notes), str(room))
                    error: BaseException | None = job.exception(120)
                except OSError as problem:
                    error = problem
            seen.append("result" if error is None else type(error).__name__)
            if job is None:
                assert isinstance(error, OSError)
                assert error.errno == errno.ENOSPC
                assert str(error.filename).startswith(f"{disk}/jobs"), error
                assert set((disk / "jobs").rglob("*.pkl")) == pickles, "nothing of it is left"
            elif error is not None:
                assert isinstance(error, errors.UncompletedJobError)
                assert "no space" in str(error).lower() or "the disk is full" in str(error), error
            else:
                assert job.result() == str(room)
            check_whole(disk / "jobs")
            room += 1
        assert seen[0] == "OSError", seen
        assert before.result() == 3
        ran = Counter(notes.read_text().split())
        assert set(ran.values()) == {1}
        assert [seen[int(number)] for number in ran].count("OSError") == 0, "what was refused did not run"
    fault.seen(
        f"{WRITES[what]}, at each write of a submission and of its job",
        "`OSError`: no space is left, the file; or an error of the job that says so",
        backend=place.backend,
        lost="no job, or its result",
        timed=False,
    )


@pytest.mark.slurm
@pytest.mark.parametrize("what", WRITES)
@pytest.mark.parametrize("place", ["slurm"], indirect=True)
def test_a_disk_that_is_full_at_each_write_of_a_submission(
    place: Place, fault: Fault, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was refused is not in the queue. (The nodes do not see this disk, and no job gets to its function.)"""
    with disks.small_disk(place.directory / "disk", "1m", inodes=120 if what == "files" else 0) as disk:
        sbatch = Shims(place.directory / "bin", monkeypatch).put("sbatch")
        executor = place.executor(disk / "jobs")
        executor.submit(calls.add, 1, 2).cancel()
        seen: list[bool] = []
        while seen.count(True) < 2:
            assert len(seen) < 40, seen
            asked, files = len(sbatch.calls), set((disk / "jobs").rglob("*.*"))
            refusal: OSError | None = None
            try:
                with (disks.filled if what == "bytes" else disks.crowded)(disk, len(seen)):
                    executor.submit(calls.add, 1, 2).cancel()
            except OSError as error:
                refusal = error
            seen.append(refusal is None)
            if refusal is not None:
                assert refusal.errno == errno.ENOSPC
                assert str(refusal.filename).startswith(f"{disk}/jobs"), refusal
                assert len(sbatch.calls) == asked
                assert set((disk / "jobs").rglob("*.*")) == files, "nothing of it is left"
            check_whole(disk / "jobs")
        assert not seen[0]
    fault.seen(
        f"{WRITES[what]}, at each write of a submission",
        "`OSError`: no space is left, the file",
        backend=place.backend,
        lost="no job",
        timed=False,
    )


def check_whole(folder: Path) -> None:
    """All pickles can be read, and nothing lies about that was to become one."""
    for path in folder.rglob("*"):
        assert not path.name.endswith(".tmp"), path
        if path.name.endswith("_result.pkl"):
            outcome.read_result(path)
        elif path.suffix == ".pkl":
            payload.read_submission(path)


# ---------------------------------------------------------------- failing


def _on_a_failing_disk(how: str, times: int) -> int:
    """In the job: from now on a result cannot be written, so many times."""
    left = [times]

    def fails() -> bool:
        left[0] -= 1
        return left[0] >= 0

    sync, open_ = os.fsync, os.open

    def failing_sync(descriptor: int) -> None:
        if fails():
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(descriptor)

    def failing_open(path: Any, flags: int, *arguments: Any, **more: Any) -> int:
        if str(path).endswith(".tmp") and fails():
            return open_("/proc/self/mem", os.O_WRONLY)  # there is nothing at its beginning: each write is an EIO
        return open_(path, flags, *arguments, **more)

    if how == "fsync":
        os.fsync = failing_sync  # type: ignore[assignment]
    elif how == "write":
        os.open = failing_open
    else:
        import resource

        limit = 1 << 16
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        return bytes(1 << 20)  # type: ignore[return-value]  # of which a part is written
    return 7


_on_a_failing_disk.__module__ = "__main__"

FAILURES = {
    "write": ("EIO when its result is written", "Input/output error"),
    "fsync": ("EIO when its result is synchronised with the disk", "Input/output error"),
    "short": ("a part of its result is written, and then no more (a quota, a limit)", "File too large"),
}


@pytest.mark.parametrize("how", FAILURES)
def test_a_disk_that_fails_under_a_result(place: Place, fault: Fault, how: str) -> None:
    words, message = FAILURES[how]
    executor = place.executor(place.directory / "jobs")
    job, other = executor.submit(_on_a_failing_disk, how, 1), executor.submit(calls.add, 1, 2)
    error = job.exception(120)
    assert type(error) is errors.FailedJobError
    assert "its result could not be written: [Errno" in str(error)
    assert message in str(error)
    assert str(job.paths.result_pickle) in str(error)
    assert isinstance(error.__cause__, OSError)
    assert other.result() == 3
    check_whole(place.directory / "jobs")
    fault.seen(
        words,
        "`FailedJobError`: the result could not be written, why, its path",
        backend=place.backend,
        lost="its result",
        timed=False,
    )


@pytest.mark.parametrize("how", ["write", "fsync"])
def test_a_disk_that_fails_for_good(place: Place, fault: Fault, how: str) -> None:
    """Not even the error can be written as a result: it stands in the log."""
    executor = place.executor(place.directory / "jobs")
    job = executor.submit(_on_a_failing_disk, how, 1000)
    error = job.exception(120)
    assert type(error) is errors.UncompletedJobError
    assert "ended with exit code 1 and recorded no result" in str(error)
    assert "Input/output error" in str(error)
    assert str(job.paths.result_pickle) in str(error)
    check_whole(place.directory / "jobs")
    fault.seen(
        "EIO whenever a result is written, that of an error as well",
        "`UncompletedJobError`: the exit code, the ends of both logs, which say why",
        backend=place.backend,
        lost="its result",
        timed=False,
    )


# ---------------------------------------------------------------- damage


def cut_in_half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def overwrite(path: Path) -> None:
    """Zeros, as a crash of a machine leaves them."""
    path.write_bytes(bytes(path.stat().st_size))


def spoil_the_footer(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:-40] + bytes(24) + whole[-16:])


DAMAGE = {"half of it is left": cut_in_half, "it is zeros": overwrite}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_result_file_that_is_damaged(place: Place, fault: Fault, damage: str) -> None:
    executor = place.executor(place.directory / "jobs")
    job, other = executor.submit(list, range(1000)), executor.submit(calls.add, 1, 2)
    job.wait()
    DAMAGE[damage](job.paths.result_pickle)
    for handle in (job, place.find(place.directory / "jobs", job.job_id)):
        for ask in (handle.result, handle.exception):
            with pytest.raises(submitit.errors.CorruptFileError) as caught:
                ask()
            assert repr(str(job.paths.result_pickle)) in str(caught.value)
    assert other.result() == 3
    fault.seen(
        f"its result file is damaged: {damage}",
        "`CorruptFileError`: the file",
        backend=place.backend,
        lost="its result",
        timed=False,
    )


def test_a_footer_that_is_damaged(place: Place, fault: Fault) -> None:
    """What it says of the run is lost, and nothing else."""
    executor = place.executor(place.directory / "jobs")
    job, failed = executor.submit(list, range(1000)), executor.submit(calls.fail, "bad luck")
    for one in (job, failed):
        one.wait()
        spoil_the_footer(one.paths.result_pickle)
        assert outcome.read_footer(one.paths.result_pickle) in (None, outcome.Footer())
    assert job.result() == list(range(1000))
    assert isinstance(failed.exception(), errors.FailedJobError)
    assert isinstance(failed.exception().__cause__, ValueError)  # type: ignore[union-attr]
    fault.seen("the footer of its result file is damaged", "its result", backend=place.backend, timed=False)


@pytest.mark.parametrize("kind", ["single", "array"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_payload_that_is_damaged(place: Place, fault: Fault, damage: str, kind: str) -> None:
    """Its jobs fail, and say by which file; other jobs are none of its business."""
    go = place.directory / "go"
    executor = place.executor(place.directory / "jobs", setup=[f"until [ -e {go} ]; do sleep 0.02; done"])
    if kind == "single":
        jobs: list[submitit.Job[Any]] = [executor.submit(len, "x" * 1000)]
    else:
        jobs = executor.map_array(len, ["x" * 1000, "y" * 1000])
    other = executor.submit(calls.add, 1, 2)
    file, _ = jobs[0]._payload_reference() or ("", 0)
    DAMAGE[damage](Path(file))
    put(go, "go on")
    for job in jobs:
        error = job.exception(120)
        assert type(error) is errors.FailedJobError
        assert isinstance(error.__cause__, errors.CorruptFileError)
        named = str(job.paths.submitted_pickle if kind == "single" else file)
        assert repr(named) in str(error)
    assert other.result() == 3
    fault.seen(
        f"the file of its call is damaged: {damage}",
        "`FailedJobError`, its cause a `CorruptFileError`: the file",
        backend=place.backend,
        job="array" if kind == "array" else "",
        lost="the call",
        timed=False,
    )
