"""When a job is over, and what is said of it: from its markers, its files and the scheduler's words, in every order."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from submitit import errors
from submitit.orchestrator import collector, tracker
from support import disks
from support.told import ToldCluster


@pytest.fixture
def cluster(tmp_path: Path) -> ToldCluster:
    return ToldCluster(tmp_path)


def ask(cluster: ToldCluster) -> None:
    """Let the scheduler be asked as the tracker would."""
    cluster.watcher.update()
    tracker.questions(cluster.watcher).note(time.monotonic())


def test_a_recorded_result_is_the_end_and_asks_nobody(cluster: ToldCluster) -> None:
    job = cluster.job()
    assert not job.done()
    cluster.start("1")
    assert not job.done()
    cluster.record("1", 42)
    assert job.result() == 42
    assert cluster.watcher.num_calls == 0


def test_all_ranks_have_to_record(cluster: ToldCluster) -> None:
    job = cluster.job(tasks=2)
    for rank in range(2):
        cluster.start("1", rank)
    cluster.record("1", "zero", 0)
    assert not job.done()
    assert job.task(0).result() == "zero"
    cluster.record("1", "one", 1)
    assert job.results() == ["zero", "one"]


def test_an_exit_without_a_result_makes_the_scheduler_be_asked(cluster: ToldCluster) -> None:
    job = cluster.job()
    cluster.start("1")
    cluster.end("1", 0, 137)
    cluster.watcher.say("1", "FAILED", ExitCode="0:9")
    error = job.exception()
    assert type(error) is errors.UncompletedJobError
    assert "SIGKILL(-9)" in str(error)
    assert "on node n1" in str(error)
    assert "state: FAILED" in str(error)
    assert cluster.watcher.num_calls == 1


def test_an_exit_of_a_job_that_runs_again_is_no_end(cluster: ToldCluster) -> None:
    job = cluster.job()
    cluster.start("1")
    cluster.end("1", 0, 143)
    cluster.watcher.say("1", "PENDING", Reason="BeginTime")
    ask(cluster)
    assert not job._look()
    assert not job._suspicious()
    cluster.start("1", attempt=1)
    cluster.record("1", "second try", attempt=1)
    assert job.result() == "second try"


def test_a_marker_alone_never_decides(cluster: ToldCluster) -> None:
    job = cluster.job()
    cluster.start("1")
    cluster.end("1", 0, 137)
    job._feed.refresh()
    assert not job._look()
    assert job._suspicious()


def test_an_answer_older_than_the_marker_does_not_decide(cluster: ToldCluster) -> None:
    job = cluster.job()
    cluster.start("1")
    job._feed.refresh()
    assert not job._look()
    cluster.watcher.say("1", "RUNNING")
    ask(cluster)
    cluster.end("1", 0, 137)
    job._feed.refresh()
    assert not job._look()
    assert job._suspicious()


def test_one_rank_that_died_ends_the_job_while_the_others_run(cluster: ToldCluster) -> None:
    job = cluster.job(tasks=3)
    for rank in range(3):
        cluster.start("1", rank)
    cluster.record("1", "zero", 0)
    cluster.end("1", 1, 137)
    cluster.watcher.say("1", "RUNNING")
    error = job.exception()
    assert "Task 1 on node n1 was killed by SIGKILL(-9)" in str(error)
    assert job.task(0).result() == "zero"


def test_a_job_told_to_terminate_is_asked_about_once_if_it_goes_on(cluster: ToldCluster) -> None:
    job = cluster.job()
    cluster.start("1")
    cluster.terminate("1")
    job._feed.refresh()
    assert not job._look()
    assert job._suspicious()
    cluster.watcher.say("1", "RUNNING")
    ask(cluster)
    assert not job._look()
    assert not job._suspicious()


def test_a_cancelled_job_is_over_while_its_processes_end(cluster: ToldCluster) -> None:
    job = cluster.job()
    cluster.start("1")
    cluster.terminate("1")
    cluster.watcher.say("1", "COMPLETING", Ending="CANCELLED by 1000")
    assert type(job.exception()) is errors.JobCancelledError


@pytest.mark.parametrize(("checkpointable", "over"), [(False, True), (True, False), (None, False)])
def test_a_timed_out_job_is_over_unless_it_may_be_saving(
    cluster: ToldCluster, checkpointable: bool | None, over: bool
) -> None:
    job = cluster.job()
    job._checkpointable = checkpointable
    cluster.start("1")
    cluster.terminate("1")
    job._feed.refresh()
    job._look()
    cluster.watcher.say("1", "COMPLETING", Ending="TIMEOUT")
    ask(cluster)
    assert job._look() is over
    if over:
        assert type(job.exception()) is errors.JobTimeoutError


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("TIMEOUT", errors.JobTimeoutError),
        ("DEADLINE", errors.JobTimeoutError),
        ("OUT_OF_MEMORY", errors.JobOutOfMemoryError),
        ("CANCELLED by 0", errors.JobCancelledError),
        ("FAILED", errors.UncompletedJobError),
        ("COMPLETED", errors.UncompletedJobError),
    ],
)
def test_the_cause_has_a_type(cluster: ToldCluster, state: str, kind: type[Exception]) -> None:
    job = cluster.job()
    cluster.start("1")
    cluster.end("1", 0, 1)
    cluster.end("1", "batch", 1)
    cluster.watcher.say("1", state)
    assert type(job.exception()) is kind


def test_memory_is_seen_in_stderr_where_nothing_else_says_so(cluster: ToldCluster) -> None:
    job = cluster.job()
    cluster.start("1")
    cluster.end("1", 0, 137)
    (cluster.folder / "1_0_log.err").write_text("slurmstepd: error: Detected 1 oom-kill event(s) in StepId=1.0.\n")
    cluster.watcher.say("1", "FAILED")
    assert type(job.exception()) is errors.JobOutOfMemoryError


def test_a_result_wins_over_every_word_of_the_scheduler(cluster: ToldCluster) -> None:
    job = cluster.job()
    cluster.start("1")
    cluster.record("1", "in time")
    cluster.watcher.say("1", "NODE_FAIL")
    ask(cluster)
    assert job.result() == "in time"


def test_the_error_shows_the_last_lines_and_where_to_read_on(cluster: ToldCluster) -> None:
    job = cluster.job()
    cluster.start("1")
    cluster.end("1", 0, 3)
    (cluster.folder / "1_0_log.err").write_bytes(b"first\n" * 100 + b"the last \xff word\n")
    cluster.watcher.say("1", "FAILED")
    text = str(job.exception())
    assert "has not produced any output (state: FAILED)" in text
    assert "the last \N{REPLACEMENT CHARACTER} word" in text
    assert text.count("first") < collector.TAIL_LINES
    assert str(cluster.folder / "1_0_log.err") in text
    assert str(cluster.folder / "1_0_log.out") in text


def test_a_job_without_logs_says_so(cluster: ToldCluster) -> None:
    job = cluster.job()
    cluster.end("1", "batch", 1)
    cluster.watcher.say("1", "FAILED")
    assert "No output/error stream produced !" in str(job.exception())


def test_what_slurm_means_by_a_log_that_it_could_not_open(cluster: ToldCluster) -> None:
    job = cluster.job()
    cluster.watcher.say("1", "FAILED", ExitCode="0:53", Reason="JobLaunchFailure")
    ask(cluster)
    assert "Slurm could not open the job's log: the disk is full, or the folder is gone" in str(job.exception())


def test_a_full_disk_is_told(cluster: ToldCluster, tmp_path: Path) -> None:
    with disks.small_disk(tmp_path / "disk") as disk:
        full = ToldCluster(disk)
        job = full.job()
        full.watcher.say("1", "FAILED", ExitCode="1:0")
        ask(full)
        with disks.filled(disk, 0):
            assert "There is no space left on the disk of the job's folder" in str(job.exception())
        assert "no space" not in str(job.exception())


def test_words_of_a_scheduler_do_nothing_to_the_terminal(cluster: ToldCluster) -> None:
    job = cluster.job()
    cluster.watcher.say("1", "FAILED", Reason="\x1b[2J\x1b]0;title\x07none")
    ask(cluster)
    assert "Reason=none" in str(job.exception())
