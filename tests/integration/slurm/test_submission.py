"""Submissions that are refused, interrupted or made by somebody else than root."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from typing import Any

import pytest

import submitit
from submitit import errors
from submitit.orchestrator import tracker
from support import calls, faults
from support.local_processes import import_path
from support.slurm_jobs import DEADLINE_S, Client, clear_away, until
from support.users import can_make_users, ordinary_user

pytestmark = pytest.mark.slurm

# ---------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"slurm_partition": "nowhere"}, "invalid partition specified: nowhere"),
        ({"slurm_account": "nobody"}, "Invalid account or account/partition combination specified"),
        ({"slurm_constraint": "moon"}, "Invalid feature specification"),
        ({"slurm_gres": "moon:1"}, "Invalid generic resource (gres) specification"),
        ({"slurm_additional_parameters": {"time": "soon"}}, "Invalid --time specification"),
        ({"mem_gb": 1000}, "Requested node configuration is not available|Memory specification can not be satisfied"),
        ({"slurm_additional_parameters": {"no-such-option": 1}}, "unrecognized option '--no-such-option"),
        ({"slurm_dependency": "after-lunch"}, "Job dependency problem"),
    ],
    ids=["partition", "account", "constraint", "gres", "time", "memory", "option", "dependency"],
)
def test_a_refusal_has_sbatchs_words_and_leaves_no_file(client: Client, parameters: dict[str, Any], words: str) -> None:
    executor = client.executor(**parameters)
    for submit in (lambda: executor.submit(calls.add, 1, 2), lambda: executor.map_array(calls.add, [1, 2], [3, 4])):
        with pytest.raises(errors.SubmissionRefusedError) as raised:
            submit()
        assert any(phrase in str(raised.value) for phrase in words.split("|")), str(raised.value)
        assert isinstance(raised.value, errors.FailedJobError)
    assert [path for path in (client.directory / "jobs").rglob("*") if path.is_file()] == []


# ---------------------------------------------------------------- the client dies

DYING_CLIENT = """
import submitit
from support import calls
executor = submitit.AutoExecutor({folder!r}, cluster="slurm")
executor.update_parameters(timeout_min=10)
{submission}
print("still here")
"""


@pytest.mark.parametrize("array", [False, True], ids=["job", "array"])
def test_a_client_killed_right_after_sbatch_loses_nothing(client: Client, array: bool) -> None:
    """It does not even learn of the job's id."""
    real = shutil.which("sbatch")
    script = client.directory / "bin" / "sbatch"
    script.parent.mkdir()
    printed = client.directory / "printed"
    script.write_text(f'#!/bin/sh\n{real} "$@" > {printed}\nkill -9 $PPID\n')
    script.chmod(0o755)
    submission = "executor.map_array(calls.add, [1, 20], [2, 22])" if array else "executor.submit(calls.add, 20, 22)"
    done = subprocess.run(
        [sys.executable, "-c", DYING_CLIENT.format(folder=str(client.folder), submission=submission)],
        env={
            **os.environ,
            "PATH": f"{script.parent}:{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(import_path()),
        },
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert done.stdout == ""
    until(lambda: printed.exists() and printed.read_text().endswith("\n"), "sbatch's answer")

    job_id = printed.read_text().split()[-1]
    job = client.find(f"{job_id}_1" if array else job_id)
    assert job.result(DEADLINE_S) == 42
    until(lambda: job.get_info(mode="force").get("State") == "COMPLETED", "COMPLETED")


def test_jobs_found_again_in_another_process(client: Client) -> None:
    """One whose client is gone is waited for by its markers."""
    started, go = client.directory / "started", client.directory / "go"
    submission = f"print(executor.submit(calls.touch_and_wait, {str(started)!r}, {str(go)!r}).job_id)"
    done = subprocess.run(
        [sys.executable, "-c", DYING_CLIENT.format(folder=str(client.folder), submission=submission)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(import_path())},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    )
    job = client.find(done.stdout.split()[0])
    until(started.exists, "a start")
    until(lambda: job.state == "RUNNING", "RUNNING")
    assert not job.done()
    assert job.submission().args == (str(started), str(go))
    go.write_text("to its end")
    assert job.result(DEADLINE_S) == "to its end"


# ---------------------------------------------------------------- markers are lost


@pytest.mark.parametrize("how", ["sweep", "question"])
@pytest.mark.usefixtures("unasked")
def test_jobs_without_markers_end_all_the_same(client: Client, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """By a look at the result files now and then, without a question to Slurm; by a question, also those without a result."""
    for name in ("SWEEP_S",) if how == "sweep" else ("FIRST_QUESTION_S", "RAREST_QUESTION_S"):
        monkeypatch.setattr(tracker, name, 0.5)
    monkeypatch.setattr(submitit.SlurmJob, "_results_timeout_s", 0.5)
    go = client.directory / "go"
    hold = [f"touch {client.directory}/ready-$SLURM_JOB_ID", f"while ! [ -e {go} ]; do sleep 0.05; done"]
    executor = client.executor(slurm_setup=hold)
    good = executor.submit(calls.add, 20, 22)
    bad = executor.submit(calls.fail, "bad luck")
    jobs = [good, bad]
    if how == "question":
        jobs.append(executor.submit(faults.die_by, signal.SIGKILL))
    until(lambda: len(list(client.directory.glob("ready-*"))) == len(jobs), "every start")
    events = client.directory / "jobs" / ".submitit" / "events"
    shutil.rmtree(events)
    events.write_text("not even the directory can be made again")
    waiter = tracker.Waiter(jobs)
    assert waiter.ended(0) == []
    go.touch()
    ended: list[submitit.Job[Any]] = []
    while waiter.pending:
        found = waiter.ended(DEADLINE_S)
        assert found, "nothing ended"
        ended += found

    assert {job.job_id for job in ended} == {job.job_id for job in jobs}
    assert good.result() == 42
    assert type(bad.exception()) is errors.FailedJobError
    for dead in jobs[2:]:
        error = dead.exception()
        assert type(error) is errors.UncompletedJobError
        assert "state: FAILED" in str(error)
        assert "last words on stderr" in str(error)


# ---------------------------------------------------------------- an ordinary user

BY_A_USER = """
import os, stat, sys
import submitit

def own(path):
    found = os.stat(path)
    return found.st_uid, stat.S_IMODE(found.st_mode) & 0o002

executor = submitit.AutoExecutor("logs/%j", cluster="slurm")
executor.update_parameters(timeout_min=10)
jobs = [executor.submit(os.getuid), *executor.map_array(os.path.join, ["a", "b"], ["c", "d"])]
print([job.result() for job in jobs])
print([own(path) for path in (jobs[0].paths.folder, jobs[0].paths.result_pickle, jobs[0].paths.stdout)])
bad = executor.submit(os.listdir, "/root")
print(type(bad.exception()).__name__, type(bad.exception().__cause__).__name__)
running = executor.submit(os.system, "sleep 1000")
while running.state != "RUNNING":
    pass
running.cancel()
print(type(running.exception()).__name__)

try:
    elsewhere = submitit.AutoExecutor({closed!r} + "/logs", cluster="slurm")
    elsewhere.submit(os.getuid)
except OSError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.skipif(not can_make_users(), reason="takes root")
def test_an_ordinary_user(client: Client, tmp_path_factory: pytest.TempPathFactory) -> None:
    closed = client.directory / "closed"
    closed.mkdir(mode=0o755)
    for directory in [client.directory, *client.directory.parents]:
        if directory.is_relative_to(tmp_path_factory.getbasetemp().parent) and directory.owner() == "root":
            directory.chmod(directory.stat().st_mode | 0o011)
    with ordinary_user() as user:
        client.cluster.add_user(user.name)
        try:
            program = textwrap.dedent(BY_A_USER).replace("{closed!r}", repr(str(closed)))
            done = user.run([sys.executable, "-c", program], env=client.cluster.env, timeout=DEADLINE_S)
        finally:
            clear_away(client.cluster, user.home)
    results, owners, failed, cancelled, refused = done.stdout.splitlines()
    assert results == f"[{user.uid}, 'a/c', 'b/d']"
    assert owners == f"[({user.uid}, 0), ({user.uid}, 0), ({user.uid}, 0)]"
    assert failed == "FailedJobError PermissionError"
    assert cancelled == "JobCancelledError"
    assert refused.startswith("PermissionError ")
    assert str(closed) in refused
