"""Jobs as HTML, and what is known of them at a glance."""

from __future__ import annotations

import html.parser
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

import submitit
from submitit.client import notebook, summary
from submitit.orchestrator import collector
from submitit.orchestrator.state import JobState, StateKind, count_states
from submitit.storage import outcome
from support import calls
from support.fakes import FakeExecutor, FakeJob

TRACE = """Traceback (most recent call last):
  File "a.py", line 3, in f
    g()
ValueError: <b>bad</b>\x1b[2J & worse
  File "looks like a frame, and is of the message"
of several lines
"""


def fake_jobs(folder: Path, count: int) -> list[FakeJob[Any]]:
    jobs = FakeExecutor(folder).map_array(calls.add, range(count), range(count))
    return [job for job in jobs if isinstance(job, FakeJob)]


def fail(job: FakeJob[Any], trace: str) -> None:
    job.paths.folder.mkdir(parents=True, exist_ok=True)
    about = outcome.Footer(success=False, start=100.0, end=103.5, host="node7")
    outcome.write_result(job.paths.result_pickle, ("error", trace), None, about)


class Tags(html.parser.HTMLParser):
    """Notes the elements of a page, and what they do not close."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def tags(page: str) -> set[str]:
    """The elements of a page, each of which is closed where it has to be."""
    parser = Tags()
    parser.feed(page)
    assert parser.open == []
    return parser.seen


def test_what_others_have_written_is_text(tmp_path: Path) -> None:
    (job,) = fake_jobs(tmp_path, 1)
    fail(job, TRACE.replace('  File "looks', '  "looks'))
    assert job.done()
    for page in (notebook.of_job(job), notebook.of_jobs([job])):
        assert "ValueError: &lt;b&gt;bad&lt;/b&gt; &amp; worse" in page
        assert "\x1b" not in page
        assert "3.5s" in page
        assert tags(page).isdisjoint({"script", "style", "link", "img"})
    assert "on node7" in notebook.of_job(job)


def test_few_jobs_are_rows_and_many_are_counted(tmp_path: Path) -> None:
    jobs = fake_jobs(tmp_path, 600)
    for job in jobs[200:260]:
        fail(job, "ValueError: so")
    jobs[0].finish(1)
    page = notebook.of_jobs(jobs)
    assert "<b>600 jobs</b>" in page
    assert "<b>60</b> FAILED" in page
    assert "<b>1</b> COMPLETED" in page
    assert "and 50 more that failed" in page
    assert page.count("<tr") == 1 + notebook.MOST_FAILED + 1 + notebook.MANY_JOBS
    assert len(page) < 60_000
    assert notebook.of_jobs(jobs[:7]).count("<tr") == 8
    assert {"table", "details"} <= tags(page)


def test_one_question_is_about_all_jobs_that_are_shown(tmp_path: Path) -> None:
    jobs = fake_jobs(tmp_path, 50)
    asked = FakeJob.watcher.num_calls
    notebook.of_jobs(jobs)
    assert FakeJob.watcher.num_calls == asked + 1
    for job in jobs:
        job.finish(1)
        assert job.done()
    asked = FakeJob.watcher.num_calls
    notebook.of_jobs(jobs)
    assert FakeJob.watcher.num_calls == asked, "they are over"


def test_links_lead_where_notebooks_can_open_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert notebook.address(str(tmp_path / "here" / "a b#" / "x:1.out")) == "a%20b%23/x%3A1.out"
    assert notebook.address(str(tmp_path / "there")) == (tmp_path / "there").as_uri()


def test_debug_jobs_are_shown_and_not_run(tmp_path: Path) -> None:
    jobs: list[submitit.Job[Any]] = [submitit.DebugExecutor(tmp_path).submit(calls.fail, "so")]
    assert "PENDING" in notebook.of_jobs(jobs)
    assert "PENDING" in jobs[0]._repr_html_()
    assert jobs[0].state == "QUEUED"
    assert isinstance(jobs[0].exception(), ValueError)
    assert "ValueError: so" in notebook.of_jobs(jobs)


# ---------------------------------------------------------------- at a glance


def test_a_cause_is_one_line_of_the_traceback(tmp_path: Path) -> None:
    jobs = fake_jobs(tmp_path, 3)
    fail(jobs[0], TRACE.replace('  File "looks', '  "looks'))
    assert collector.cause_of(jobs[0]) == "ValueError: <b>bad</b> & worse"
    jobs[1].finish(1)
    assert collector.cause_of(jobs[1]) == ""
    assert collector.cause_of(jobs[2]) == "", "it is not over"
    assert collector.raised("KeyError: 1") == "KeyError: 1"
    assert collector.raised("") == ""
    group = '  + Exception Group Traceback (most recent call last):\n  |   File "a.py", line 1\n  | ExceptionGroup: two (2 sub-exceptions)'
    assert collector.raised(group) == "ExceptionGroup: two (2 sub-exceptions)"


def test_a_job_that_left_no_result_says_how_it_ended(tmp_path: Path) -> None:
    (job,) = fake_jobs(tmp_path, 1)
    ending = collector.Ending("OUT_OF_MEMORY", {0: 137}, {"OutOfMemory": "used 3 GB of 2 GB", "State": "OUT_OF_MEMORY"})
    job._ending = ending
    assert summary.state_of(job) == "OUT_OF_MEMORY"
    assert collector.cause_of(job) == "Out of memory: used 3 GB of 2 GB"
    job._ending = ending._replace(info={})
    assert collector.cause_of(job) == "Task 0 was killed by SIGKILL(-9)"
    job._ending = collector.Ending("TIMEOUT", {}, {})
    assert collector.cause_of(job) == ""
    job.paths.folder.mkdir(exist_ok=True)
    job.paths.stderr.write_text("first\nlast words\n")
    assert collector.cause_of(job) == "last words"


class Trap:
    """Does something when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("sprung",)


@pytest.mark.parametrize("protocol", [2, 5])
def test_how_a_function_ended_is_read_without_unpickling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: int
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "result.pkl"
    path.write_bytes(pickle.dumps(("success", Trap()), protocol))
    assert outcome.is_success(path)
    assert outcome.read_trace(path) is None
    path.write_bytes(pickle.dumps(("error", "a trace", Trap()), protocol))
    assert not outcome.is_success(path)
    assert outcome.read_trace(path) == "a trace"
    path.write_bytes(path.read_bytes()[:9])
    assert outcome.read_trace(path) is None
    assert outcome.read_trace(tmp_path / "none") is None
    assert not (tmp_path / "sprung").exists()


def test_states_are_counted_in_one_order() -> None:
    words = ["PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED by 7", "blublu", "RUNNING", "COMPLETING"]
    expected = {"COMPLETED": 1, "FAILED": 1, "CANCELLED": 1, "RUNNING": 2, "COMPLETING": 1, "PENDING": 1, "UNKNOWN": 1}
    assert list(count_states(words).items()) == list(expected.items())
    assert count_states({"RUNNING": 3}) == {"RUNNING": 3}
    assert JobState.NODE_FAIL.kind is StateKind.FAILED
    assert JobState.REQUEUED.kind is StateKind.PENDING
    assert {state.kind for state in JobState} == set(StateKind)
