"""Submissions that are refused, tried again, interrupted or made by somebody else than root."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from typing import Any

import pytest

import submitit
from submitit import commands, errors
from submitit.orchestrator import tracker
from submitit.slurm import attempts
from support import calls, faults
from support.local_processes import import_path
from support.reliability import Fault
from support.shims import TIMED_OUT, Shims
from support.slurm_jobs import DEADLINE_S, Client, clear_away, is_gone, until
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
        ({"slurm_setup": ["# " + 98 * "x"] * 45_000}, "4 MB"),
    ],
    ids=["partition", "account", "constraint", "gres", "time", "memory", "option", "dependency", "script"],
)
def test_a_refusal_has_sbatchs_words_and_leaves_no_file(client: Client, parameters: dict[str, Any], words: str) -> None:
    executor = client.executor(**parameters)
    for submit in (lambda: executor.submit(calls.add, 1, 2), lambda: executor.map_array(calls.add, [1, 2], [3, 4])):
        with pytest.raises(errors.SubmissionRefusedError) as raised:
            submit()
        assert any(phrase in str(raised.value) for phrase in words.split("|")), str(raised.value)
        assert isinstance(raised.value, errors.FailedJobError)
        assert "#SBATCH --job-name=submitit" in str(raised.value)
        assert len(str(raised.value)) < 50_000
    assert [path for path in (client.directory / "jobs").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"slurm_comment": "two\nlines"}, "'comment' has to be one line"),
        ({"timeout_min": 0}, 'no limit to Slurm.*slurm_time="UNLIMITED"'),
        ({"slurm_time": "0-00:00"}, "no limit to Slurm"),
    ],
)
def test_values_that_mean_something_else_are_not_sent(client: Client, parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        client.executor(**parameters)


def test_no_limit_may_be_asked_for(client: Client) -> None:
    job = client.submit(calls.add, 20, 22, slurm_time="UNLIMITED")
    assert job.result(DEADLINE_S) == 42


@pytest.mark.parametrize(
    "script",
    [
        'echo "sbatch: Welcome. Your quota: error 0 of 10" >&2; exec $real "$@"',
        'exec $real --parsable "$@"',
        'answer=$($real --parsable "$@") && echo "$answer;test"',
    ],
    ids=["words-of-the-site", "parsable", "cluster"],
)
def test_sites_that_say_more_or_less(client: Client, shims: Shims, script: str) -> None:
    shims.put("sbatch", script)
    assert client.submit(calls.add, 20, 22).result(DEADLINE_S) == 42
    assert len(shims.calls("sbatch")) == 1


# ---------------------------------------------------------------- Slurm is busy, or away


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pauses between attempts are short."""
    monkeypatch.setattr(attempts, "FIRST_PAUSE_S", 0.1)
    monkeypatch.setattr(attempts, "LAST_PAUSE_S", 0.5)


def submit_some(client: Client, count: int) -> list[submitit.Job[Any]]:
    if count == 1:
        return [client.submit(calls.add, 0, 100)]
    return client.executor().map_array(calls.add, range(count), [100] * count)


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "submitit"]


def scripts_in_queue(client: Client) -> set[str]:
    """The scripts of this test's jobs that slurmctld knows, whatever has become of them."""
    lines = client.cluster.run("squeue", "-h", "-t", "all", "-o", "%F %o").stdout.splitlines()
    return {line for line in lines if str(client.directory) in line}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("count", [1, 3], ids=["job", "array"])
def test_a_submission_whose_answer_was_lost_is_found(
    client: Client, shims: Shims, fault: Fault, caplog: pytest.LogCaptureFixture, count: int
) -> None:
    shims.put("sbatch", f'$real "$@" > /dev/null; echo "{TIMED_OUT}" >&2; exit 1')
    fault.injected()
    jobs = submit_some(client, count)
    fault.seen("sbatch times out after Slurm has taken the job", "the job, after a look into the queue")
    assert len(shims.calls("sbatch")) == 1
    assert len(scripts_in_queue(client)) == 1
    assert [job.result(DEADLINE_S) for job in jobs] == [100 + number for number in range(count)]
    said = warnings_in(caplog)
    assert "Socket timed out" in said[0]
    assert f"it is job {jobs[0].job_id.partition('_')[0]}." in said[1]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("count", [1, 3], ids=["job", "array"])
def test_a_submission_that_was_not_taken_is_sent_again(
    client: Client, shims: Shims, fault: Fault, caplog: pytest.LogCaptureFixture, count: int
) -> None:
    shims.put("sbatch", f'if [ $call -lt 4 ]; then echo "{TIMED_OUT}" >&2; exit 1; fi; exec $real "$@"')
    fault.injected()
    jobs = submit_some(client, count)
    fault.seen("sbatch times out three times", "the job, after as many looks into the queue")
    assert len(shims.calls("sbatch")) == 4
    assert len(scripts_in_queue(client)) == 1
    assert [job.result(DEADLINE_S) for job in jobs] == [100 + number for number in range(count)]
    assert len(warnings_in(caplog)) == 2


@pytest.mark.usefixtures("impatient")
def test_nothing_is_sent_again_as_long_as_nobody_can_look(client: Client, shims: Shims, fault: Fault) -> None:
    shims.put("sbatch", f'$real "$@" > /dev/null; echo "{TIMED_OUT}" >&2; exit 1')
    shims.put(
        "squeue",
        'if [ $call -lt 4 ]; then echo "slurm_load_jobs error: Socket timed out" >&2; exit 1; fi; exec $real "$@"',
    )
    fault.injected()
    (job,) = submit_some(client, 1)
    fault.seen("sbatch times out after Slurm has taken the job, and so does squeue at first", "the job, sent once")
    assert len(shims.calls("sbatch")) == 1
    assert len(shims.calls("squeue")) == 4
    assert len(scripts_in_queue(client)) == 1
    assert job.result(DEADLINE_S) == 100


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("count", [1, 3], ids=["job", "array"])
def test_a_job_that_slurmctld_has_forgotten_is_found_in_the_accounts(
    client: Client, shims: Shims, fault: Fault, count: int
) -> None:
    """It was over before anybody looked."""
    accounted = f"sacct -n -X -P --starttime=now-1hour -o SubmitLine | grep -q {client.directory}"
    shims.put(
        "sbatch",
        f'$real "$@" > /dev/null; until {accounted}; do sleep 0.2; done; echo "{TIMED_OUT}" >&2; exit 1',
    )
    shims.put("squeue", "exit 0")
    fault.injected()
    jobs = submit_some(client, count)
    fault.seen(
        "sbatch times out, and slurmctld has forgotten the job it took", "the job, from the accounts", timed=False
    )
    assert len(shims.calls("sbatch")) == 1
    shims.put("squeue")
    assert len(scripts_in_queue(client)) == 1
    assert [job.result(DEADLINE_S) for job in jobs] == [100 + number for number in range(count)]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("taken", [True, False])
def test_an_sbatch_that_hangs_is_ended(
    client: Client, shims: Shims, fault: Fault, monkeypatch: pytest.MonkeyPatch, taken: bool
) -> None:
    """With the processes that it has started."""
    monkeypatch.setattr(commands, "SUBMISSION_TIMEOUT_S", 2.0)
    pid = client.directory / "pid"
    first = (
        f'$real "$@" > /dev/null; sleep 1000 & echo $! > {pid}; wait'
        if taken
        else f"sleep 1000 & echo $! > {pid}; wait"
    )
    shims.put("sbatch", f'if [ $call = 1 ]; then {first}; fi; exec $real "$@"')
    fault.injected()
    (job,) = submit_some(client, 1)
    fault.seen(
        f"sbatch hangs {'after' if taken else 'before'} Slurm has taken the job",
        "the job, as soon as sbatch is given up",
    )
    until(lambda: is_gone(int(pid.read_text())), "the end of what sbatch had started")
    assert len(shims.calls("sbatch")) == (1 if taken else 2)
    assert len(scripts_in_queue(client)) == 1
    assert job.result(DEADLINE_S) == 100


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("known", [True, False])
def test_patience_has_an_end(
    client: Client, shims: Shims, fault: Fault, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    monkeypatch.setattr(attempts, "PATIENCE_S", 1.0)
    shims.put("sbatch", f'echo "{TIMED_OUT}" >&2; exit 1')
    if not known:
        shims.put("squeue", 'echo "slurm_load_jobs error: Unable to contact slurm controller" >&2; exit 1')
    executor = client.executor()
    fault.injected()
    with pytest.raises(errors.SubmissionRefusedError, match="Socket timed out") as raised:
        executor.submit(calls.add, 1, 2)
    if known:
        assert "It is not in the queue." in str(raised.value)
        assert len(shims.calls("sbatch")) > 1
        fault.seen("sbatch times out for five minutes", "`FailedSubmissionError`; no job", timed=False)
    else:
        assert "is not known" in str(raised.value)
        assert "squeue --me" in str(raised.value)
        assert len(shims.calls("sbatch")) == 1
        fault.seen(
            "sbatch times out, and squeue for five minutes",
            "`FailedSubmissionError`, with the command that tells; a job that was taken does nothing",
            timed=False,
        )
    assert [path for path in (client.directory / "jobs").rglob("*") if path.is_file()] == []


@pytest.mark.long
def test_a_controller_that_is_away(client: Client, fault: Fault, caplog: pytest.LogCaptureFixture) -> None:
    """It is started again when the user has been told."""

    class Administrator(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "Slurm did not take" in record.getMessage():
                client.cluster.start_controller()

    administrator = Administrator()
    logging.getLogger("submitit").addHandler(administrator)
    executor = client.executor()
    client.cluster.stop_controller()
    fault.injected()
    try:
        job = executor.submit(calls.add, 20, 22)
        fault.seen("slurmctld is away, and comes back", "one warning; the job, when it is back")
    finally:
        logging.getLogger("submitit").removeHandler(administrator)
        if client.cluster.daemon_pid("slurmctld") is None:
            client.cluster.start_controller()
    assert len(scripts_in_queue(client)) == 1
    assert job.result(DEADLINE_S) == 42
    assert "Unable to contact slurm controller" in warnings_in(caplog)[0]


# ---------------------------------------------------------------- Ctrl-C


@pytest.mark.parametrize("count", [1, 3], ids=["job", "array"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_interrupt_while_sbatch_runs_loses_no_job(
    client: Client, shims: Shims, fault: Fault, caplog: pytest.LogCaptureFixture, moment: str, count: int
) -> None:
    interrupt = "kill -INT $PPID"
    before, after = (interrupt, ":") if moment == "before" else (":", interrupt)
    shims.put("sbatch", f'{before}; answer=$($real "$@"); {after}; echo "$answer"')
    executor = client.executor()
    fault.injected()
    with pytest.raises(KeyboardInterrupt):
        executor.map_array(calls.add, range(count), [100] * count)
    fault.seen("Ctrl-C while sbatch runs", "`KeyboardInterrupt`, and the ids of what is in the queue", lost="no job")
    said = warnings_in(caplog)[-1]
    assert f"after {count} of {count} jobs, which are in the queue: " in said
    array_id = said.rpartition(" ")[2].partition("_")[0]
    jobs = [client.find(array_id)] if count == 1 else [client.find(f"{array_id}_{k}") for k in range(count)]
    assert [job.submission().args for job in jobs] == [(number, 100) for number in range(count)]
    assert [job.result(DEADLINE_S) for job in jobs] == [100 + number for number in range(count)]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_interrupt_does_not_wait_for_sbatch(client: Client, shims: Shims) -> None:
    shims.put("sbatch", "kill -INT $PPID; sleep 0.5; kill -INT $PPID; sleep 1000")
    executor = client.executor()
    with pytest.raises(KeyboardInterrupt):
        executor.submit(calls.add, 1, 2)
    assert [path for path in (client.directory / "jobs").rglob("*") if path.is_file()] == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_between_attempts_ends_them(client: Client, shims: Shims, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "FIRST_PAUSE_S", 0.1)
    shims.put("sbatch", f'echo "{TIMED_OUT}" >&2; exit 1')
    shims.put("squeue", "kill -INT $PPID; exit 1")
    executor = client.executor()
    with pytest.raises(KeyboardInterrupt):
        executor.submit(calls.add, 1, 2)
    assert len(shims.calls("sbatch")) == 1
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
