"""Which jobs wait for a person, and what the user is told."""

from __future__ import annotations

import logging

import pytest

from submitit.slurm import held
from submitit.slurm.queries import JobRecord


def pending(reason: str, state: str = "PENDING") -> JobRecord:
    return JobRecord("12", state, "squeue", reason=reason)


@pytest.mark.parametrize(
    ("reason", "state", "expected"),
    [
        ("None", "PENDING", ""),
        ("Priority", "PENDING", ""),
        ("BeginTime", "PENDING", ""),
        ("Dependency", "PENDING", ""),
        ("JobHeldAdmin", "PENDING", "JobHeldAdmin"),
        ("JobHeldAdmin", "RUNNING", ""),
        ("JobHeldUser", "PENDING", "JobHeldUser"),
        ("JobHeldUser,JobHeldAdmin", "PENDING", "JobHeldAdmin"),
        ("JobHeldUser,Priority", "PENDING", "JobHeldUser"),
        ("DependencyNeverSatisfied", "PENDING", "DependencyNeverSatisfied"),
        ("launch failed requeued held", "PENDING", "launch failed requeued held"),
        ("launch_failed_requeued_held", "PENDING", "launch_failed_requeued_held"),
        ("None", "REQUEUE_HOLD", "REQUEUE_HOLD"),
        ("None", "SPECIAL_EXIT", "SPECIAL_EXIT"),
        ("job requeued in held state", "REQUEUE_HOLD", "job requeued in held state"),
    ],
)
def test_why_a_job_waits_for_ever(reason: str, state: str, expected: str) -> None:
    assert held.reason_to_wait_for_ever(pending(reason, state)) == expected


def test_each_array_is_told_of_once_for_each_reason(caplog: pytest.LogCaptureFixture) -> None:
    jobs = held.HeldJobs()
    for _ in range(2):
        jobs.note("12_[0-4,7%3]", "JobHeldAdmin")
        jobs.note("13", "JobHeldAdmin")
        jobs.tell()
    jobs.note("12_5", "JobHeldAdmin")
    jobs.note("13", "DependencyNeverSatisfied")
    jobs.tell()
    texts = [record.getMessage() for record in caplog.records]
    assert len(texts) == 2
    assert "jobs 12_[0-4,7], 13 by itself (JobHeldAdmin)" in texts[0]
    assert "`scancel 13`" in texts[1]


def test_a_hold_on_purpose_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    jobs = held.HeldJobs()
    jobs.note("12", "JobHeldUser")
    jobs.tell()
    assert [record.levelname for record in caplog.records] == ["INFO"]


def test_of_many_jobs_some_are_named() -> None:
    text = held.words("JobHeldAdmin", map(str, range(100, 150)))
    assert "109 and 40 more by itself" in text
    assert "110" not in text
