"""Jobs that the kernel ends because they use more memory than they asked for."""

from __future__ import annotations

import pytest

from submitit import errors
from support import faults
from support.reliability import Fault
from support.slurm_jobs import DEADLINE_S, Client

pytestmark = [pytest.mark.slurm, pytest.mark.usefixtures("unasked")]


def test_killed_for_memory(client: Client, fault: Fault) -> None:
    """Nobody has the time to save anything."""
    if not client.cluster.has_cgroup:
        pytest.skip("memory is not limited here")
    made = {kind: client.submit(make(str(client.directory)), mem_gb=0.2) for kind, make in faults.GREEDY.items()}
    for kind, job in made.items():
        error = job.exception(DEADLINE_S)
        assert type(error) is errors.JobOutOfMemoryError, repr(error)
        assert "ReqMem=204M" in str(error)
        assert not (client.directory / "attempt-0").exists()
        fault.seen(
            "killed for its memory",
            "`JobOutOfMemoryError` with what was asked for and what was used",
            job=kind,
            lost="what it did since its last checkpoint",
            timed=False,
        )
