"""Durations and moments, as users write them."""

from __future__ import annotations

import time

import pytest

from submitit.cli import times


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("1.5", 1.5),
        ("30s", 30),
        ("10m", 600),
        ("2h", 7200),
        ("1h30m", 5400),
        ("3d", 259200),
        ("1W", 604800),
    ],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert times.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "2x", "2 h", "-1", "1h30", "٣h", "nan", "1e3"])
def test_what_is_no_duration_is_none(text: str) -> None:
    assert times.seconds(text) is None


def test_since_is_a_duration_back_or_a_date() -> None:
    back = times.since("2h")
    assert back is not None
    assert abs(time.time() - 7200 - back) < 60
    assert times.since("2026-11-20 14:30") == time.mktime((2026, 11, 20, 14, 30, 0, 0, 0, -1))
    assert times.since("2026-11-20") == time.mktime((2026, 11, 20, 0, 0, 0, 0, 0, -1))
    assert times.since("yesterday") is None
    assert times.since("90") is None  # of what?


def test_a_moment_of_long_ago_is_a_day() -> None:
    now = time.mktime((2026, 11, 20, 14, 30, 0, 0, 0, -1))
    assert times.moment(now - 60, now) == "Nov 20 14:29"
    assert times.moment(now - 365 * 86400, now) == "2025-11-20"
