"""``submitit wait``: until jobs are over."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer

from submitit.cli import naming, output, times
from submitit.cli.endings import why
from submitit.cli.handles import handles
from submitit.cli.naming import Found
from submitit.cli.options import AsJson, InFolder, JobNames
from submitit.cli.summary import counts
from submitit.terminal import one_line
from submitit.views import folder as views

#: How long the folder may take to tell of an end that a handle knows of.
_LAG_S = 5.0
#: Failed jobs that are listed.
_LISTED = 20


def wait(
    jobs: JobNames,
    timeout: Annotated[
        str | None, typer.Option("--timeout", metavar="TIME", help="Wait so long at most: seconds, or 30s, 10m, 2h ….")
    ] = None,
    folder: InFolder = None,
    as_json: AsJson = False,
) -> None:
    """Wait until jobs are over, and say how they ended.

    Waiting costs the scheduler nothing. Ctrl-C ends the wait, not the jobs.

    --json prints a list of the jobs at the end, as "submitit ls --json" does.

    Exit code: 0 where all have succeeded; 1 where one has not, or is not over in time; 2 wrong use; 130 after Ctrl-C.
    """
    seconds = None
    if timeout is not None and (seconds := times.seconds(timeout)) is None:
        output.fail(f"--timeout takes seconds, or a time such as 30s, 10m or 2h, not {timeout!r}", 2)
    found = naming.find(jobs, folder, living=True)
    pending = [one for one in found if not one.entry.over]
    if pending:
        if sys.stderr.isatty():
            output.note(f"Waiting for {naming.named(pending)}; Ctrl-C ends the wait, not the jobs.")
        _wait(pending, seconds)
        found = [one.now() for one in found]
    entries = [one.entry for one in found]
    bad = [entry for entry in entries if not entry.succeeded]
    if as_json:
        from submitit.cli.job_json import job_json

        output.print_json([job_json(entry) for entry in entries])
    else:
        those = f"{len(entries)} jobs" if len(entries) > 1 else f"job {entries[0].job_id}"
        ended = f" ({why(bad[0])})" if bad and len(entries) == 1 and why(bad[0]) else ""
        print(f"{those}: {output.joined(counts(entries))}{one_line(ended)}")
        ended_badly = [entry for entry in bad if entry.over] if len(entries) > 1 else []
        for entry in ended_badly[:_LISTED]:
            print(one_line(f"{entry.job_id} {entry.state} {why(entry)}"))
        if len(ended_badly) > _LISTED:
            print(f"and {len(ended_badly) - _LISTED} more")
    if bad:
        raise typer.Exit(1)


def _wait(pending: list[Found], seconds: float | None) -> None:
    from submitit.client import waiting

    try:
        left = waiting.wait(handles(pending), timeout=seconds).not_done
    except KeyboardInterrupt:
        output.note("submitit: stopped waiting; the jobs go on")
        raise
    if left:
        output.note(f"submitit: {len(left)} of {len(pending)} jobs are not over in time")
    deadline = time.monotonic() + _LAG_S
    while time.monotonic() < deadline:
        views.refresh({id(one.folder): one.folder for one in pending}.values())
        if sum(not one.now().entry.over for one in pending) <= len(left):
            return
        time.sleep(0.1)
