"""Real controllers, clients and jobs; nothing of them is left after a test."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import submitit
from submitit.local.connection import current
from support.local_processes import Clients, wait_until_none


@pytest.fixture
def clients(tmp_path: Path) -> Iterator[Clients]:
    """Programs that submit local jobs. Fails if one of their processes lives on when they are gone."""
    (tmp_path / "clients").mkdir()
    started = Clients(tmp_path / "clients")
    yield started
    started.close()
    assert wait_until_none(started) == []


@pytest.fixture
def executor(tmp_path: Path) -> Iterator[submitit.LocalExecutor]:
    """An executor of this process, whose controller is the same for all tests: what a test leaves behind is cancelled."""
    made = submitit.LocalExecutor(tmp_path / "jobs")
    made.update_parameters(timeout_min=10)
    yield made
    own = current()
    assert own is not None
    for root, job_id in list(own._open):
        own.cancel(root, job_id)
    deadline = time.monotonic() + 60
    while own._open:
        assert time.monotonic() < deadline, f"not over: {list(own._open)}"
        time.sleep(0.01)
        own.refresh()
