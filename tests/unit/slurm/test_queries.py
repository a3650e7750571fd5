"""The commands that ask Slurm, and what their answers say."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submitit.errors import FailedSubmissionError
from submitit.orchestrator.state import JobState
from submitit.slurm import job_ids, queries
from submitit.slurm.queries import JobRecord, JobTable, StepRecord, SubmittedJob
from support.recordings import Recordings


def record(job_id: str, state: str, source: str = "squeue", **fields: Any) -> JobRecord:
    return JobRecord(job_id, state, source)._replace(**fields)


def squeue(golden: Recordings, name: str = "squeue") -> JobTable:
    return JobTable(queries.parse_squeue(golden(name).stdout))


def sacct(golden: Recordings, name: str = "sacct") -> JobTable:
    return JobTable(queries.parse_sacct(golden(name).stdout))


def both(golden: Recordings) -> JobTable:
    return JobTable([*squeue(golden), *sacct(golden)])


# ---------------------------------------------------------------- how to ask


def test_a_users_filters_do_not_hide_jobs() -> None:
    base = {
        "PATH": "/bin",
        "SQUEUE_PARTITION": "",
        "SQUEUE_NAMES": "x",
        "SACCT_FORMAT": "jobid",
        "SLURM_CONF": "/c",
        "SLURM_CLUSTERS": "a",
    }
    asked = queries.environment(base)
    assert asked == {
        "PATH": "/bin",
        "SLURM_CONF": "/c",
        "SLURM_CLUSTERS": "a",
        "SLURM_BITSTR_LEN": "0",
        "SLURM_TIME_FORMAT": "%s",
    }
    assert "SQUEUE_NAMES" in base


def test_squeue_is_asked_for_a_user_or_for_whole_jobs() -> None:
    head = queries.squeue_command()
    assert head[:4] == ["squeue", "--noheader", "--all", "--states=all"]
    assert queries.squeue_command("1000") == [*head, "--user=1000"]
    assert queries.squeue_command(job_ids=["12_3", "12_4", "9"]) == [*head, "--jobs=12,9"]
    # A single unknown id would be an error, as if the controller were away.
    assert queries.squeue_command("ada", ["12_3"]) == [*head, "--user=ada", "--jobs=12,12"]


def test_sacct_is_asked_for_few_elements_or_the_whole_array() -> None:
    def asked(*job_ids: str) -> list[str]:
        return [command[-1] for command in queries.sacct_commands(job_ids)]

    assert asked() == []
    assert asked("12", "13_4", "13_5", "9.batch") == ["12,13_4,13_5,9"]
    assert asked("13_[0-2]") == ["13_0,13_1,13_2"]
    assert asked(*(f"13_{index}" for index in range(60)), "7") == ["13,7"]
    assert asked("13_[0-999999]") == ["13"]
    assert asked("13_4", "13") == ["13"]
    assert [text.count(",") + 1 for text in asked(*map(str, range(450)))] == [200, 200, 50]
    command = queries.sacct_commands(["12"])[0]
    assert command[:2] == ["sacct", "--parsable2"]
    assert "--noheader" not in command
    assert "Reason" not in command[2]


def test_failures_are_told_apart(golden: Recordings) -> None:
    assert queries.is_unknown_job(golden("squeue-unknown-single").stderr)
    assert queries.is_unknown_job(golden("scontrol-unknown").stderr)
    assert queries.is_unknown_job(golden("scontrol-element-cancelled").stdout)
    assert queries.is_unknown_job(golden("scontrol-requeue-unknown").stderr)
    for name in ("squeue-no-controller", "scontrol-no-controller", "squeue-no-munge", "scontrol-requeue-pending"):
        assert not queries.is_unknown_job(golden(name).stdout + golden(name).stderr)
    assert queries.is_without_accounting(golden("sacct-no-accounting").stderr)
    assert not queries.is_without_accounting(golden("sacct-no-database").stderr)


# ---------------------------------------------------------------- recorded answers


#: The scenarios of `record.py`: what squeue and sacct say together.
ENDINGS = {
    "completed": ("COMPLETED", 0, 0, "n[1-2]"),
    "failed": ("FAILED", 3, 0, "n"),
    "swallowed": ("COMPLETED", 0, 0, "n"),
    "killed": ("FAILED", 0, 9, "n"),
    "oom-step": ("FAILED", 1, 0, "n"),
    "oom-batch": ("OUT_OF_MEMORY", 0, 125, "n"),
    "no-log-folder": ("FAILED", 0, 53, "n"),
    "timeout": ("TIMEOUT", 0, 0, "n"),
    "cancelled": ("CANCELLED", 0, 0, "n"),
    "cancelled-pending": ("CANCELLED", 0, 0, ""),
    "no-requeue": ("NODE_FAIL", 0, 0, "n2"),
}


@pytest.mark.parametrize("scenario", ENDINGS)
def test_recorded_endings_are_read(golden: Recordings, scenario: str) -> None:
    word, code, signal, node = ENDINGS[scenario]
    job_id = golden.jobs[scenario]
    for table in (squeue(golden), sacct(golden), both(golden)):
        found = table.get(job_id)
        assert found is not None
        assert found.word == word
        assert found.node_list.startswith(node)
        assert bool(found.node_list) == bool(node)
        assert found.job_id == found.raw_id == job_id
        assert found.submit is not None
        assert found.end is not None
    together = both(golden).get(job_id)
    assert together is not None
    assert (together.exit_code, together.signal) == (code, signal)
    assert together.out_of_memory == scenario.startswith("oom")
    assert together.time_limit_s == (60 if scenario == "timeout" else 600)
    assert queries.as_info(together)["JobID"] == job_id


def test_the_accounts_say_who_cancelled(golden: Recordings) -> None:
    cancelled = sacct(golden).get(golden.jobs["cancelled"])
    assert cancelled is not None
    assert (cancelled.state, cancelled.word) == ("CANCELLED by 0", "CANCELLED")


def test_steps_tell_what_the_job_does_not(golden: Recordings) -> None:
    killed = sacct(golden).get(golden.jobs["oom-step"])
    assert killed is not None
    assert [step.step for step in killed.steps] == ["batch", "0"]
    assert killed.steps[1].state == "OUT_OF_MEMORY"
    assert killed.steps[1].signal == 125
    # The derived code may be the steps', or may have been written before they ended.
    assert killed._replace(steps=(), derived_signal=125).out_of_memory
    assert killed._replace(derived_signal=0).out_of_memory
    assert not killed._replace(steps=(), derived_signal=0).out_of_memory
    assert killed.requested_memory == "100M"
    swallowed = sacct(golden).get(golden.jobs["swallowed"])
    assert swallowed is not None
    assert [step.exit_code for step in swallowed.steps] == [0, 7]
    assert swallowed.exit_code == 0


def test_memory_is_that_of_the_largest_step(golden: Recordings) -> None:
    timed_out = sacct(golden).get(golden.jobs["timeout"])
    assert timed_out is not None
    assert timed_out.max_rss == max(step.max_rss or 0 for step in timed_out.steps) > 1024


@pytest.mark.parametrize(
    ("scenario", "state", "reason"),
    [
        ("held", "PENDING", "JobHeldUser"),
        ("dependent", "PENDING", "DependencyNeverSatisfied"),
        ("named", "RUNNING", ""),
        ("requeued", "PENDING", "BeginTime"),
        ("node-failed", "PENDING", "BeginTime"),
    ],
)
def test_recorded_jobs_that_live_are_read(golden: Recordings, scenario: str, state: str, reason: str) -> None:
    found = both(golden).get(golden.jobs[scenario])
    assert found is not None
    assert (found.state, found.reason, found.source) == (state, reason, "squeue")


def test_of_a_requeued_job_the_last_attempt_counts(golden: Recordings) -> None:
    told = queries.parse_sacct(golden("sacct-duplicates").stdout)
    for scenario in ("requeued", "node-failed"):
        attempts = [found for found in told if found.job_id == golden.jobs[scenario]]
        assert len(attempts) > 1
        assert attempts[0].word in ("REQUEUED", "NODE_FAIL")
        assert all(found.steps for found in attempts[:-1])
        for order in (attempts, attempts[::-1]):
            assert JobTable(order).get(golden.jobs[scenario]) == attempts[-1]


def test_a_preempted_job_is_waiting_again_whatever_the_accounts_say(golden: Recordings) -> None:
    job_id = golden.jobs["preempted"]
    said = sacct(golden, "sacct-preempted").get(job_id)
    assert said is not None
    assert said.word == "PREEMPTED"
    now = JobTable([said, *squeue(golden, "squeue-preempted")]).get(job_id)
    assert now is not None
    assert (now.word, now.source, now.steps, now.exit_code) == ("PENDING", "squeue", (), None)


def test_elements_that_wait_are_one_record(golden: Recordings) -> None:
    array = golden.jobs["steps"]
    (waiting,) = [found for found in squeue(golden) if found.job_id.startswith(f"{array}_")]
    assert waiting.job_id == f"{array}_[0-20:2%3]"
    table = JobTable([waiting])
    assert table.get(f"{array}_20") == waiting
    assert table.get(f"{array}_19") is None
    assert table.dropped(f"{array}_19")
    assert not table.dropped(f"{array}_20")


def test_a_cancelled_element_is_told_by_nobody(golden: Recordings) -> None:
    array = golden.jobs["holes"]
    table = both(golden)
    for index in range(200):
        cancelled = (index < 80 and index % 2 == 1) or index in (81, 82, 83, 150)
        assert (table.get(f"{array}_{index}") is None) == cancelled
        assert table.dropped(f"{array}_{index}") == cancelled
        assert table.names(f"{array}_{index}") != cancelled
    assert queries.parse_show_job(golden("scontrol-element-cancelled").stdout) == []


def test_of_a_cut_list_the_missing_are_not_taken_for_cancelled(golden: Recordings) -> None:
    array = golden.jobs["holes"]
    for table in (squeue(golden, "squeue-cut"), sacct(golden, "sacct-cut")):
        assert table.get(f"{array}_0") is not None
        assert table.get(f"{array}_199") is None
        assert not table.dropped(f"{array}_199")


def test_what_waited_of_a_cancelled_array_has_the_arrays_id(golden: Recordings) -> None:
    array = golden.jobs["throttled"]
    table = squeue(golden, "squeue-cancelled")
    ran, waited = table.get(f"{array}_0"), table.get(f"{array}_9")
    assert ran is not None
    assert waited is not None
    assert (ran.job_id, ran.word) == (f"{array}_0", "CANCELLED")
    assert (waited.job_id, waited.word) == (array, "CANCELLED")
    assert table.names(f"{array}_0")
    assert not table.names(f"{array}_9")
    assert sacct(golden, "sacct-cancelled").get(f"{array}_9") is not None
    shown = JobTable(queries.parse_show_job(golden("scontrol-array-cancelled-by-filter").stdout)).get(f"{array}_9")
    assert shown is not None
    assert shown.job_id == array


def test_unknown_jobs_are_not_there(golden: Recordings) -> None:
    for name, parse in (("squeue-unknown", queries.parse_squeue), ("sacct-unknown", queries.parse_sacct)):
        assert golden(name).code == 0
        assert parse(golden(name).stdout) == []
    assert both(golden).get("4000000") is None
    assert not both(golden).dropped("4000000")
    assert not both(golden).dropped("4000000_1")


def test_components_are_jobs_of_their_own(golden: Recordings) -> None:
    first = golden.jobs["het"]
    for table in (squeue(golden), sacct(golden), JobTable(queries.parse_show_job(golden("scontrol-het").stdout))):
        assert table.get(f"{first}+0") is not None
        second = table.get(f"{first}+1")
        assert second is not None
        assert second.raw_id == str(int(first) + 1)


# ---------------------------------------------------------------- scontrol


@pytest.mark.parametrize(
    "scenario",
    [*ENDINGS, "held", "dependent", "named", "requeued", "node-failed", "array", "throttled", "holes", "steps"],
)
def test_scontrol_says_what_squeue_says(golden: Recordings, scenario: str) -> None:
    shown = queries.parse_show_job(golden(f"scontrol-{scenario}").stdout)
    listed = squeue(golden)
    array = golden.jobs[scenario]

    def named(records: Iterable[JobRecord]) -> set[str]:
        return {job_id for found in records for job_id in job_ids.expand(found.job_id)}

    assert named(shown) == named(found for found in listed if found.job_id.partition("_")[0] == array)
    for found in shown:
        queued = listed.get(next(job_ids.expand(found.job_id)))
        assert queued is not None
        assert (found.state, found.node_list) == (queued.state, queued.node_list)
        assert (found.reason, found.time_limit_s) == (queued.reason, queued.time_limit_s)
        assert {"JobID", "State", "NodeList", "Command", "StdOut"} <= set(queries.as_info(found))


def test_scontrol_tells_of_restarts_and_preemption(golden: Recordings) -> None:
    def shown(name: str) -> JobRecord:
        return queries.parse_show_job(golden(f"scontrol-{name}").stdout)[0]

    assert (shown("named").restarts, shown("named").preempted) == (0, None)
    assert (shown("requeued-waiting").restarts, shown("requeued-waiting").word) == (1, "PENDING")
    assert shown("preempting").preempted is not None
    assert (shown("preempting").restarts, shown("preempting").word) == (0, "RUNNING")
    assert (shown("preempted").restarts, shown("preempted").preempted) == (1, None)
    assert shown("timeout").signal == 15
    assert shown("failed").exit_code == 3
    assert shown("oom-batch").requested_memory == "100M"
    assert shown("named").requested_memory == "300M per CPU"


def test_what_users_write_is_not_taken_for_fields(golden: Recordings) -> None:
    (named,) = queries.parse_show_job(golden("scontrol-named").stdout)
    assert named.state == "RUNNING"
    assert named.columns["JobName"] == "a b JobState=FAILED x"
    assert named.columns["Comment"] == "JobState=TIMEOUT | y"
    (found,) = queries.parse_show_job(
        "JobId=7 JobName=x\n   JobState=RUNNING Reason=ReqNodeNotAvail, UnavailableNodes:n1 Dependency=(null)\n   Comment=JobId=8\n"
    )
    assert (found.state, found.reason) == ("RUNNING", "ReqNodeNotAvail, UnavailableNodes:n1")


@pytest.mark.parametrize(
    "noise", [" " * 300_000, "a " * 150_000, "a=" * 150_000, "=" * 300_000, "12_[" * 70_000, "9" * 300_000]
)
def test_long_answers_are_read_in_time_that_grows_with_them(noise: str) -> None:
    for line in (
        noise,
        f"JobId=1 JobState=X Reason={noise}",
        f"JobId=1 Comment={noise}",
        f"JobID|State\n{noise}|{noise}",
        f"1|{noise}|" * 12,
    ):
        for parse in (queries.parse_show_job, queries.parse_squeue, queries.parse_sacct, queries.read_info):
            parse(line)


# ---------------------------------------------------------------- tables of sacct, and what stands in for it


def test_columns_are_found_by_their_names() -> None:
    (found,) = queries.parse_sacct("State|MaxRSS|JobID\nRUNNING|3K|12\n")
    assert found == record(
        "12", "RUNNING", "sacct", max_rss=3072, columns={"State": "RUNNING", "MaxRSS": "3K", "JobID": "12"}
    )


def test_few_columns_are_enough() -> None:
    (found,) = queries.parse_sacct(b"JobID|State\n12|RUNNING")
    assert queries.as_info(found) == {"JobID": "12", "State": "RUNNING"}
    assert (found.exit_code, found.start, found.out_of_memory) == (None, None, False)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("", {}),
        ("JobID|State\n", {}),
        ("12|RUNNING\n", {}),
        ("a\nb\n", {}),
        ("JobID|State\n12|RUNNING\n", {"12": {"JobID": "12", "State": "RUNNING"}}),
        (b"JobID|State\n12|X\n", {"12": {"JobID": "12", "State": "X"}}),
        ("State|JobID\nRUNNING|12\n", {"12": {"State": "RUNNING", "JobID": "12"}}),
        ("JobID|State\n12\n", {"12": {"JobID": "12"}}),
        ("JobID|State\n12|A|B\n", {"12": {"JobID": "12", "State": "A"}}),
        ("JobID|State\n12|PREEMPTED\n12|RUNNING\n", {"12": {"JobID": "12", "State": "RUNNING"}}),
        ("JobID|State\n12_3|A\n12_3.extern|B\n12_3.0|C\n12.ext+|D\n", {"12_3": {"JobID": "12_3", "State": "A"}}),
        ("JobID|State\n12_[1-2].0|PENDING\n", {}),
        ("JobID|State\nfoo|bar\n", {"foo": {"JobID": "foo", "State": "bar"}}),
        (
            "JobID|State\n12_[0-1%2]|PENDING\n",
            {f"12_{i}": {"JobID": "12_[0-1%2]", "State": "PENDING"} for i in range(2)},
        ),
    ],
)
def test_read_info_answers_as_version_1_did(output: str | bytes, expected: dict[str, dict[str, str]]) -> None:
    assert queries.read_info(output) == expected


def test_an_elements_own_line_stands_before_the_list() -> None:
    info = queries.read_info("JobID|State\n12_3|RUNNING\n12_[2-4]|PENDING\n")
    assert {job_id: columns["State"] for job_id, columns in info.items()} == {
        "12_2": "PENDING",
        "12_3": "RUNNING",
        "12_4": "PENDING",
    }


def test_an_unknown_word_stays_as_it_is() -> None:
    (found,) = queries.parse_sacct("JobID|State\n12|BLUBLU on 7\n")
    assert (found.state, found.word) == ("BLUBLU on 7", "BLUBLU")


# ---------------------------------------------------------------- one out of many


def test_the_controller_is_believed_and_the_accounts_fill_in() -> None:
    lagging = record("12", "RUNNING", "sacct", start=10.0, exit_code=0)
    ended = record(
        "12", "FAILED", "squeue", start=10.0, reason="NonZeroExitCode", columns={"State": "FAILED", "ExitCode": ""}
    )
    told = record(
        "12",
        "FAILED",
        "sacct",
        start=10.0,
        exit_code=3,
        steps=(StepRecord("0", "FAILED"),),
        columns={"State": "FAILED", "ExitCode": "3:0"},
    )
    for order in ([ended, told], [told, ended]):
        found = JobTable(order).get("12")
        assert found is not None
        assert (found.source, found.exit_code, found.reason, found.steps) == (
            "squeue",
            3,
            "NonZeroExitCode",
            told.steps,
        )
        assert found.columns == {"State": "FAILED", "ExitCode": "3:0"}
    for order in ([ended, lagging], [lagging, ended]):
        found = JobTable(order).get("12")
        assert found is not None
        assert found.state == "FAILED"


def test_another_attempt_fills_nothing_in() -> None:
    waiting = record("12", "PENDING", "squeue", start=200.0)
    before = record(
        "12", "PREEMPTED", "sacct", start=10.0, exit_code=0, signal=15, steps=(StepRecord("0", "CANCELLED"),)
    )
    assert JobTable([before, waiting]).get("12") == waiting


def test_stale_lists_of_the_accounts_do_not_count() -> None:
    listed = record("12_[0-4]", "PENDING", "sacct")
    assert JobTable([listed]).get("12_3") == listed
    queued = record("12_[0-2,4]", "PENDING")
    table = JobTable([listed, queued])
    assert table.get("12_3") is None
    assert table.dropped("12_3")
    assert table.get("12_4") is not None
    # An end that the accounts tell of is no leftover.
    ended = record("12_[0-4]", "CANCELLED by 0", "sacct")
    assert JobTable([ended, queued]).get("12_3") == ended


def test_a_stand_in_may_tell_of_the_array_alone() -> None:
    table = JobTable([record("12", "RUNNING", "sacct")])
    found = table.get("12_3")
    assert found is not None
    assert found.state == "RUNNING"
    assert not table.names("12_3")
    assert table.names("12")


def test_tables_can_be_gone_through() -> None:
    records = [record("1", "RUNNING"), record("2_[0-3]", "PENDING"), record("2_4", "RUNNING"), record("?", "X")]
    assert list(JobTable(records)) == [records[0], records[2], records[3], records[1]]
    assert len(JobTable(records)) == 4


# ---------------------------------------------------------------- sbatch


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("Submitted batch job 5664", SubmittedJob("5664")),
        ("Submitted batch job 5664\n", SubmittedJob("5664")),
        (b"Submitted batch job 12", SubmittedJob("12")),
        ("Submitted batch job 12 on cluster c1", SubmittedJob("12", "c1")),
        ("12", SubmittedJob("12")),
        ("12;c\n", SubmittedJob("12", "c")),
        ("Running job 12", SubmittedJob("12")),
        ("job 12", SubmittedJob("12")),
        ("Welcome to job 3 of 4\n99\nSubmitted batch job 13\n", SubmittedJob("13")),
        ("job: 4\njob 5", SubmittedJob("5")),
        ("Submitted batch job 12_0", SubmittedJob("12")),
    ],
)
def test_the_id_is_found(output: str | bytes, expected: SubmittedJob) -> None:
    assert queries.parse_sbatch(output) == expected


@pytest.mark.parametrize("output", ["", "blublu", "JOB 12", "Submitted batch job abc", "12 jobs"])
def test_no_id_is_an_error(output: str) -> None:
    with pytest.raises(FailedSubmissionError) as info:
        queries.parse_sbatch(output)
    assert str(info.value) == (
        f'Could not make sense of sbatch output "{output}"\nJob instance will not be able to fetch status\n'
        "(you may however set the job job_id manually if needed)"
    )


def test_recorded_submissions_are_read(golden: Recordings) -> None:
    for name, cluster in (
        ("sbatch", ""),
        ("sbatch-parsable", ""),
        ("sbatch-cluster", "test"),
        ("sbatch-parsable-cluster", "test"),
    ):
        found = queries.parse_sbatch(golden(name).stdout)
        assert found.job_id.isdecimal()
        assert found.cluster == cluster


def test_a_job_is_found_by_its_script(golden: Recordings) -> None:
    output = golden("squeue-submissions").stdout
    assert queries.parse_submissions(output, "/swallowed.sh") == golden.jobs["swallowed"]
    assert queries.parse_submissions(output, "/throttled.sh") == golden.jobs["throttled"]
    assert queries.parse_submissions(output, "/never-sent.sh") is None
    assert queries.submissions_command("7")[-1] == "--user=7"


# ---------------------------------------------------------------- telling Slurm


def test_commands_that_tell() -> None:
    assert queries.scancel_command(["12"]) == ["scancel", "12"]
    assert queries.scancel_command(["12_0", "12_1", "12_7", "13"]) == ["scancel", "12_[0-1,7]", "13"]
    assert queries.scancel_command(["13_1"], "USR2") == ["scancel", "13_1", "--signal", "USR2"]
    assert queries.requeue_command("12_3") == ["scontrol", "requeue", "12_3"]
    assert queries.start_soon_command("12") == ["scontrol", "update", "jobid=12", "StartTime=now+3"]
    assert queries.throttle_command("12", 4) == ["scontrol", "update", "jobid=12", "ArrayTaskThrottle=4"]
    assert queries.update_command("12", MinMemoryNode="400", TimeLimit="10") == [
        "scontrol",
        "update",
        "jobid=12",
        "MinMemoryNode=400",
        "TimeLimit=10",
    ]


def test_recorded_refusals_to_be_told(golden: Recordings) -> None:
    assert golden("scancel").code == golden("scancel-unknown").code == 0
    for name, words in [
        ("scontrol-requeue-pending", "Job is pending execution"),
        ("scontrol-requeue-finished-no", "Requested operation is presently disabled"),
        ("scontrol-update-running", "Job is no longer pending execution"),
        ("scontrol-update-finished", "Job has already finished"),
    ]:
        assert golden(name).code == 1
        assert words in golden(name).stderr
    for name in ("scontrol-requeue", "scontrol-start-now", "scontrol-throttle"):
        assert golden(name).code == 0


def test_recorded_reasons_not_to_pass_ranges(golden: Recordings) -> None:
    assert golden("squeue-brackets").stdout.split() == [f"{golden.jobs['array']}_0|COMPLETED"]
    assert golden("sacct-brackets").code == 1


# ---------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1795255134", 1795255134.0), ("Unknown", None), ("None", None), ("N/A", None), ("", None), ("2026-13-45T00:00:00", None), ("tomorrow", None), ("٣", None)],
)  # fmt: skip
def test_times_are_seconds(text: str, expected: float | None) -> None:
    found = queries.timestamp(text)
    assert found == expected or text.startswith("2026")


def test_times_of_this_machines_zone_are_read() -> None:
    # 24 hours apart, whatever the zone: there is no change of clocks in it on these days anywhere.
    first, second = queries.timestamp("2026-11-20T10:00:00"), queries.timestamp("2026-11-21T10:00:00")
    assert first is not None
    assert second is not None
    assert second - first == 86400


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0:01", 1), ("10:00", 600), ("00:00:27", 27), ("1-02:03:04", 93784), ("00:01.250", 1.25), ("UNLIMITED", math.inf), ("Partition_Limit", None), ("INVALID", None), ("", None)],
)  # fmt: skip
def test_durations_are_seconds(text: str, expected: float | None) -> None:
    assert queries.duration(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", 0), ("220K", 225280), ("500M", 524288000), ("4Gn", 4 << 30), ("1.5Gc", 3 << 29), ("2T", 2 << 40), ("", None), ("?", None), ("16Q", None)],
)  # fmt: skip
def test_memory_is_bytes(text: str, expected: int | None) -> None:
    assert queries.memory_bytes(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("500M", "500M"), ("4Gn", "4G"), ("4Gc", "4G per CPU"), ("", ""), ("?", "?")]
)
def test_requested_memory_is_for_people(text: str, expected: str) -> None:
    (found,) = queries.parse_sacct(f"JobID|State|ReqMem\n1|X|{text}\n")
    assert found.requested_memory == expected


# ---------------------------------------------------------------- anything at all

NOISE = st.text(alphabet="JobIdState=|_[]-,.%:0129 \n+ABC()/", max_size=120)
LINES = st.lists(
    st.lists(
        NOISE | st.sampled_from(["12", "12_[0-3%2]", "RUNNING", "0:0", "1-00:00:00", "4Gn", "Unknown"]), max_size=14
    ).map("|".join)
)


@given(
    st.text()
    | st.binary()
    | NOISE
    | LINES.map("\n".join)
    | LINES.map(lambda lines: "\n".join(["JobID|State|ExitCode|Start|ReqMem", *lines]))
)
def test_any_output_is_read(output: str | bytes) -> None:
    for parse in (queries.parse_squeue, queries.parse_sacct, queries.parse_show_job):
        records = parse(output)
        table = JobTable(records)
        assert len(table) <= len(records)
        for found in records:
            table.get(found.job_id)
            table.dropped(found.job_id)
            table.names(f"{found.job_id}_1")
            assert isinstance(found.out_of_memory, bool)
            assert queries.as_info(found).keys() >= found.columns.keys()
    queries.read_info(output)
    queries.parse_submissions(output, "x")
    with contextlib.suppress(FailedSubmissionError):
        assert queries.parse_sbatch(output).job_id.isdecimal()


@given(st.text())
def test_any_value_is_read(text: str) -> None:
    for read in (queries.timestamp, queries.duration, queries.memory_bytes):
        found = read(text)
        assert found is None or found >= 0 or read is queries.timestamp
    queries.is_unknown_job(text)
    queries.is_without_accounting(text)


def test_a_submission_is_found_in_the_accounts() -> None:
    command = queries.accounted_submissions_command("1000", "far")
    assert "--user=1000" in command
    assert "--clusters=far" in command
    printed = (
        "12|sbatch /a/.submission_file_x.sh\n13_[0-2]|sbatch /a/.submission_file_y.sh --wait\n14_3|sbatch z|y.sh\n"
    )
    assert queries.parse_submissions(printed, "file_x") == "12"
    assert queries.parse_submissions(printed, "file_y") == "13"
    assert queries.parse_submissions(printed, "z|y") == "14"
    assert queries.parse_submissions(printed, "file_z") is None


def test_components_of_a_heterogeneous_job_are_asked_for_by_their_leader() -> None:
    assert queries.squeue_command(job_ids=["12+0", "12+1"])[-1] == "--jobs=12,12"
    assert queries.sacct_commands(["12+0", "12+1", "13_4"])[0][-1] == "12,13_4"


def test_a_heterogeneous_job_is_its_first_component() -> None:
    line = "{}|RUNNING|n1|{}|1|2|3|0:05|1:00|500M|None"
    table = JobTable(queries.parse_squeue("\n".join(line.format(*ids) for ids in (("12+1", 13), ("12+0", 12)))))
    for asked, raw in (("12", "12"), ("12+0", "12"), ("12+1", "13")):
        found = table.get(asked)
        assert found is not None
        assert found.raw_id == raw
        assert table.names(asked)
    early = JobTable(queries.parse_sacct("JobID|State\n12|RUNNING"))
    assert early.get("12+0") is not None
    assert early.get("12+1") is None


def test_values_read_as_sacct_writes_them() -> None:
    (found,) = queries.parse_squeue("12|PENDING||12|1|2|3|1-02:03:04|5:00|500M|None")
    info = queries.as_info(found)
    assert (info["Elapsed"], info["Timelimit"], info["NodeList"]) == ("1-02:03:04", "00:05:00", "")
    (told,) = queries.parse_sacct("JobID|State|NodeList|Timelimit|ReqMem\n12|PENDING|None assigned|UNLIMITED|16?")
    info = queries.as_info(told)
    assert (info["Timelimit"], info["NodeList"], info["ReqMem"]) == ("UNLIMITED", "", "")


#: One of each kind that a reader might take for the beginning of something, so often that a square of it would be noticed.
LONG = [
    "a",
    " ",
    "=",
    "a=",
    " a=",
    "[",
    "9",
    "9,",
    "1-2,",
    "|",
    "n[1],",
    "JobId=1 JobState=X ",
    "1:",
    "1_",
    "Submitted batch job ",
]


@pytest.mark.parametrize("piece", LONG)
def test_long_output_takes_no_time(piece: str) -> None:
    """A reader that looked at each character again for each other one would take hours."""
    text = piece * (200_000 // len(piece))
    for output in (text, "JobID|State\n" + text, "JobId=1 JobState=RUNNING " + text, "12_[" + text):
        for parse in (queries.parse_squeue, queries.parse_sacct, queries.parse_show_job):
            parse(output)
        for read in (queries.timestamp, queries.duration, queries.memory_bytes, queries.is_unknown_job):
            read(output)
        with contextlib.suppress(FailedSubmissionError):
            queries.parse_sbatch(output)
        with contextlib.suppress(ValueError):
            job_ids.parse(output)


WORDS = {state.value for state in JobState} | {"FINISHED", "INTERRUPTED", "OUT_OF_ME", "CANCELED"}


@given(st.from_regex(r"[A-Z_]{1,20}", fullmatch=True) | st.sampled_from(sorted(WORDS)).map(lambda word: word[:-1]))
def test_a_state_that_nobody_knows_stays_as_it_is_and_ends_nothing(word: str) -> None:
    squeue = f"12|{word}|n1|12|1|2|3|0:05|1:00|500M|None"
    for (found,) in (
        queries.parse_squeue(squeue),
        queries.parse_sacct(f"JobID|State\n12|{word}\n12.batch|{word}"),
        queries.parse_show_job(f"JobId=12 JobName=x\n   JobState={word} Reason=None Dependency=(null)"),
    ):
        assert found.state == found.word == queries.as_info(found)["State"] == word
        if word not in WORDS:
            assert JobState.read(found.state) is JobState.UNKNOWN
    assert not JobState.UNKNOWN.final
