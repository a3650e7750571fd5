"""Jobs that requeue themselves: out of time, or told by hand to save their state. A client that waits lets them start at once."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import submitit
from submitit import errors
from submitit.slurm import requeued
from support import faults
from support.attempts import LONG_S, Attempts, refusing_scontrol
from support.reliability import Fault
from support.slurm_jobs import Client, run_out_of_time, until

pytestmark = [pytest.mark.slurm, pytest.mark.usefixtures("unasked")]

SAVING = [kind for kind in faults.KINDS if kind != "plain"]

# ---------------------------------------------------------------- out of time

#: Slurm looks at limits every 30 s, and warns at the first look within 30 s and the delay of the end: of a limit of a
#: minute with this delay between the seconds 25 and 55.
A_MINUTE: dict[str, Any] = {"timeout_min": 1, "slurm_signal_delay_s": 5}


@pytest.mark.long
@pytest.mark.timeout(400)
def test_out_of_time(client: Client, waits: ThreadPoolExecutor, fault: Fault) -> None:
    jobs = [
        Attempts(client, waits, f"{number}-{srun}").of_kind(kind, slurm_use_srun=srun, **A_MINUTE)
        for number, kind in enumerate(faults.KINDS)
        for srun in (True, False)
    ]
    exhausted = Attempts(client, waits, "exhausted").of_kind("checkpointable", max_num_timeout=1, **A_MINUTE)
    in_c = Attempts(client, waits, "in-c").submit(faults.InC(str(client.directory / "in-c")), **A_MINUTE)
    late = Attempts(client, waits, "late").submit(faults.InC(str(client.directory / "late")), **A_MINUTE)
    late.kind = "checkpointable"
    plain, saving = jobs[:2], jobs[2:]
    for attempts in (*jobs, exhausted, in_c, late):
        attempts.until_started()
    until(lambda: exhausted.said("this job is timed-out"), "a warning", LONG_S)
    fault.injected()
    (late.directory / "out").touch()

    # Those that run again first: their second minute passes.
    for attempts in (*saving, late):
        attempts.until_started(1).let_go()
    for attempts in saving:
        sees = attempts.ran_again()
        assert attempts.said("this job is timed-out") == 1
        assert attempts.said("(2 remaining timeouts)") == 1
        fault.seen("out of time", sees, job=attempts.kind)
    for attempts in plain:
        sees = attempts.failed(errors.JobTimeoutError)
        assert attempts.said("Job not requeued because: timed-out and not checkpointable.") == 1
        fault.seen("out of time", sees, job=attempts.kind, lost="what it did")

    sees = late.ran_again()
    assert late.said("(2 remaining timeouts)") == 1
    fault.seen("out of time while in C code, which returns before `KillWait` is over", sees, job="checkpointable")
    # Python's handler never ran: nobody saved anything.
    sees = in_c.failed(errors.JobTimeoutError)
    assert not in_c.said("Calling checkpoint method.")
    fault.seen(
        "out of time while in C code, to the end",
        sees,
        job="checkpointable",
        lost="what it did since its last checkpoint",
    )

    sees = exhausted.failed(errors.FailedJobError, "timed-out too many times")
    assert type(exhausted.error.result().__cause__) is errors.UncompletedJobError  # type: ignore[union-attr]
    assert not exhausted.path(2).exists()
    assert exhausted.said("(0 remaining timeouts)") == 1
    fault.seen(
        "out of time more often than `max_num_timeout`", f"{sees}: timed-out too many times", job="checkpointable"
    )


@pytest.mark.long
@pytest.mark.timeout(300)
def test_out_of_time_without_a_warning(client: Client, waits: ThreadPoolExecutor, fault: Fault) -> None:
    """Where the warning falls due together with the end, SIGTERM is all that comes."""
    jobs = [Attempts(client, waits, f"{number}").of_kind(kind) for number, kind in enumerate(SAVING)]
    for attempts in jobs:
        run_out_of_time(client.cluster, attempts.until_started().job.job_id)
    fault.injected()
    for attempts in jobs:
        sees = attempts.until_started(1).ran_again()
        assert attempts.said("(2 remaining timeouts)") == 1
        fault.seen("out of time, and the warning comes with the end", sees, job=attempts.kind)


# ---------------------------------------------------------------- by hand


@pytest.mark.parametrize("use_srun", [True, False])
@pytest.mark.parametrize("timeout", [True, False], ids=["as at a time-out", "as at a preemption"])
def test_interrupt(client: Client, waits: ThreadPoolExecutor, fault: Fault, timeout: bool, use_srun: bool) -> None:
    jobs = [
        Attempts(client, waits, f"{number}").of_kind(kind, slurm_use_srun=use_srun)
        for number, kind in enumerate(SAVING)
    ]
    for attempts in jobs:
        attempts.until_started()
    fault.injected()
    for attempts in jobs:
        attempts.interrupt(timeout=timeout)
    for attempts in jobs:
        sees = attempts.until_started(1).ran_again()
        assert attempts.said("Calling checkpoint method.") == 1
        fault.seen("told to save its state (`job._interrupt()`)", sees, job=attempts.kind)


@pytest.mark.long
def test_ranks_are_requeued_together_and_what_is_refused(
    client: Client, waits: ThreadPoolExecutor, fault: Fault
) -> None:
    """Rank 0 saves. The others go on until Slurm ends them, after KillWait. Meanwhile a job asks for its requeue in vain."""
    setup = refusing_scontrol(client.directory)
    refused = Attempts(client, waits, "refused").of_kind("checkpointable", slurm_setup=[setup]).until_started()
    jobs = [
        Attempts(client, waits, f"{number}").of_kind(kind, nodes=2, tasks_per_node=1)
        for number, kind in enumerate(SAVING)
    ]
    for attempts in jobs:
        attempts.until_started()
        until(lambda job=attempts.job: "Loading pickle" in (job.task(1).stdout() or ""), "rank 1")  # type: ignore[misc]
    fault.injected()
    for attempts in (*jobs, refused):
        attempts.interrupt(timeout=True)
    for attempts in jobs:
        sees = attempts.until_started(1).ran_again()
        assert "Slurm could not" not in (attempts.job.task(1).stdout() or "")
        fault.seen("told to save its state; rank 0 does, the others wait", sees, job=attempts.kind)

    sees = refused.failed(errors.FailedJobError, "Job not requeued because: Slurm refuses to.* Its state is saved")
    assert len((client.directory / "refusals").read_text().splitlines()) > 3
    saved: Any = refused.job.submission()
    assert saved.function.saved == 1
    fault.seen(
        "out of time, and `scontrol requeue` is refused for a minute", f"{sees}: Slurm refuses to", job="checkpointable"
    )


def test_nobody_starts_it_where_nobody_is_to(
    client: Client, waits: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(requeued.VARIABLE, "0")
    saving = Attempts(client, waits, "saving").of_kind("checkpointable").until_started()
    saving.interrupt(timeout=True).until_waiting()
    until(lambda: saving.job.get_info(mode="cache").get("Reason") == "BeginTime", "the client's knowledge of it")
    asked = submitit.SlurmJob.watcher.num_calls
    saving.job.done(force_check=True)
    assert submitit.SlurmJob.watcher.num_calls > asked
    shown = client.cluster.run("scontrol", "show", "job", saving.job.job_id).stdout
    begins = re.search(r"\bStartTime=(\S+)", shown)
    assert begins is not None
    assert time.mktime(time.strptime(begins[1], "%Y-%m-%dT%H:%M:%S")) - time.time() > 60
    saving.start_again().ran_again()


# ---------------------------------------------------------------- refused


@pytest.mark.parametrize("kind", SAVING)
def test_what_may_not_be_requeued_says_so(client: Client, waits: ThreadPoolExecutor, fault: Fault, kind: str) -> None:
    saving = Attempts(client, waits, "saving").of_kind(kind, slurm_additional_parameters={"no-requeue": True})
    saving.until_started()
    fault.injected()
    saving.interrupt(timeout=True)
    sees = saving.failed(errors.FailedJobError, "Job not requeued because: it may not be requeued.* Its state is saved")
    fault.seen("out of time, submitted with `--no-requeue`", f"{sees}: it may not be requeued", job=kind)
    saved: Any = saving.job.submission()
    assert saved.function.saved == 1


def test_a_controller_that_is_away_for_a_moment(client: Client, waits: ThreadPoolExecutor, fault: Fault) -> None:
    setup = refusing_scontrol(client.directory)
    saving = Attempts(client, waits, "saving").of_kind("checkpointable", slurm_setup=[setup]).until_started()
    fault.injected()
    saving.interrupt(timeout=True)
    until((client.directory / "refusals").exists, "a refusal")
    (client.directory / "refuse").unlink()
    sees = saving.until_started(1).ran_again()
    fault.seen("out of time, and `scontrol requeue` fails for a moment", sees, job="checkpointable")
