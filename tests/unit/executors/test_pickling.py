"""Executors that send scripts: order, files, and what is left when something fails."""

from __future__ import annotations

import logging
import os
import pickle
import shlex
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import submitit
from submitit.core import utils
from submitit.executors.pickling import PicklingExecutor
from submitit.storage import journal
from submitit.storage.paths import layout_of
from support import calls
from support.fakes import FakeJob, files_below
from support.users import can_make_users, ordinary_user


class ScriptExecutor(PicklingExecutor):
    """Its scheduler is a shell command that is given the script, and prints an id."""

    job_class = FakeJob
    scheduler = "echo taken as $(( $(date +%s%N) % 1000000000 ))"

    def __init__(self, folder: str | os.PathLike[str], **arguments: Any) -> None:
        super().__init__(folder, **arguments)
        self._throttling = 0.0
        self.scripts: list[str] = []

    def _make_submission_file_text(self, command: str, uid: str) -> str:
        return f"#!/bin/sh\n# {uid}\n{command}\n"

    def _make_submission_command(self, submission_file_path: Path) -> list[str]:
        self.scripts.append(submission_file_path.read_text())
        return ["sh", "-c", self.scheduler, "scheduler", str(submission_file_path)]

    @staticmethod
    def _get_job_id_from_submission_command(string: bytes | str) -> str:
        text = string if isinstance(string, str) else string.decode()
        if not text.startswith("taken as "):
            raise utils.FailedSubmissionError(f"Could not make sense of {text!r}")
        return text.split()[2]

    def _num_tasks(self) -> int:
        return 1


@pytest.fixture
def executor(tmp_path: Path) -> ScriptExecutor:
    return ScriptExecutor(tmp_path / "jobs/%j")


def test_what_lies_in_the_folder_after_a_submission(executor: ScriptExecutor, tmp_path: Path) -> None:
    job = executor.submit(calls.add, 1, b=2)
    found = files_below(tmp_path / "jobs")
    hidden = [name for name in found if name.startswith(".submission_file_")]
    uid = hidden[0][len(".submission_file_") : -len(".sh")]
    journals = [name for name in found if name.startswith(".submitit/journal/")]
    assert len(journals) == 1
    assert set(found) - {*hidden, *journals} == {
        f"{job.job_id}/{job.job_id}_submission.sh",
        f"{job.job_id}/{job.job_id}_submitted.pkl",
    }
    # where the scheduler was told that the script lies, it still lies
    assert (tmp_path / "jobs" / hidden[0]).resolve() == job.paths.submission_file
    command = f"{shlex.quote(sys.executable)} -u -m submitit.core._submit {tmp_path}/jobs/%j"
    assert job.paths.submission_file.read_text() == executor.scripts[0] == f"#!/bin/sh\n# {uid}\n{command}\n"
    submission = job.submission()
    assert (submission.function, submission.args, submission.kwargs) == (calls.add, (1,), {"b": 2})


def test_every_payload_is_on_disk_before_a_script_is_made(tmp_path: Path) -> None:
    payloads: list[Path] = []

    class Looking(ScriptExecutor):
        def _make_submission_file_text(self, command: str, uid: str) -> str:
            payloads.append(self._payload_path(uid))
            assert payloads[-1].exists()
            assert len(list(layout_of(self.folder).payloads.iterdir())) == 3
            return super()._make_submission_file_text(command, uid)

    Looking(tmp_path / "%j").map_array(calls.add, [1, 2, 3], [1, 2, 3])
    assert len(set(payloads)) == 3


def test_time_limits_reach_the_submission(tmp_path: Path) -> None:
    for given, minutes in ((None, 5), (7, 7), (0.5, 0.5), ("12", 12.0), ("1-00:00", 5)):
        executor = ScriptExecutor(tmp_path / "%j", max_num_timeout=4)
        executor.update_parameters(timeout_min=given)
        submission = executor.submit(calls.add, 1, 2).submission()
        assert (submission._timeout_min, submission._timeout_countdown) == (minutes, 4)


def test_the_backends_own_name_of_the_time_limit_counts(tmp_path: Path) -> None:
    class Named(ScriptExecutor):
        @classmethod
        def _equivalence_dict(cls) -> Any:
            return {"timeout_min": "minutes"}

    executor = Named(tmp_path / "%j")
    executor.update_parameters(minutes=9)
    assert executor.submit(calls.add, 1, 2).submission()._timeout_min == 9


def test_submissions_are_spaced(executor: ScriptExecutor) -> None:
    executor._throttling = 0.1
    start = time.monotonic()
    executor.map_array(calls.add, [1, 2, 3], [1, 2, 3])
    assert time.monotonic() - start >= 0.2
    assert time.time() - executor._last_job_submitted < 5


def test_throttling_is_two_tenths_of_a_second_as_in_version_1(tmp_path: Path) -> None:
    class Plain(ScriptExecutor):
        def __init__(self, folder: Path) -> None:
            PicklingExecutor.__init__(self, folder)

    assert (Plain(tmp_path)._throttling, Plain(tmp_path)._last_job_submitted) == (0.2, 0.0)


def test_it_is_picklable(executor: ScriptExecutor) -> None:
    executor.update_parameters(timeout_min=3)
    assert vars(pickle.loads(pickle.dumps(executor))) == vars(executor)


def test_two_threads_may_share_it(executor: ScriptExecutor) -> None:
    jobs: list[submitit.Job[float]] = []
    threads = [
        threading.Thread(target=lambda number=number: jobs.append(executor.submit(calls.add, number, 0)))
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(job.submission().args[0] for job in jobs) == list(range(8))


def test_a_mix_in_may_change_the_command(tmp_path: Path) -> None:
    class Prefixed(ScriptExecutor):
        @property
        def _submitit_command_str(self) -> str:
            return "module load x\n" + super()._submitit_command_str

    Prefixed(tmp_path).submit(calls.add, 1, 2)
    executor = Prefixed(tmp_path)
    executor.submit(calls.add, 1, 2)
    assert "\nmodule load x\n" in executor.scripts[0]


def test_a_shell_command_as_python_stays_as_it_is(executor: ScriptExecutor) -> None:
    executor.python = "conda run python"  # type: ignore[attr-defined]
    assert executor._submitit_command_str.startswith("conda run python -u -m submitit.core._submit ")


def test_a_submission_inside_a_job_does_not_hand_that_job_on(
    executor: ScriptExecutor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "3")
    monkeypatch.setattr(ScriptExecutor, "scheduler", f"env > {tmp_path}/env; echo taken as 1")
    executor.submit(calls.add, 1, 2)
    assert "SLURM_CPUS_PER_TASK" not in (tmp_path / "env").read_text()
    assert os.environ["SLURM_CPUS_PER_TASK"] == "3"


def test_a_dry_run_shows_the_script_and_does_nothing(executor: ScriptExecutor, tmp_path: Path) -> None:
    script, command = executor.dry_run(calls.add, 1, b=2)
    assert script.startswith("#!/bin/sh\n")
    assert script.endswith(f"{executor._submitit_command_str}\n")
    assert command[:-1] == ["sh", "-c", executor.scheduler, "scheduler"]
    assert Path(command[-1]).parent == tmp_path / "jobs"
    assert executor.scripts == [script]  # was there to be read when the command was made
    assert files_below(tmp_path) == []


def test_a_dry_run_finds_what_would_fail(executor: ScriptExecutor, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="lock"):
        executor.dry_run(id, threading.Lock())
    executor.max_pickle_size_gb = 1e-6
    with pytest.raises(RuntimeError, match="max_pickle_size_gb"):
        executor.dry_run(str.upper, "x" * 4000)
    assert files_below(tmp_path) == []


# ---------------------------------------------------------------- what fails leaves nothing


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [("echo no more room >&2; exit 3", "no more room"), ("exit 1", "sh")],
)
def test_a_refusal_has_the_schedulers_words(
    executor: ScriptExecutor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, scheduler: str, message: str
) -> None:
    monkeypatch.setattr(ScriptExecutor, "scheduler", scheduler)
    for kind in (submitit.FailedSubmissionError, submitit.FailedJobError):
        with pytest.raises(kind, match=message):
            executor.submit(calls.add, 1, 2)
    assert files_below(tmp_path) == []


def test_output_without_an_id(executor: ScriptExecutor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ScriptExecutor, "scheduler", "echo blublu")
    with pytest.raises(submitit.FailedSubmissionError, match="blublu"):
        executor.submit(calls.add, 1, 2)
    assert files_below(tmp_path) == []


@pytest.mark.parametrize(
    "hook",
    [
        "_throttle",
        "_submit_command",
        "_make_submission_file_text",
        "_make_submission_command",
        "_get_job_id_from_submission_command",
        "_num_tasks",
        "_timeout_min",
    ],
)
@pytest.mark.parametrize("error", [KeyError("broken"), KeyboardInterrupt()], ids=repr)
def test_a_hook_that_raises(executor: ScriptExecutor, tmp_path: Path, hook: str, error: BaseException) -> None:
    def broken(*_: Any) -> Any:
        raise error

    setattr(executor, hook, broken)
    with pytest.raises(type(error)) as raised:
        executor.submit(calls.add, 1, 2)
    assert raised.value is error
    assert files_below(tmp_path) == []


def test_nothing_is_sent_if_one_call_cannot_be_pickled(executor: ScriptExecutor, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="lock"):
        executor.map_array(calls.add, [1, threading.Lock()], [1, 2])  # type: ignore[arg-type]
    assert executor.scripts == []
    assert files_below(tmp_path) == []


def test_too_large_counts_all_calls_together(executor: ScriptExecutor, tmp_path: Path) -> None:
    executor.max_pickle_size_gb = 3000 / 2**30
    executor.submit(str.replace, "x" * 2000, "y", "z")
    for submit in (
        lambda: executor.submit(str.replace, "x" * 4000, "y", "z"),
        lambda: executor.map_array(str.replace, ["x" * 2000] * 2, "yy", "zz"),
    ):
        before = files_below(tmp_path)
        with pytest.raises(RuntimeError, match=r"0\.00 > 2\.79397e-06GB of objects .* executor\.max_pickle_size_gb"):
            submit()
        assert files_below(tmp_path) == before


def test_what_was_sent_before_an_error_is_said_and_noted(
    executor: ScriptExecutor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    counter = tmp_path / "counter"
    script = f"echo >> {counter}; n=$(wc -l < {counter}); [ $n = 3 ] && exit 1; echo taken as 70$n"
    monkeypatch.setattr(ScriptExecutor, "scheduler", script)
    with pytest.raises(submitit.FailedSubmissionError), caplog.at_level(logging.ERROR, "submitit"):
        executor.map_array(calls.add, range(5), range(5))
    assert "The submission ended after 2 of 5 jobs, which are in the queue: 701, 702" in caplog.text
    layout = layout_of(executor.folder)
    found = journal.find_submission(layout, "702")
    assert found is not None
    assert found["jobs"] == ["701", "702"]
    assert FakeJob[float](executor.folder, "702").submission().args == (1, 1)
    assert list(layout.payloads.iterdir()) == []


def test_a_job_that_could_not_get_its_call_is_cancelled(
    executor: ScriptExecutor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs/77").touch()
    cancelled = []
    monkeypatch.setattr(ScriptExecutor, "scheduler", "echo taken as 77")
    monkeypatch.setattr(ScriptExecutor, "_write_job_id", lambda *_: None)
    monkeypatch.setattr(FakeJob, "cancel", lambda job, check=True: cancelled.append(job.job_id))
    with pytest.raises(NotADirectoryError):
        executor.submit(calls.add, 1, 2)
    assert cancelled == ["77"]


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(NotADirectoryError, match=r"choose a folder that you can write to.*taken'"):
        ScriptExecutor(tmp_path / "taken/%j").submit(calls.add, 1, 2)


@pytest.mark.skipif(not can_make_users(), reason="takes root, to be somebody else for once")
@pytest.mark.parametrize("kind", ["directory", "parent"])
def test_a_folder_that_cannot_be_written(tmp_path: Path, kind: str) -> None:
    program = """
import sys
from unit.executors.test_pickling import ScriptExecutor
from support import calls
executor = ScriptExecutor(sys.argv[1])
try:
    executor.submit(calls.add, 1, 2)
except PermissionError as error:
    print(error)
"""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o755)
    folder = closed if kind == "directory" else closed / "jobs"
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)
    root = Path(__file__).parents[3]
    with ordinary_user() as user:
        done = user.run([sys.executable, "-c", program, str(folder / "%j")], env={"PYTHONPATH": f"{root}:{root}/tests"})
    assert str(closed) in done.stdout
    assert "choose a folder that you can write to" in done.stdout
    assert files_below(closed) == []
