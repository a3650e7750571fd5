"""``submitit cancel``: end jobs."""

from __future__ import annotations

from submitit.cli import naming, output
from submitit.cli.handles import handles
from submitit.cli.options import AsJson, InFolder, JobNames, Yes
from submitit.cli.summary import counts


def cancel(
    jobs: JobNames,
    yes: Yes = False,
    folder: InFolder = None,
    as_json: AsJson = False,
) -> None:
    """Cancel jobs, queued or running; those that are over are left alone. Asks before it cancels more than one.

    --json prints a list of the jobs that it has cancelled, as "submitit ls --json" does, in the states they were in.

    Exit code: 0 where they are cancelled, or were over already; 1 where one was refused, or there is no such job, or the
    question was answered with no; 2 wrong use.
    """
    found = naming.find(jobs, folder, living=True)
    living = [one for one in found if not one.entry.over]
    entries = [one.entry for one in living]
    if len(living) > 1:
        output.ask(f"Cancel {len(living)} jobs ({output.joined(counts(entries))})?", yes=yes)
    if living:
        from submitit.client import cancelling

        try:
            cancelling.cancel(handles(living))
        except (RuntimeError, OSError) as error:
            output.fail(f"not all were cancelled: {error}")
    if as_json:
        from submitit.cli.job_json import job_json

        output.print_json([job_json(entry) for entry in entries])
        return
    if living:
        print(f"Cancelled {naming.named(living)}.")
    if over := [one for one in found if one.entry.over]:
        states = output.joined(counts(one.entry for one in over))
        print(f"Over already: {naming.named(over)} ({states}).")
