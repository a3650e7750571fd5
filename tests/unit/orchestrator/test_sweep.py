"""Which of many jobs may have left a result, from listings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from submitit.client.job import Job
from submitit.orchestrator import sweep


@pytest.mark.parametrize("template", ["", "%j", "logs/%A/%a", "a-%j/b"])
@pytest.mark.parametrize("count", [3, sweep.LISTED_FROM + 5])
def test_a_result_is_among_the_candidates(tmp_path: Path, template: str, count: int) -> None:
    jobs: list[Job[Any]] = [Job(tmp_path / template, f"12_{index}") for index in range(count)]
    swept = sweep.Sweep(jobs)
    listed = count >= sweep.LISTED_FROM
    if listed and "/" not in template:
        assert swept.candidates() == []
    path = jobs[2].paths.result_pickle
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    for _ in range(2):
        found = swept.candidates()
        assert jobs[2] in found
        if listed and "%A" not in template:  # the elements of one array are all below one entry
            assert found == [jobs[2]]


def test_a_folder_that_is_not_there_rules_nothing_out(tmp_path: Path) -> None:
    jobs: list[Job[Any]] = [Job(tmp_path / "gone" / "%j", str(index)) for index in range(sweep.LISTED_FROM)]
    assert sweep.Sweep(jobs).candidates() == jobs
