"""What is known of jobs: their states and more, whoever answers, and when nobody does."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import submitit
from submitit import errors
from submitit.orchestrator import tracker
from support import calls, clock, faults
from support.infos import check_infos
from support.reliability import Fault
from support.shims import only_on_path, put_before
from support.slurm_cluster import SlurmCluster, missing_programs
from support.slurm_jobs import DEADLINE_S, Client, clear_away, start_again, state_of, until, use

pytestmark = pytest.mark.slurm

UNREACHABLE = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
NO_DATABASE = "sacct: error: Problem talking to the database: Connection refused"


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


# ---------------------------------------------------------------- what is known


def test_infos(client: Client) -> None:
    check_infos(client)


@pytest.mark.long
def test_info_of_a_job_killed_for_its_memory(client: Client) -> None:
    if not client.cluster.has_cgroup:
        pytest.skip("memory is not limited here")
    job = client.submit(faults.fill_memory, 600, mem_gb=0.2)
    assert type(job.exception(DEADLINE_S)) is errors.JobOutOfMemoryError
    until(lambda: job.state == "OUT_OF_MEMORY", "OUT_OF_MEMORY")
    info = job.get_info()
    assert info["ReqMem"] == "204M"
    assert 140_000 < int(info["MaxRSS"].removesuffix("K")) < 210_000


@pytest.mark.long
def test_a_heterogeneous_job_sent_by_hand(client: Client) -> None:
    sent = client.cluster.run(
        *("sbatch", "--parsable", "--hold", f"--chdir={client.directory}", "--output=/dev/null"),
        *("-n1", "--wrap", f"until [ -e {client.directory}/go ]; do sleep 0.1; done", ":", "-n1"),
    )
    number = sent.stdout.strip()
    first, second, whole = (client.find(job_id) for job_id in (f"{number}+0", f"{number}+1", number))
    assert [job.get_info()["State"] for job in (first, second, whole)] == ["PENDING"] * 3
    client.cluster.run("scontrol", "release", number)
    until(lambda: first.get_info()["State"] == "RUNNING", "a start")
    assert {job.get_info()["NodeList"] for job in (first, second, whole)} <= {"n1", "n2"}
    (client.directory / "go").touch()
    until(lambda: first.get_info()["State"] == "COMPLETED", "an end")
    until(lambda: second.get_info()["State"] == "COMPLETED", "its other end")
    assert whole.get_info()["State"] == "COMPLETED"
    assert first.get_info()["ExitCode"] == "0:0"


def test_jobs_that_are_over_are_not_asked_about(
    client: Client, asked_often: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (squeue,) = put_before(monkeypatch, client.directory / "bin", "squeue")
    over = client.submit(calls.add, 1, 2)
    assert over.result(DEADLINE_S) == 3
    waiting = client.submit(calls.add, 1, 2, slurm_additional_parameters={"hold": True})
    until(lambda: tracker.wait([waiting], 0.5) or len(squeue.calls) >= 2, "two questions")
    assert waiting.job_id in squeue.calls[-1]
    assert over.job_id not in squeue.calls[-1]
    assert over.get_info()["State"] == "COMPLETED"
    assert over.job_id in squeue.calls[-1]


@pytest.mark.long
@pytest.mark.usefixtures("asked_often")
def test_threads_that_wait_share_one_answer(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    (squeue,) = put_before(monkeypatch, client.directory / "bin", "squeue")
    jobs = [client.submit(calls.add, 1, 2, slurm_additional_parameters={"hold": True}) for _ in range(4)]
    threads = [threading.Thread(target=job.wait) for job in jobs]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    until(lambda: len(squeue.calls) >= 3, "three questions")
    # one in half a second, whoever asks
    assert len(squeue.calls) <= 2 + (time.monotonic() - start) / 0.5
    client.cluster.run("scancel", *(job.job_id for job in jobs))
    for thread in threads:
        thread.join(DEADLINE_S)
    assert all(job.done() for job in jobs)


# ---------------------------------------------------------------- jobs that wait for a person


@pytest.mark.usefixtures("asked_often")
def test_a_job_held_by_an_administrator(client: Client, fault: Fault, caplog: pytest.LogCaptureFixture) -> None:
    job = client.submit(calls.add, 1, 2, slurm_additional_parameters={"hold": True})
    caplog.set_level(logging.INFO)
    until(lambda: tracker.wait([job], 0.5) or len(caplog.records) > 0, "a word about the hold")
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert f"scontrol release {job.job_id}" in caplog.text
    client.cluster.run("scontrol", "hold", job.job_id)
    fault.injected()
    until(lambda: tracker.wait([job], 0.5) or warnings_in(caplog), "a warning")
    fault.seen("an administrator holds it (`scontrol hold`)", "a warning: job, reason, `scontrol release`")
    client.cluster.run("scontrol", "update", f"jobid={job.job_id}", "TimeLimit=20")
    until(lambda: job.get_info()["Timelimit"] == "00:20:00", "another answer")
    (words,) = warnings_in(caplog)
    assert f"job {job.job_id} by itself (JobHeldAdmin)" in words
    assert f"`scontrol release {job.job_id}`" in words
    client.cluster.run("scontrol", "release", job.job_id)
    assert job.result(DEADLINE_S) == 3


@pytest.mark.usefixtures("asked_often")
def test_a_held_array_is_told_of_once(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    jobs = client.executor(slurm_additional_parameters={"hold": True}).map_array(calls.add, range(20), range(20))
    array = jobs[0].job_id.partition("_")[0]
    client.cluster.run("scontrol", "hold", f"{array}_3")
    until(lambda: tracker.wait(jobs, 0.5) or warnings_in(caplog), "a warning")
    assert jobs[3].get_info()["Reason"].endswith("JobHeldAdmin")
    assert len(warnings_in(caplog)) == 1
    assert f"jobs {array}_[0-19] by itself" in warnings_in(caplog)[0]


@pytest.mark.usefixtures("asked_often")
def test_a_dependency_that_is_never_satisfied(client: Client, fault: Fault, caplog: pytest.LogCaptureFixture) -> None:
    first = client.submit(calls.add, 1, 2, slurm_additional_parameters={"hold": True})
    job = client.submit(calls.add, 1, 2, slurm_dependency=f"afterok:{first.job_id}")
    assert job.get_info()["Reason"] == "Dependency"
    fault.injected()
    first.cancel()
    until(lambda: tracker.wait([job], 0.5) or warnings_in(caplog), "a warning")
    fault.seen("what it depends on fails", "a warning: job, reason, `scancel`")
    (words,) = warnings_in(caplog)
    assert f"job {job.job_id} by itself (DependencyNeverSatisfied)" in words
    assert f"`scancel {job.job_id}`" in words


# ---------------------------------------------------------------- nobody answers


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, asked_often: None) -> None:
    """A job that nobody knows is given up soon."""
    for name in ("GRACE_S", "_FIRST_PAUSE_S", "_LAST_PAUSE_S"):
        monkeypatch.setattr(f"submitit.slurm.watcher.{name}", 0.5)


@pytest.mark.usefixtures("asked_often")
def test_squeue_fails_for_a_while(
    client: Client, fault: Fault, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The accounts tell what they know meanwhile."""
    (squeue,) = put_before(monkeypatch, client.directory / "bin", "squeue")
    started, go = client.directory / "started", client.directory / "go"
    good = client.submit(faults.wait_between, str(started), str(go))
    bad = client.submit(calls.exit_at_once, 3, slurm_additional_parameters={"hold": True})
    until(started.exists, "a start")
    squeue.fail(UNREACHABLE)
    fault.injected()
    until(lambda: tracker.wait([good, bad], 0.5) or len(squeue.calls) >= 3, "three questions")
    assert not good.done()
    assert not bad.done()
    client.cluster.run("scontrol", "release", bad.job_id)
    error = bad.exception(DEADLINE_S)
    assert "ended with exit code 3" in str(error), str(error)
    go.write_text("went on")
    assert good.result(DEADLINE_S)["text"] == "went on"
    fault.seen("squeue fails", "one warning; results and errors as ever", timed=False)
    (words,) = warnings_in(caplog)
    assert "Unable to contact slurm controller" in words
    squeue.work()
    until(lambda: good.get_info()["State"] == "COMPLETED", "COMPLETED")
    until(lambda: bad.get_info()["State"] == "FAILED", "FAILED")


@pytest.mark.usefixtures("impatient")
def test_sacct_fails_for_a_while(
    client: Client, fault: Fault, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (sacct,) = put_before(monkeypatch, client.directory / "bin", "sacct")
    sacct.fail(NO_DATABASE)
    fault.injected()
    unknown = client.find("424242")
    unknown._results_timeout_s = 0
    bad = client.submit(calls.exit_at_once, 3)
    assert "ended with exit code 3" in str(bad.exception(DEADLINE_S))
    until(lambda: tracker.wait([unknown], 0.5) or len(sacct.calls) >= 4, "four questions")
    assert not unknown.done(), "the accounts might know it"
    fault.seen("sacct fails", "one warning; nothing is given up before it answers again", timed=False)
    (words,) = warnings_in(caplog)
    assert "Problem talking to the database" in words
    assert bad.get_info()["State"] == "FAILED"
    sacct.work()
    assert type(unknown.exception(DEADLINE_S)) is errors.JobVanishedError
    assert bad.get_info()["ExitCode"] == "3:0"


@pytest.mark.usefixtures("impatient")
def test_there_is_no_sacct(
    client: Client, fault: Fault, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    only_on_path(monkeypatch, client.directory / "path", "sacct")
    bad = client.submit(calls.exit_at_once, 3)
    assert "ended with exit code 3" in str(bad.exception(DEADLINE_S))
    assert bad.get_info()["State"] == "FAILED"
    assert bad.get_info()["ExitCode"] == "3:0"
    unknown = client.find("424242")
    unknown._results_timeout_s = 0
    assert type(unknown.exception(DEADLINE_S)) is errors.JobVanishedError
    fault.seen("there is no sacct on PATH", "one warning; results and errors as ever", timed=False)
    (words,) = warnings_in(caplog)
    assert "no sacct on PATH" in words


def test_the_clock_of_the_client_is_set(client: Client, fault: Fault) -> None:
    """Forth by an hour and back by two: no time-out is misjudged, and one question too many is put at most."""
    library = clock.library()
    if library is None:
        pytest.skip("no libfaketime here; tests/support/install_programs installs it")
    offset = client.directory / "offset"
    offset.write_text("+0\n")
    variables = {**clock.VARIABLES, "LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(offset)}
    done = subprocess.run(
        [sys.executable, clock.__file__, str(client.folder.parent), str(offset), str(client.directory / "go")],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    )
    told = json.loads(done.stdout)
    steps = told["steps"]
    jumps = [round(step["jumped"] / 3600) for step in steps]
    assert jumps == [0, 1, -2, 1], "the clock was not set: the test tests nothing"
    for step in steps:
        assert step["asked"] <= 2, step
        assert step["states"] == ["RUNNING"]
        assert 0.4 < step["waited"] < 10
        assert step["submission"] < 10
    assert [step["asked"] > 0 for step in steps[1:]] == [True, True, True], "a question was missed"
    assert told["result"] == "go on"
    fault.seen("the client's clock is set forth and back by an hour", "nothing", timed=False)


# ---------------------------------------------------------------- a cluster of its own


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    """slurmctld forgets jobs soon; nodes start nothing while the file ``broken`` is there; a hundred jobs run at once."""
    if missing := missing_programs():
        pytest.skip(f"no Slurm here: {', '.join(missing)}")
    directory = tmp_path_factory.mktemp("forgetful")
    prolog = directory / "prolog"
    prolog.write_text(f"#!/bin/sh\n[ ! -e {directory}/broken ]\n")
    prolog.chmod(0o755)
    settings = {"MinJobAge": 2, "Prolog": prolog}
    crowd = "PartitionName=crowd Nodes=n1,n2 OverSubscribe=FORCE:16 DefaultTime=10"
    with SlurmCluster(directory / "cluster", settings=settings, extra_lines=[crowd]) as cluster:
        yield cluster


@pytest.fixture
def far(
    forgetful: SlurmCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked_often: None
) -> Iterator[Client]:
    """A client of it."""
    use(forgetful, monkeypatch)
    yield Client(forgetful, tmp_path)
    clear_away(forgetful, tmp_path)


def until_forgotten(client: Client, job: submitit.Job[object]) -> None:
    until(lambda: not state_of(client.cluster, job.job_id), f"slurmctld has forgotten {job.job_id}")


@pytest.mark.long
def test_jobs_that_slurmctld_has_forgotten(far: Client, fault: Fault, caplog: pytest.LogCaptureFixture) -> None:
    good, bad = far.submit(calls.add, 1, 2), far.submit(calls.exit_at_once, 3)
    array = far.executor().map_array(calls.add, [1, 2, 3], [4, 5, 6])
    assert array[2].result(DEADLINE_S) == 9
    until(lambda: state_of(far.cluster, bad.job_id) not in ("", "PENDING", "RUNNING", "COMPLETING"), "an end")
    for job in (good, bad, array[0]):
        until_forgotten(far, job)
    fault.injected()
    found = [far.find(job.job_id) for job in (good, bad, array[1])]
    submitit.SlurmJob.watcher.clear()
    for job in found:
        submitit.SlurmJob.watcher.register_job(job.job_id)
    assert [job.get_info()["State"] for job in found] == ["COMPLETED", "FAILED", "COMPLETED"]
    assert found[1].get_info()["ExitCode"] == "3:0"
    assert found[0].result(DEADLINE_S) == 3
    assert "state: FAILED" in str(found[1].exception(DEADLINE_S))
    assert [job.result(DEADLINE_S) for job in array] == [5, 7, 9]
    fault.seen("slurmctld has forgotten the job", "its result, or its error", timed=False)
    assert warnings_in(caplog) == []


@pytest.mark.long
def test_the_latest_attempt_counts(far: Client) -> None:
    """A job that was requeued has two records in the accounts; the first says REQUEUED or worse for ever."""
    job = far.submit(faults.wait_in_the_first_attempt, str(far.directory), 0)
    until((far.directory / "started-0-0").exists, "a start")
    far.cluster.run("scontrol", "requeue", job.job_id)
    start_again(far.cluster, job.job_id)
    assert job.result(DEADLINE_S) == 1
    until(lambda: state_of(far.cluster, job.job_id) in ("", "COMPLETED"), "its end")
    until_forgotten(far, job)
    submitit.SlurmJob.watcher.clear()
    assert far.find(job.job_id).get_info()["State"] == "COMPLETED"


@pytest.mark.long
@pytest.mark.usefixtures("impatient")
def test_the_accounts_are_away_while_slurmctld_forgets(
    far: Client, fault: Fault, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (sacct,) = put_before(monkeypatch, far.directory / "bin", "sacct")
    bad = far.submit(calls.exit_at_once, 3)
    until(lambda: state_of(far.cluster, bad.job_id) == "FAILED", "an end")
    far.cluster.stop_accounting()
    fault.injected()
    try:
        until_forgotten(far, bad)
        submitit.SlurmJob.watcher.clear()
        found = far.find(bad.job_id)
        found._results_timeout_s = 0
        assert "ended with exit code 3" in str(bad.exception(DEADLINE_S))
        until(lambda: found.state == "UNKNOWN" and len(sacct.calls) >= 2, "two questions")
        assert len(warnings_in(caplog)) == 1
    finally:
        far.cluster.start_accounting()
    until(lambda: found.get_info().get("State") == "FAILED", "FAILED")
    assert found.get_info()["ExitCode"] == "3:0"
    assert len(warnings_in(caplog)) == 1
    fault.seen("slurmdbd is away while slurmctld forgets the job", "one warning, the error", timed=False)


@pytest.mark.long
def test_slurmctld_is_away_while_a_hundred_jobs_run(
    far: Client, fault: Fault, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Half of them end meanwhile, the others when it is back."""
    (squeue,) = put_before(monkeypatch, far.directory / "bin", "squeue")
    started = [far.directory / f"started-{number}" for number in range(100)]
    go = [far.directory / f"go-{number % 2}" for number in range(100)]
    executor = far.executor(slurm_partition="crowd", slurm_mem="80M")
    jobs = executor.map_array(faults.wait_calmly, map(str, started), map(str, go))
    until(lambda: all(path.exists() for path in started), "a hundred starts")
    far.cluster.stop_controller()
    fault.injected()
    try:
        asked = len(squeue.calls)
        waiter = tracker.Waiter(jobs)
        until(lambda: waiter.ended(0.5) or len(squeue.calls) > asked, "a question")
        assert waiter.pending == 100
        assert {job.state for job in jobs} == {"RUNNING"}
        go[0].touch()
        assert [job.result(DEADLINE_S) for job in jobs[::2]] == [str(path) for path in started[::2]]
    finally:
        far.cluster.start_controller()
    go[1].touch()
    assert [job.result(DEADLINE_S) for job in jobs] == [str(path) for path in started]
    fault.seen("slurmctld is stopped and started while 100 jobs run", "one warning; results as they come", timed=False)
    (words,) = warnings_in(caplog)
    assert "squeue did not answer" in words
    until(lambda: {job.get_info()["State"] for job in jobs[:2]} == {"COMPLETED"}, "COMPLETED")


@pytest.mark.long
def test_a_job_that_its_node_could_not_start(far: Client, fault: Fault, caplog: pytest.LogCaptureFixture) -> None:
    broken = far.cluster.directory.parent / "broken"
    broken.touch()
    fault.injected()
    try:
        job = far.submit(calls.add, 1, 2)
        until(lambda: tracker.wait([job], 0.5) or warnings_in(caplog), "a warning")
        fault.seen("the node's prolog fails, and Slurm holds the job", "a warning: job, reason, `scontrol release`")
        (words,) = warnings_in(caplog)
        assert f"job {job.job_id} by itself (launch failed requeued held)" in words
        assert f"`scontrol release {job.job_id}`" in words
    finally:
        broken.unlink()
        drained = far.cluster.run("sinfo", "-h", "-N", "-p", "main", "-t", "drain", "-o", "%N").stdout.split()
        for node in drained:
            far.cluster.run("scontrol", "update", f"nodename={node}", "state=resume")
    far.cluster.run("scontrol", "release", job.job_id)
    start_again(far.cluster, job.job_id)
    assert job.result(DEADLINE_S) == 3
    assert len(warnings_in(caplog)) == 1
