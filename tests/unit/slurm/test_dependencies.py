"""What jobs wait for, as Slurm is told: lists in runs, and each run's text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submitit.orchestrator.dependencies import Upstream, Waits
from submitit.slurm.dependencies import Run, merged, runs, text


def up(job_id: str) -> Upstream:
    return Upstream("slurm", "/jobs", job_id)


def own(*job_ids: str) -> Waits:
    return Waits(own=tuple(map(up, job_ids)))


def told(waits: list[Waits], done: tuple[str, ...] = (), **sizes: int) -> list[tuple[int, int, str]]:
    """Each run: where it begins, how long it is, and what it waits for."""
    known = {name.removeprefix("a"): size for name, size in sizes.items()}
    return [
        (
            run.base,
            run.size,
            text(waits[run.first : run.first + run.size], run, known, set(map(up, done)), set(map(up, done))),
        )
        for run in runs(waits)
    ]


@pytest.mark.parametrize(
    ("waits", "expected"),
    [
        ([own("7")], [(0, 1, "afterok:7")]),
        ([own("7_3")], [(0, 1, "afterok:7_3")]),
        ([own("7", "9")] * 3, [(0, 3, "afterok:7:9")]),
        ([own("7", "9"), own("9", "7")], [(0, 2, "afterok:7:9")]),
        ([own("7_0"), own("7_1"), own("7_2")], [(0, 3, "aftercorr:7")]),
        ([own("7_4"), own("7_5")], [(4, 2, "aftercorr:7")]),
        ([own("7_0", "8_0"), own("8_1", "7_1")], [(0, 2, "aftercorr:7:8")]),
        ([own("7_0", "8_1"), own("7_1", "8_2")], [(0, 1, "afterok:7_0:8_1"), (0, 1, "afterok:7_1:8_2")]),
        ([own("7_0", "8"), own("7_1", "8")], [(0, 1, "afterok:7_0:8"), (0, 1, "afterok:7_1:8")]),
        ([own("7_0"), own("7_1"), own("8_0"), own("8_1")], [(0, 2, "aftercorr:7"), (0, 2, "aftercorr:8")]),
        ([own("7_1"), own("7_0")], [(0, 1, "afterok:7_1"), (0, 1, "afterok:7_0")]),
        ([own("7"), own("7"), own(), own()], [(0, 2, "afterok:7"), (0, 2, "")]),
        ([own("het+1_0"), own("x_y")], [(0, 1, "afterok:het+1_0"), (0, 1, "afterok:x_y")]),
    ],
)  # fmt: skip
def test_a_list_is_sent_in_runs(waits: list[Waits], expected: list[tuple[int, int, str]]) -> None:
    assert told(waits) == expected


def test_what_is_common_to_all_stands_beside() -> None:
    waits = [Waits((up("1"), up("2")), (up("3"),), (up(f"7_{k}"),)) for k in range(2)]
    assert told(waits) == [(0, 2, "afterok:1:2,aftercorr:7,afterany:3")]
    assert told([Waits((up("1"),), (), (up("1"),))]) == [(0, 1, "afterok:1")]


def test_a_whole_array_is_named_once() -> None:
    waits = [own("5", "7_0", "7_1", "7_2", "8_0")]
    assert told(waits, a7=3, a8=2) == [(0, 1, "afterok:5:7:8_0")]
    assert told(waits, ("7_1",), a7=3, a8=2) == [(0, 1, "afterok:5:7_0:7_2:8_0")]


def test_what_is_done_is_not_named() -> None:
    in_step = [own("7_0"), own("7_1")]
    assert told(in_step, ("7_0",)) == [(0, 2, "aftercorr:7")]
    assert told(in_step, ("7_0", "7_1")) == [(0, 2, "")]
    assert told([Waits((up("1"),), (up("3"),), (up("4"),))], ("1", "3", "4")) == [(0, 1, "")]


@given(st.lists(st.lists(st.sampled_from(["1", "2", "7_0", "7_1", "7_2", "8_1", "8_2"]), unique=True, max_size=2)))
def test_no_element_waits_for_more_or_less_than_it_has_to(lists: list[list[str]]) -> None:
    waits = [own(*ids) for ids in lists]
    place = 0
    for run in runs(waits):
        assert run.first == place
        for offset in range(run.size):
            waited = [f"{array}_{run.base + offset}" for array in run.arrays]
            if not run.arrays:
                waited = text(waits[run.first : run.first + run.size], run, {}, ()).partition("afterok:")[2].split(":")
            assert sorted(filter(None, waited)) == sorted(lists[place + offset])
        place += run.size
    assert place == len(waits)


def test_a_part_of_a_run_in_step_without_arrays() -> None:
    """Where a cluster takes no arrays, each element is a job of its own."""
    assert text([own("7_1")], Run(1, 1), {}, ()) == "afterok:7_1"


def test_the_users_own_dependency_stays() -> None:
    assert merged(None, "afterok:1") == "afterok:1"
    assert merged("singleton", "afterok:1") == "singleton,afterok:1"
    with pytest.raises(ValueError, match=r"dependency='afterok:1\?afterok:2' waits for any one"):
        merged("afterok:1?afterok:2", "afterok:3")
