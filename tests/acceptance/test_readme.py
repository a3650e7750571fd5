"""The README's example does what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[2] / "README.md"


def test_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    # In this process: a partition and a GPU are not to be had everywhere.
    here = example.replace('folder="logs/%j"', 'folder="logs/%j", cluster="debug"')
    assert here != example
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "example"}
    exec(compile(here, str(README), "exec"), names)
    job, jobs, best = names["job"], names["jobs"], names["best"]
    assert job.result() == 0.9  # type: ignore[attr-defined]
    assert [one.result() for one in jobs] == [0.7, 0.9, 0.97]  # type: ignore[attr-defined]
    assert best.result() == 0.97  # type: ignore[attr-defined]
