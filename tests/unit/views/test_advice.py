"""What jobs should ask for next time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submitit.views.advice import MANY, NEAR, advice, cpus_used, memory_used, quantile
from support.rows import row, rows

GB = 1024.0


def said(found: list[Any]) -> list[str]:
    return [one.sentence for one in advice(found)]


def test_much_less_memory_than_was_asked_for() -> None:
    found = [*rows(39, asked_mem_mb=16 * GB, max_rss_mb=500), row("40", asked_mem_mb=16 * GB, max_rss_mb=2.1 * GB)]
    (one,) = advice(found)
    assert one.sentence == "Ask for 3 GB instead of 16 GB: the largest of 40 jobs used 2.1 GB."
    assert one.parameter == "mem_gb=3"
    assert not one.more


def test_more_is_left_where_little_is_known() -> None:
    of_few, of_many = (advice(rows(number, asked_mem_mb=16 * GB, max_rss_mb=2 * GB)) for number in (MANY - 1, MANY))
    assert [one.suggested for one in (*of_few, *of_many)] == [3 * GB, 2.5 * GB]


def test_nothing_is_said_of_too_few() -> None:
    assert advice(rows(4, asked_mem_mb=16 * GB)) == []
    assert len(advice(rows(5, asked_mem_mb=16 * GB))) == 1


@pytest.mark.parametrize("lack", [{"over": False}, {"state": "FAILED"}, {"max_rss_mb": None}, {"asked_mem_mb": None}])
def test_nothing_is_concluded_from_jobs_that_do_not_tell(lack: dict[str, Any]) -> None:
    assert advice(rows(20, **{"asked_mem_mb": 16 * GB, **lack})) == []


def test_jobs_that_asked_for_other_amounts_are_other_jobs() -> None:
    assert advice([*rows(4, asked_mem_mb=16 * GB), *rows(4, asked_mem_mb=8 * GB)]) == []


def test_what_is_killed_for_memory_needs_more() -> None:
    killed = rows(3, asked_mem_mb=4 * GB, max_rss_mb=None, state="OUT_OF_MEMORY")
    assert said([*killed, *rows(9, asked_mem_mb=4 * GB, max_rss_mb=3.9 * GB)]) == [
        "Ask for 6 GB instead of 4 GB: 3 jobs were killed for memory, and the largest use known is 3.9 GB."
    ]
    assert said(killed[:1]) == ["Ask for 6 GB instead of 4 GB: 1 job was killed for memory."]


def test_the_few_that_need_far_more_are_no_reason_to_ask_for_it_for_all() -> None:
    killed = rows(3, asked_mem_mb=16 * GB, max_rss_mb=16 * GB, state="OUT_OF_MEMORY")
    (sentence,) = said([*killed, *rows(97, asked_mem_mb=16 * GB, max_rss_mb=2 * GB)])
    assert sentence == (
        "Ask for 2.5 GB instead of 16 GB: the largest of 97 jobs used 2 GB. But 3 were killed for memory: let these run again "
        "with more, by retry=submitit.Retry(out_of_memory=2)."
    )


def test_next_to_the_limit() -> None:
    assert said(rows(20, asked_time_s=3600, run_s=3500.0)) == [
        "Ask for 1 h 15 min instead of 1 h: the longest of 20 jobs ran 58 min 20 s, next to the limit."
    ]


def test_time() -> None:
    (one,) = advice(rows(20, asked_time_s=4 * 3600, run_s=1860.0))
    assert one.sentence == "Ask for 40 min instead of 4 h: the longest of 20 jobs ran 31 min."
    assert one.parameter == "timeout_min=40"
    assert said(rows(2, asked_time_s=7200, run_s=7200.0, state="TIMEOUT")) == [
        "Ask for 3 h instead of 2 h: 2 jobs ran out of time."
    ]


def test_a_shorter_time_that_changes_nothing_is_not_advised() -> None:
    assert advice(rows(20, asked_time_s=300, run_s=1.0)) == []


def test_cpus() -> None:
    (one,) = advice([*rows(19, asked_cpus=16, tasks=2, cpu_s=120.0), row("20", asked_cpus=16, tasks=2, cpu_s=900.0)])
    assert (
        one.sentence
        == "Ask for 2 CPUs a task instead of 8 CPUs a task: nine in ten of 20 jobs kept at most 1 CPU busy."
    )
    assert one.parameter == "cpus_per_task=2"
    assert advice(rows(20, asked_cpus=8, cpu_s=480.0)) == [], "all of them busy"
    assert advice(rows(20, asked_cpus=8, cpu_s=0.5, run_s=1.0)) == [], "too short to tell"


def test_tasks_of_slurm_tell_each_of_itself() -> None:
    assert memory_used(row(backend="slurm", tasks=8, nodes=2, max_rss_mb=100.0)) == 400.0
    assert memory_used(row(backend="local", tasks=8, max_rss_mb=100.0)) == 100.0
    assert memory_used(row(max_rss_mb=None)) is None


def test_what_is_not_known_is_no_zero() -> None:
    assert cpus_used(row(cpu_s=None)) is None
    assert cpus_used(row(run_s=None)) is None
    assert cpus_used(row(run_s=0.0)) is None
    assert cpus_used(row(cpu_s=0.0)) == 0.0


def test_where_jobs_were_ended_comes_first() -> None:
    ended = rows(2, name="b", asked_time_s=7200, state="TIMEOUT")
    near = rows(20, name="c", asked_mem_mb=GB, max_rss_mb=1000.0)
    less = rows(20, name="a", asked_mem_mb=16 * GB)
    assert [one.name for one in advice([*less, *near, *ended])] == ["b", "c", "a"]


@given(st.lists(st.floats(1, 1e6), min_size=1), st.floats(0.01, 1))
def test_a_quantile_is_a_value_that_so_many_do_not_exceed(values: list[float], part: float) -> None:
    found = quantile(values, part)
    assert found in values
    assert sum(value <= found for value in values) >= part * len(values) - 1e-6
    assert sum(value < found for value in values) < part * len(values) + 1e-6


@given(
    st.lists(st.floats(1, 1e5), min_size=1, max_size=30),
    st.floats(64, 1e6),
    st.lists(st.sampled_from(["COMPLETED", "OUT_OF_MEMORY", "FAILED"]), min_size=30, max_size=30),
)
def test_less_is_never_less_than_what_was_used(used: list[float], asked: float, states: list[str]) -> None:
    found = [row(max_rss_mb=one, asked_mem_mb=asked, state=state) for one, state in zip(used, states, strict=False)]
    for one in advice(found):
        good = [value for value, state in zip(used, states, strict=False) if state == "COMPLETED"]
        assert one.suggested > max(good, default=0) or (one.ended and not good)
        assert one.suggested != asked
        assert one.more or max(good) <= NEAR * asked
        assert one.sentence.endswith(".")
