"""Jobs as they end, with how all are: what a loop over them can rely on."""

from __future__ import annotations

import io
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import submitit
from support import calls
from support.fakes import FakeExecutor, FakeJob


def fake_jobs(folder: Path, count: int) -> list[FakeJob[Any]]:
    jobs = FakeExecutor(folder).map_array(calls.add, range(count), range(count))
    return [job for job in jobs if isinstance(job, FakeJob)]


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What was printed, without the times of day."""
    return [line.partition("] ")[2] for line in capsys.readouterr().out.splitlines()]


def test_each_comes_once_when_it_is_over(tmp_path: Path) -> None:
    jobs = fake_jobs(tmp_path, 3)
    jobs[2].finish(1)
    shown = submitit.progress([*jobs, jobs[2]])
    assert next(shown) is jobs[2]
    threading.Timer(0.1, jobs[0].finish, [1]).start()
    assert next(shown) is jobs[0]
    jobs[1].finish(error=ValueError("so"))
    assert list(shown) == [jobs[1]]
    assert list(shown) == []


def test_a_timeout_raises_and_it_can_be_gone_on_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = fake_jobs(tmp_path, 2)
    jobs[0].finish(1)
    shown = submitit.progress(jobs, timeout=0.1)
    with pytest.raises(TimeoutError, match=r"1 of 2 jobs are not over after 0\.1 seconds"):
        shown.wait()
    assert said(capsys)[-1] == "No longer watched: 1 job goes on."
    jobs[1].finish(1)
    assert list(shown) == [jobs[1]]
    assert "2 of 2 jobs over after" in said(capsys)[-1]
    shown.wait()
    assert said(capsys) == []


def test_a_loop_that_is_left_says_how_things_stand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = fake_jobs(tmp_path, 2)
    jobs[0].finish(1)
    for _ in submitit.progress(jobs):
        break
    first, last = said(capsys)
    assert first.startswith("1 of 2 jobs over: 1 COMPLETED, 1 ")
    assert last.startswith("1 of 2 jobs over after ")


def test_what_is_never_iterated_says_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = submitit.progress(fake_jobs(tmp_path, 2))
    assert repr(shown) == "<progress of jobs, 0 of 2 over: iterate over it, or call its wait()>"
    shown.close()
    del shown
    assert [line for line in said(capsys) if "No longer" in line] == []


def test_no_jobs(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(submitit.progress([])) == []
    assert said(capsys) == ["There are no jobs"]


def test_a_block_says_why_it_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = fake_jobs(tmp_path, 3)
    jobs[0].finish(1)
    with pytest.raises(KeyboardInterrupt), submitit.progress(jobs, title="mine") as shown:
        next(shown)
        raise KeyboardInterrupt
    assert said(capsys)[-1] == "mine: No longer watched: 2 jobs go on."


def test_many_failures_are_a_few_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = fake_jobs(tmp_path, 30)
    for number, job in enumerate(jobs):
        job.finish(error=ValueError(f"number {number}\x1b[2J\nmore"))
    submitit.progress(jobs).wait()
    lines = said(capsys)
    named = [line for line in lines if line.startswith("Job ")]
    assert len(named) == 5
    assert "and 25 jobs more that failed" in lines
    assert all("\x1b" not in line for line in lines)


def test_wrong_input_is_named(tmp_path: Path) -> None:
    jobs = fake_jobs(tmp_path, 1)
    with pytest.raises(
        TypeError, match=r"progress\(jobs\) takes several jobs, not a single one: write progress\(\[job\]\)"
    ):
        submitit.progress(jobs[0])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="at place 0 there is 3 of type int"):
        submitit.progress([3])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="timeout is a number of seconds"):
        submitit.progress(jobs, timeout="long")  # type: ignore[arg-type]


def test_a_display_that_is_gone_is_no_reason_not_to_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    jobs = fake_jobs(tmp_path, 2)
    for job in jobs:
        job.finish(1)
    assert len(list(submitit.progress(jobs))) == 2
