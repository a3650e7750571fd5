"""Which jobs of a folder were cleaned away: their files are gone, or are about to go, and nobody is to look for them.

A line of ``journal/<client>.cleaned.jsonl`` tells of it before the first file goes, so that a clean which is killed in the
middle leaves no half of a job behind that looks like a whole one. What it leaves, the next one takes.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from submitit import amounts
from submitit.storage import atomic, names
from submitit.storage.journal import read_journal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from submitit.storage.paths import Layout

SUFFIX = ".cleaned.jsonl"
#: No clean takes so long.
OLD_S = 7 * 86400.0


class Cleaning(NamedTuple):
    """Jobs of one executor's folder that were cleaned together."""

    #: The executor's folder, tags and all.
    folder: str
    #: Of jobs whose ids are numbers the first and last of each run, by their array; by ``""`` outside of arrays.
    spans: Mapping[str, list[tuple[int, int]]]
    #: The other ids.
    named: frozenset[str]
    #: When the last of them was submitted: an id that comes round again is another job's.
    until: float
    #: When, by whom and where it was done.
    time: float
    user: str = ""
    host: str = ""
    #: The owner of the file that says so.
    owner: int = -1

    def covers(self, job_id: str, submitted: float) -> bool:
        """Whether it tells of this job."""
        if submitted > self.until:
            return False
        array, number = _split(job_id)
        if number is None:
            return job_id in self.named
        return any(first <= number <= last for first, last in self.spans.get(array, ()))

    def words(self) -> str:
        """Who cleaned, and when, for people."""
        moment = amounts.stamp(self.time)
        return f"by {self.user or 'somebody'} on {self.host or 'some machine'} at {moment}"


def cleaning(folder: str, jobs: Iterable[tuple[str, float]], user: str) -> Cleaning:
    """What is to be written down about jobs, given by id and time of submission, before their files go."""
    numbers: dict[str, list[int]] = {}
    named, until = set(), 0.0
    for job_id, submitted in jobs:
        array, number = _split(job_id)
        if number is None:
            named.add(job_id)
        else:
            numbers.setdefault(array, []).append(number)
        until = max(until, submitted)
    spans = {array: _spans(found) for array, found in numbers.items()}
    return Cleaning(folder, spans, frozenset(named), until, round(time.time(), 3), user, os.uname().nodename)


def append(layout: Layout, cleanings: Iterable[Cleaning]) -> None:
    """Whoever reads from now on knows, even after a crash of the machine. Raises ``OSError`` that names the file.

    What this user has written long ago is gathered in one file.
    """
    import json

    path = layout.locate(f"journal/{names.client_name()}{SUFFIX}")
    atomic.make_directory(os.path.dirname(path))
    old = [other for other in paths(layout) if other != path and _is_ours_and_old(other)]
    lines = [line for known in (*old, path) for line in read_journal(known)[0]]
    lines += [_line(one) for one in cleanings]
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    atomic.write_text(path, text, durable=True)
    for other in old:
        with contextlib.suppress(OSError):
            os.unlink(other)


def _is_ours_and_old(path: str) -> bool:
    """Whether nobody else writes there."""
    try:
        status = os.stat(path)
    except OSError:
        return False
    return status.st_uid == os.geteuid() and time.time() - status.st_mtime > OLD_S


def paths(layout: Layout) -> list[str]:
    """The files that tell of cleanings."""
    try:
        found = sorted(name for name in os.listdir(layout.locate("journal")) if name.endswith(SUFFIX))
    except OSError:
        return []
    return [layout.locate(f"journal/{name}") for name in found]


def read(path: str) -> list[Cleaning]:
    """What one of those files tells; nothing where it is gone, or is not what this library writes."""
    try:
        owner = os.stat(path).st_uid
        lines, _ = read_journal(path)
    except OSError:
        return []
    return [_cleaning(line, owner) for line in lines if _is_sound(line)]


_known: dict[str, tuple[int, list[Cleaning]]] = {}


def find(layout: Layout, folder: str, job_id: str, submitted: float | None = None) -> Cleaning | None:
    """What is known of the cleaning of a job; ``None`` if it was not cleaned.

    Where it is not known when the job was ``submitted``, any job of that id counts.
    """
    directory = layout.locate("journal")
    try:
        changed = os.stat(directory).st_mtime_ns
    except OSError:
        return None
    if directory not in _known or _known[directory][0] != changed:  # thousands of handles ask, one after the other
        _known[directory] = changed, [one for path in paths(layout) for one in read(path)]
    for one in reversed(_known[directory][1]):
        if one.folder == folder and one.covers(job_id, one.until if submitted is None else submitted):
            return one
    return None


def _split(job_id: str) -> tuple[str, int | None]:
    """The array, ``""`` outside of one, and the number; ``None`` for an id that is no number."""
    array, _, index = job_id.rpartition("_")
    return (array, int(index)) if _is_number(index) and (not array or _is_number(array)) else ("", None)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and str(int(text)) == text


def _spans(numbers: Iterable[int]) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    for number in sorted(set(numbers)):
        if spans and spans[-1][1] == number - 1:
            spans[-1] = (spans[-1][0], number)
        else:
            spans.append((number, number))
    return spans


def _line(one: Cleaning) -> dict[str, Any]:
    return {
        "event": "cleaned",
        "time": one.time,
        "user": one.user,
        "host": one.host,
        "folder": one.folder,
        "until": one.until,
        "spans": dict(one.spans),
        "named": sorted(one.named),
    }


def _cleaning(line: dict[str, Any], owner: int) -> Cleaning:
    spans = {array: [(first, last) for first, last in found] for array, found in line["spans"].items()}
    return Cleaning(
        line["folder"],
        spans,
        frozenset(line["named"]),
        line["until"],
        line["time"],
        line.get("user", ""),
        line.get("host", ""),
        owner,
    )


def _is_sound(line: dict[str, Any]) -> bool:
    spans, named = line.get("spans"), line.get("named")
    return (
        line.get("event") == "cleaned"
        and all(isinstance(line.get(name, ""), str) for name in ("folder", "user", "host"))
        and "folder" in line
        and all(type(line.get(name)) in (int, float) and abs(line[name]) < 1e11 for name in ("time", "until"))
        and isinstance(spans, dict)
        and all(isinstance(found, list) and all(map(_is_span, found)) for found in spans.values())
        and isinstance(named, list)
        and all(isinstance(job_id, str) for job_id in named)
    )


def _is_span(span: object) -> bool:
    return isinstance(span, list) and len(span) == 2 and all(type(number) is int and number >= 0 for number in span)
