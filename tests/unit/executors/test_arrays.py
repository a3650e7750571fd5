"""Lists of submissions as arrays."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from submitit.executors import arrays
from submitit.executors.arrays import Part, Run


@given(count=st.integers(0, 500), largest=st.integers(1, 60))
def test_parts_cover_everything_once_and_are_balanced(count: int, largest: int) -> None:
    parts = arrays.parts(count, largest)
    assert [place for part in parts for place in range(part.first, part.stop)] == list(range(count))
    sizes = {part.size for part in parts}
    assert all(0 < size <= largest for size in sizes)
    assert not sizes or max(sizes) - min(sizes) <= 1
    assert len(parts) == -(-count // largest)


def test_parts_of_a_senseless_limit() -> None:
    assert arrays.parts(2, 0) == [Part(0, 1), Part(1, 1)]


def test_element_ids() -> None:
    assert arrays.element_ids("12", 3) == ["12_0", "12_1", "12_2"]


def test_runs_join_neighbours_of_one_array() -> None:
    ids = ["7", "8", "12_0", "12_1", "12_2", "12_4", "13_0", "13_1", "x_y", "9"]
    assert arrays.runs(ids) == [
        Run("", "7", 1),
        Run("", "8", 1),
        Run("12", "0", 3),
        Run("12", "4", 1),
        Run("13", "0", 2),
        Run("", "x_y", 1),
        Run("", "9", 1),
    ]


def test_ids_in_few_words() -> None:
    assert arrays.words(["7", "12_0", "12_1", "12_2", "13_4"]) == "7, 12_[0-2], 13_4"
    assert arrays.words([f"{number}" for number in range(5)], most=3) == "0, 1, 2, …"
    assert arrays.words([]) == ""


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 4))))
def test_runs_lose_nothing(pairs: list[tuple[int, int]]) -> None:
    ids = [f"{array}_{index}" for array, index in pairs]
    again = [f"{run.array}_{int(run.first) + k}" for run in arrays.runs(ids) for k in range(run.size)]
    assert again == ids
