"""Files that 1.5.4 has written, see tests/data/v1/make.py."""

from __future__ import annotations

import json
import math
import operator
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from submitit.errors import CorruptFileError
from submitit.storage import outcome, payload, serialization
from submitit.storage.paths import JobPaths
from submitit.storage.submission import DelayedSubmission

DATA = Path(__file__).parents[2] / "data" / "v1"
JOBS: list[dict[str, Any]] = json.loads((DATA / "contents.json").read_text())


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A copy whose modes are not those of the checkout."""
    copy = shutil.copytree(DATA, tmp_path / "v1")
    for path in copy.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return copy


def tasks() -> list[tuple[str, str, int, Any]]:
    return [
        (job["folder"], job["job_id"], task, expected) for job in JOBS for task, expected in enumerate(job["outcomes"])
    ]


@pytest.mark.parametrize(("folder", "job_id", "task", "expected"), tasks())
def test_results(data: Path, folder: str, job_id: str, task: int, expected: Any) -> None:
    path = JobPaths(data / folder, job_id, task).result_pickle
    assert outcome.read_footer(path) is None
    if expected is None:
        with pytest.raises(FileNotFoundError):
            outcome.read_result(path)
        return
    result = outcome.read_result(path)
    assert (result.exception, result.footer) == (None, None)
    status, words = expected
    assert result.status == status
    assert (repr(result.value) if status == "success" else result.value.strip().splitlines()[-1]) == words
    assert outcome.read_result(path)[:2] == serialization.pickle_load(path)


@pytest.mark.parametrize("job", JOBS, ids=lambda job: f"{job['folder']}-{job['job_id']}")
def test_submissions(data: Path, job: dict[str, Any]) -> None:
    path = JobPaths(data / job["folder"], job["job_id"]).submitted_pickle
    assert path.exists()
    assert payload.count_submissions(path) == 1
    for loaded in (payload.read_submission(path), DelayedSubmission.load(path)):
        assert type(loaded) is DelayedSubmission
        assert callable(loaded.function)
        assert not loaded.done()
        assert loaded._timeout_countdown >= -1
    with pytest.raises(IndexError):
        payload.read_submission(path, 1)


def test_a_call_that_was_queued(data: Path) -> None:
    call = payload.read_submission(JobPaths(data / "slurm", "103").submitted_pickle)
    assert (call.function, call.args, call.kwargs) == (math.sqrt, (16,), {})
    assert call.result() == 4


def test_a_call_that_was_checkpointed(data: Path) -> None:
    call = payload.read_submission(JobPaths(data / "slurm", "105").submitted_pickle)
    assert call._timeout_countdown == 2
    assert call.result()[0] == 3


def test_an_edited_call_is_read_by_both(data: Path) -> None:
    """Programs load a submission, change it and put it back before a requeue."""
    path = JobPaths(data / "slurm", "101").submitted_pickle
    call = DelayedSubmission.load(path)
    assert call.function is operator.add
    call.args = (1, 40)
    call.dump(path)
    assert payload.read_submission(path).result() == 41
    assert pickle.loads(path.read_bytes()).args == (1, 40)


def test_half_a_file(data: Path) -> None:
    for read, path in (
        (outcome.read_result, JobPaths(data / "slurm", "113").result_pickle),
        (payload.read_submission, JobPaths(data / "slurm", "101").submitted_pickle),
    ):
        path.write_bytes(path.read_bytes()[:-3])
        with pytest.raises(CorruptFileError, match="is not a whole pickle"):
            read(path)


def test_in_a_process_that_has_loaded_nothing_yet(data: Path) -> None:
    """The class is found by the name that the pickle has, before anything here was imported."""
    program = "import pickle, sys\nprint(pickle.load(open(sys.argv[1], 'rb')).result())"
    path = JobPaths(data / "slurm", "103").submitted_pickle
    assert subprocess.check_output([sys.executable, "-c", program, path], text=True) == "4.0\n"


def test_paths_inside_a_pickled_job(data: Path) -> None:
    """What 1.5.4 keeps of a job's paths becomes ours, with the folder it was given."""
    made = JobPaths.__new__(JobPaths)
    made.__setstate__({"_folder": Path("/jobs/slurm/%j"), "job_id": "101", "task_id": 0})
    assert made.result_pickle == Path("/jobs/slurm/101/101_0_result.pkl")
    assert made.__getstate__() == {"_folder": Path("/jobs/slurm/%j"), "job_id": "101", "task_id": 0}
