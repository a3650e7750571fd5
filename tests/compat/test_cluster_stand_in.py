"""Test suites of other programs stand in for a cluster: submitting, states, results and cancelling work all the same."""

from __future__ import annotations

import subprocess
import warnings
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import submitit
from submitit.core import core, utils
from submitit.slurm import slurm
from support import calls
from support.stand_in import StandIn


def executor_in(folder: Path, **parameters: Any) -> submitit.SlurmExecutor:
    executor = submitit.SlurmExecutor(folder)
    executor.update_parameters(**parameters)
    return executor


def test_a_job_from_submission_to_result(stand_in: StandIn, folder: Path) -> None:
    job = executor_in(folder).submit(calls.add, 1, 2)
    assert job.job_id == "12"
    assert job.state == "RUNNING"
    assert not job.done()
    stand_in.run(folder, job.job_id)
    assert job.done()
    assert job.result() == 3
    assert job.results() == [3]
    assert job.exception() is None
    assert job._get_outcome_and_result() == ("success", 3)


def test_an_auto_executor_finds_the_stand_in(stand_in: StandIn, folder: Path) -> None:
    executor = submitit.AutoExecutor(folder)
    executor.update_parameters(timeout_min=1, mem_gb=2, slurm_partition="main")
    job = executor.submit(calls.add, a=1, b=2)
    assert type(job) is submitit.SlurmJob
    assert executor._executor.parameters == {"time": 1, "mem": "2GB", "partition": "main"}
    stand_in.run(folder, job.job_id)
    assert job.result() == 3


def test_a_name_that_nobody_knows_is_asked_of_nobody(stand_in: StandIn, folder: Path) -> None:
    """Elsewhere sbatch is asked for the options of plugins; a stand-in takes any call of it for a submission."""
    slurm._options_of_sbatch.cache_clear()
    with pytest.raises(ValueError, match="Unavailable parameter"):
        executor_in(folder, blublu=1)
    with pytest.raises(NameError, match="Unknown argument 'blublu'"):
        submitit.AutoExecutor(folder).update_parameters(slurm_blublu=1)
    assert stand_in.sent == []
    slurm._options_of_sbatch.cache_clear()


def test_a_result_that_was_written_by_hand_is_found(stand_in: StandIn, folder: Path) -> None:
    executor = executor_in(folder)
    one, two = executor.map_array(calls.add, [1, 2], [3, 4])
    assert not one.done()
    for job in (one, two):
        utils.cloudpickle_dump(("success", int(job.job_id[-1])), job.paths.result_pickle)
    assert [job.result() for job in (one, two)] == [0, 1]


def test_waiting_for_several_jobs_that_are_over(stand_in: StandIn, folder: Path) -> None:
    jobs = executor_in(folder).map_array(calls.add, range(3), range(3))
    for job in jobs:
        assert not job.done()
        stand_in.run(folder, job.job_id)
    assert {job.job_id for job in submitit.helpers.as_completed(jobs)} == {"12_0", "12_1", "12_2"}


def test_an_array(stand_in: StandIn, folder: Path) -> None:
    executor = executor_in(folder, array_parallelism=2)
    jobs = executor.map_array(calls.add, [1, 2, 3], [10, 20, 30])
    assert [job.job_id for job in jobs] == ["12_0", "12_1", "12_2"]
    assert "#SBATCH --array=0-2%2\n" in stand_in.scripts["12"]
    assert [job.state for job in jobs] == ["RUNNING"] * 3
    for job in jobs:
        stand_in.run(folder, job.job_id)
    assert [job.result() for job in jobs] == [11, 22, 33]


def test_an_array_with_a_folder_for_each_element(stand_in: StandIn, folder: Path) -> None:
    jobs = executor_in(folder / "%j").map_array(calls.add, [1, 2], [10, 20])
    for job in jobs:
        stand_in.run(folder / "%j", job.job_id)
    assert [job.result() for job in jobs] == [11, 22]
    assert (folder / "12_1/12_1_0_result.pkl").exists()
    assert (folder / "12/12_submission.sh").exists()


def test_a_batch(stand_in: StandIn, folder: Path) -> None:
    executor = executor_in(folder)
    with executor.batch():
        jobs = [executor.submit(calls.add, number, 1) for number in range(3)]
        with pytest.raises(AttributeError, match="batch"):
            _ = jobs[0].job_id
    assert [type(job) for job in jobs] == [submitit.SlurmJob] * 3
    assert stand_in.names().count("sbatch") == 1
    stand_in.run(folder, jobs[2].job_id)
    assert jobs[2].result() == 3


def test_a_batch_of_one_and_an_array_of_one_are_plain_jobs(stand_in: StandIn, folder: Path) -> None:
    executor = executor_in(folder)
    with executor.batch():
        job = executor.submit(calls.add, 1, 1)
    assert job.job_id == "12"
    assert [other.job_id for other in executor.map_array(calls.add, [1], [2])] == ["13"]
    assert "--array" not in stand_in.scripts["12"] + stand_in.scripts["13"]


def test_a_function_that_raises(stand_in: StandIn, folder: Path) -> None:
    job = executor_in(folder).submit(calls.fail, "as asked")
    with pytest.raises(ValueError, match="as asked"):
        stand_in.run(folder, job.job_id)
    with pytest.raises(submitit.FailedJobError, match="Traceback(.|\n)*ValueError: as asked") as caught:
        job.result()
    assert type(caught.value) is utils.FailedJobError
    assert "ValueError: as asked" in caught.value.args[0]
    assert isinstance(caught.value, utils.UncompletedJobError)
    assert isinstance(job.exception(), utils.FailedJobError)
    outcome, text = job._get_outcome_and_result()
    assert outcome == "error"
    assert text.rstrip().endswith("ValueError: as asked")


def test_several_tasks(stand_in: StandIn, folder: Path) -> None:
    job = executor_in(folder, ntasks_per_node=2, nodes=1).submit(calls.my_rank)
    assert job.num_tasks == 2
    assert job.task_id is None
    stand_in.run(folder, job.job_id, rank=0, tasks=2)
    assert not job.done()
    assert job.task(0).result() == 0
    stand_in.run(folder, job.job_id, rank=1, tasks=2)
    assert job.results() == [0, 1]
    with pytest.raises(AssertionError, match=r"results\(\)"):
        job.result()
    with pytest.raises(AssertionError):
        job._get_outcome_and_result()
    for number in (-1, 2):
        with pytest.raises(ValueError, match="must be between 0 and 1"):
            job.task(number)
    assert job.task(1).task(0) is job.task(1)
    assert job.task(1).paths.result_pickle == folder / "12_1_result.pkl"


def test_the_error_of_several_tasks_is_that_of_the_first_that_failed(stand_in: StandIn, folder: Path) -> None:
    job = executor_in(folder, ntasks_per_node=3).submit(calls.fail_on_ranks, [1, 2])
    for rank in (2, 1):
        with pytest.raises(ValueError, match="this is rank"):
            stand_in.run(folder, job.job_id, rank, tasks=3)
    stand_in.run(folder, job.job_id, 0, tasks=3)
    error = job.exception()
    assert "this is rank 1" in str(error)
    assert "task=1" in str(error)


# ---------------------------------------------------------------- states


def test_states_come_from_sacct_where_squeue_fails(stand_in: StandIn, folder: Path) -> None:
    first, second = (executor_in(folder).submit(calls.add, 1, 2) for _ in range(2))
    # two jobs, so a header in the middle
    stand_in.set_state(first.job_id, "COMPLETED")
    stand_in.set_state(second.job_id, "PENDING")
    submitit.SlurmJob.watcher.update()
    assert (first.state, second.state) == ("COMPLETED", "PENDING")
    assert "sacct" in stand_in.names()
    stand_in.set_state(second.job_id, "FAILED")
    assert second.get_info()["State"] == "FAILED"
    assert submitit.SlurmJob.watcher.get_state("12", mode="cache") == "COMPLETED"
    assert submitit.SlurmJob.watcher.is_done("13", mode="cache")


def test_states_of_elements(stand_in: StandIn, folder: Path) -> None:
    jobs = executor_in(folder).map_array(calls.add, range(3), range(3))
    stand_in.set_state("12_1", "FAILED")
    submitit.SlurmJob.watcher.update()
    assert [job.state for job in jobs] == ["RUNNING", "FAILED", "RUNNING"]
    assert [job.watcher.is_done(job.job_id) for job in jobs] == [False, True, False]


def test_an_unknown_job_has_no_state_and_is_not_over(stand_in: StandIn, folder: Path) -> None:
    job: submitit.Job[Any] = submitit.SlurmJob(folder, "99")
    assert job.state == "UNKNOWN"
    assert not job.done()
    assert not job.done(force_check=True)
    assert job.get_info() == {}
    assert repr(job) == 'SlurmJob<job_id=99, task_id=0, state="UNKNOWN">'


def test_a_cluster_that_answers_nothing_at_all(
    stand_in: StandIn, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    job = executor_in(folder).submit(calls.add, 1, 2)

    def gone(command: list[str]) -> str:
        raise FileNotFoundError(command[0])

    stand_in.answers.update(squeue=gone, sacct=gone)
    for _ in range(2):
        assert job.get_info() == {}
        assert job.state == "UNKNOWN"
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1


# ---------------------------------------------------------------- jobs that leave no result


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submitit.Job, "_results_timeout_s", 0)


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize("state", ["FAILED", "COMPLETED", "LAUNCH_FAILED"])
def test_a_job_that_ended_without_a_result(stand_in: StandIn, folder: Path, state: str) -> None:
    job = executor_in(folder).submit(calls.add, 1, 2)
    stand_in.set_state(job.job_id, state)
    assert job.done(force_check=True)
    with pytest.raises(submitit.UncompletedJobError) as caught:
        job.result()
    assert type(caught.value) is utils.UncompletedJobError
    text = str(caught.value)
    assert "Job 12 (task: 0)" in text
    assert f"has not produced any output (state: {state})" in text
    assert "No output/error stream produced !" in text
    assert str(job.paths.stdout) in text
    with pytest.raises(utils.UncompletedJobError):
        job._get_outcome_and_result()
    assert type(job.exception()) is utils.UncompletedJobError


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("TIMEOUT", submitit.JobTimeoutError),
        ("CANCELLED by 1000", submitit.JobCancelledError),
        ("OUT_OF_MEMORY", submitit.JobOutOfMemoryError),
    ],
)
def test_a_cause_that_has_a_type_of_its_own(stand_in: StandIn, folder: Path, state: str, kind: type) -> None:
    job = executor_in(folder).submit(calls.add, 1, 2)
    stand_in.set_state(job.job_id, state)
    assert job.done(force_check=True)
    error = job.exception()
    assert type(error) is kind
    assert isinstance(error, utils.UncompletedJobError)
    assert f"(state: {state})" in str(error)


@pytest.mark.usefixtures("no_waiting")
def test_of_several_tasks_without_a_result_the_first_is_named(stand_in: StandIn, folder: Path) -> None:
    job = executor_in(folder, ntasks_per_node=3).submit(calls.my_rank)
    stand_in.run(folder, job.job_id, rank=0, tasks=3)
    stand_in.set_state(job.job_id, "FAILED")
    assert job.done(force_check=True)
    assert "(task: 1)" in str(job.exception())
    assert job.task(0).result() == 0


@pytest.mark.usefixtures("no_waiting")
def test_the_last_words_of_a_job_are_in_its_error(stand_in: StandIn, folder: Path) -> None:
    quiet, loud = (executor_in(folder).submit(calls.add, 1, 2) for _ in range(2))
    quiet.paths.stdout.write_text("".join(f"line {number}\n" for number in range(100)))
    quiet.paths.stderr.write_text("")
    loud.paths.stdout.write_text("only this\n")
    loud.paths.stderr.write_text("a bus error\n")
    for job in (quiet, loud):
        stand_in.set_state(job.job_id, "FAILED")
    submitit.SlurmJob.watcher.update()
    assert "No error stream produced. Look at stdout:" in str(quiet.exception())
    assert "line 98\nline 99\n" in str(quiet.exception())
    assert "line 3\n" not in str(quiet.exception())
    assert "Error stream produced:" in str(loud.exception())
    assert "a bus error" in str(loud.exception())


def test_the_wait_for_a_late_result_is_bounded_by_class_or_instance(stand_in: StandIn, folder: Path) -> None:
    job, patient = (executor_in(folder).submit(calls.add, 1, 2) for _ in range(2))
    assert submitit.Job._results_timeout_s == 15
    job._results_timeout_s = 0
    patient._results_timeout_s = 600
    for number in ("12", "13"):
        stand_in.set_state(number, "FAILED")
    submitit.SlurmJob.watcher.update()
    assert job.done()
    assert not patient.done()
    stand_in.run(folder, patient.job_id)
    assert patient.result() == 3


# ---------------------------------------------------------------- ending jobs


def test_cancelling(stand_in: StandIn, folder: Path) -> None:
    job, other = (executor_in(folder).submit(calls.add, 1, 2) for _ in range(2))
    job.cancel()
    assert stand_in.sent[-1] == ["scancel", "12"]
    with mock.patch("subprocess.call", stand_in):
        other.cancel(check=False)
    assert stand_in.sent[-1] == ["scancel", "13"]
    element = executor_in(folder).map_array(calls.add, [1, 2], [3, 4])[1]
    element.cancel()
    assert stand_in.sent[-1] == ["scancel", "14_1"]


def test_a_refused_cancellation_raises_only_where_it_is_checked(stand_in: StandIn, folder: Path) -> None:
    def refused(command: list[str], **kwargs: Any) -> int:
        raise subprocess.CalledProcessError(1, command)

    job = executor_in(folder).submit(calls.add, 1, 2)
    with mock.patch("subprocess.check_call", refused), mock.patch("subprocess.call", return_value=1):
        with pytest.raises(subprocess.CalledProcessError):
            job.cancel()
        job.cancel(check=False)


def test_cancelling_at_deletion(stand_in: StandIn, folder: Path) -> None:
    with mock.patch("subprocess.call", stand_in):
        job = executor_in(folder).submit(calls.add, 1, 2)
        assert job.cancel_at_deletion() is job
        kept = executor_in(folder).submit(calls.add, 1, 2).cancel_at_deletion().cancel_at_deletion(value=False)
        del job, kept
    assert [command for command in stand_in.sent if command[0] == "scancel"] == [["scancel", "12"]]


def test_interrupting_is_what_a_preemption_or_a_time_out_does(stand_in: StandIn, folder: Path) -> None:
    job: Any = executor_in(folder).submit(calls.add, 1, 2)
    stand_in.sent.clear()
    job._interrupt()
    term, usr2 = ["scancel", "12", "--signal", "SIGTERM"], ["scancel", "12", "--signal", "USR2"]
    # The step's processes, as in 1.x; then the script, which passes it on where there is no srun.
    assert stand_in.sent == [term, [*term, "--batch"], usr2, [*usr2, "--batch"]]
    stand_in.sent.clear()
    job._interrupt(timeout=True)
    assert stand_in.sent == [usr2, [*usr2, "--batch"]]


# ---------------------------------------------------------------- submissions that fail


def test_output_of_sbatch_that_cannot_be_read(stand_in: StandIn, folder: Path) -> None:
    stand_in.answers["sbatch"] = lambda command: "done"
    with pytest.raises(utils.FailedSubmissionError, match="done"):
        executor_in(folder).submit(calls.add, 1, 2)


def test_a_refusal_is_both_errors(stand_in: StandIn, folder: Path) -> None:
    def refused(*args: Any, **kwargs: Any) -> Any:
        raise utils.FailedJobError("sbatch: error: invalid partition specified: no")

    with (
        mock.patch("submitit.core.utils.CommandFunction", refused),
        pytest.raises(utils.FailedJobError, match="invalid partition specified: no") as caught,
    ):
        executor_in(folder).submit(calls.add, 1, 2)
    assert isinstance(caught.value, utils.FailedSubmissionError)


@pytest.mark.parametrize("count", [1, 3])
def test_too_large_a_call_is_refused(stand_in: StandIn, folder: Path, count: int) -> None:
    executor = submitit.AutoExecutor(folder)
    executor._executor.max_pickle_size_gb = 1e-6  # type: ignore[attr-defined]  # of a PicklingExecutor
    with pytest.raises(RuntimeError, match="max_pickle_size_gb"):
        executor.map_array(len, [bytes(10_000) + bytes([number]) for number in range(count)])
    assert "sbatch" not in stand_in.names()


def test_empty_arrays_and_batches_warn(stand_in: StandIn, folder: Path) -> None:
    executor = executor_in(folder)
    with pytest.warns(UserWarning, match="empty"):
        assert executor.map_array(calls.add, [], [1]) == []
    with pytest.warns(RuntimeWarning, match="No submission happened"), executor.batch():
        pass
    assert stand_in.sent == []


# ---------------------------------------------------------------- names that are looked up late


def test_the_pickler_may_be_replaced(stand_in: StandIn, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dumped: list[tuple[Any, str]] = []
    original = utils.cloudpickle_dump

    def dump(obj: Any, filename: Path) -> None:
        dumped.append((obj, filename.suffix))
        with filename.open("wb"):
            original(obj, filename)

    monkeypatch.setattr(utils, "cloudpickle_dump", dump)
    executor = executor_in(folder)
    job = executor.submit(calls.add, 1, 2)
    jobs = executor.map_array(calls.add, [3, 4], [5, 6])
    assert [obj.args for obj, _ in dumped] == [(1, 2), (3, 5), (4, 6)]
    stand_in.run(folder, job.job_id)
    stand_in.run(folder, jobs[1].job_id)
    assert [obj for obj, _ in dumped[3:]] == [("success", 3), ("success", 10)]
    assert (job.result(), jobs[1].result()) == (3, 10)


def test_the_command_function_gets_the_scripts_name_as_its_first_argument(
    stand_in: StandIn, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    class Command:
        def __init__(self, command: list[str], verbose: bool = True) -> None:
            seen.append((command[0], Path(command[1]).exists(), len(command), verbose))

        def __call__(self) -> str:
            return "warning: nothing\nSubmitted batch job 5 on cluster main"

    monkeypatch.setattr(utils, "CommandFunction", Command)
    assert executor_in(folder).submit(calls.add, 1, 2).job_id == "5"
    assert seen == [("sbatch", True, 2, False)]


def test_the_slurm_executor_needs_an_srun(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(RuntimeError, match="srun"):
        submitit.SlurmExecutor(folder)
    assert submitit.SlurmExecutor.affinity() == -1
    assert submitit.AutoExecutor(folder).cluster == "local"
    monkeypatch.setattr("shutil.which", lambda name: "/bin/srun")
    assert submitit.SlurmExecutor.affinity() == 2
    assert submitit.AutoExecutor(folder).cluster == "slurm"


# ---------------------------------------------------------------- what lies on disk


def test_the_submission_may_be_edited_before_the_job_runs(stand_in: StandIn, folder: Path) -> None:
    executor = executor_in(folder)
    job, element = executor.submit(calls.add, 1, 2), executor.map_array(calls.add, [1, 2], [3, 4])[1]
    path = utils.JobPaths(folder=folder, job_id=job.job_id).submitted_pickle
    call = utils.DelayedSubmission.load(path)
    call.args = (10, 20)
    call.dump(path)
    assert job.submission().args == (10, 20)

    assert not element.paths.submitted_pickle.exists()
    call = element.submission()
    assert call.args == (2, 4)
    call.kwargs, call.args = {"b": 7}, (5,)
    call.dump(element.paths.submitted_pickle)

    for each in (job, element):
        stand_in.run(folder, each.job_id)
    assert (job.result(), element.result()) == (30, 12)


def test_without_its_file_there_is_no_submission(stand_in: StandIn, folder: Path) -> None:
    with pytest.raises(AssertionError, match="99_submitted.pkl"):
        submitit.SlurmJob(folder, "99").submission()


def test_logs_are_text_or_none(stand_in: StandIn, folder: Path) -> None:
    job = executor_in(folder, ntasks_per_node=2).submit(calls.my_rank)
    assert (job.stdout(), job.stderr()) == (None, None)
    job.task(0).paths.stdout.write_text("zero")
    assert job.stdout() == "zero"
    job.task(1).paths.stdout.write_text("one")
    assert job.stdout() == "zero\none"
    assert job.task(1).stdout() == "one"
    assert job.stderr() is None


def test_handles_are_equal_only_to_themselves(stand_in: StandIn, folder: Path) -> None:
    job: submitit.Job[Any] = submitit.SlurmJob(folder, "1")
    assert job != submitit.SlurmJob(folder, "1")
    assert len({job, job, submitit.SlurmJob(folder, "1")}) == 2


def test_throttling(stand_in: StandIn, folder: Path) -> None:
    executor = executor_in(folder)
    assert executor._last_job_submitted == 0.0
    clock = iter(range(1000, 2000))
    with mock.patch("time.time", lambda: next(clock)):
        executor.submit(calls.add, 1, 2)
    assert executor._last_job_submitted >= 1000
    slept: list[float] = []
    executor._last_job_submitted = 5000.0
    with mock.patch("time.time", return_value=5000.05), mock.patch("time.sleep", slept.append):
        executor._throttle()
    assert slept == [pytest.approx(0.15)]


def test_the_deprecated_name_of_gpus_per_node(stand_in: StandIn, folder: Path) -> None:
    executor = submitit.SlurmExecutor(folder)
    with pytest.warns(UserWarning, match="num_gpus"):
        executor.update_parameters(num_gpus=2)
        executor.submit(calls.add, 1, 2)
    assert "#SBATCH --gpus-per-node=2\n" in stand_in.scripts["12"]
    executor = submitit.SlurmExecutor(folder)
    with pytest.warns(UserWarning, match="cpus_per_gpu"):
        executor.update_parameters(cpus_per_gpu=2)
        executor.submit(calls.add, 1, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        executor.update_parameters(gpus_per_task=1)
        executor.submit(calls.add, 1, 2)


def test_an_executor_of_1x_shape_runs_jobs(stand_in: StandIn, folder: Path) -> None:
    """A `core.PicklingExecutor` is what third parties subclass; its single jobs have their own pickle."""
    executor = executor_in(folder)
    assert isinstance(executor, core.PicklingExecutor)
    job = executor.submit(calls.add, 1, 2)
    assert sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")) == [
        "12_submission.sh",
        "12_submitted.pkl",
    ]
    assert job.submission()._timeout_min == 5
    assert job.submission()._timeout_countdown == 3


def test_nothing_else_of_the_system_is_used(stand_in: StandIn, folder: Path) -> None:
    with mock.patch("subprocess.Popen", side_effect=AssertionError("a process")):
        executor = submitit.AutoExecutor(folder)
        job = executor.submit(calls.add, 1, 2)
        assert job.state == "RUNNING"
        job.cancel()
        assert executor.map_array(calls.add, [1, 2], [3, 4])[0].get_info()["State"] == "RUNNING"
