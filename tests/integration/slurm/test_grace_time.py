"""Jobs that are taken away for others, on a cluster that sends SIGTERM and gives a grace time, and keeps no accounts.

Every job here is at the end of a limit of two minutes all the time: that it is preempted is not for a clock to say.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from submitit import errors
from support import faults
from support.attempts import Attempts, come_back, is_preempted, on, preempt, refusing_scontrol, start_all
from support.reliability import Fault
from support.slurm_cluster import SlurmCluster, missing_programs
from support.slurm_jobs import Client, use

pytestmark = [pytest.mark.slurm, pytest.mark.usefixtures("unasked")]

SAVING = [kind for kind in faults.KINDS if kind != "plain"]
EVERYWHERE = "Nodes=n1,n2 State=UP DefaultTime=10 MaxTime=UNLIMITED PriorityTier=1"


@pytest.fixture(scope="module")
def graceful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    """It sends no user signal and keeps no accounts. Jobs of ``graced`` are requeued, those of ``dropped`` are not."""
    if missing := missing_programs(accounting=False):
        pytest.skip(f"no Slurm here: {', '.join(missing)}")
    partitions = [
        f"PartitionName=graced {EVERYWHERE} PreemptMode=REQUEUE GraceTime=10",
        f"PartitionName=dropped {EVERYWHERE} PreemptMode=CANCEL GraceTime=10",
    ]
    with SlurmCluster(
        tmp_path_factory.mktemp("graceful"),
        accounting=False,
        settings={"SlurmctldParameters": None},
        extra_lines=partitions,
    ) as cluster:
        yield cluster


@pytest.fixture
def slurm(graceful: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> SlurmCluster:
    """In the place of the shared cluster."""
    use(graceful, monkeypatch)
    return graceful


WITH_GRACE = "preempted, with SIGTERM and a grace time alone"
DROPPED = "preempted where `PreemptMode=CANCEL`, with a grace time"


def test_with_a_grace_time(client: Client, waits: ThreadPoolExecutor, fault: Fault) -> None:
    """A job that ends by itself within its grace time is not run again by Slurm (22.05): these ask for it."""
    low = [
        Attempts(client, waits, f"{number}").of_kind(kind, **on("n1", "graced")) for number, kind in enumerate(SAVING)
    ]
    dropped = [
        Attempts(client, waits, f"dropped-{number}").of_kind(kind, **on("n2", "dropped"))
        for number, kind in enumerate(SAVING)
    ]
    high = preempt(client, waits, [*low, *dropped])
    fault.injected()
    for attempts in dropped:
        attempts.until_waiting()
    come_back(high, low, fault, WITH_GRACE)
    start_all(dropped)
    for attempts in dropped:
        sees = attempts.until_started(1).ran_again()
        is_preempted(attempts)
        fault.seen(DROPPED, sees, job=attempts.kind)


@pytest.mark.long
@pytest.mark.timeout(400)
def test_with_a_grace_time_and_functions_that_go_on(
    client: Client, waits: ThreadPoolExecutor, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slurm ends them at its first look at limits after the grace time, and KillWait later."""
    plain = [
        Attempts(client, waits, f"plain-{srun}").of_kind("plain", **on("n1", "graced", cpus=2, slurm_use_srun=srun))
        for srun in (True, False)
    ]
    script = Attempts(client, waits, "script").of_kind("checkpointable", **on("n1", "graced", slurm_use_srun=False))
    refused = Attempts(client, waits, "refused").of_kind(
        "checkpointable", **on("n2", "graced", slurm_setup=[refusing_scontrol(client.directory)])
    )
    dropped = Attempts(client, waits, "dropped").of_kind("plain", **on("n2", "dropped"))
    high = preempt(client, waits, [*plain, script, refused, dropped])
    fault.injected()
    refused.until_waiting()
    come_back(high, [*plain, script], fault, WITH_GRACE)
    sees = refused.start_again().until_started(1).ran_again()
    assert refused.said("Calling checkpoint method.") == 1
    assert (client.directory / "refusals").exists()
    fault.seen(f"{WITH_GRACE}, and `scontrol requeue` is refused", sees, job="checkpointable")

    monkeypatch.setattr("submitit.orchestrator.tracker.FIRST_QUESTION_S", 0.5)
    monkeypatch.setattr("submitit.orchestrator.tracker._QUESTIONS", {})
    error = dropped.job.exception(180)
    assert type(error) is errors.UncompletedJobError, repr(error)
    assert "state: PREEMPTED" in str(error)
    fault.seen(DROPPED, "`UncompletedJobError`: PREEMPTED", job="plain", lost="what it did")
