from __future__ import annotations

import pytest

from support import recordings


@pytest.fixture(params=recordings.versions())
def golden(request: pytest.FixtureRequest) -> recordings.Recordings:
    """What a real Slurm printed, once for each version of which there are recordings."""
    return recordings.Recordings(request.param)
