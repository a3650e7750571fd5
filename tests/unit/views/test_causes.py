"""Jobs that failed, by why."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submitit.views.causes import causes, last_words, last_words_of, pattern
from submitit.views.usage import Row
from support.rows import row, rows

TRACE = """Traceback (most recent call last):
  File "train.py", line 3, in fit
    step()
    ^^^^^^
{}
"""


@pytest.mark.parametrize(
    "text, words",
    [
        ("", ""),
        ("\n \n", ""),
        ("loading\nepoch 3\n", "epoch 3"),
        (TRACE.format("ValueError: no"), "ValueError: no"),
        (TRACE.format("ValueError: no\nand why") + "bye\n", "ValueError: no"),
        (TRACE.format("KeyError: 1") + "\nDuring handling …:\n\n" + TRACE.format("my.Error: 2"), "my.Error: 2"),
        (TRACE.format("ValueError"), "ValueError"),
        ("Traceback (most recent call last):\n  File", ""),
        ("12%\r 50%\rgone\n", "gone"),
        ("\x1b[31mred\x1b[0m\n", "red"),
        ("Killed\nsrun: error: n1: task 0: Killed\n", "Killed"),
        ("bad\nsubmitit ERROR (2026-01-01 10:00:00,000) - Submitted job triggered an exception\n", "bad"),
        ("submitit WARNING (2026-01-01 10:00:00,000) - told to stop\n", "told to stop"),
        ("why\nslurmstepd: error: *** STEP 12.0 ON n1 CANCELLED AT 2026 ***\nsrun: Job step aborted: Waiting\n", "why"),
    ],
)
def test_the_line_that_says_why(text: str, words: str) -> None:
    assert last_words(text) == words


@pytest.mark.parametrize(
    "one, other",
    [
        ("loss is nan after 12 steps", "loss is nan after 7 steps"),
        ("at 0x7f3a12", "at 0xdeadbeef00"),
        ("/tmp/12/x: 1.5e-3", "/tmp/7/x: 22.25"),
        ("id 0b3f2c9e-1a2b-4c3d-8e9f-001122334455", "id ffffffff-1a2b-4c3d-8e9f-aabbccddeeff"),
        ("object 3fa9c2e17b", "object 00ffee11"),
        ("a   b", "a b"),
    ],
)
def test_lines_that_say_the_same(one: str, other: str) -> None:
    assert pattern(one) == pattern(other)


def test_lines_that_say_different_things() -> None:
    assert len({pattern(line) for line in ("no such key", "no such file", "KeyError: 'a'", "KeyError: 'b'")}) == 4


def failed(number: int, line: str = "", **fields: object) -> list[Row]:
    return rows(number, **{"state": "FAILED", "exit_code": 1, "reason": line, **fields})


def said(one: Row) -> str:
    return one["reason"] or ""


def test_failures_are_counted_by_what_they_say() -> None:
    found = causes([*failed(3, "no 1"), *failed(5, "bad 2"), *failed(2, exit_code=-9), *rows(9)], read=said)
    assert [(len(one.jobs), one.title, one.line) for one in found] == [
        (5, "FAILED, exit code 1", "bad 2"),
        (3, "FAILED, exit code 1", "no 1"),
        (2, "FAILED, SIGKILL(-9)", ""),
    ]


@pytest.mark.parametrize("other", [{"state": "COMPLETED"}, {"state": "CANCELLED"}, {"state": "RUNNING", "over": False}])
def test_what_did_not_fail_has_no_cause(other: dict[str, object]) -> None:
    assert causes(rows(3, **other), read=said) == []


def test_of_thousands_a_bounded_number_of_logs_is_read() -> None:
    asked: list[Row] = []

    def read(one: Row) -> str:
        asked.append(one)
        return "the same 1"

    (cause,) = causes(failed(5000), most_logs=50, read=read)
    assert (len(cause.jobs), cause.read, len(asked)) == (5000, 50, 50)
    assert {int(one["job_id"]) // 500 for one in asked} == set(range(10)), "spread over all of them"


def test_what_was_not_read_is_told_by_itself_where_the_others_differ() -> None:
    found = causes(failed(100), most_logs=10, read=lambda one: "even" if int(one["job_id"]) % 20 < 10 else "odd")
    assert [(len(one.jobs), one.line, one.read) for one in found] == [(90, "", 0), (5, "even", 5), (5, "odd", 5)]


def test_a_state_that_says_all_is_one_cause() -> None:
    ended = [*failed(3, "epoch 1", state="TIMEOUT"), *failed(2, "saving", state="TIMEOUT", exit_code=-15)]
    (cause,) = causes(ended, read=said)
    assert (len(cause.jobs), cause.read, cause.raised) == (5, 1, False)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["FAILED", "TIMEOUT", "COMPLETED"]), st.sampled_from([1, 2, -9]), st.text("ab1", max_size=2)
        )
    ),
    st.integers(1, 20),
)
def test_every_failed_job_has_one_cause(jobs: list[tuple[str, int, str]], most: int) -> None:
    made = [row(str(n), state=state, exit_code=code, reason=line) for n, (state, code, line) in enumerate(jobs)]
    found = causes(made, most_logs=most, read=said)
    blamed = [one["job_id"] for cause in found for one in cause.jobs]
    assert sorted(blamed) == sorted(one["job_id"] for one in made if one["state"] != "COMPLETED")
    assert all(0 <= cause.read <= len(cause.jobs) for cause in found)


def test_the_log_is_that_of_a_task_which_has_a_traceback(tmp_path: Path) -> None:
    for task, text in enumerate(["Terminated\n", "", "x" * 100_000 + "\n" + TRACE.format("OSError: 3")]):
        (tmp_path / f"1_{task}_log.err").write_text(text)
    assert last_words_of(row(folder=str(tmp_path), tasks=3)) == "OSError: 3"
    assert last_words_of(row(folder=str(tmp_path), tasks=2)) == "Terminated"


def test_without_stderr_it_is_stdout(tmp_path: Path) -> None:
    assert last_words_of(row(folder=str(tmp_path))) == ""
    (tmp_path / "1_0_log.out").write_text("both\n")
    assert last_words_of(row(folder=str(tmp_path))) == "both"


def test_a_pipe_in_a_logs_place_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "1_0_log.err")
    assert last_words_of(row(folder=str(tmp_path))) == ""
