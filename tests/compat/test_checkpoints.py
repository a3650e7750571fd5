"""A checkpointable function is told by a signal, saves its state and is requeued; what a job says of it is looked for in its log."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import submitit
from submitit import helpers
from submitit.core import job_environment, utils
from support import calls
from support.stand_in import StandIn, refuse


class Counting(helpers.Checkpointable):
    """Is warned each time it has counted one further."""

    def __init__(self, number: int = signal.SIGUSR2) -> None:
        self.count = 0
        self.number = number

    def __call__(self, target: int, step: int = 1) -> int:
        while self.count < target:
            self.count += step
            signal.raise_signal(self.number)
        return self.count


class Threaded(Counting):
    """Is told again while its state is saved, by a signal that another thread takes."""

    def checkpoint(self, *args: Any, **kwargs: Any) -> Any:
        self.count += 100
        sender = threading.Thread(target=self.tell)
        sender.start()
        sender.join()
        return super().checkpoint(*args, **kwargs)

    def tell(self) -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {self.number})  # as in a thread that was there before
        signal.raise_signal(self.number)


class GivesUp(Counting):
    def checkpoint(self, *args: Any, **kwargs: Any) -> Any:
        return None


class HasTwo(Counting):
    """The long name goes before the short one."""

    def __submitit_checkpoint__(self, target: int, step: int) -> Any:
        return helpers.DelayedSubmission(HasTwo(), target=-target, step=step)


def told(value: int) -> int:
    signal.raise_signal(signal.SIGUSR2)
    return value


def ends(target: Callable[..., Any]) -> None:
    """The call ends its process, not with success."""
    with pytest.raises(SystemExit) as caught:
        target()
    assert caught.value.code == -1


@pytest.fixture
def executor(stand_in: StandIn, folder: Path) -> submitit.SlurmExecutor:
    """Its jobs have five minutes, so any warning is one of a time-out."""
    stand_in.answers["scontrol"] = lambda command: ""
    return submitit.SlurmExecutor(folder, max_num_timeout=1)


def requeues(stand_in: StandIn) -> list[list[str]]:
    return [command for command in stand_in.sent if command[:2] == ["scontrol", "requeue"]]


def test_from_time_out_to_result(
    stand_in: StandIn, executor: submitit.SlurmExecutor, capfd: pytest.CaptureFixture[str]
) -> None:
    job = executor.submit(Counting(), 1)
    ends(lambda: stand_in.run(executor.folder, job.job_id))
    assert requeues(stand_in) == [["scontrol", "requeue", "12"]]
    assert not job.paths.result_pickle.exists()
    out, err = capfd.readouterr()
    assert "Requeued job 12 (0 remaining timeouts)" in out
    for text in (out, err):
        assert "Caught signal SIGUSR2" in text
        assert "this job is timed-out." in text
    saved: Any = job.submission()
    assert saved.function.count == 1
    assert (saved._timeout_min, saved._timeout_countdown) == (5, 0)
    stand_in.run(executor.folder, job.job_id)
    assert job.result() == 1


def test_time_outs_are_counted(
    stand_in: StandIn, executor: submitit.SlurmExecutor, capfd: pytest.CaptureFixture[str]
) -> None:
    job = executor.submit(Counting(), 5)
    ends(lambda: stand_in.run(executor.folder, job.job_id))
    with pytest.raises(utils.UncompletedJobError, match="timed-out too many times"):
        stand_in.run(executor.folder, job.job_id)
    assert "timed-out too many times" in capfd.readouterr().out
    assert len(requeues(stand_in)) == 1
    with pytest.raises(utils.FailedJobError, match="Job not requeued because: timed-out too many times."):
        job.result()


def test_a_state_is_saved_once(stand_in: StandIn, executor: submitit.SlurmExecutor) -> None:
    job = executor.submit(Threaded(), 1)
    ends(lambda: stand_in.run(executor.folder, job.job_id))
    saved: Any = job.submission()
    assert saved.function.count == 101
    assert len(requeues(stand_in)) == 1


def test_an_element_is_requeued_by_its_own_id(stand_in: StandIn, executor: submitit.SlurmExecutor) -> None:
    job = executor.map_array(Counting(), [1, 1])[1]
    ends(lambda: stand_in.run(executor.folder, job.job_id))
    assert requeues(stand_in) == [["scontrol", "requeue", "12_1"]]
    assert job.paths.submitted_pickle.exists()
    stand_in.run(executor.folder, job.job_id)
    assert job.result() == 1


@pytest.mark.parametrize(("elapsed_min", "left"), [(47, 1), (49, 0)])
def test_where_slurm_cannot_be_asked_the_clock_decides(
    stand_in: StandIn, executor: submitit.SlurmExecutor, elapsed_min: int, left: int, capfd: pytest.CaptureFixture[str]
) -> None:
    stand_in.answers["scontrol"] = lambda command: "" if command[1] == "requeue" else refuse("no")(command)
    executor.update_parameters(time=60)
    job = executor.submit(Counting(), 1)
    with stand_in.inside(job.job_id), mock.patch("time.time", return_value=1e9) as clock:
        handler = job_environment.SignalHandler(submitit.JobEnvironment(), job.paths, job.submission())
        clock.return_value += 60 * elapsed_min
        ends(lambda: handler.checkpoint_and_try_requeue(signal.SIGUSR2))
    assert job.submission()._timeout_countdown == left
    assert f"Ran {elapsed_min} minutes out of requested 60 minutes." in capfd.readouterr().out
    assert len(requeues(stand_in)) == 1


def shown(*fields: str) -> Callable[[list[str]], str]:
    """What scontrol answers of job 12."""
    return lambda command: "JobId=12 JobName=x\n" + "".join(f"   {field}\n" for field in fields)


@pytest.mark.parametrize(
    ("fields", "requeued", "left"),
    [
        (("JobState=COMPLETING Reason=None", "Restarts=1"), 0, 1),
        (("JobState=RUNNING Reason=None", "Restarts=0 PreemptTime=1700000000"), 1, 1),
        (("JobState=COMPLETING Reason=TimeLimit", "Restarts=0"), 1, 0),
        (("JobState=RUNNING Reason=None", "Restarts=0 PreemptTime=None"), 1, 0),
    ],
    ids=["preempted", "in its grace time", "out of time", "nearly out of time"],
)
def test_a_job_is_requeued_where_slurm_does_not(
    stand_in: StandIn,
    executor: submitit.SlurmExecutor,
    capfd: pytest.CaptureFixture[str],
    fields: tuple[str, ...],
    requeued: int,
    left: int,
) -> None:
    stand_in.answers["scontrol"] = shown(*fields)
    job = executor.submit(Counting(), 1)
    ends(lambda: stand_in.run(executor.folder, job.job_id))
    assert len(requeues(stand_in)) == requeued
    assert job.submission()._timeout_countdown == left
    assert f"this job is {'preempted' if left else 'timed-out'}." in capfd.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGTERM])
def test_a_cancelled_job_is_not_brought_back(
    stand_in: StandIn, executor: submitit.SlurmExecutor, number: signal.Signals
) -> None:
    stand_in.answers["scontrol"] = shown("JobState=COMPLETING Reason=None", "Restarts=0")
    job = executor.submit(Counting(number), 1)
    stand_in.run(executor.folder, job.job_id)
    assert requeues(stand_in) == []
    assert job.result() == 1


def refusing(*fields: str) -> Callable[[list[str]], str]:
    """scontrol knows job 12, and requeues nothing."""
    return lambda command: refuse("no")(command) if command[1] == "requeue" else shown(*fields)(command)


def test_a_requeue_that_is_not_allowed(stand_in: StandIn, executor: submitit.SlurmExecutor) -> None:
    stand_in.answers["scontrol"] = refusing("JobState=RUNNING Reason=None", "Requeue=0 Restarts=0")
    job = executor.submit(Counting(), 1)
    with pytest.raises(utils.UncompletedJobError, match="may not be requeued"):
        stand_in.run(executor.folder, job.job_id)
    saved: Any = job.submission()
    assert saved.function.count == 1
    with pytest.raises(
        utils.FailedJobError, match=r"Job not requeued because: it may not be requeued.* Its state is saved"
    ):
        job.result()


def test_a_requeue_is_asked_for_until_it_is_done(
    stand_in: StandIn, executor: submitit.SlurmExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its grace time a job must not end by itself before: Slurm would not run it again."""
    monkeypatch.setattr("submitit.slurm.environment.REFUSED_PAUSES_S", (0.01, 0.02))
    refused = refusing("JobState=RUNNING Reason=None", "Requeue=1 Restarts=0 PreemptTime=1700000000")
    stand_in.answers["scontrol"] = lambda command: "" if len(requeues(stand_in)) > 5 else refused(command)
    job = executor.submit(Counting(), 1)
    ends(lambda: stand_in.run(executor.folder, job.job_id))
    assert len(requeues(stand_in)) == 6


def test_a_requeue_that_is_refused_for_good(
    stand_in: StandIn, executor: submitit.SlurmExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("submitit.slurm.environment.REFUSED_PAUSES_S", (0.01, 0.02))
    stand_in.answers["scontrol"] = refusing("JobState=RUNNING Reason=None", "Requeue=1 Restarts=0 PreemptTime=None")
    job = executor.submit(Counting(), 1)
    with pytest.raises(utils.UncompletedJobError, match="Slurm refuses to"):
        stand_in.run(executor.folder, job.job_id)
    assert len(requeues(stand_in)) == 3


def test_a_refused_requeue_is_not_the_functions_failure(
    stand_in: StandIn, executor: submitit.SlurmExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("submitit.slurm.environment.REFUSED_PAUSES_S", (0.01, 0.02))
    stand_in.answers["scontrol"] = refuse("Job is pending execution")
    job = executor.submit(Counting(), 1)
    ends(lambda: stand_in.run(executor.folder, job.job_id))
    saved: Any = job.submission()
    assert saved.function.count == 1
    assert not job.done()


def test_a_checkpoint_may_say_that_there_is_nothing_to_go_on_with(
    stand_in: StandIn, executor: submitit.SlurmExecutor
) -> None:
    job = executor.submit(GivesUp(), 1)
    with pytest.raises(utils.UncompletedJobError, match="checkpoint function returned None"):
        stand_in.run(executor.folder, job.job_id)
    assert requeues(stand_in) == []
    assert "checkpoint function returned None" in str(job.exception())


def test_a_checkpoint_gets_the_arguments_of_the_call(stand_in: StandIn, executor: submitit.SlurmExecutor) -> None:
    job = executor.submit(HasTwo(), 1, step=1)
    ends(lambda: stand_in.run(executor.folder, job.job_id))
    assert job.submission().kwargs == {"target": -1, "step": 1}


def test_a_plain_function_goes_on(
    stand_in: StandIn, executor: submitit.SlurmExecutor, capfd: pytest.CaptureFixture[str]
) -> None:
    job = executor.submit(told, 7)
    stand_in.run(executor.folder, job.job_id)
    assert job.result() == 7
    assert "timed-out and not checkpointable" in capfd.readouterr().out
    assert requeues(stand_in) == []


class Collective(Counting):
    """A rank whose first one is gone."""

    def __call__(self, target: int, step: int = 1) -> int:
        super().__call__(target, step)
        raise ConnectionError("closed by peer")


@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGTERM])
def test_an_error_of_another_rank_is_not_recorded_where_the_job_comes_back(
    stand_in: StandIn, executor: submitit.SlurmExecutor, number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    job = executor.submit(Collective(number), 1)
    with pytest.raises(ConnectionError):
        stand_in.run(executor.folder, job.job_id, rank=1, tasks=2)
    assert "closed by peer" in capfd.readouterr().err
    assert not utils.JobPaths(executor.folder, job_id=job.job_id, task_id=1).result_pickle.exists()
    # told before it was warned, it is the function's own
    job = executor.submit(Collective(), 0)
    with pytest.raises(ConnectionError):
        stand_in.run(executor.folder, job.job_id, rank=1, tasks=2)
    assert utils.JobPaths(executor.folder, job_id=job.job_id, task_id=1).result_pickle.exists()


def test_another_rank_saves_nothing(
    stand_in: StandIn, executor: submitit.SlurmExecutor, capfd: pytest.CaptureFixture[str]
) -> None:
    executor.update_parameters(ntasks_per_node=2)
    job = executor.submit(Counting(), 1)
    stand_in.run(executor.folder, job.job_id, rank=1, tasks=2)
    assert "Not checkpointing nor requeuing since I am a slave (procid=1)." in capfd.readouterr().out
    assert job.task(1).result() == 1
    ends(lambda: stand_in.run(executor.folder, job.job_id, rank=0, tasks=2))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGCONT])
def test_other_signals_are_passed_by(
    stand_in: StandIn, executor: submitit.SlurmExecutor, number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    job = executor.submit(Counting(number), 2)
    stand_in.run(executor.folder, job.job_id)
    assert job.result() == 2
    assert f"Bypassing signal {number.name}" in capfd.readouterr().out


def test_a_sequence_does_no_call_twice(
    stand_in: StandIn, executor: submitit.SlurmExecutor, capfd: pytest.CaptureFixture[str]
) -> None:
    functions = helpers.FunctionSequence(verbose=True)
    functions.add(calls.add, 1, 2)
    functions.add(Counting(), 1)
    functions.add(calls.add, 3, 4)
    job = executor.submit(functions)
    ends(lambda: stand_in.run(executor.folder, job.job_id))
    assert "Starting from 0/3" in capfd.readouterr().out
    stand_in.run(executor.folder, job.job_id)
    assert "Starting from 1/3" in capfd.readouterr().out
    assert job.result() == [3, 1, 7]


def test_a_saved_state_may_be_edited(stand_in: StandIn, executor: submitit.SlurmExecutor) -> None:
    job = executor.submit(Counting(), 1)
    ends(lambda: stand_in.run(executor.folder, job.job_id))
    path = utils.JobPaths(folder=executor.folder, job_id=job.job_id).submitted_pickle
    saved: Any = utils.DelayedSubmission.load(path)
    saved.function.count = 40
    saved.dump(path)
    stand_in.run(executor.folder, job.job_id)
    assert job.result() == 40


def test_the_handler_may_be_used_by_itself(
    stand_in: StandIn, executor: submitit.SlurmExecutor, capfd: pytest.CaptureFixture[str]
) -> None:
    job = executor.submit(Counting(), 1)
    with stand_in.inside(job.job_id):
        handler = job_environment.SignalHandler(submitit.JobEnvironment(), job.paths, job.submission())
        handler.bypass(signal.SIGTERM)
        assert "Bypassing signal SIGTERM" in capfd.readouterr().err
        ends(lambda: handler.checkpoint_and_exit(signal.SIGUSR2, None))
    assert requeues(stand_in) == []
    assert job.submission()._timeout_countdown == 1


def test_an_environment_of_another_backend_requeues_by_itself(
    stand_in: StandIn, executor: submitit.SlurmExecutor
) -> None:
    asked: list[int] = []

    class OtherJobEnvironment(submitit.JobEnvironment):
        _env = {"job_id": "SLURM_JOB_ID"}  # noqa: RUF012 - as plugins write it

        def _requeue(self, countdown: int) -> None:
            asked.append(countdown)

    job = executor.submit(Counting(), 1)
    with stand_in.inside(job.job_id):
        handler = job_environment.SignalHandler(OtherJobEnvironment(), job.paths, job.submission())
        ends(lambda: handler.checkpoint_and_try_requeue(signal.SIGUSR2))
    assert asked == [0]
    assert requeues(stand_in) == []


def test_the_user_signal_is_read_from_the_environment() -> None:
    program = (
        "import submitit; from submitit.slurm import slurm; "
        "print(slurm.SlurmJobEnvironment.USR_SIG, slurm.SlurmJobEnvironment._usr_sig().name); "
        "print(slurm._make_sbatch_string(command='x', folder='/f'))"
    )
    for name, expected in (("USR1", "USR1"), (None, "USR2")):
        env = {key: value for key, value in os.environ.items() if key != "SUBMITIT_PREEMPT_SIGNAL"}
        env |= {"SUBMITIT_PREEMPT_SIGNAL": name} if name else {}
        printed = subprocess.check_output([sys.executable, "-c", program], env=env, text=True)
        assert printed.startswith(f"{expected} SIG{expected}\n")
        assert f"#SBATCH --signal={expected}@90\n" in printed
