"""Lists of nodes."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from submitit.slurm.nodelist import SlurmParseException, _parse_node_list


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("n1", ["n1"]),
        ("a,b", ["a", "b"]),
        ("n[1-3]", ["n1", "n2", "n3"]),
        ("n[1-3,07]", ["n1", "n2", "n3", "n07"]),
        ("gpu-[001-002]x[1-2]", ["gpu-001x1", "gpu-001x2", "gpu-002x1", "gpu-002x2"]),
        ("n[1,07],g-[08-10]", ["n1", "n07", "g-08", "g-09", "g-10"]),
        ("a[1,2]b[3]c", ["a1b3c", "a2b3c"]),
        ("host1,host[2-3],host4", ["host1", "host2", "host3", "host4"]),
        ("n[1-3]-ib", ["n1-ib", "n2-ib", "n3-ib"]),
        ("[1-2]", ["1", "2"]),
        ("a[1],", ["a1"]),
        ("a.b-c_d", ["a.b-c_d"]),
        ("None assigned", ["None assigned"]),
    ],
)
def test_lists_are_read_as_version_1_read_them(text: str, expected: list[str]) -> None:
    assert _parse_node_list(text) == expected


@pytest.mark.parametrize("text", ["a[1", "a]1", "n]", "a[]", "a,,b", ",", "n[[1]]", "n[1-x]", "n[2-1]", "n[1-2,]", "n[0-9999999]", "a[0-9999]b[0-9999]"])  # fmt: skip
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(SlurmParseException, match="Unrecognized format for SLURM_JOB_NODELIST") as info:
        _parse_node_list(text)
    assert repr(text) in str(info.value)
    assert isinstance(info.value.__cause__, ValueError)


@given(st.text() | st.text(alphabet="ab[]-,0129", max_size=20))
@example(
    "[0-1][0-1][0-1][0-1][0-1][0-1][0-1][0-1][0-1][0-1][0-1][0-1][0-1][0-1][0-1][0-1][0-1][0-1][0-1][0-1][0-1][0-1]"
)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        names = _parse_node_list(text)
    except SlurmParseException:
        return
    assert all(names)


@given(
    st.lists(
        st.tuples(st.from_regex(r"[a-z]{1,3}-?", fullmatch=True), st.integers(0, 99), st.integers(0, 5)), max_size=5
    )
)
def test_ranges_are_expanded_in_order_and_keep_their_width(parts: list[tuple[str, int, int]]) -> None:
    text = ",".join(f"{name}[{first:03}-{first + more:03}]" for name, first, more in parts)
    assert _parse_node_list(text) == [f"{name}{first + i:03}" for name, first, more in parts for i in range(more + 1)]


def test_a_list_of_everything_a_cluster_has_takes_no_time() -> None:
    """What is read grows with the text, not with its square: of this one that would take a minute."""
    numbers = ",".join(str(number) for number in range(0, 2 * 60_000, 2))
    names = _parse_node_list(f"{'x' * 1000}[{numbers}],last")
    assert len(names) == 60_001
    assert _parse_node_list("a" * 1_000_000) == ["a" * 1_000_000]
