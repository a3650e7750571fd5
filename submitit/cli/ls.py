"""``submitit ls``: the jobs there are, a line each call or job."""

from __future__ import annotations

import fnmatch
import gc
import sys
import time
from typing import Annotated, NamedTuple

import typer

from submitit import amounts
from submitit.cli import naming, output, table, times
from submitit.cli.endings import why
from submitit.cli.naming import Found
from submitit.cli.options import AsJson, NoAsk
from submitit.cli.summary import counts
from submitit.cli.table import Cell, Column, plain
from submitit.orchestrator.state import JobState
from submitit.terminal import one_line
from submitit.views.entry import JobEntry

#: So many jobs are looked at one by one for their times, where the list does not know them: on a network file system each takes a while.
_TIMED = 500
#: Ids that a line names of those that failed.
_NAMED = 20
_COLUMNS = [
    Column("ID"),
    Column("NAME", least=8),
    Column("STATE", least=26),
    Column("SUBMITTED"),
    Column("TIME", right=True),
    Column("NODE", least=6),
    Column("WHY", least=4),
    Column("FOLDER"),
]


class _Line(NamedTuple):
    """Jobs that share a line, and the word that names them."""

    name: str
    jobs: list[Found]
    #: Whether it is about one job, not about all that a call submitted.
    single: bool = False


def ls(
    folder: Annotated[
        str | None,
        typer.Argument(
            metavar="[FOLDER]", help="An executor's folder.", show_default="every folder that you submitted from"
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", "-a", help="A line for each job, not for each call.")] = False,
    state: Annotated[
        list[str] | None,
        typer.Option(
            "--state", "-s", metavar="STATE", help="Jobs in this state alone, RUNNING say; several by commas."
        ),
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Jobs alone that came to a bad end.")] = False,
    name: Annotated[
        str | None,
        typer.Option("--name", "-n", metavar="PATTERN", help="Jobs of this name alone; * ? [] as in a shell."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="TIME", help="Submitted within 2h, 3d …, or since 2026-11-20 or '2026-11-20 14:30'."
        ),
    ] = None,
    backend: Annotated[
        str | None, typer.Option("--backend", "-b", metavar="BACKEND", help="Jobs of slurm, local … alone.")
    ] = None,
    last: Annotated[
        int | None, typer.Option("--last", "-l", metavar="N", min=1, help="The newest N lines alone.")
    ] = None,
    newest_first: Annotated[bool, typer.Option("--reverse", "-r", help="The newest first.")] = False,
    no_ask: NoAsk = False,
    as_json: AsJson = False,
) -> None:
    """List jobs: a line for each call that submitted some, with how many are in which state.

    The newest stand last, next to the prompt, as with ls -lrt: of a long list one looks for these. TIME is how long they
    ran, of several jobs from the first start to the last end. Filters choose jobs; a line then counts those chosen.
    Away from a terminal nothing is cut, and each line names its folder.

    --json prints every job chosen, as "submitit show --json" describes it.

    Exit code: 0, with nothing to list too; 2 wrong use.
    """
    gc.disable()  # it looks through all jobs again and again, and this process is about to end
    states = _states(state or [])
    earliest = None
    if since is not None and (earliest := times.since(since)) is None:
        output.fail(f"--since takes a time such as 30m, 2h, 3d or 2026-11-20, not {since!r}", 2)
    known = naming.folders(folder, ask=not no_ask)

    def wanted(entry: JobEntry) -> bool:
        return (
            (not failed or entry.failed)
            and (not states or JobState.read(entry.state) in states)
            and (name is None or fnmatch.fnmatchcase(entry.name, name))
            and (earliest is None or entry.submitted >= earliest)
            and (backend is None or entry.backend == backend)
        )

    chosen: list[_Line] = []
    for call in reversed(naming.calls(known)):
        jobs = [one for one in call if wanted(one.entry)]
        if every:
            chosen += [_Line(one.entry.job_id, [one], single=True) for one in jobs]
        elif jobs:
            chosen.append(_Line(naming.ids([one.entry for one in call]), jobs))
    if last is not None:
        chosen = chosen[-last:]
    if newest_first:
        chosen.reverse()
    if sum(len(line.jobs) for line in chosen) <= _TIMED:
        chosen = [
            line._replace(jobs=[one._replace(entry=one.folder.timed(one.entry)) for one in line.jobs])
            for line in chosen
        ]
    if as_json:
        from submitit.cli.job_json import job_json

        output.print_json([job_json(one.entry) for line in chosen for one in line.jobs])
    elif chosen:
        _print(chosen, newest_first)
    else:
        filtered = any((failed, states, name, since, backend))
        output.note(f"submitit: {'no job matches' if filtered else naming.nothing(known, 'ls FOLDER')}")


def _print(chosen: list[_Line], newest_first: bool) -> None:
    """In a terminal the lines of each folder below its name, and the folder of the newest line where that line is."""
    if not output.in_terminal():
        _write([_row(line, whole=True) for line in chosen], None)
        return
    places: dict[str, list[int]] = {}
    for place, line in enumerate(chosen):
        places.setdefault(line.jobs[0].folder.root, []).append(place)
    roots = sorted(places, key=lambda root: places[root][0] if newest_first else places[root][-1])
    for number, root in enumerate(roots):
        print(("\n" if number else "") + output.styled(one_line(output.home(root)), "bold"))
        _write([_row(chosen[place], whole=False) for place in places[root]], output.width())


def _write(rows: list[list[Cell]], width: int | None) -> None:
    sys.stdout.write("\n".join(table.lines(_COLUMNS, rows, width)) + "\n")


def _row(line: _Line, *, whole: bool) -> list[Cell]:
    """The cells of a line; ``whole`` where it has to say by itself which folder it is about."""
    entries = [one.entry for one in line.jobs]
    first = entries[0]
    return [
        plain(one_line(line.name)),
        plain(one_line(first.name)),
        counts(entries),
        plain(amounts.stamp(first.submitted) if whole else times.moment(first.submitted)),
        plain(amounts.clock(_span(entries))),
        plain(one_line(first.node) if line.single else ""),
        plain(_why(entries)),
        plain(one_line(line.jobs[0].folder.root) if whole else ""),
    ]


def _span(entries: list[JobEntry]) -> float | None:
    """From the first start to the last end, or to now where a job runs; ``None`` where that is not known."""
    starts = [entry.start for entry in entries if entry.start is not None]
    if not starts:
        return None
    if any(entry.running for entry in entries):
        return time.time() - min(starts)
    ends = [entry.end for entry in entries if entry.end is not None]
    return max(ends) - min(starts) if ends else None


def _why(entries: list[JobEntry]) -> str:
    """Why a job is where it is; of several, the ids of those that failed."""
    first = entries[0]
    if len(entries) == 1:
        return one_line(why(first))
    failed = [entry for entry in entries if entry.failed]
    if not failed or len(failed) == len(entries):
        return ""
    more = f" and {len(failed) - _NAMED} more" if len(failed) > _NAMED else ""
    return one_line(" ".join(entry.job_id for entry in failed[:_NAMED]) + more)


def _states(words: list[str]) -> set[JobState]:
    """The states that the words of --state name. Ends the command at one that is none."""
    found = set()
    for word in filter(None, (word.strip().upper() for given in words for word in given.split(","))):
        state = JobState.read(word)
        if state is JobState.UNKNOWN and word != "UNKNOWN":
            import difflib

            every = [state.value for state in JobState]
            close = difflib.get_close_matches(word, every, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(every)}"
            output.fail(f"--state takes a job's state, not {word}; {hint}", 2)
        found.add(state)
    return found
