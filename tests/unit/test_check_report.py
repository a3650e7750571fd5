"""`tools/check_report.py`: with CI=true nothing may be left out."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def complaints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """What is said of a report with the given cases, where `tests/unit` and `tests/contract` hold tests."""
    for tier in ("unit", "contract"):
        (tmp_path / "tests" / tier).mkdir(parents=True)
        (tmp_path / "tests" / tier / "test_a.py").touch()
    monkeypatch.chdir(tmp_path)
    tool = runpy.run_path(str(ROOT / "tools" / "check_report.py"))["complaints"]

    def check(*cases: str) -> list[str]:
        reports = [tmp_path / f"report-{number}.xml" for number in range(len(cases))]
        for report, its in zip(reports, cases, strict=True):
            report.write_text(f"<testsuites><testsuite>{its}</testsuite></testsuites>")
        found: list[str] = tool(reports, [Path("tests")])
        return found

    return check


RAN = '<testcase classname="tests.{}.test_a" name="test_x"/>'


def test_all_ran(complaints: Callable[..., list[str]]) -> None:
    assert complaints(RAN.format("unit") + RAN.format("contract")) == []
    assert complaints(RAN.format("unit"), RAN.format("contract")) == []


def test_an_expected_failure_did_run(complaints: Callable[..., list[str]]) -> None:
    expected = RAN.format("unit").replace("/>", '><skipped type="pytest.xfail" message="m"/></testcase>')
    assert complaints(expected + RAN.format("contract")) == []


def test_a_skipped_test_is_named_with_its_reason(complaints: Callable[..., list[str]]) -> None:
    skipped = RAN.format("unit").replace("/>", '><skipped type="pytest.skip" message="no Slurm"/></testcase>')
    assert complaints(skipped + RAN.format("unit") + RAN.format("contract")) == [
        "skipped: tests.unit.test_a test_x: no Slurm"
    ]


def test_a_tier_of_which_nothing_ran_is_named(complaints: Callable[..., list[str]]) -> None:
    assert complaints(RAN.format("unit")) == ["nothing ran below tests/contract"]
