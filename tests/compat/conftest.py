"""Fixtures of the tests about what code written for 1.x relies on."""

from __future__ import annotations

import logging
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import submitit
from support.stand_in import StandIn

V1 = Path(__file__).parents[1] / "data" / "v1"
_SIGNALS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGCONT, signal.SIGINT)


@pytest.fixture
def process() -> Iterator[None]:
    """This process may run a job: its signal handlers, its logger and its environment are as before afterwards."""
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    environment = dict(os.environ)
    logger = logging.getLogger("submitit")
    before = (list(logger.handlers), logger.level, logger.propagate)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.environ.clear()
        os.environ.update(environment)
        logger.handlers[:], logger.level, logger.propagate = before


@pytest.fixture
def stand_in(process: None) -> Iterator[StandIn]:
    """A cluster that is not there."""
    submitit.SlurmJob.watcher.clear()
    with StandIn().active() as active:
        yield active


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "jobs"


@pytest.fixture
def v1(tmp_path: Path) -> Path:
    """A copy of what jobs of 1.5.4 have left."""
    copy = tmp_path / "v1"
    shutil.copytree(V1, copy, ignore=shutil.ignore_patterns("*.py"))
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)  # whatever the mask of the checkout was
    return copy


@pytest.fixture(autouse=True)
def _no_job_is_asked_for_later() -> Iterator[None]:
    """Handles of Slurm jobs are remembered by their class, for questions of any other test's."""
    yield
    submitit.SlurmJob.watcher.clear()
