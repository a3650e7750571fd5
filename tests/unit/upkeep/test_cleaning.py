"""What may go of a folder of jobs, decided from what is known of it."""

from __future__ import annotations

from typing import Any

import pytest

from submitit.local.journals import Controller
from submitit.orchestrator.state import JobState
from submitit.storage.names import unique_name
from submitit.upkeep import cleaning
from submitit.upkeep.cleaning import Kept, Part, Wanted
from submitit.upkeep.inventory import File, Inventory
from submitit.upkeep.survey import Survey
from submitit.views.entry import JobEntry

NOW = 2_000_000_000.0
DAY = 86400.0
ROOT = "/jobs"
ME = 7
GONE = "20330101-000000-elsewhere-1-00000000"


def entry(job_id: str, state: str = "COMPLETED", *, age: float = DAY, over: bool = True, **told: Any) -> JobEntry:
    submission: Any = {"folder": ROOT, "backend": "slurm", "time": NOW - age, "tasks": 1, "payload": "p.pkl", **told}
    return JobEntry(submission, job_id, state, over)


def file(path: str, kind: str, job: str | None = None, *, age: float = DAY, owner: int = ME) -> File:
    number = sum(path.encode()) * 1000 + len(path)
    return File(f"{ROOT}/{path}", kind, job and (ROOT, job), 4096, (1, number), 1, owner, NOW - age)  # type: ignore[arg-type]


def survey(*entries: JobEntry, files: list[File] | None = None, **fields: Any) -> Survey:
    """A folder of these jobs, each with a log, a result and a marker; all of one client, that is gone."""
    listed = [] if files is None else files
    for one in entries:
        age = NOW - one.submitted
        listed += [
            file(f"{one.job_id}_0_log.out", "logs", one.job_id, age=age),
            file(f"{one.job_id}_0_result.pkl", "results", one.job_id, age=age),
            file(f".submitit/events/{GONE}/{one.job_id}-0.0.run", "markers", one.job_id, age=age),
        ]
    every = [*entries, *fields.get("cleaned", ())]
    names = {name for one in every for name in [one.submission.get("payload")] if name}
    listed += [file(f".submitit/payloads/{name}", "payloads") for name in sorted(names)]
    listed.append(file(f".submitit/journal/{GONE}.jsonl", "journals"))
    known: dict[str, Any] = {
        "root": ROOT,
        "time": NOW,
        "user": ME,
        "entries": list(entries),
        "cleaned": [],
        "inventory": Inventory(listed, fields.pop("snapshots", {})),
        "clients": {(one.folder, one.job_id): GONE for one in every},
        "owners": {GONE: ME},
        "living": frozenset(),
        "controllers": [],
        "needed": frozenset(),
        "needed_payloads": frozenset(),
        "elements": {},
        "queued": "",
    }
    return Survey(**{**known, **fields})


def gone(plan: cleaning.Plan) -> set[str]:
    return {one.path.removeprefix(f"{ROOT}/").removeprefix(".submitit/") for one in plan.files}


def ids(plan: cleaning.Plan) -> list[str]:
    return [one.job_id for one in plan.jobs]


def test_all_of_jobs_that_are_over_goes_and_their_journal_last() -> None:
    plan = cleaning.decide(survey(entry("1"), entry("2", "FAILED")), Wanted())
    assert ids(plan) == ["1", "2"]
    assert plan.kept == {}
    assert gone(plan) >= {"1_0_log.out", "1_0_result.pkl", "2_0_result.pkl", "payloads/p.pkl", f"journal/{GONE}.jsonl"}
    assert plan.files[-1].kind == "journals"
    assert plan.freed == 4096 * len(plan.files)
    assert f"{ROOT}/.submitit/events/{GONE}" in plan.directories


@pytest.mark.parametrize("state", ["RUNNING", "PENDING", "REQUEUED", "PREEMPTED", "NODE_FAIL"])
def test_a_job_that_is_not_over_keeps_all_that_it_shares(state: str) -> None:
    plan = cleaning.decide(survey(entry("5_0"), entry("5_1", state, over=False)), Wanted())
    assert ids(plan) == ["5_0"]
    assert plan.kept == {Kept.ALIVE: 1}
    assert gone(plan) == {"5_0_0_log.out", "5_0_0_result.pkl", f"events/{GONE}/5_0-0.0.run"}
    assert plan.directories == []


def test_the_script_of_an_array_goes_with_its_last_element() -> None:
    script = file("5_submission.sh", "scripts", "5")
    one, other = entry("5_0"), entry("5_1", "RUNNING", over=False)
    assert "5_submission.sh" not in gone(cleaning.decide(survey(one, other, files=[script]), Wanted()))
    assert "5_submission.sh" in gone(cleaning.decide(survey(one, cleaned=[entry("5_1")], files=[script]), Wanted()))


def test_what_others_wait_for_stays() -> None:
    plan = cleaning.decide(survey(entry("1"), entry("2"), needed=frozenset([(ROOT, "2")])), Wanted())
    assert ids(plan) == ["1"]
    assert plan.kept == {Kept.NEEDED: 1}


def test_what_is_somebody_elses_stays() -> None:
    plan = cleaning.decide(survey(entry("1"), owners={GONE: 8}), Wanted())
    assert plan.jobs == []
    assert plan.kept == {Kept.OTHERS: 1}
    foreign = file("1_0_log.err", "logs", "1", owner=8)
    plan = cleaning.decide(survey(entry("1"), files=[foreign]), Wanted())
    assert ids(plan) == ["1"]
    # What could not be deleted is found by the journal later.
    assert not {"1_0_log.err", f"journal/{GONE}.jsonl"} & gone(plan)


def test_by_age_since_the_end_and_by_state() -> None:
    young, old = entry("1", age=DAY), entry("2", age=40 * DAY)
    late = entry("3", age=40 * DAY)._replace(end=NOW - 60)
    plan = cleaning.decide(survey(young, old, late), Wanted(older_than_s=30 * DAY))
    assert ids(plan) == ["2"]
    assert plan.kept == {Kept.YOUNGER: 2}
    wanted = Wanted(states=frozenset([JobState.FAILED, JobState.TIMEOUT]))
    plan = cleaning.decide(survey(entry("1"), entry("2", "FAILED"), entry("3", "TIMEOUT")), wanted)
    assert ids(plan) == ["2", "3"]
    assert plan.kept == {Kept.OTHER_STATE: 1}


def test_what_nobody_knows_about_has_to_be_named_and_silent_for_a_day() -> None:
    lost, recent = entry("1", "UNKNOWN", over=False, age=2 * DAY), entry("2", "UNKNOWN", age=DAY / 2)
    assert cleaning.decide(survey(lost, recent), Wanted()).kept == {Kept.UNKNOWN: 2}
    plan = cleaning.decide(survey(lost, recent), Wanted(states=frozenset([JobState.UNKNOWN])))
    assert ids(plan) == ["1"]
    assert plan.kept == {Kept.UNKNOWN: 1}


def test_parts_of_jobs() -> None:
    pickle = file("1_submitted.pkl", "payloads", "1")
    plan = cleaning.decide(survey(entry("1"), files=[pickle]), Wanted(part=Part.LOGS))
    assert gone(plan) == {"1_0_log.out"}
    assert cleaning.told(plan, "me") == []
    plan = cleaning.decide(survey(entry("1"), files=[pickle]), Wanted(part=Part.ALL_BUT_RESULTS))
    assert gone(plan) == {"1_0_log.out", "1_submitted.pkl", "payloads/p.pkl"}
    assert cleaning.told(plan, "me") == []
    plan = cleaning.decide(survey(entry("1"), files=[pickle]), Wanted())
    assert [one.covers("1", NOW - DAY) for one in cleaning.told(plan, "me")] == [True]


def test_what_jobs_wrote_themselves_stays() -> None:
    own = file("1/checkpoint.pt", "others", "1")
    plan = cleaning.decide(survey(entry("1"), files=[own]), Wanted())
    assert "1/checkpoint.pt" not in gone(plan)
    assert plan.left == [own]


def test_a_living_client_keeps_its_journal_and_what_it_has_not_sent_yet() -> None:
    known = survey(entry("1_0"), entry("1_1"), living=frozenset([GONE]), elements={"p.pkl": 2})
    plan = cleaning.decide(known, Wanted())
    assert "payloads/p.pkl" in gone(plan)
    assert f"journal/{GONE}.jsonl" not in gone(plan)
    assert plan.directories == []
    assert "payloads/p.pkl" not in gone(cleaning.decide(known._replace(elements={"p.pkl": 3}), Wanted()))
    assert "payloads/p.pkl" in gone(
        cleaning.decide(known._replace(elements={"p.pkl": 3}, living=frozenset()), Wanted())
    )


def test_calls_that_jobs_share_out_go_with_the_last_of_them() -> None:
    chunks = [file(".submitit/payloads/c.pkl", "payloads"), file(".submitit/payloads/c.claims", "payloads")]
    one, other = entry("1", shares="c.pkl"), entry("2", "RUNNING", over=False, shares="c.pkl", payload="q.pkl")
    plan = cleaning.decide(survey(one, other, files=list(chunks)), Wanted())
    assert not {"payloads/c.pkl", "payloads/c.claims"} & gone(plan)
    plan = cleaning.decide(survey(one, other._replace(state="FAILED", over=True), files=list(chunks)), Wanted())
    assert {"payloads/c.pkl", "payloads/c.claims", "payloads/q.pkl"} <= gone(plan)
    # … and in the meantime to jobs of other folders.
    known = survey(one, files=list(chunks), needed_payloads=frozenset(["c.pkl"]))
    assert not {"payloads/c.pkl", "payloads/c.claims"} & gone(cleaning.decide(known, Wanted()))


def test_a_payload_that_no_journal_names_goes_when_nobody_can_need_it() -> None:
    uid = "20330101-000000-elsewhere-2-00000000"
    old = [file(f".submitit/payloads/{uid}.pkl", "payloads", age=8 * DAY)]
    name = f"payloads/{uid}.pkl"

    def goes(**fields: Any) -> bool:
        return name in gone(cleaning.decide(survey(entry("1"), files=list(old), **fields), Wanted()))

    assert goes()
    assert not goes(queued=f"12|/jobs/.submission_file_{uid}.sh\n")
    assert not goes(queued=None)
    lost = Controller(
        "/jobs/.submitit/journal/c.jsonl", "/jobs/.submitit/local/c", frozenset("9"), frozenset("9"), None
    )
    assert not goes(controllers=[lost])
    young = [file(f".submitit/payloads/{uid}.pkl", "payloads", age=6 * DAY)]
    assert name not in gone(cleaning.decide(survey(entry("1"), files=young), Wanted()))
    mine = unique_name()  # of this process, which lives
    living = [file(f".submitit/payloads/{mine}.pkl", "payloads", age=8 * DAY)]
    assert f"payloads/{mine}.pkl" not in gone(cleaning.decide(survey(entry("1"), files=living), Wanted()))


def test_what_an_earlier_clean_has_left_goes_whatever_is_wanted() -> None:
    left = file("1_0_result.pkl", "results", "1")
    plan = cleaning.decide(survey(cleaned=[entry("1")], files=[left]), Wanted(states=frozenset([JobState.FAILED])))
    assert plan.jobs == []
    assert gone(plan) == {"1_0_result.pkl", "payloads/p.pkl", f"journal/{GONE}.jsonl"}


def test_temporaries_go_a_day_later() -> None:
    young, old = file(".submitit-h-1-0.tmp", "temporaries", age=DAY / 2), file(".submitit-h-1-1.tmp", "temporaries")
    old = old._replace(mtime=NOW - 2 * DAY)
    plan = cleaning.decide(survey(entry("1", "RUNNING", over=False), files=[young, old]), Wanted())
    assert gone(plan) == {".submitit-h-1-1.tmp"}


def test_copies_of_code_go_when_no_job_that_stays_ran_in_them() -> None:
    store = f"{ROOT}/.submitit/snapshots"
    snapshots = {f"{store}/{name}": (100, NOW - age * DAY) for name, age in [("a", 9), ("b", 9), ("c", 1)]}
    used = entry("1", "RUNNING", over=False, snapshot=f"{store}/b")
    plan = cleaning.decide(survey(used, entry("2", snapshot=f"{store}/a"), snapshots=snapshots), Wanted())
    assert plan.snapshots == [f"{store}/a"]
    assert plan.size_of_snapshots == 100


def test_only_those_that_were_shown() -> None:
    known = survey(entry("1"), entry("2"))
    assert ids(cleaning.decide(known, Wanted(), {(ROOT, "2")})) == ["2"]


def test_a_controllers_journal_goes_with_its_last_job() -> None:
    path = f"{ROOT}/.submitit/journal/c.jsonl"
    files = [file(".submitit/journal/c.jsonl", "journals"), file(".submitit/local/c/log", "markers")]
    own = Controller(path, f"{ROOT}/.submitit/local/c", frozenset(["1", "2"]), frozenset(), True)
    plan = cleaning.decide(survey(entry("1"), entry("2"), files=list(files), controllers=[own]), Wanted())
    assert {"journal/c.jsonl", "local/c/log"} <= gone(plan)
    for other in (own._replace(gone=False), own._replace(gone=None), own._replace(jobs=frozenset("123"))):
        plan = cleaning.decide(survey(entry("1"), entry("2"), files=list(files), controllers=[other]), Wanted())
        assert not {"journal/c.jsonl", "local/c/log"} & gone(plan)
