"""What stands in each column of the table, and how wide the columns are. Text in, text out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from submitit import amounts
from submitit.cli.endings import why
from submitit.cli.output import home
from submitit.terminal import harmless, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from submitit.views.entry import JobEntry

#: Between two columns.
GAP = 2


class Column(NamedTuple):
    """One column of the table."""

    name: str
    title: str
    #: What stands there about a job at a moment.
    text: Callable[[JobEntry, float], str]
    #: How narrow it may become before others are left out, and how wide at most.
    least: int
    most: int
    #: How early it is left out where not all have room; 0 never.
    spare: int = 0


class Width(NamedTuple):
    """A column that is shown, and how wide it is."""

    column: Column
    width: int


def plain(text: str, *, blanks: bool = False) -> str:
    """One line of text as it may stand on a terminal, whoever wrote it; with ``blanks`` as many of them as there are."""
    line = harmless(text).replace("\n", " ") if blanks else one_line(text)
    return line.encode("utf-8", "replace").decode()  # names of files need not be text


def age(seconds: float) -> str:
    """How long ago something was, in one unit: ``42s``, ``5m``, ``3h``, ``12d``."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(0, int(seconds))}s"


COLUMNS = (
    Column("id", "ID", lambda entry, _: plain(entry.job_id), 6, 28),
    Column("name", "NAME", lambda entry, _: plain(entry.name), 10, 40),
    Column("state", "STATE", lambda entry, _: plain(entry.state), 13, 13),
    Column("time", "TIME", lambda entry, now: amounts.clock(entry.ran_s(now)), 8, 11),
    Column("submitted", "AGE", lambda entry, now: age(now - entry.submitted), 5, 5, spare=2),
    Column("node", "NODE", lambda entry, _: plain(entry.node), 6, 20, spare=3),
    Column("reason", "REASON", lambda entry, _: plain(why(entry)), 12, 60, spare=1),
    Column("folder", "FOLDER", lambda entry, _: plain(home(entry.folder)), 16, 60, spare=4),
)
_RIGHT = {"time", "submitted"}


def widths(entries: Sequence[JobEntry], room: int, *, marked: bool, several: bool) -> list[Width]:
    """The columns that have room in a line of ``room`` cells, each as wide as its texts, or as there is room.

    Args:
        entries: all jobs of the table: widths do not change as one scrolls.
        room: cells of the line.
        marked: whether ids have a sign of two cells before them.
        several: whether the jobs are of several folders.
    """
    natural = {
        "id": max((len(entry.job_id) for entry in entries), default=0) + (2 if marked else 0),
        "time": len(amounts.clock(max((entry.ran_s(time.time()) or 0 for entry in entries), default=0))),
        "name": max(map(len, {entry.submission.get("name", "") for entry in entries}), default=0),
        "node": max(map(len, {entry.node for entry in entries}), default=0),
        "reason": max((len(plain(why(entry))) for entry in _one_of_each_reason(entries)), default=0),
        "folder": max(map(len, {home(folder) for folder in {entry.folder for entry in entries}}), default=0),
    }
    if marked and entries:  # a head's id is longer
        natural["id"] = max(natural["id"], 2 + max(len(call_id(entry)) for entry in _one_of_each_call(entries)))
    columns = [column for column in COLUMNS if several or column.name != "folder"]
    while True:
        taken = {
            column.name: min(column.least, max(natural.get(column.name, column.least), len(column.title)))
            for column in columns
        }
        rest = room - sum(taken.values()) - GAP * (len(columns) - 1)
        if rest >= 0 or not any(column.spare for column in columns):
            break
        columns.remove(max(columns, key=lambda column: column.spare))
    for column in columns:
        more = max(0, min(natural.get(column.name, column.most), column.most) - taken[column.name])
        given = min(more, max(rest, 0))
        taken[column.name] += given
        rest -= given
    return [Width(column, taken[column.name]) for column in columns]


def _one_of_each_call(entries: Sequence[JobEntry]) -> list[JobEntry]:
    return list({id(entry.submission): entry for entry in entries}.values())


def _one_of_each_reason(entries: Sequence[JobEntry]) -> list[JobEntry]:
    return list({(entry.over, entry.exit_code, entry.reason): entry for entry in entries}.values())


def call_id(entry: JobEntry) -> str:
    """The jobs of the call that a job is of, in a word: ``12_[0-99]``, ``7-12``."""
    jobs = entry.submission["jobs"]
    if isinstance(jobs, dict):
        return f"{jobs['array']}_[0-{jobs['count'] - 1}]"
    first, last = jobs[0], jobs[-1]
    whole = first.isdecimal() and last.isdecimal() and int(last) - int(first) == len(jobs) - 1
    return f"{first}-{last}" if whole else f"{first}…{last}"


def is_right(column: Column) -> bool:
    """Whether a column's texts stand at its right side, as numbers do."""
    return column.name in _RIGHT
