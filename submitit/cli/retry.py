"""``submitit retry``: what failed, once more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from submitit.cli import naming, output
from submitit.cli.handles import handles, work_where_submitted
from submitit.cli.naming import Found
from submitit.cli.options import AsJson, InFolder, Yes
from submitit.cli.summary import counts
from submitit.errors import FailedSubmissionError, UntrustedPickleError

if TYPE_CHECKING:
    from typing import Any

    from submitit.client.job import Job


def retry(
    jobs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[JOB]...", help="Ids, ids of arrays, names, or -1 for the last.", autocompletion=naming.complete
        ),
    ] = None,
    failed: Annotated[
        str | None, typer.Option("--failed", metavar="FOLDER", help="All jobs of a folder that came to a bad end.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", "-a", help="Those too that succeeded, or are not over.")] = False,
    yes: Yes = False,
    folder: InFolder = None,
    as_json: AsJson = False,
) -> None:
    """Submit the calls of failed or cancelled jobs once more: as new jobs with new ids, and the parameters of the old ones.

    Jobs that have succeeded, or are not over, are left alone. A function that has saved its state goes on from there. The new
    jobs start where the old ones were submitted from. Asks before it submits more than one.

    --json prints a list of objects: folder, job_id and new_job_id.

    Exit code: 0 where all were submitted; 1 where one was refused, or nothing is to be retried, or the question was answered with
    no; 2 wrong use.
    """
    if bool(jobs) == bool(failed):
        output.fail("name the jobs to retry, or give --failed FOLDER for all that failed there", 2)
    if failed:
        known = naming.folders(failed, ask=True)
        found = [Found(model, entry) for model in known for entry in model.entries if entry.failed]
    else:
        found = naming.find(jobs or [], folder)
    chosen = [one for one in found if every or one.entry.failed or one.entry.cancelled]
    if not chosen:
        told = f": {output.joined(counts(one.entry for one in found))}" if found else ""
        output.fail(f"none of these jobs has failed{told}" + (" (--all submits them all the same)" if found else ""))
    if len(chosen) > 1:
        states = output.joined(counts(one.entry for one in chosen))
        output.ask(f"Submit {len(chosen)} jobs once more ({states})?", yes=yes)
    submitted: list[tuple[Found, Job[Any]]] = []
    try:
        for call in _by_call(chosen):
            submitted += zip(call, _resubmitted(call), strict=True)
    finally:
        _tell(submitted, as_json=as_json)


def _by_call(chosen: list[Found]) -> list[list[Found]]:
    """Jobs that one call submitted are submitted by one call again."""
    apart: dict[int, list[Found]] = {}
    for one in chosen:
        apart.setdefault(id(one.entry.submission), []).append(one)
    return list(apart.values())


def _resubmitted(call: list[Found]) -> list[Job[Any]]:
    from submitit.client import resubmission

    name = naming.named(call)
    try:
        work_where_submitted(call[0])
        return resubmission.resubmit_together(handles(call))
    except (UntrustedPickleError, FailedSubmissionError, LookupError, OSError) as error:
        output.fail(f"{name} cannot be retried: {error}")
    except typer.Exit:
        raise
    except Exception as error:  # noqa: BLE001 - what the user's modules raise when they are imported
        output.fail(f"{name} cannot be retried: {type(error).__name__}: {error}")


def _tell(submitted: list[tuple[Found, Job[Any]]], *, as_json: bool) -> None:
    if as_json:
        rows = [
            {"folder": one.entry.folder, "job_id": one.entry.job_id, "new_job_id": job.job_id} for one, job in submitted
        ]
        output.print_json(rows)
        return
    for one, job in submitted:
        print(f"{one.entry.job_id} -> {job.job_id}")
