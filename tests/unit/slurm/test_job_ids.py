"""Ids of jobs, arrays, elements, components and steps."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from submitit.slurm import job_ids

INDICES = st.sets(st.integers(0, 300), min_size=1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12", [("12",)]),
        ("12_3", [("12", "3")]),
        ("12_[0]", [("12", "0")]),
        ("12_[0-4%3]", [("12", "0", "4")]),
        ("12_[0-4]%3", [("12", "0", "4")]),
        ("12_[0-4,7%3]", [("12", "0", "4"), ("12", "7")]),
        ("20_[2-7,12-17,22%56]", [("20", "2", "7"), ("20", "12", "17"), ("20", "22")]),
        ("12_[3,5,7-9]", [("12", "3"), ("12", "5"), ("12", "7", "9")]),
        ("12_[1-3].batch", [("12", "1", "3")]),
        ("12.batch", [("12.batch",)]),
        ("123+0", [("123+0",)]),
        ("abc", [("abc",)]),
    ],
)
def test_read_job_id_answers_as_version_1_did(text: str, expected: list[tuple[str, ...]]) -> None:
    assert job_ids.read_job_id(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12_[0-6:2%3]", [("12", "0"), ("12", "2"), ("12", "4"), ("12", "6")]),
        ("12_3.0", [("12", "3")]),
        ("12_3.extern", [("12", "3")]),
        ("12_[1,2,...]", [("12", "1"), ("12", "2")]),
        ("12_[]", None),
    ],
)
def test_read_job_id_reads_what_version_1_did_not(text: str, expected: list[tuple[str, ...]] | None) -> None:
    if expected is None:
        with pytest.raises(ValueError, match="Not a Slurm job id"):
            job_ids.read_job_id(text)
    else:
        assert job_ids.read_job_id(text) == expected


@pytest.mark.parametrize("text", ["", "12_", "_3", "12_[", "12_x", "12_3_4", "12_[1-]", "12_[-1]", "12_[5-2]", "12_[1-3:0]", "1 2", "12_*", "12_[[1]]", "12_\u0661"])  # fmt: skip
def test_nonsense_is_refused(text: str) -> None:
    if text == "12_[":  # cut right at its beginning: an array of which nothing is known
        assert job_ids.parse(text) == job_ids.JobIds("12", array=True, cut=True)
        return
    with pytest.raises(ValueError, match="Not a Slurm job id"):
        job_ids.parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20_[0,2,4,6,8,10,12,14,16,18,20", "0 2 4 6 8 10 12 14 16 18"),  # squeue's column: no dots, no bracket
        ("20_[28,30,34-99,121-149,151...]", None),
        ("20_[0,2,4...%3]", "0 2"),
        ("20_[0,2,...]", "0 2"),
        ("20_[0-2,40-4...]", "0 1 2 40"),
        ("20_[0-2,40-...]", "0 1 2 40"),
        ("20_[0-198:3", "0"),
    ],
)
def test_of_a_cut_list_only_what_is_whole_is_taken(text: str, expected: str | None) -> None:
    assert job_ids.is_cut(text)
    names = list(job_ids.expand(text))
    if expected is None:
        assert "20_151" not in names
        assert {"20_28", "20_34", "20_149"} <= set(names)
    else:
        assert names == [f"20_{index}" for index in expected.split()]


def test_a_whole_list_is_not_cut() -> None:
    assert not any(map(job_ids.is_cut, ["20", "20_1", "20_[1,2]", "20_[0-20:2%3]", "20.batch", "123+1"]))


def test_ranges_are_not_spelt_out() -> None:
    names = job_ids.expand("12_[0-4000000000]")
    assert list(itertools.islice(names, 2)) == ["12_0", "12_1"]
    ids = job_ids.parse("12_[0-4000000000:2]")
    assert ids.includes(3_999_999_998)
    assert not ids.includes(3)


def test_more_elements_than_any_array_has_are_refused_where_each_would_be_listed() -> None:
    with pytest.raises(ValueError, match="Too many"):
        job_ids.read_job_id("12_[0-4000000000:2]")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12", ("12", "")),
        ("12.batch", ("12", "batch")),
        ("12.0", ("12", "0")),
        ("12_4.0", ("12_4", "0")),
        ("12_4.ext+", ("12_4", "ext+")),
        ("123+1.extern", ("123+1", "extern")),
        ("12_[1,2,...]", ("12_[1,2,...]", "")),
        ("12_[1,2,...].0", ("12_[1,2,...]", "0")),
    ],
)
def test_steps_are_told_from_jobs(text: str, expected: tuple[str, str]) -> None:
    assert job_ids.split_step(text) == expected


def test_main_ids_come_once_and_in_order() -> None:
    assert job_ids.main_ids(["12_3", "9", "12_4.batch", "12_[5-6]", "9.0", "1+0"]) == ["12", "9", "1+0"]


@pytest.mark.parametrize(
    ("given_ids", "expected"),
    [
        (["12"], ["12"]),
        (["12_3"], ["12_3"]),
        (["12_3", "12_1", "12_2", "12_7", "13"], ["12_[1-3,7]", "13"]),
        (["12_1", "12_2"], ["12_[1-2]"]),
        (["12_1", "12"], ["12"]),
        (["12", "12_1"], ["12"]),
        (["12_[0-3]", "12_[3-5]"], ["12_[0-5]"]),
        ([], []),
    ],
)
def test_ranges_are_short(given_ids: list[str], expected: list[str]) -> None:
    assert job_ids.ranges(given_ids) == expected


@given(INDICES)
def test_ranges_name_what_they_were_made_of(indices: set[int]) -> None:
    (text,) = job_ids.ranges(f"7_{index}" for index in indices)
    assert list(job_ids.expand(text)) == [f"7_{index}" for index in sorted(indices)]


@given(INDICES, st.integers(1, 80))
def test_a_list_cut_anywhere_names_no_element_that_was_not_there(indices: set[int], length: int) -> None:
    (whole,) = job_ids.ranges([*(f"7_{index}" for index in indices), "7_999", "7_998"])
    shown, items = whole[: 3 + length], whole[3:-1]
    if len(shown) < 3 or shown == whole:
        return
    for cut in (shown, f"7_[{items[:length]}...]", f"7_[{items[:length]}...%4]"):
        assert set(job_ids.expand(cut)) <= set(job_ids.expand(whole))


@given(st.text())
@example("12_[" + "9" * 5000 + "]")
@example("0_[0-0:0]")
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (job_ids.parse, job_ids.read_job_id, job_ids._expand_id_suffix):
        try:
            read(text)
        except ValueError:
            continue
    job, step = job_ids.split_step(text)
    assert text in (job, f"{job}.{step}")


@given(st.from_regex(r"[0-9]{1,3}(_([0-9]{1,4}|\[[0-9,:%.-]{0,12}\]?))?(\.[0-9a-z+]{0,4})?", fullmatch=True))
def test_what_looks_like_an_id_is_read_or_refused(text: str) -> None:
    try:
        ids = job_ids.parse(text)
    except ValueError:
        return
    assert ids.main == job_ids.main_id(text)
    assert ids.step == job_ids.split_step(text)[1]
    assert ids.array == ("_" in text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1-3,07", ["1", "2", "3", "07"]),
        ("09-11", ["09", "10", "11"]),
        ("099-101", ["099", "100", "101"]),
        ("3-1", []),
        ("", [""]),
        ("a", ["a"]),
    ],
)
def test_expand_id_suffix_answers_as_version_1_did(text: str, expected: list[str]) -> None:
    assert job_ids._expand_id_suffix(text) == expected


@pytest.mark.parametrize("text", ["1-", "-1", "1-2-3", "1-x", "0-99999999", "1_0-2"])
def test_expand_id_suffix_refuses_what_is_no_range(text: str) -> None:
    with pytest.raises(ValueError, match=r"(?i)numbers"):
        job_ids._expand_id_suffix(text)


@pytest.mark.parametrize(
    "text", ["12_[0-4,7,9-11]", "12_[0-10:2]", "12_[0-10:2,1-5:2]", "12_[7,1-3]", "12_5", "12_[0-3,2-9]"]
)
def test_elements_are_found_as_they_are_listed(text: str) -> None:
    ids = job_ids.parse(text)
    elements = job_ids.Elements(ids.spans)
    assert [index for index in range(-1, 20) if index in elements] == [i for i in range(-1, 20) if ids.includes(i)]


@pytest.mark.parametrize(("job_id", "leader"), [("12", "12"), ("12_3", "12"), ("12+1", "12"), ("12+0.batch", "12")])
def test_the_leader_is_asked_for(job_id: str, leader: str) -> None:
    assert job_ids.leader_id(job_id) == leader
