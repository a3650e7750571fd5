"""What is known of a job in each of its states, on a cluster with accounts and on one without."""

from __future__ import annotations

import re

from submitit import errors
from support import calls, faults
from support.slurm_jobs import DEADLINE_S, Client, until

_TIME = r"(\d+-)?\d\d:\d\d:\d\d"


def check_infos(client: Client) -> None:
    """One job of each kind; the same keys and forms, whoever answered."""
    started, go = client.directory / "started", client.directory / "go"
    go.write_text("over")
    waiting = client.submit(calls.add, 1, 2, slurm_additional_parameters={"hold": True}, mem_gb=0.1)
    running = client.submit(faults.wait_between, str(started), str(go) + "-not-yet", mem_gb=0.1)
    good = client.submit(calls.add, 1, 2, mem_gb=0.1)
    bad = client.submit(calls.fail, "bad luck")
    dead = client.submit(calls.exit_at_once, 3)
    array = client.executor().map_array(calls.exit_at_once, [4, 5])
    until(started.exists, "a start")
    assert good.result(DEADLINE_S) == 3
    for job in (bad, dead, *array):
        assert job.exception(DEADLINE_S) is not None
    cases = {
        waiting: ("PENDING", None, "JobHeldUser"),
        running: ("RUNNING", None, "None"),
        good: ("COMPLETED", "0:0", "None"),
        bad: ("FAILED", "1:0", "NonZeroExitCode"),
        dead: ("FAILED", "3:0", "NonZeroExitCode"),
        array[0]: ("FAILED", "4:0", "NonZeroExitCode"),
        array[1]: ("FAILED", "5:0", "NonZeroExitCode"),
    }
    for job, (state, code, reason) in cases.items():
        until(lambda job=job, state=state: job.get_info()["State"] == state, f"{state} of {job.job_id}")  # type: ignore[misc]
        until(
            lambda job=job, code=code: job.get_info().get("ExitCode") == code,  # type: ignore[misc]
            f"exit code {code} of {job.job_id}",
        )
        info = job.get_info()
        assert job.state == state
        assert info["JobID"] == job.job_id
        assert info["Reason"] == reason
        assert (info["NodeList"] in ("n1", "n2")) is (state != "PENDING"), info
        assert re.fullmatch(_TIME, info["Elapsed"]), info
        assert re.fullmatch(_TIME, info["Timelimit"]), info
        assert all(isinstance(value, str) for value in info.values())
    assert {job.get_info()["ReqMem"] for job in (waiting, running, good)} == {"102M"}
    running.cancel()
    waiting.cancel()
    for job in (running, waiting):
        assert type(job.exception(DEADLINE_S)) is errors.JobCancelledError
        assert job.state in ("CANCELLED", "COMPLETING")
        assert job.get_info()["State"].split()[0] in ("CANCELLED", "COMPLETING")
