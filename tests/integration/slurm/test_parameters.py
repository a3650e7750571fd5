"""Parameters on a real Slurm: what it reads, what it makes of them, and what must not leak from one job into another."""

from __future__ import annotations

import os
import re
import subprocess
from typing import Any

import pytest

import submitit
from submitit import errors
from submitit.slurm import options, parameters
from submitit.slurm.environment import SlurmJobEnvironment
from submitit.slurm.options import Kind
from support import calls, faults
from support.slurm_cluster import SlurmCluster
from support.slurm_jobs import DEADLINE_S, Client, start_again, until

pytestmark = pytest.mark.slurm


def shown(client: Client, job_id: str) -> dict[str, str]:
    """What slurmctld says of a job."""
    text = client.cluster.run("scontrol", "show", "job", job_id).stdout
    return dict(re.findall(r"(\S+?)=(.*?)(?=\s+[A-Za-z:/]+=|\s*$)", text, re.MULTILINE))


# ---------------------------------------------------------------- the table, beside the sbatch that is installed


def words_of_sbatch(*arguments: str) -> str:
    # At the end: a value that is missing is not to be found in what follows.
    command = ["sbatch", "--test-only", "--output=/dev/null", "--wrap=true", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    return done.stdout + done.stderr


def test_the_table_is_that_of_sbatch(slurm: SlurmCluster) -> None:
    """Which options there are and which take a value; getopt says so before anything is looked at."""
    release = words_of_sbatch("--version").split()[1].rpartition(".")[0]
    wrong = []
    for option in options.OPTIONS.values():
        here = (option.first or "17.11") <= release <= (option.last or "26.05")
        bare, valued = words_of_sbatch(f"--{option.name}"), words_of_sbatch(f"--{option.name}=x")
        if here and "unrecognized option" in bare:
            wrong.append(f"{option.name} is not there")
        elif "unrecognized option" not in bare:
            takes_none = "doesn't allow an argument" in valued
            needs_one = "requires an argument" in bare
            expected = (option.kind is Kind.FLAG, option.kind not in (Kind.FLAG, Kind.OPTIONAL))
            # From 25.11 on it may have one.
            if (takes_none, needs_one) != expected and option.name != "requeue":
                wrong.append(f"{option.name} {takes_none=} {needs_one=}")
    assert wrong == []


def test_help_adds_nothing(slurm: SlurmCluster) -> None:
    """The table has all that this sbatch names."""
    found = options.read_help(slurm.run("sbatch", "--help").stdout)
    assert len(found) > 80
    assert found - set(options.OPTIONS) == set()


@pytest.mark.parametrize(
    ("option", "check", "values"),
    [
        ("time", parameters.check_time, ["5", "5:30", "1:30:00", "1-12", "1-12:30", "1-12:30:15", "1-25", "1:90", "unlimited", "INFINITE", "2147", "7.5", "1:2:3:4", "1-2:3:4:5", " 5", "5 ", "+5", "1e2", "x", "1-x", "00:10:00.5", "1.5:00", "\u0663", ""]),
        ("mem", parameters.check_memory, ["0", "0G", "100", "100M", "100MB", "100m", "100mb", " 100M", "1000K", "4X", "4 G", "4P", "x", "-1", "1e3", "0.5G", "100MiB", "100B", "100M ", ""]),
    ],
    ids=["time", "mem"],
)  # fmt: skip
def test_times_and_sizes_are_read_as_sbatch_does(
    slurm: SlurmCluster, option: str, check: Any, values: list[str]
) -> None:
    for value in values:
        try:
            check(option, value)
            accepted = True
        except ValueError:
            accepted = False
        assert accepted == (f"Invalid --{option} specification" not in words_of_sbatch(f"--{option}={value}")), value


@pytest.mark.parametrize(
    ("time", "minutes"), [(7, 7), ("7:01", 8), ("1:30:00", 90), ("1-02", 26 * 60), ("1-00:30:01", 24 * 60 + 31)]
)
def test_the_job_knows_the_limit_that_slurm_reads(client: Client, time: Any, minutes: int) -> None:
    executor = client.executor(slurm_hold=True, slurm_time=time)
    job = executor.submit(calls.add, 1, 2)
    days, hours, rest = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d+):00", shown(client, job.job_id)["TimeLimit"]).groups()  # type: ignore[union-attr]
    assert int(days or 0) * 24 * 60 + int(hours) * 60 + int(rest) == minutes
    assert job.submission()._timeout_min == minutes


# ---------------------------------------------------------------- what Slurm makes of them


def test_options_reach_slurm(client: Client) -> None:
    executor = client.executor(
        slurm_hold=True,
        slurm_requeue=False,
        slurm_nice=7,
        slurm_begin="2030-01-02T03:04:05",
        slurm_mail_type=["END", "FAIL"],
        slurm_mail_user="nobody@localhost",
        slurm_exclude=["n2"],
        slurm_mem="300M",
        slurm_contiguous=True,
        slurm_kill_on_invalid_dep=True,
        slurm_comment="it's #1",
        slurm_wckey=submitit.UNSET,
        slurm_job_name=submitit.UNSET,
    )
    found = shown(client, executor.submit(calls.add, 1, 2).job_id)
    assert found["Priority"] == "0"
    assert found["Requeue"] == "0"
    assert found["Nice"] == "7"
    assert found["EligibleTime"] == "2030-01-02T03:04:05"
    assert found["MailType"] == "END,FAIL"
    assert found["MailUser"] == "nobody@localhost"
    assert found["ExcNodeList"] == "n2"
    assert found["MinMemoryNode"] == "300M"
    assert found["Contiguous"] == "1"
    assert found["KillOInInvalidDependent"] == "Yes"
    assert found["Comment"] == "it's #1"
    assert found["JobName"].startswith(".submission_file_")
    executor.update_parameters(slurm_requeue=True, slurm_begin=submitit.UNSET, slurm_nice=submitit.UNSET)
    found = shown(client, executor.submit(calls.add, 1, 2).job_id)
    assert found["Requeue"] == "1"
    assert found["Nice"] == "0"
    assert not found["EligibleTime"].startswith("2030")


def test_a_reservation_and_a_license(client: Client) -> None:
    name = f"reserved_{os.getpid()}"
    reservation = f"reservationname={name} users=root starttime=now duration=60 nodecnt=1 flags=ignore_jobs"
    client.cluster.run("scontrol", "create", "reservation", *reservation.split())
    try:
        job = client.submit(calls.describe, slurm_reservation=name)
        assert shown(client, job.job_id)["Reservation"] == name
        assert job.result(DEADLINE_S)["num_tasks"] == 1
    finally:
        # Not while a job is in it.
        delete = ("scontrol", "delete", f"reservationname={name}")
        until(lambda: client.cluster.run(*delete, check=False).returncode == 0, "the end of the reservation")
    with pytest.raises(errors.FailedSubmissionError, match="Invalid license specification"):
        client.submit(calls.add, 1, 2, slurm_licenses=["none:1", "such:2"])


def test_the_number_of_tasks_may_be_given_itself(client: Client) -> None:
    job = client.submit(calls.my_rank, slurm_ntasks=3, slurm_nodes="1-2")
    assert job.num_tasks == 3
    assert job.results(DEADLINE_S) == [0, 1, 2]


@pytest.mark.usefixtures("unasked")
@pytest.mark.parametrize("use_srun", [True, False])
@pytest.mark.parametrize("export", ["NONE", ["HOME", "GIVEN=it is"], "ALL"])
def test_what_is_exported(
    client: Client, monkeypatch: pytest.MonkeyPatch, export: str | list[str], use_srun: bool
) -> None:
    """The function does not see what is kept from it; the script's own variables, and its markers, do their work."""
    monkeypatch.setenv("SET_BY_CLIENT", "yes")
    executor = client.executor(slurm_export=export, slurm_use_srun=use_srun, slurm_setup=["export FROM_SETUP=1"])
    seen = executor.submit(calls.environment).result(DEADLINE_S)
    assert ("SET_BY_CLIENT" in seen) == (export == "ALL")
    assert seen.get("GIVEN") == ("it is" if isinstance(export, list) else None)
    assert seen["FROM_SETUP"] == "1"
    assert submitit.SlurmJob.watcher.num_calls == 0


# ---------------------------------------------------------------- throttling


def test_a_running_array_is_throttled(client: Client) -> None:
    started, go = client.directory / "started", client.directory / "go"
    started.mkdir()
    executor = client.executor(slurm_array_parallelism=1)
    first = executor.map_array(calls.touch_and_wait, [str(started / f"a{k}") for k in range(4)], [str(go)] * 4)
    other = executor.map_array(calls.touch_and_wait, [str(started / f"b{k}") for k in range(3)], [str(go)] * 3)
    jobs = [*first, *other]

    def limits() -> list[str]:
        ids = [first[0].job_id.partition("_")[0], other[0].job_id.partition("_")[0]]
        texts = [client.cluster.run("scontrol", "show", "job", array_id).stdout for array_id in ids]
        return [",".join(sorted(set(re.findall(r"ArrayTaskThrottle=(\d+)", text)))) for text in texts]

    until(lambda: len(list(started.glob("a?"))) == 1, "one element of the first array")
    submitit.throttle(jobs, 4)
    assert limits() == ["2", "2"]
    until(lambda: len(list(started.glob("a?"))) >= 2, "a second element of the first array")
    submitit.throttle(first[:1], 3)
    assert limits() == ["3", "2"]
    submitit.throttle(jobs, 0)
    until(lambda: len(list(started.glob("a?"))) == 4, "all elements of the first array")
    go.write_text("on")
    assert [job.result(DEADLINE_S) for job in jobs] == ["on"] * 7
    # They have ended: there is nothing to throttle, and nothing wrong with it.
    submitit.throttle(jobs, 1)


def test_what_is_no_array_is_not_throttled(client: Client) -> None:
    executor = client.executor(slurm_hold=True)
    array, single = executor.map_array(calls.add, [1, 2], [3, 4]), executor.submit(calls.add, 1, 2)
    with pytest.raises(ValueError, match=f"Job {single.job_id} .SlurmJob. is in no array"):
        submitit.throttle([*array, single], 1)
    assert "ArrayTaskThrottle=2" in client.cluster.run("scontrol", "show", "job", array[0].job_id).stdout
    with pytest.raises(RuntimeError, match="Slurm did not throttle array 99999999: .*[Ii]nvalid job id"):
        submitit.throttle([client.find("99999999_0")], 1)


# ---------------------------------------------------------------- what must not leak


def check_inner(found: dict[str, Any], outer_id: str) -> None:
    """The jobs that a job submitted are jobs of their own, and have nothing of it."""
    assert found["outer"]["job_id"] == outer_id
    single, (first, second) = found["single"], found["elements"]
    assert single["job_id"] == found["ids"][0] != outer_id
    assert (single["num_tasks"], single["num_nodes"], single["cpus_per_task"]) == (1, 1, None)
    assert (single["array_job_id"], single["isatty"]) == (None, False)
    assert (first, second) == ((0, 1, "0"), (0, 2, "1"))


@pytest.mark.parametrize("inner", [True, False])
@pytest.mark.parametrize("outer", [True, False])
def test_a_job_submits_as_anybody_does(client: Client, outer: bool, inner: bool) -> None:
    job = client.submit(
        faults.submit_from_here, str(client.directory / "inner"), inner,
        slurm_use_srun=outer, cpus_per_task=2, mem_gb=0.25, slurm_additional_parameters={"mem_bind": "local"},
    )  # fmt: skip
    found = job.result(DEADLINE_S)
    assert found["outer"]["cpus_per_task"] == "2"
    check_inner(found, job.job_id)


def test_every_rank_submits(client: Client) -> None:
    """Below srun, on two nodes."""
    job = client.submit(
        faults.submit_from_here, str(client.directory / "inner"), True, nodes=2, tasks_per_node=2, mem_gb=0.25
    )
    found = job.results(DEADLINE_S)
    assert len({job_id for rank in found for job_id in rank["ids"]}) == 12
    for rank in found:
        assert rank["outer"]["num_tasks"] == 4
        check_inner(rank, job.job_id)


def test_an_element_of_an_array_submits(client: Client) -> None:
    executor = client.executor()
    jobs = executor.map_array(
        faults.submit_from_here, [str(client.directory / f"inner{k}") for k in range(2)], [True, False]
    )
    for job in jobs:
        check_inner(job.result(DEADLINE_S), job.job_id)


def test_the_sites_variables_reach_every_submission(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """``SBATCH_*`` in the environment are options of sbatch, here and in a job; so is what tells where Slurm is."""
    monkeypatch.setenv("SBATCH_PARTITION", "low")
    monkeypatch.setenv("SBATCH_NO_REQUEUE", "1")
    job = client.submit(faults.submit_from_here, str(client.directory / "inner"), True)
    found = job.result(DEADLINE_S)
    for job_id in (job.job_id, found["single"]["job_id"]):
        assert shown(client, job_id)["Partition"] == "low"
        assert shown(client, job_id)["Requeue"] == "0"


@pytest.mark.usefixtures("unasked")
def test_a_site_may_export_nothing(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SBATCH_EXPORT", "NONE")
    monkeypatch.setenv("SET_BY_CLIENT", "yes")
    monkeypatch.setenv("SUBMITIT_PREEMPT_SIGNAL", "USR1")
    seen = client.submit(calls.environment, slurm_setup=["export FROM_SETUP=1"]).result(DEADLINE_S)
    assert "SET_BY_CLIENT" not in seen
    assert seen["FROM_SETUP"] == "1"
    # The script sends what the runner listens to.
    assert seen["SUBMITIT_PREEMPT_SIGNAL"] == SlurmJobEnvironment.USR_SIG
    assert submitit.SlurmJob.watcher.num_calls == 0


# ---------------------------------------------------------------- attempts


@pytest.mark.parametrize("use_srun", [True, False])
def test_logs_of_attempts_follow_each_other_and_say_which_they_are(client: Client, use_srun: bool) -> None:
    job = client.submit(faults.Saving(2, str(client.directory)), slurm_use_srun=use_srun)
    until((client.directory / "attempt-0").exists, "a start")
    job._interrupt(timeout=True)
    start_again(client.cluster, job.job_id)
    assert job.result(DEADLINE_S) == 1
    calls.wait_for_output(job, "Exiting after successful completion")
    lines = [line.partition(" - ")[2] for line in (job.stdout() or "").splitlines() if line.startswith("submitit ")]
    first, second = (number for number, line in enumerate(lines) if line.startswith("Starting with JobEnvironment("))
    assert first == 0
    assert lines[first].endswith(")")
    assert lines[second].endswith("), attempt 2")
    assert f"Attempt 2 of job {job.job_id} begins" in (job.stderr() or "")
