"""What a report knows of jobs of a real Slurm, while some of them still run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import submitit
from submitit.views.report import page
from submitit.views.usage import seen, usage
from support.calls import wait_for
from support.slurm_cluster import SlurmCluster

pytestmark = pytest.mark.slurm


def end(way: str, go_on: str) -> int:
    import os
    import signal
    import time

    if way == "raise":
        raise KeyError("no such key 17")
    if way == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    while way == "stay" and not os.path.exists(go_on):
        time.sleep(0.02)
    if way == "once" and submitit.JobEnvironment()._attempt == 0:
        raise OSError("not today")
    return 1


end.__module__ = "__main__"


def test_jobs_of_slurm(slurm: SlurmCluster, tmp_path: Path) -> None:
    executor = submitit.SlurmExecutor(tmp_path / "jobs" / "%j")
    executor.update_parameters(time=5, mem="300M", cpus_per_task=1, job_name="ways")
    go_on = tmp_path / "go on"
    jobs = executor.map_array(end, ["", "raise", "raise", "die"], [str(go_on)] * 4)
    executor.update_parameters(retry=submitit.Retry(exception=1))
    jobs.append(executor.submit(end, "once", str(go_on)))
    executor.update_parameters(retry=None)
    stays = executor.submit(end, "stay", str(go_on))
    try:
        for job in jobs:
            job.exception()
        wait_for(lambda: stays.state == "RUNNING")
        rows = usage([*jobs, stays])
    finally:
        go_on.touch()
    assert [row["job_id"] for row in rows] == [job.job_id for job in [*jobs, stays]]
    good, raised, _, died, again, running = rows
    assert (good["state"], good["attempts"], good["asked_mem_mb"], good["asked_cpus"]) == ("COMPLETED", 1, 300, 1)
    assert good["max_rss_mb"]
    assert good["cpu_s"]
    assert good["run_s"] is not None
    assert good["node"]
    assert (raised["state"], raised["exit_code"]) == ("FAILED", 1)
    assert (died["state"], died["exit_code"], died["cpu_s"]) == ("FAILED", -9, None)
    assert (again["state"], again["attempts"]) == ("COMPLETED", 2)
    assert again["earlier_s"] is not None
    assert (running["state"], running["over"], running["run_s"], running["end"]) == ("RUNNING", False, None, None)
    assert running["start"] is not None
    stays.result()
    text = page.render(seen(tmp_path / "jobs"), ["jobs"])
    causes = re.findall(r"<h3><strong>(\d+)</strong> <span>(.*?)</span></h3>.*?<code class=\"said\">(.*?)</code>", text)
    assert ("2", "FAILED, exit code 1", "KeyError: &#x27;no such key 17&#x27;") in causes
    assert any(title == "FAILED, SIGKILL(-9)" for _, title, _ in causes)
    assert "1 &times; exception" in text
