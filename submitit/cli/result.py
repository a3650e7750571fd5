"""``submitit result``: what a job returned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from submitit.cli import naming, output
from submitit.cli.handles import handles, work_where_submitted
from submitit.cli.options import InFolder, JobName
from submitit.errors import UncompletedJobError, UntrustedPickleError

if TYPE_CHECKING:
    from submitit.cli.naming import Found


def result(
    job: JobName,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Wait until the job is over.")] = False,
    trust: Annotated[
        bool,
        typer.Option("--trust", help="Load the result whoever could have written it; that runs their code as you."),
    ] = False,
    folder: InFolder = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the value as JSON.")] = False,
) -> None:
    """Print what a job's function returned: its repr, or with --json the value as JSON. Of several tasks it is a list.

    The value is unpickled here, where the job was submitted from, so that its classes are found. What somebody else could have
    written is not, unless you say so when asked, or by --trust.

    Exit code: 0; 1 where the job failed (its error is on stderr), is not over, or has no result that can be loaded; 2
    wrong use.
    """
    one = naming.find_one(job, folder)
    if not one.entry.over and not wait:
        output.fail(f"job {one.entry.job_id} is not over ({one.entry.state}): --wait waits for it")
    try:
        value = _value(one, trust=trust)
    except UntrustedPickleError as error:
        output.note(f"submitit: {error}")
        output.ask("Load it all the same?", yes=False, option="--trust")
        value = _value(one, trust=True)
    if as_json:
        _print_json(value, one.entry.job_id)
    else:
        print(output.lines(repr(value)))


def _value(one: Found, *, trust: bool) -> Any:
    """The value, or a list of those of all tasks. Ends the command with the job's error."""
    work_where_submitted(one, trust=trust)
    (job,) = handles([one], trust=trust)
    try:
        values = job.results()
    except UncompletedJobError as error:
        output.note(str(error))
        raise typer.Exit(1) from None
    except (UntrustedPickleError, typer.Exit):
        raise
    except Exception as error:  # noqa: BLE001 - what unpickling raises: the user's modules may not be there
        output.fail(f"the result of job {one.entry.job_id} cannot be loaded: {type(error).__name__}: {error}")
    return values if one.entry.tasks > 1 else values[0]


def _print_json(value: Any, job_id: str) -> None:
    import json

    try:
        text = json.dumps(value, indent=2)
    except (TypeError, ValueError, RecursionError) as error:
        output.fail(
            f"the result of job {job_id} is nothing that JSON can hold ({error}); without --json its repr is printed"
        )
    print(text)
