"""Each time in which Slurm is away is told once."""

from __future__ import annotations

import time

import pytest

from submitit.slurm import outages


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    return clock


def test_an_outage_is_told_once_and_a_later_one_again(now: list[float], caplog: pytest.LogCaptureFixture) -> None:
    told = outages.Outages()
    for _ in range(20):  # it comes and goes
        told.failed("squeue", "no controller")
        now[0] += outages.OVER_AFTER_S * 0.9
        told.answered()
        now[0] += outages.OVER_AFTER_S * 0.9
    assert len(caplog.records) == 1
    told.answered()
    now[0] += outages.OVER_AFTER_S
    told.answered()
    told.failed("sacct", "no database")
    told.failed("squeue", "no controller")
    assert ["squeue did not" in caplog.messages[0], "sacct did not" in caplog.messages[1]] == [True, True]
    assert len(caplog.records) == 2


def test_a_command_that_is_not_installed_is_told_once(now: list[float], caplog: pytest.LogCaptureFixture) -> None:
    told = outages.Outages()
    for _ in range(3):
        told.absent("sacct", "so be it")
        told.answered()
    told.failed("squeue", "no controller")
    assert ["There is no sacct on PATH: so be it" in caplog.messages[0], len(caplog.messages)] == [True, 2]
