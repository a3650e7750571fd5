"""Which lines `submitit top` has: filtered, sorted, folded."""

from __future__ import annotations

import time
from typing import Any

import pytest

from submitit.cli.endings import why
from submitit.cli.summary import ranked
from submitit.cli.tui import columns
from submitit.cli.tui.actions import ranges
from submitit.cli.tui.table import Query, Table, to_cancel, to_retry
from submitit.orchestrator.state import StateKind
from submitit.views.entry import JobEntry

NOW = time.time()


def call(jobs: Any, name: str, age: float = 0, folder: str = "/f/%j") -> dict[str, Any]:
    return {
        "jobs": jobs,
        "name": name,
        "function": f"m.{name}",
        "folder": folder,
        "time": NOW - age,
        "backend": "slurm",
    }


def job(submission: Any, job_id: str, state: str = "COMPLETED", **more: Any) -> JobEntry:
    over = more.pop("over", state not in ("PENDING", "RUNNING"))
    return JobEntry(submission, job_id, state, over, **more)


TRAIN = call(["9"], "train", age=300)
EVAL = call(["10"], "Eval", age=200)
SWEEP = call({"array": "12", "count": 4}, "sweep", age=100)


@pytest.fixture
def table() -> Table:
    table = Table()
    table.show(
        [
            job(TRAIN, "9", "FAILED", node="node-b", exit_code=1, start=NOW - 290, end=NOW - 280),
            job(EVAL, "10", "RUNNING", node="node-a", start=NOW - 100),
            job(SWEEP, "12_0", "COMPLETED", start=NOW - 90, end=NOW - 10),
            job(SWEEP, "12_1", "TIMEOUT"),
            job(SWEEP, "12_2", "PENDING"),
            job(SWEEP, "12_3", "PENDING"),
        ]
    )
    return table


def ids(table: Table) -> list[str]:
    return [
        f"{'*' * line.is_head}{columns.call_id(line.entry) if line.is_head else line.entry.job_id}"
        for line in table.lines
    ]


def test_the_newest_stands_first_and_an_array_on_one_line(table: Table) -> None:
    assert ids(table) == ["*12_[0-3]", "10", "9"]
    assert ranked(job.state for job in table.lines[0].jobs) == [
        ("TIMEOUT", 1),
        ("PENDING", 2),
        ("COMPLETED", 1),
    ]
    assert table.counts == {StateKind.FAILED: 2, StateKind.RUNNING: 1, StateKind.PENDING: 2, StateKind.COMPLETED: 1}


def test_an_array_is_unfolded_and_folded(table: Table) -> None:
    head = table.lines[0]
    table.fold(head)
    assert ids(table) == ["*12_[0-3]", "12_0", "12_1", "12_2", "12_3", "10", "9"]
    assert [line.inner for line in table.lines] == [False, True, True, True, True, False, False]
    inner = table.lines[3]
    assert table.place(inner.key) == 3
    table.fold(inner)
    assert ids(table) == ["*12_[0-3]", "10", "9"]
    assert table.place(inner.key) == 0, "a job that is folded away stands where its head does"
    table.fold(table.lines[1])
    assert ids(table) == ["*12_[0-3]", "10", "9"], "a single job has nothing to fold"
    table.fold_all()
    assert len(table.lines) == 7
    table.fold_all()
    assert len(table.lines) == 3


def test_words_are_looked_for_in_all_texts_of_a_job(table: Table) -> None:
    for words, expected in (
        ("TRAIN", ["9"]),
        ("node-", ["10", "9"]),
        ("eval running", ["10"]),
        ("eval pending", []),
        ("timeout", ["*12_[0-3]"]),
        ("12_3", ["*12_[0-3]"]),
    ):
        table.ask(Query(words=words))
        assert ids(table) == expected, words
    table.ask(Query(words="timeout"))
    assert (len(table.lines[0].jobs), table.lines[0].of, table.shown) == (1, 4, 1)
    assert table.counts == {StateKind.FAILED: 1}


def test_one_kind_of_state_is_shown_and_all_are_counted(table: Table) -> None:
    table.ask(Query(kind=StateKind.FAILED))
    assert ids(table) == ["*12_[0-3]", "9"]
    assert [entry.job_id for entry in table.jobs] == ["12_1", "9"]
    assert table.counts[StateKind.PENDING] == 2


@pytest.mark.parametrize(
    "sort, expected",
    [
        ("id", ["9", "10", "*12_[0-3]"]),
        ("name", ["10", "*12_[0-3]", "9"]),
        ("submitted", ["*12_[0-3]", "10", "9"]),
        ("node", ["10", "9", "*12_[0-3]"]),
        ("state", ["9", "*12_[0-3]", "10"]),
    ],
)
def test_orders(table: Table, sort: str, expected: list[str]) -> None:
    table.ask(Query(sort=sort))
    assert ids(table) == expected
    table.ask(Query(sort=sort, reverse=True))
    last = {
        "node": ["9", "10", "*12_[0-3]"],
        "state": ["*12_[0-3]", "10", "9"],
    }  # the array's best job decides; none has a node
    assert ids(table) == last.get(sort, expected[::-1])


def test_what_ran_longest_stands_first_and_what_has_not_run_last(table: Table) -> None:
    table.fold_all()
    table.ask(Query(sort="time"))
    assert ids(table) == ["10", "*12_[0-3]", "12_0", "12_1", "12_2", "12_3", "9"]
    assert table.lines[0].entry.ran_s(NOW) == pytest.approx(100)
    assert job(EVAL, "10", "REQUEUED", over=False, start=NOW - 5).ran_s(NOW) is None, "it waits"


def test_news_keep_what_was_folded_and_asked_for(table: Table) -> None:
    table.fold(table.lines[0])
    key = table.lines[2].key
    table.ask(Query(kind=StateKind.FAILED))
    table.show([*table.entries, job(call(["13"], "late"), "13", "FAILED")])
    assert ids(table) == ["13", "*12_[0-3]", "12_1", "9"]
    assert table.place(key) == 2


def test_what_can_be_cancelled_and_retried(table: Table) -> None:
    cancelled = job(call(["14"], "x"), "14", "CANCELLED")
    jobs = [*table.entries, cancelled]
    assert [entry.job_id for entry in to_cancel(jobs)] == ["10", "12_2", "12_3"]
    assert [entry.job_id for entry in to_retry(jobs)] == ["9", "12_1", "14"]


def test_ten_thousand_jobs_are_arranged_by_few_steps_each() -> None:
    calls = [call({"array": str(number), "count": 100}, f"n{number}", age=number) for number in range(100)]
    table = Table()
    begin = time.process_time()
    table.show([job(one, f"{one['jobs']['array']}_{index}") for one in reversed(calls) for index in range(100)])
    table.fold_all()
    assert len(table.lines) == 10_100
    assert time.process_time() - begin < 10, "not with the square of their number"


# ---- columns


def widths(table: Table, room: int, **more: bool) -> dict[str, int]:
    given = {"marked": True, "several": False, **more}
    return {one.column.name: one.width for one in columns.widths(table.entries, room, **given)}


def test_columns_fit_and_the_least_important_are_left_out(table: Table) -> None:
    for room in range(52, 200):
        for several in (False, True):
            found = widths(table, room, several=several)
            assert sum(found.values()) + columns.GAP * (len(found) - 1) <= room, room
            assert {"id", "name", "state", "time"} <= found.keys()
    assert "node" in widths(table, 79)
    assert "reason" in widths(table, 79)
    assert "folder" in widths(table, 120, several=True)
    assert "folder" not in widths(table, 60, several=True)
    assert widths(table, 79)["id"] == len("12_[0-3]") + 2


def test_text_of_others_is_one_harmless_line_that_can_be_printed() -> None:
    entry = job(call(["1"], "\x1b[31m[red]x[/]\n\ty\udcff"), "1")
    name = next(column for column in columns.COLUMNS if column.name == "name")
    assert name.text(entry, NOW) == "[red]x[/] y?"


def test_reasons_and_ages() -> None:
    assert why(job(TRAIN, "9", "FAILED", exit_code=3)) == "exit code 3"
    assert why(job(TRAIN, "9", "FAILED", exit_code=-9, reason="gone")) == "SIGKILL(-9), gone"
    assert [columns.age(seconds) for seconds in (-3, 59, 60, 3599, 7200, 90_000)] == [
        "0s",
        "59s",
        "1m",
        "59m",
        "2h",
        "1d",
    ]


@pytest.mark.parametrize(
    "jobs, expected",
    [({"array": "7", "count": 20}, "7_[0-19]"), (["3", "4", "5"], "3-5"), (["3", "7"], "3…7"), (["a", "b"], "a…b")],
)
def test_a_call_in_a_word(jobs: Any, expected: str) -> None:
    assert columns.call_id(job(call(jobs, "x"), "3")) == expected


def test_jobs_in_few_words() -> None:
    assert ranges(["10", "3", "4", "5", "12_1", "x"]) == ["3-5", "10", "12_1", "x"]
    assert ranges([]) == []
