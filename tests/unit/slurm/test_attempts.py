"""Which submissions are tried again, and where they are looked for."""

from __future__ import annotations

import pytest

from submitit.errors import SubmissionRefusedError
from submitit.slurm import attempts
from support.recordings import Recordings


@pytest.mark.parametrize(
    ("script", "clusters"),
    [
        ("#!/bin/bash\n#SBATCH --clusters=far\n", "far"),
        ("#SBATCH --clusters='far,near'\n#SBATCH --time=3\n", "far,near"),
        ("#SBATCH -M far\n", "far"),
        ("#SBATCH --cluster=far\n", "far"),
        ("#SBATCH --comment='--clusters=far'\necho '#SBATCH'\n", ""),
    ],
)
def test_a_job_is_looked_for_on_the_clusters_that_it_was_sent_to(script: str, clusters: str) -> None:
    assert attempts.clusters_of(script) == clusters


def test_a_site_may_name_the_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SBATCH_CLUSTERS", "far")
    assert attempts.clusters_of("#!/bin/bash\n") == "far"


@pytest.mark.parametrize(
    ("failure", "transient"),
    [
        (TimeoutError("sbatch did not answer within 300 s"), True),
        (SubmissionRefusedError("sbatch x.sh exited with -9 and said nothing"), True),
        (SubmissionRefusedError("sbatch x.sh exited with 1 and said nothing"), False),
        (
            SubmissionRefusedError(
                "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"
            ),
            True,
        ),
        (SubmissionRefusedError("sbatch: error: Batch job submission failed: Unspecified error"), False),
    ],
)
def test_what_may_not_last(failure: Exception, transient: bool) -> None:
    assert attempts.is_transient(failure) is transient


def test_what_lasts_is_raised_as_it_is(golden: Recordings) -> None:
    failure = SubmissionRefusedError(golden("sbatch-partition").stderr)
    with pytest.raises(SubmissionRefusedError) as raised:
        attempts.again(failure, lambda: "never", "token", "#!/bin/bash\n")
    assert raised.value is failure


def test_what_was_sent_to_a_machine_without_slurm_is_not_tried_again(golden: Recordings) -> None:
    assert not attempts.is_transient(SubmissionRefusedError(golden("sbatch-no-slurm-conf").stderr))
