"""Jobs that wait for others on the real Slurm: how it is told, and what becomes of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import submitit
from submitit import errors, result_of
from submitit.slurm import sending, waiting
from support import calls, dependents
from support.local_processes import import_path, put
from support.reliability import Fault
from support.shims import Shims
from support.slurm_jobs import Client, start_again, until

pytestmark = pytest.mark.slurm


def dependency(client: Client, job_id: str) -> str:
    """What a job still waits for, as Slurm prints it."""
    return client.cluster.run("squeue", "-h", "-r", "-j", job_id, "-o", "%E").stdout.partition("\n")[0].strip()


def scripts(client: Client) -> dict[str, list[str]]:
    """The lines of the scripts that were sent which are about arrays and dependencies, by the id."""
    found = {}
    for path in client.directory.rglob("*_submission.sh"):
        words = ("#SBATCH --dependency=", "#SBATCH --array=", "#SBATCH --kill-on")
        lines = [line.removeprefix("#SBATCH --") for line in path.read_text().split("\n") if line.startswith(words)]
        found[path.name.partition("_")[0]] = lines
    return found


PROGRAM = """
import sys, submitit
from support import calls
executor = submitit.AutoExecutor(sys.argv[1], cluster="slurm")
first = executor.submit(calls.wait_for_file, sys.argv[2])
jobs = executor.map_array(calls.add, [submitit.result_of(first)] * 2, ["a", "b"])
bad = executor.submit(calls.add, submitit.result_of(jobs[0]), 1)
late = executor.submit(calls.add, submitit.result_of(bad), 1)
print(*(job.job_id for job in (*jobs, bad, late)))
"""


@pytest.mark.usefixtures("asked_often")
def test_the_client_exits_right_after_submitting(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", ":".join(import_path()))
    go = client.directory / "go"
    command = [sys.executable, "-c", PROGRAM, str(client.folder), str(go)]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=client.directory).stdout
    *good, bad, late = [client.find(job_id) for job_id in said.split()]
    put(go, "went on ")
    assert [job.result() for job in good] == ["went on a", "went on b"]
    error = late.exception()
    assert type(dependents.first_failure(error)) is TypeError
    assert f"because job {bad.job_id}, which it depends on" in str(error)


def test_how_it_is_told(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """One array for a list in step, in parts too; a whole array by its name; what the user says stays."""
    held = client.executor(slurm_additional_parameters={"hold": True})
    first = held.map_array(calls.add, range(4), [1] * 4)
    array = first[0].job_id.partition("_")[0]
    executor = client.executor(slurm_dependency="singleton", name=f"own-{array}")
    monkeypatch.setattr(sending, "USUAL_ELEMENTS", 0)
    monkeypatch.setattr(sending, "cluster_limits", _two_elements_an_array)
    parts = executor.map_array(calls.add, [result_of(job) for job in first[1:]], [1] * 3)
    last = executor.submit(dependents.add_all, [result_of(job) for job in first])
    sent = scripts(client)
    # 3 elements in arrays of at most 2: the lengths are 1 and 2
    assert [job.job_id.partition("_")[2] for job in parts] == ["1", "2", "3"]
    assert [sent[job.job_id.partition("_")[0]] for job in (parts[0], parts[1], last)] == [
        ["array=1-1%1", f"dependency=singleton,aftercorr:{array}", "kill-on-invalid-dep=yes"],
        ["array=2-3%2", f"dependency=singleton,aftercorr:{array}", "kill-on-invalid-dep=yes"],
        [f"dependency=singleton,afterok:{array}", "kill-on-invalid-dep=yes"],
    ]
    client.cluster.run("scontrol", "release", array)
    assert [job.result() for job in parts] == [3, 4, 5]
    assert last.result() == 1 + 2 + 3 + 4
    found = [client.find(job.job_id) for job in parts]
    assert [job.result() for job in found] == [3, 4, 5]
    assert found[1].submission().args[0].upstream.job_id == first[2].job_id


def _two_elements_an_array() -> Any:
    from submitit.slurm.limits import parse_config

    return parse_config("MaxArraySize = 2\n")


@pytest.mark.long
def test_a_requeued_job_is_waited_for(client: Client, fault: Fault) -> None:
    started, go = client.directory / "started", client.directory / "go"
    first = client.submit(calls.touch_and_wait, str(started), str(go))
    after = client.submit(dependents.plus, result_of(first), " after")
    until(started.exists, "a start")
    started.unlink()
    fault.injected()
    client.cluster.run("scontrol", "requeue", first.job_id)
    start_again(client.cluster, first.job_id)
    assert dependency(client, after.job_id).startswith(f"afterok:{first.job_id}")
    put(go, "went on")
    assert after.result() == "went on after"
    fault.seen("what a job depends on is requeued", "its result")


@pytest.mark.usefixtures("asked_often")
def test_a_job_that_slurm_has_forgotten(client: Client, shims: Shims, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slurm would start what waits for it; so its results are looked at, and where there are none Slurm is asked."""
    good, bad = client.submit(calls.add, 1, 2), client.submit(calls.fail, "long ago")
    waits = client.submit(calls.wait_for_file, str(client.directory / "go"))
    assert good.result() == 3
    assert bad.exception() is not None
    monkeypatch.setattr(waiting, "REMEMBERED_S", -1.0)
    monkeypatch.setattr(waiting, "FRESH_S", -1.0)
    after = client.executor(after=[good], after_any=[bad])
    assert "dependency" not in after.dry_run(calls.add, 1, 2).script
    after.update_parameters(after=[good, bad, waits], after_any=[])
    text = after.dry_run(calls.add, 1, 2).script
    assert f"--dependency=afterok:{bad.job_id}:{waits.job_id}\n" in text, "Slurm knows them and decides"
    shims.put("squeue", 'echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1')
    with pytest.raises(errors.FailedSubmissionError, match=f"(?s)Job {bad.job_id}, whose success.*long ago"):
        after.submit(calls.add, 1, 2)
    unknown = client.find("4000000")
    after.update_parameters(after=unknown, after_any=[])
    with pytest.raises(errors.FailedSubmissionError, match="Job 4000000, .* Slurm does not know it any more"):
        after.submit(calls.add, 1, 2)
    after.update_parameters(after=[], after_any=unknown)
    assert "dependency" not in after.dry_run(calls.add, 1, 2).script
    shims.put("squeue", "exit 1")
    after.update_parameters(after=waits, after_any=[])
    assert f"--dependency=afterok:{waits.job_id}\n" in after.dry_run(calls.add, 1, 2).script, "Slurm did not answer"
    put(client.directory / "go", "now")
    assert waits.result() == "now"


@pytest.mark.usefixtures("unasked")
def test_who_waits_for_a_failure_is_told_at_once(client: Client, fault: Fault) -> None:
    """Nothing but the failure makes this process ask Slurm: also about jobs further on, submitted before and after."""
    first = client.submit(calls.wait_for_file, str(client.directory / "go"))
    held = [client.submit(calls.add, 1, 2, slurm_additional_parameters={"hold": True}) for _ in range(2)]
    chains = [
        [
            after := client.submit(dependents.plus, result_of(job), 1),
            client.submit(dependents.plus, result_of(after), 1),
        ]
        for job in (first, *held)
    ]
    told: list[submitit.Job[Any]] = []
    chains[1][1].add_done_callback(told.append)
    fault.injected()
    # One by one: an answer of Slurm is about all jobs.
    held[0].cancel()
    assert type(dependents.first_failure(chains[1][-1].exception())) is errors.JobCancelledError
    submitit.cancel(held[1:])
    assert type(dependents.first_failure(chains[2][-1].exception())) is errors.JobCancelledError
    put(client.directory / "go", "no number")
    assert type(dependents.first_failure(chains[0][-1].exception())) is TypeError
    until(lambda: told == [chains[1][1]], "a call back")
    fault.seen("what a job depends on fails or is cancelled", "`JobDependencyError`: which job, and its error")
    later = client.submit(dependents.plus, result_of(chains[0][0]), 1)
    assert type(dependents.first_failure(later.exception())) is TypeError


@pytest.mark.long
def test_an_element_that_was_cancelled_before_it_began(client: Client, tmp_path: Path) -> None:
    """Slurm may take it for one that has succeeded: what waits for it alone begins, and sees by itself that it must not."""
    held = client.executor(slurm_additional_parameters={"hold": True}).map_array(calls.add, [1, 2], [3, 4])
    notes = tmp_path / "notes"
    after = client.submit(dependents.note, str(notes), "after", after=held[1])
    submitit.cancel(held)
    error: BaseException | None = after.exception()
    while error is not None and not isinstance(error, submitit.JobDependencyError):
        error = error.__cause__
    assert f"job {held[1].job_id}" in str(error).lower()
    assert not notes.exists()


@pytest.mark.long
def test_a_graph_of_two_hundred_jobs(client: Client, tmp_path: Path) -> None:
    """Fan-out, layers in step, diamonds, and fan-in: 1 + 3 * 49 + 49 + 3 jobs."""
    width = 49
    executor = client.executor()
    root = executor.submit(dependents.add_all, 1)
    layer = executor.map_array(dependents.add_all, [result_of(root)] * width, range(width))
    layer = executor.map_array(dependents.add_all, [result_of(job) for job in layer], [1] * width)
    both = executor.map_array(dependents.add_all, [result_of(job) for job in layer], [result_of(job) for job in layer])
    single = [executor.submit(dependents.add_all, result_of(job), 1) for job in both]
    left, right = (executor.submit(dependents.add_all, [result_of(job) for job in single]) for _ in range(2))
    last = executor.submit(dependents.add_all, result_of(left), result_of(right))
    assert last.result() == 2 * sum(2 * (k + 2) + 1 for k in range(width))
