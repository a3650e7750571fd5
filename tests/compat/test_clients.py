"""Libraries that are in use over 1.x, installed from PyPI: what passes over 1.5.4 passes over this package."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import clients
from support.clients import SUITES, Suite


@pytest.mark.long
@pytest.mark.slurm
@pytest.mark.timeout(600)
@pytest.mark.parametrize("suite", SUITES, ids=str)
def test_what_passes_over_1_x_passes(suite: Suite, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    slurm_conf = request.getfixturevalue("cluster").env["SLURM_CONF"] if suite.backend == "Slurm" else None
    compared = clients.compare(suite, tmp_path / "work", slurm_conf)
    assert compared.passed_over_1_x, "nothing passes over 1.x"
    assert not compared.lost, compared.output[-20_000:]
