"""``submitit show``: all that is known of a job."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from submitit.cli import naming, output, table, times
from submitit.cli.endings import again_text, exit_text, why
from submitit.cli.job_json import job_json
from submitit.cli.options import AsJson, InFolder, JobName, NoAsk
from submitit.cli.summary import counts, state_cell
from submitit.cli.table import Column, plain
from submitit.views.asked import Asked, asked
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
    _field("asked for", _asked(asked(entry)))
    _field("ran", _ran(entry))
    _field("used", _used(entry, asked(entry)))
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
    _field("asked for", f"each {_asked(asked(first))}")
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
        cells = (entry.job_id, "", entry.node, _span(entry.start, entry.end), why(entry))
        rows.append([plain(output.one_line(text)) for text in cells])
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
    _field("submitted", f"{times.stamp(entry.submitted)} by {record.get('user', '?')} on {record.get('host', '?')}")
    _field("in", output.home(record.get("cwd", "")))
    _field("python", output.home(record.get("python", "")))
    _field("commit", record.get("git") if isinstance(record.get("git"), str) else "")
    _field("snapshot", output.home(record["snapshot"]) if isinstance(record.get("snapshot"), str) else "")


def _title(job_id: str, name: str, *state: tuple[str, str]) -> None:
    print(f"{output.styled(output.one_line(f'{job_id}  {name}'), 'bold')}  {output.joined(state)}")


def _field(name: str, text: str | None) -> None:
    if text:
        print(f"  {name:<{_INDENT}}{output.one_line(text)}")


def _asked(given: Asked) -> str:
    parts = [_count(given.nodes, "node"), _count(given.tasks, "task")]
    parts += [_count(given.cpus, "CPU")] if given.cpus else []
    parts += [_count(given.gpus, "GPU")] if given.gpus else []
    parts += [f"{_memory(given.mem_mb)} of memory"] if given.mem_mb else []
    parts += [f"up to {times.duration(given.time_s)}"] if given.time_s else []
    return ", ".join(parts)


def _ran(entry: JobEntry) -> str:
    if entry.start is None:
        return ""
    where = f" on {entry.node}" if entry.node else ""
    until = f", until {times.stamp(entry.end)}" if entry.end is not None else "" if entry.over else ", and runs"
    return f"{_span(entry.start, entry.end)}{where}, from {times.stamp(entry.start)}{until}"


def _used(entry: JobEntry, given: Asked) -> str:
    parts = []
    if entry.cpu_s is not None:
        share = ""
        if entry.start is not None and entry.end is not None and given.cpus and entry.end - entry.start > 1:
            share = f" ({entry.cpu_s / (entry.end - entry.start) / given.cpus:.0%} of {_count(given.cpus, 'CPU')})"
        parts.append(f"{times.duration(entry.cpu_s)} of CPU time{share}")
    if entry.max_rss_mb is not None:
        share = f" ({entry.max_rss_mb / given.mem_mb:.0%} of {_memory(given.mem_mb)})" if given.mem_mb else ""
        parts.append(f"{_memory(entry.max_rss_mb)} of memory{share}")
    return ", ".join(parts)


def _print_attempts(starts: list[Attempt]) -> None:
    titles = [Column("#", right=True), Column("STATE"), Column("NODE", least=6), Column("START")]
    columns = [*titles, Column("TIME", right=True), Column("EXIT"), Column("THEN")]
    rows = []
    for place, one in enumerate(starts):
        then = again_text(one.again) if place < len(starts) - 1 else ""
        ended = "" if one.exit_code is None else exit_text(one.exit_code)
        start = "" if one.start is None else times.stamp(one.start)
        cells = (str(one.number + 1), "", one.node, start, _span(one.start, one.end), ended, then)
        rows.append([plain(output.one_line(text)) for text in cells])
        rows[-1][1] = state_cell(one.state)
    for line in table.lines(columns, rows, output.width() - 2 if output.in_terminal() else None):
        print(f"  {line}")


def _print_end(entry: JobEntry, lines: int) -> None:
    from submitit.cli.logfile import last_lines

    task = _failed_task(entry)
    for name in ("stderr", "stdout"):
        path = entry.paths(task).locate(name)
        if end := last_lines(path, lines):
            of_task = f" of task {task}" if entry.tasks > 1 else ""
            print(f"\nThe end of {name}{of_task}")
            for line in end:
                print(f"  {line}")
            return
    print("\nIt has printed nothing.")


def _failed_task(entry: JobEntry) -> int:
    """The first task that recorded no value."""
    from submitit.storage import outcome

    for task in range(entry.tasks):
        footer = outcome.read_footer(entry.paths(task).locate("result_pickle"))
        if footer is None or not footer.success:
            return task
    return 0


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


def _span(start: float | None, end: float | None) -> str:
    return "" if start is None else times.duration((time.time() if end is None else end) - start)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"


def _memory(size_mb: float) -> str:
    return f"{size_mb / 1024:.3g} GB" if size_mb >= 1024 else f"{size_mb:.3g} MB"
