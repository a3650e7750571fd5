"""Times, sizes and counts in words."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submitit import amounts


@pytest.mark.parametrize(
    "seconds, words",
    [
        (None, "not known"),
        (0, "0 s"),
        (0.0421, "0.042 s"),
        (1, "1 s"),
        (1.26, "1.3 s"),
        (12.4, "12 s"),
        (59.6, "1 min"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (3601, "1 h"),
        (187200, "2 d 4 h"),
        (86400 * 3 + 59, "3 d"),
    ],
)
def test_durations(seconds: float | None, words: str) -> None:
    assert amounts.duration(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (-1, "0.0s"),
        (0.04, "0.0s"),
        (9.94, "9.9s"),
        (9.96, "0:10"),
        (61, "1:01"),
        (3600, "1:00:00"),
        (90061, "1-01:01:01"),
    ],
)
def test_a_duration_as_slurm_writes_it(seconds: float | None, text: str) -> None:
    assert amounts.clock(seconds) == text


@pytest.mark.parametrize(
    "megabytes, words",
    [(None, "not known"), (0.5, "0.5 MB"), (512, "512 MB"), (1023.7, "1 GB"), (2150.4, "2.1 GB"), (16384, "16 GB")],
)
def test_memory(megabytes: float | None, words: str) -> None:
    assert amounts.memory(megabytes) == words


@pytest.mark.parametrize(
    "part, whole, words",
    [(0, 5, "0 %"), (1, 1000, "<1 %"), (1, 2, "50 %"), (999, 1000, "99 %"), (4, 4, "100 %"), (3, 2, "150 %")],
)
def test_a_share_is_all_or_nothing_only_where_it_is(part: float, whole: float, words: str) -> None:
    assert amounts.share(part, whole) == words


def test_counts() -> None:
    assert amounts.count(1, "job") == "1 job"
    assert amounts.count(5000, "job") == "5,000 jobs"


def test_a_moment_is_told_to_the_second() -> None:
    assert amounts.stamp(time.mktime((2026, 11, 20, 4, 30, 7, 0, 0, -1)) + 0.9) == "2026-11-20 04:30:07"


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (4096, "4.0 KB"), (1024**2 - 1, "1.0 MB"), (5 * 1024**6, "5,120.0 PB")],
)
def test_sizes(count: float, text: str) -> None:
    assert amounts.size(count) == text


@given(st.floats(0, 1e10))
def test_a_duration_is_the_seconds_it_says(seconds: float) -> None:
    sizes = {"d": 86400, "h": 3600, "min": 60, "s": 1}
    words = amounts.duration(seconds).replace(",", "").split()
    said = sum(float(number) * sizes[unit] for number, unit in zip(words[::2], words[1::2], strict=True))
    assert said == pytest.approx(seconds, rel=0.06, abs=0.001)
