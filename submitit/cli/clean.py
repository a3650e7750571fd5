"""``submitit clean``: delete what is left of jobs that are over."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from submitit import amounts
from submitit.cli import naming, output, times
from submitit.cli.options import AsJson
from submitit.cli.summary import listed
from submitit.orchestrator.state import JobState
from submitit.upkeep import cleaning, inventory, removal, survey
from submitit.upkeep.cleaning import Kept, Part, Wanted
from submitit.upkeep.inventory import KINDS
from submitit.views import folder as views

if TYPE_CHECKING:
    from submitit.upkeep.cleaning import Plan
    from submitit.upkeep.removal import Removed
    from submitit.views.folder import Folder


def clean(
    folder: Annotated[str | None, typer.Argument(metavar="FOLDER", show_default="all that you submitted from")] = None,
    older_than: Annotated[
        str | None,
        typer.Option("--older-than", metavar="AGE", help="Only jobs that have been over for so long: 30d, 12h, 2w."),
    ] = None,
    state: Annotated[
        list[str] | None,
        typer.Option("--state", "-s", metavar="STATE,...", help="Only jobs in these states: COMPLETED,FAILED."),
    ] = None,
    logs_only: Annotated[bool, typer.Option("--logs-only", help="Delete what the jobs printed, and no more.")] = False,
    keep_results: Annotated[
        bool,
        typer.Option("--keep-results", help="Delete all but results: result() still works, resubmitting does not."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Say what would go, and leave.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete the files of jobs that are over, after saying which and asking.

    Never deleted: anything of a job that runs or waits, or that such a job needs; what is somebody else's; what the jobs
    themselves wrote into their folders. Jobs are forgotten with their files: ls does not list them any more.
    """
    if logs_only and keep_results:
        output.fail("--logs-only keeps more than --keep-results: give one of them", 2)
    if yes and dry_run:
        output.fail("--dry-run deletes nothing and --yes does: give one of them", 2)
    if yes and folder is None and older_than is None and not state:
        output.fail(
            "--yes alone would delete every job that is over, in every folder: give a FOLDER, or --older-than", 2
        )
    part = Part.LOGS if logs_only else Part.ALL_BUT_RESULTS if keep_results else Part.ALL
    wanted = Wanted(_age(older_than), _states(state or []), part)
    known = naming.folders(folder)
    views.refresh(known)
    plans = [(one, cleaning.decide(survey.take(one), wanted)) for one in known]
    if folder and not plans[0][1].kept and plans[0][1].empty:
        output.fail(naming.nothing(known))
    something = any(not plan.empty for _, plan in plans)
    if as_json:
        done = [_removed(one, wanted, plan) if yes else None for one, plan in plans]
        output.print_json([_record(plan, gone) for (_, plan), gone in zip(plans, done, strict=True)])
        raise typer.Exit(int(any(gone.failures for gone in done if gone)))
    _show(plans, wanted)
    if not something or dry_run or not (yes or _agreed()):
        return
    raise typer.Exit(_do(plans, wanted))


def _age(text: str | None) -> float:
    if text is None:
        return 0.0
    span = None if text.strip().isdecimal() and int(text) else times.seconds(text)
    if span is None:
        output.fail(f"--older-than takes an age with its unit, such as 30d, 12h or 2w, not {text!r}", 2)
    return span


def _states(texts: list[str]) -> frozenset[JobState]:
    words = [word.strip().upper() for text in texts for word in text.split(",") if word.strip()]
    if texts and not words:
        output.fail("--state takes names of states, such as COMPLETED,FAILED", 2)
    ends = [one.value for one in JobState if one.over_if_gone]
    found = set()
    for word in words:
        one = JobState.read(word)
        if one is JobState.UNKNOWN and word != "UNKNOWN":
            import difflib

            close = difflib.get_close_matches(word, [*ends, "UNKNOWN"], n=1)
            hint = f"Did you mean {close[0]}?" if close else f"The states in which jobs are over are {', '.join(ends)}."
            output.fail(f"{word} is no state of a job. {hint}", 2)
        if not one.over_if_gone and one is not JobState.UNKNOWN:
            output.fail(f"jobs that are {word} are not over, and are never deleted; `submitit cancel` ends them", 2)
        found.add(one)
    return frozenset(found)


# ---- what is said before


def _show(plans: list[tuple[Folder, Plan]], wanted: Wanted) -> None:
    shown = [plan for _, plan in plans if not plan.empty]
    for plan in shown:
        _show_plan(plan)
    kept: dict[Kept, int] = {}
    for _, plan in plans:
        for reason, count in plan.kept.items():
            kept[reason] = kept.get(reason, 0) + count
    if len(shown) > 1:
        jobs = sum(len(plan.jobs) for plan in shown)
        freed = sum(plan.freed for plan in shown)
        print(output.styled(f"Together {amounts.count(jobs, 'job')}, which frees {amounts.size(freed)}.", "bold"))
    if not shown:
        where = output.home(plans[0][1].root) if len(plans) == 1 else amounts.count(len(plans), "folder")
        print(f"There is nothing to delete in {where}.")
    for reason in Kept:
        if reason in kept:
            print(_stays(reason, kept[reason], wanted))


def _stays(reason: Kept, count: int, wanted: Wanted) -> str:
    jobs = amounts.count(count, "job")
    verb = "stays" if count == 1 else "stay"
    words = {
        Kept.ALIVE: "running or waiting",
        Kept.NEEDED: "others that are not over wait for them, or follow from them",
        Kept.UNKNOWN: (
            "nobody knows whether they are over; --state UNKNOWN takes those that have been silent for a day"
            if JobState.UNKNOWN not in wanted.states
            else "nobody knows whether they are over, and they were not silent for a day"
        ),
        Kept.OTHERS: "of other users",
        Kept.YOUNGER: "not over for so long",
        Kept.OTHER_STATE: "over in other states",
    }
    return f"{jobs} {verb}: {words[reason]}."


def _show_plan(plan: Plan) -> None:
    print(output.styled(output.home(plan.root), "bold"))
    if plan.jobs:
        states = listed(entry.state for entry in plan.jobs)
        what = {Part.ALL: "all files", Part.LOGS: "the logs", Part.ALL_BUT_RESULTS: "all but the results"}[plan.part]
        print(f"  {what} of {amounts.count(len(plan.jobs), 'job')} ({states}):")
    for kind in KINDS:
        files = [file for file in plan.files if file.kind == kind]
        if files:
            print(f"  {kind:<12}{amounts.size(inventory.size_of(files)):>9}  {amounts.count(len(files), 'file')}")
    if plan.snapshots:
        size = amounts.size(plan.size_of_snapshots)
        print(f"  {'snapshots':<12}{size:>9}  {amounts.count(len(plan.snapshots), 'copy', 'copies')} of code")
    print(f"  {'freed':<12}{amounts.size(plan.freed):>9}")
    if plan.left:
        size = amounts.size(inventory.size_of(plan.left))
        stay = "stays" if len(plan.left) == 1 else "stay"
        print(f"  {amounts.count(len(plan.left), 'file')} ({size}) that the jobs wrote into their folders {stay}.")


def _agreed() -> bool:
    if not sys.stdin.isatty():
        output.note("Nothing was deleted; --yes deletes without asking.")
        return False
    try:
        answer = input("Delete this? [y/N] ")
    except (EOFError, KeyboardInterrupt) as error:
        output.note("\nNothing was deleted.")
        raise typer.Exit(130 if isinstance(error, KeyboardInterrupt) else 0) from None
    if answer.strip().lower() in ("y", "yes"):
        return True
    output.note("Nothing was deleted.")
    return False


# ---- doing it


def _do(plans: list[tuple[Folder, Plan]], wanted: Wanted) -> int:
    done = []
    try:
        done = [_removed(one, wanted, plan) for one, plan in plans if not plan.empty]
    except KeyboardInterrupt:
        output.note(
            "Stopped. No job is left half: what is left of those that were being deleted goes with the next clean."
        )
        return 130
    jobs, freed = sum(one.jobs for one in done), sum(one.freed for one in done)
    print(
        f"Deleted {amounts.count(sum(one.files for one in done), 'file')} of {amounts.count(jobs, 'job')}; {amounts.size(freed)} are free."
    )
    fewer = sum(len(plan.jobs) for _, plan in plans) - jobs
    if fewer > 0:
        print(f"{amounts.count(fewer, 'job')} stayed after all: something waits for them now.")
    for path in [path for one in done for path in one.left]:
        output.note(f"Jobs had written into a copy of code; their files are kept in {path}")
    failures = [failure for one in done for failure in one.failures]
    for failure in failures[:10]:
        output.note(f"submitit: could not delete {failure}")
    if len(failures) > 10:
        output.note(f"submitit: and {len(failures) - 10:,} more")
    return int(bool(failures))


def _removed(folder: Folder, wanted: Wanted, plan: Plan) -> Removed:
    try:
        return removal.remove(folder, wanted, plan)
    except OSError as error:
        return removal.Removed(0, 0, 0, [f"anything in {plan.root}, since that cannot be noted there: {error}"], [])


def _record(plan: Plan, gone: Removed | None) -> dict[str, Any]:
    by_kind = {kind: [file for file in plan.files if file.kind == kind] for kind in KINDS}
    return {
        "folder": plan.root,
        "part": plan.part.value,
        "jobs": [{"job_id": entry.job_id, "folder": entry.folder, "state": entry.state} for entry in plan.jobs],
        "kept": {reason.name.lower(): count for reason, count in plan.kept.items()},
        "files": len(plan.files),
        "frees": plan.freed,
        "kinds": {
            kind: {"size": inventory.size_of(files), "files": len(files)} for kind, files in by_kind.items() if files
        },
        "snapshots": plan.snapshots,
        "left": len(plan.left),
        "deleted": None if gone is None else gone._asdict(),
    }
