from __future__ import annotations

import logging
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest

import submitit
from submitit import helpers
from support import calls

made: list[int] = []


def note(value: int) -> int:
    made.append(value)
    return value


@pytest.fixture
def executor(tmp_path: Path) -> submitit.DebugExecutor:
    made.clear()
    return submitit.DebugExecutor(tmp_path / "jobs")


def test_a_call_runs_once_and_when_asked_for(executor: submitit.DebugExecutor) -> None:
    job = executor.submit(note, 3)
    assert (job.state, made) == ("QUEUED", [])
    assert job.get_info() == {"STATE": "QUEUED"}
    assert job.result() == 3
    assert (job.result(), job.results(), job.exception(), job.done()) == (3, [3], None, True)
    job.wait()
    assert (job.state, made) == ("DONE", [3])


@pytest.mark.parametrize("ask", ["done", "wait", "exception", "results"])
def test_each_question_runs_it(executor: submitit.DebugExecutor, ask: str) -> None:
    job = executor.submit(note, 3)
    getattr(job, ask)()
    assert made == [3]


def test_what_is_done_while_nobody_asks() -> None:
    made.clear()
    executor = submitit.DebugExecutor("never made")
    job = executor.submit(note, 1)
    assert "QUEUED" in repr(job)
    assert (job.num_tasks, job.task_id, job.task(0) is job, job.stdout()) == (1, 0, True, None)
    with pytest.raises(ValueError, match="must be between 0 and 0"):
        job.task(1)
    del job
    assert made == []
    assert not Path("never made").exists()


def test_the_original_exception_is_raised_and_the_call_not_made_again(executor: submitit.DebugExecutor) -> None:
    job = executor.submit(calls.fail, "bad")
    error: Any = job.exception()
    assert type(error) is ValueError
    assert job.exception() is error
    for ask in (job.result, job.results):
        with pytest.raises(ValueError, match="bad"):
            ask()
    assert job.done()
    job.wait()
    assert job.state == "DONE"


def test_a_function_that_exits(executor: submitit.DebugExecutor) -> None:
    job = executor.submit(sys.exit, 3)
    assert job.done()
    with pytest.raises(SystemExit):
        job.result()


def test_ctrl_c_comes_through(executor: submitit.DebugExecutor) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    job = executor.submit(interrupted)
    with pytest.raises(KeyboardInterrupt):
        job.done()


def test_a_cancelled_job_does_not_run(executor: submitit.DebugExecutor) -> None:
    job = executor.submit(note, 3)
    job.cancel()
    assert (job.state, job.done(), made) == ("CANCELLED", True, [])
    assert isinstance(job.exception(), submitit.UncompletedJobError)
    with pytest.raises(submitit.UncompletedJobError, match="was cancelled"):
        job.result()


def test_cancelling_what_has_run_does_nothing(executor: submitit.DebugExecutor) -> None:
    job = executor.submit(note, 3)
    job.wait()
    job.cancel()
    assert (job.state, job.result()) == ("DONE", 3)


def test_the_environment_is_the_submissions(executor: submitit.DebugExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    def look() -> tuple[str | None, str | None, str]:
        os.environ["LEFT_BEHIND"] = "1"
        return os.environ.get("AT_SUBMISSION"), os.environ.get("LATER"), os.environ["SUBMITIT_DEBUG_JOB_ID"]

    monkeypatch.setenv("AT_SUBMISSION", "1")
    job = executor.submit(look)
    monkeypatch.delenv("AT_SUBMISSION")
    monkeypatch.setenv("LATER", "1")
    assert job.result() == ("1", None, job.job_id)
    assert os.environ["LATER"] == "1"
    assert not {"LEFT_BEHIND", "SUBMITIT_DEBUG_JOB_ID", "SUBMITIT_EXECUTOR", "AT_SUBMISSION"} & set(os.environ)


def test_the_environment_is_back_after_an_exception(executor: submitit.DebugExecutor) -> None:
    before = dict(os.environ)
    executor.submit(calls.fail, "x").exception()
    assert dict(os.environ) == before


@pytest.mark.parametrize("outer", [{}, {"SUBMITIT_EXECUTOR": "local"}, {"SLURM_JOB_ID": "12"}])
def test_the_job_environment_is_the_debug_one(
    executor: submitit.DebugExecutor, monkeypatch: pytest.MonkeyPatch, outer: dict[str, str]
) -> None:
    def look() -> dict[str, Any]:
        env = submitit.JobEnvironment()
        env._requeue(1)
        return {
            "name": env.name(),
            "job_id": env.job_id,
            "raw": env.raw_job_id,
            "ranks": (env.num_tasks, env.num_nodes, env.node, env.global_rank, env.local_rank),
            "array": (env.array_job_id, env.array_task_id),
            "hostnames": env.hostnames,
            "folder": env.paths.folder,
        }

    for name, value in outer.items():
        monkeypatch.setenv(name, value)
    job = executor.submit(look)
    assert job.job_id.startswith("DEBUG_")
    assert job.result() == {
        "name": "debug",
        "job_id": job.job_id,
        "raw": job.job_id,
        "ranks": (1, 1, 0, 0, 0),
        "array": (None, None),
        "hostnames": [os.uname().nodename],
        "folder": job.paths.folder,
    }


def test_submission_is_the_very_object(executor: submitit.DebugExecutor) -> None:
    job = executor.submit(note, 3)
    assert job.submission() is job.submission()
    job.submission().args = (4,)
    assert job.result() == 4


def test_what_is_logged_is_in_the_jobs_files(executor: submitit.DebugExecutor) -> None:
    def log() -> None:
        logging.getLogger("somebody").error("an error")
        print("printed")

    handlers = list(logging.getLogger().handlers)
    job = executor.submit(log)
    job.result()
    assert "an error" in (job.stdout() or "")
    assert "an error" in (job.stderr() or "")
    assert "printed" not in (job.stdout() or "")
    assert logging.getLogger().handlers == handlers


def test_a_folder_that_cannot_be_written_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    made.clear()
    assert submitit.DebugExecutor(tmp_path / "file" / "jobs").submit(note, 1).result() == 1


def test_any_parameter_is_taken(executor: submitit.DebugExecutor) -> None:
    executor.update_parameters(tasks_per_node=4, whatever=1)
    assert executor.submit(note, 1).num_tasks == 1
    assert executor.parameters == {"tasks_per_node": 4, "whatever": 1}


def test_waiting_for_many(executor: submitit.DebugExecutor) -> None:
    jobs = executor.map_array(note, range(3))
    assert [job.result() for job in helpers.as_completed(jobs)] == [0, 1, 2]
    assert len({job.job_id for job in jobs}) == 3


def test_a_job_with_its_result_can_be_pickled(executor: submitit.DebugExecutor) -> None:
    job = executor.submit(abs, -3)
    job.result()
    assert pickle.loads(pickle.dumps(job)).result() == 3


def test_a_terminal_gets_the_debugger(executor: submitit.DebugExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    import pdb  # noqa: T100 - replaced below

    opened: list[Any] = []
    monkeypatch.setattr(pdb, "post_mortem", opened.append)
    executor.submit(calls.fail, "no terminal").exception()
    assert opened == []
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    executor.submit(sys.exit, 3).exception()
    assert opened == []
    error = executor.submit(calls.fail, "terminal").exception()
    assert error is not None
    assert opened == [error.__traceback__]
    with pytest.raises(submitit.FailedJobError) as raised:
        next(executor.map(calls.fail, ["a call of a map"]))
    assert raised.value.__cause__ is not None
    assert opened[1:] == [raised.value.__cause__.__traceback__]
