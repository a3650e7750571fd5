"""``submitit show``: all that is known of a job."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from submitit import amounts
from submitit.cli import naming, output, table
from submitit.cli.endings import again_text, last_words, why
from submitit.cli.job_json import job_json
from submitit.cli.options import AsJson, InFolder, JobName, NoAsk
from submitit.cli.resources import asked_text, used_text
from submitit.cli.summary import counts, state_cell
from submitit.cli.table import Column, plain
from submitit.orchestrator import exits
from submitit.terminal import one_line
from submitit.views.asked import asked
from submitit.views.attempts import attempts
from submitit.views.waits import upstreams

if TYPE_CHECKING:
    from submitit.cli.naming import Found
    from submitit.client.attempt import Attempt
    from submitit.views.entry import JobEntry

#: Jobs of an array that are listed.
_LISTED = 20
_INDENT = 12
_FILES = {"stdout": "stdout", "stderr": "stderr", "result": "result_pickle", "script": "submission_file"}


def show(
    job: JobName,
    folder: InFolder = None,
    no_ask: NoAsk = False,
    as_json: AsJson = False,
    lines: Annotated[
        int, typer.Option("--lines", metavar="N", min=0, help="Lines of the log that a failed job's end shows.")
    ] = 10,
) -> None:
    """Show a job: its state and why, each attempt, what it asked for and used, its files, and the log's end where it failed.

    Of an array it shows what its jobs have in common, and how they fare.

    --json prints a list with an object for each job: what "submitit ls --json" has (job_id, array, name, function,
    backend, folder, state, over, succeeded, failed, reason, exit_code, attempt, tasks, node, submitted, start, end,
    cpu_s, max_rss_mb) and: asked, attempts, after (the jobs it waits for), files, user, host, cwd, python, git, snapshot,
    parameters. Times are seconds since the epoch; what is not known is null or "".

    Exit code: 0; 1 where there is no such job; 2 wrong use, or a name that several jobs have.
    """
    found = naming.find([job], folder, ask=not no_ask)
    if as_json:
        output.print_json([_json(one) for one in found])
    elif len(found) == 1:
        _show(found[0], lines)
    else:
        _show_several(found)


def _show(one: Found, lines: int) -> None:
    entry = one.folder.detailed(one.entry)
    starts = attempts(one.folder, entry)
    _title(entry.job_id, entry.name, *state_cell(entry.state))
    _field("why", why(entry))
    _common(entry)
    _field("asked for", asked_text(asked(entry)))
    _field("ran", _ran(entry))
    _field("used", used_text(entry, asked(entry)))
    for upstream in upstreams(entry):
        state = _state_of(one, upstream.folder, upstream.job_id)
        elsewhere = "" if upstream.folder == entry.folder else f" in {output.home(upstream.folder)}"
        _field("waits for", f"the {'success' if upstream.success else 'end'} of {upstream.job_id}{state}{elsewhere}")
    if len(starts) > 1:
        print("\nAttempts")
        _print_attempts(starts)
    print("\nFiles")
    for name, path in _files(entry).items():
        _field(name, output.home(path))
    if entry.failed and lines:
        _print_end(entry, lines)


def _show_several(found: list[Found]) -> None:
    entries = [one.entry for one in found]
    first = entries[0]
    _title(naming.ids(entries), first.name, *counts(entries))
    _common(first)
    _field("asked for", f"each {asked_text(asked(first))}")
    _field("folder", output.home(first.folder))
    listed = sorted(found, key=lambda one: not one.entry.failed)[:_LISTED]
    print()
    columns = [
        Column("ID"),
        Column("STATE"),
        Column("NODE", least=6),
        Column("TIME", right=True),
        Column("WHY", least=8),
    ]
    rows = []
    for one in listed:
        entry = one.folder.detailed(one.entry)
        cells = (entry.job_id, "", entry.node, amounts.clock(entry.ran_s(time.time())), why(entry))
        rows.append([plain(one_line(text)) for text in cells])
        rows[-1][1] = state_cell(entry.state)
    for line in table.lines(columns, rows, output.width() if output.in_terminal() else None):
        print(line)
    if len(found) > len(listed):
        print(
            f"and {len(found) - len(listed)} more: submitit ls --all --name {first.name!r} {output.home(found[0].folder.root)}"
        )


def _common(entry: JobEntry) -> None:
    """What the record of the call says."""
    record: Any = entry.submission
    _field("function", entry.function)
    _field("backend", entry.backend)
    _field("submitted", f"{amounts.stamp(entry.submitted)} by {record.get('user', '?')} on {record.get('host', '?')}")
    _field("in", output.home(record.get("cwd", "")))
    _field("python", output.home(record.get("python", "")))
    _field("commit", record.get("git") if isinstance(record.get("git"), str) else "")
    _field("snapshot", output.home(record["snapshot"]) if isinstance(record.get("snapshot"), str) else "")


def _title(job_id: str, name: str, *state: tuple[str, str]) -> None:
    print(f"{output.styled(one_line(f'{job_id}  {name}'), 'bold')}  {output.joined(state)}")


def _field(name: str, text: str | None) -> None:
    if text:
        print(f"  {name:<{_INDENT}}{one_line(text)}")


def _ran(entry: JobEntry) -> str:
    if entry.start is None or not (entry.running or entry.over):
        return ""  # of one that waits to run again it was the attempt before
    span, where = amounts.clock(entry.ran_s(time.time())), entry.node and f"on {entry.node}"
    until = f", until {amounts.stamp(entry.end)}" if entry.end is not None else "" if entry.over else ", and runs"
    ran = " ".join(filter(None, (span, where)))
    return f"{ran}{ran and ', '}from {amounts.stamp(entry.start)}{until}"


def _print_attempts(starts: list[Attempt]) -> None:
    titles = [Column("#", right=True), Column("STATE"), Column("NODE", least=6), Column("START")]
    columns = [*titles, Column("TIME", right=True), Column("EXIT"), Column("THEN")]
    rows = []
    for place, one in enumerate(starts):
        then = again_text(one.again) if place < len(starts) - 1 else ""
        ended = "" if one.exit_code is None else exits.name(one.exit_code)
        start = "" if one.start is None else amounts.stamp(one.start)
        cells = (str(one.number + 1), "", one.node, start, amounts.clock(_span(one)), ended, then)
        rows.append([plain(one_line(text)) for text in cells])
        rows[-1][1] = state_cell(one.state)
    for line in table.lines(columns, rows, output.width() - 2 if output.in_terminal() else None):
        print(f"  {line}")


def _print_end(entry: JobEntry, lines: int) -> None:
    said = last_words(entry, lines)
    if not said.lines:
        print("\nIt has printed nothing.")
        return
    of_task = f" of task {said.task}" if entry.tasks > 1 else ""
    print(f"\nThe end of {said.stream}{of_task}")
    for line in said.lines:
        print(f"  {line}")


def _files(entry: JobEntry) -> dict[str, str]:
    """Those of its first task that are there."""
    paths = entry.paths()
    found = {name: paths.locate(known) for name, known in _FILES.items()}
    return {name: path for name, path in found.items() if os.path.exists(path)} or {"folder": paths.locate("folder")}


def _state_of(one: Found, folder: str, job_id: str) -> str:
    from submitit.views.folder import Folder

    its = one.folder
    if (other := Folder(folder)).root != its.root:
        its = other
        its.refresh(ask=False)
    states = [entry.state for entry in its.find(job_id) if entry.folder == folder]
    return f" ({states[0]})" if len(states) == 1 else ""


def _json(one: Found) -> dict[str, Any]:
    entry = one.folder.detailed(one.entry)
    record: Any = entry.submission
    paths = entry.paths()
    return {
        **job_json(entry),
        "asked": asked(entry)._asdict(),
        "attempts": [_attempt_json(attempt) for attempt in attempts(one.folder, entry)],
        "after": [upstream._asdict() for upstream in upstreams(entry)],
        "files": {name: paths.locate(known) for name, known in _FILES.items()},
        **{name: record.get(name, "") for name in ("user", "host", "cwd", "python")},
        **{name: record.get(name) for name in ("git", "snapshot")},
        "parameters": entry.parameters,
    }


def _attempt_json(attempt: Attempt) -> dict[str, Any]:
    fields = attempt._asdict()
    del fields["paths"]
    return {**fields, "number": attempt.number + 1}


def _span(one: Attempt) -> float | None:
    return None if one.start is None else (time.time() if one.end is None else one.end) - one.start
