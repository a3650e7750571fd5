"""Jobs that are a process of their own, as version 1 has them: `start_controller` and clients upgraded while they live."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import submitit
from submitit.local.local import start_controller
from submitit.local.processes import start_time
from submitit.storage.submission import DelayedSubmission
from support import calls


def _submit(folder: Path, *call: object) -> submitit.LocalJob[object]:
    """As version 1 does it: the process first, then the pickle under its number."""
    process = start_controller(folder, f"{sys.executable} -u -m submitit.core._submit {folder}", timeout_min=1)
    job: submitit.LocalJob[object] = submitit.LocalJob(folder, str(process.pid), process=process)
    submission = DelayedSubmission(*call)  # type: ignore[arg-type]
    submission.set_timeout(1, 3)
    submission.dump(job.paths.submitted_pickle)
    return job


def test_a_job_is_its_controllers_number(tmp_path: Path) -> None:
    job = _submit(tmp_path, calls.add, 1, 2)
    assert job.state == "RUNNING"
    assert job.result() == 3
    assert job._process is not None
    assert job._process.wait() == 0
    assert job.state == "COMPLETED"


def test_a_checkpoint_is_requeued(tmp_path: Path) -> None:
    job = _submit(tmp_path, calls.Counter(1, str(tmp_path / "notes")))
    calls.wait_for(lambda: (tmp_path / "notes").exists())
    job._interrupt()
    assert job.result() == 1


def test_the_command_runs_without_a_shell_and_its_output_is_the_log(tmp_path: Path) -> None:
    process = start_controller(tmp_path, "echo hello; exit 3", timeout_min=1)
    assert process.wait() == 0
    assert (tmp_path / f"{process.pid}_0_log.out").read_text() == "hello; exit 3\n"


def test_several_tasks_with_setup_and_gpus(tmp_path: Path) -> None:
    process = start_controller(
        tmp_path,
        "sh -c 'echo $SUBMITIT_LOCAL_GLOBALID of $SUBMITIT_LOCAL_NTASKS with $CUDA_VISIBLE_DEVICES; echo err >&2'",
        tasks_per_node=2,
        cuda_devices="1,2",
        timeout_min=1,
        stderr_to_stdout=True,
        setup=["echo setup"],
    )
    job: submitit.LocalJob[object] = submitit.LocalJob(tmp_path, str(process.pid), tasks=[0, 1], process=process)
    with pytest.raises(submitit.UncompletedJobError, match="has not produced any output"):
        job.results()
    assert job.stdout() == "setup\n0 of 2 with 1,2\nerr\n\nsetup\n1 of 2 with 1,2\nerr\n"
    assert process.wait() == 0


@pytest.mark.parametrize("found", [False, True])
def test_cancel_ends_controller_and_task(tmp_path: Path, found: bool) -> None:
    job = _submit(tmp_path, calls.touch_and_wait, str(tmp_path / "started"), "/never")
    calls.wait_for(lambda: (tmp_path / "started").exists() and (tmp_path / "started").read_text())
    process = job._process
    assert process is not None
    other: submitit.LocalJob[object] = submitit.LocalJob(tmp_path, job.job_id) if found else job
    assert other.state == "RUNNING"
    other.cancel()
    assert isinstance(other.exception(), submitit.JobCancelledError)
    process.wait(timeout=60)
    calls.wait_for(lambda: not start_time(int((tmp_path / "started").read_text())))
