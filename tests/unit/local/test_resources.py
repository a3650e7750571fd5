from __future__ import annotations

import os
from pathlib import Path

import pytest

from submitit.local import resources


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A control group directory, and below it one of a job, in which this process seems to be."""
    (tmp_path / "job").mkdir()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)), raising=False)
    monkeypatch.setattr(
        resources, "_cgroup_directories", lambda _name: [(str(tmp_path / "job"), 2), (str(tmp_path), 2)]
    )
    return tmp_path


def test_the_affinity_mask_counts(cgroup: Path) -> None:
    assert resources.available_cpus() == 8


@pytest.mark.parametrize(
    "limits, expected",
    [
        ({"job": "250000 100000"}, 3),
        ({"job": "max 100000", ".": "100000 100000"}, 1),
        ({"job": "50000 100000"}, 1),
        ({"job": "nonsense"}, 8),
    ],
)
def test_the_tightest_quota_counts(cgroup: Path, limits: dict[str, str], expected: int) -> None:
    for directory, text in limits.items():
        (cgroup / directory / "cpu.max").write_text(text + "\n")
    assert resources.available_cpus() == expected


def test_the_older_interface(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpu.cfs_quota_us").write_text("200000\n")
    (tmp_path / "cpu.cfs_period_us").write_text("100000\n")
    monkeypatch.setattr(resources, "_cgroup_directories", lambda _name: [(str(tmp_path), 1)])
    assert resources._cgroup_cpus() == 2
    (tmp_path / "cpu.cfs_quota_us").write_text("-1\n")
    assert resources._cgroup_cpus() is None


def test_where_there_is_no_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(resources, "_cgroup_directories", lambda _name: [])
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert resources.available_cpus() == 1


def test_this_machine() -> None:
    assert 1 <= resources.available_cpus() <= (os.cpu_count() or 1)
