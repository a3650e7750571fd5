"""How jobs are named on the command line: by id, by the id of their array, by name, or counted from the last.

``12`` is a job, or all of array 12; ``12_3`` an element; ``1-9`` are jobs whose ids are these numbers; ``-1`` (which ``app``
hands on as ``@-1``) is what was submitted last, a job or all jobs of one call; anything else is a job's name.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from submitit.cli.output import fail
from submitit.cli.table import cut
from submitit.storage import registry
from submitit.terminal import one_line
from submitit.views import folder as views

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from submitit.views.entry import JobEntry
    from submitit.views.folder import Folder

_FROM_THE_LAST = re.compile(r"@-(\d+)")
_RANGE = re.compile(r"(\d+)-(\d+)")
#: Candidates that a sentence names.
_SHOWN = 8


class Found(NamedTuple):
    """A job, and the model of its folder."""

    folder: Folder
    entry: JobEntry

    def now(self) -> Found:
        """The same as of the folder's last ``refresh``."""
        return Found(self.folder, self.folder.current(self.entry))


def folders(folder: str | None, *, ask: bool = False) -> list[Folder]:
    """The folder given, or all that the user submitted from, the newest first; up to date, by asking a scheduler or not.

    Ends the command where the folder given does not exist, or is closed to the user.
    """
    if folder is None:
        found = [views.Folder(one.root) for one in registry.folders()]
    else:
        found = [views.Folder(folder)]
        if not os.path.isdir(found[0].root):
            fail(f"there is no folder {found[0].root}", 2)
        if not os.access(found[0].root, os.R_OK | os.X_OK):
            fail(f"you may not look into the folder {found[0].root}; its owner may let you", 2)
    views.refresh(found, ask=ask)
    return found


def find(names: Sequence[str], folder: str | None = None, *, ask: bool = True, living: bool = False) -> list[Found]:
    """The jobs that these words name, each once and in their order; their states as of now, unless ``ask`` is false.

    Ends the command with a sentence where a word names nothing, or might mean several things. For who means those that are
    ``living`` it means these, where others of its name are over.
    """
    known = folders(folder)
    named = [one for name in names for one in _named(name, known, living=living)]
    found = {(one.folder.root, one.entry.folder, one.entry.job_id): one for one in named}
    if ask:
        views.refresh({id(one.folder): one.folder for one in found.values()}.values())
    return [one.now() for one in found.values()]


def find_one(name: str, folder: str | None = None, *, ask: bool = True) -> Found:
    """The one job that a word names. Ends the command where it names several, and says which."""
    found = find([name], folder, ask=ask)
    if len(found) > 1:
        failed = [one for one in found if one.entry.failed]
        some = "Of these failed: " if failed else "They are "
        fail(f"{name.removeprefix('@')} is {len(found)} jobs; name one. {some}{_ids(failed or found)}.", 2)
    return found[0]


def calls(known: Iterable[Folder]) -> list[list[Found]]:
    """What each call submitted, the last call first."""
    by_call: dict[int, list[Found]] = {}
    for folder in known:
        for entry in folder.entries:
            by_call.setdefault(id(entry.submission), []).append(Found(folder, entry))
    # turned round as a whole: of two of one moment the later one stands later in the journal
    return sorted(by_call.values(), key=lambda jobs: jobs[0].entry.submitted)[::-1]


def complete(incomplete: str) -> list[tuple[str, str]]:
    """For the shell: the ids of the newest jobs that begin so, with their names and states."""
    known = [views.Folder(one.root) for one in registry.folders()]
    views.refresh(known, ask=False)
    found = []
    for jobs in calls(known):
        for _, entry in jobs:
            if entry.job_id.startswith(incomplete):
                found.append((entry.job_id, one_line(f"{entry.name} {entry.state}")))
    return found[:200]


def _named(name: str, known: list[Folder], *, living: bool) -> list[Found]:
    if place := _FROM_THE_LAST.fullmatch(name):
        return _from_the_last(int(place[1]), known)
    by_id = [[Found(folder, entry) for entry in folder.find(name)] for folder in known]
    choices = [jobs for found in by_id for jobs in _by_template(found)]
    if not choices and (ends := _RANGE.fullmatch(name)):
        choices = [jobs for jobs in (_in_range(folder, int(ends[1]), int(ends[2])) for folder in known) if jobs]
    if not choices:
        choices = [jobs for jobs in calls(known) if jobs[0].entry.name == name]
    if not choices:
        fail(_unknown(name, known))
    if living and len(choices) > 1:
        choices = [jobs for jobs in choices if not all(one.entry.over for one in jobs)] or choices
    if len(choices) > 1:
        fail(_ambiguous(name, choices), 2)
    return choices[0]


def _by_template(found: list[Found]) -> list[list[Found]]:
    """Jobs of one id apart by the executor's folder: those whose beginning is the same have their files in one place."""
    apart: dict[str, list[Found]] = {}
    for one in found:
        apart.setdefault(one.entry.folder, []).append(one)
    return list(apart.values())


def _in_range(folder: Folder, first: int, last: int) -> list[Found]:
    numbered = [entry for entry in folder.entries if entry.job_id.isdecimal() and first <= int(entry.job_id) <= last]
    return [Found(folder, entry) for entry in numbered]


def _from_the_last(place: int, known: list[Folder]) -> list[Found]:
    every = calls(known)
    if not every:
        fail(nothing(known))
    if not 1 <= place <= len(every):
        fail(f"-{place} counts from the last of {len(every)} submissions: give -1 to -{len(every)}")
    return every[place - 1]


# ---- sentences


def nothing(known: list[Folder], way: str = "--folder FOLDER") -> str:
    """What to say where there is no job at all; ``way`` is how the command is told of a folder."""
    if len(known) != 1:
        return f"you have not submitted any job yet, as far as is noted; {way} looks into a folder of jobs"
    root = known[0].root
    return of_version_1(root) or f"no job was submitted to {root}"


def of_version_1(root: str) -> str:
    """What to say of a folder that has jobs of submitit 1 alone; nothing if it is no such folder."""
    if os.path.lexists(os.path.join(root, ".submitit")):
        return ""
    below = [root, *(one.path for one in os.scandir(root) if one.is_dir() and os.access(one, os.R_OK | os.X_OK))]
    if not any(one.name.endswith("_submitted.pkl") for path in below for one in os.scandir(path)):
        return ""
    return (
        f"the jobs in {root} are of submitit 1, which kept no list of them; in Python, SlurmJob(folder, job_id) or "
        "LocalJob(folder, job_id) finds each"
    )


def _unknown(name: str, known: list[Folder]) -> str:
    import difflib

    every = calls(known)
    if not every:
        return nothing(known)
    words = dict.fromkeys(word for jobs in every for one in jobs for word in (one.entry.name, one.entry.job_id))
    close = difflib.get_close_matches(name, list(words)[:10_000], n=3)
    where = known[0].root if len(known) == 1 else f"the {len(known)} folders that you have submitted from"
    hint = f"Did you mean {' or '.join(close)}?" if close else "The last submissions are:\n" + _listed(every)
    return f"no job in {where} is called {name}. {hint}"


def _ambiguous(name: str, choices: list[list[Found]]) -> str:
    folders = {one.folder.root for jobs in choices for one in jobs}
    way = "say which with --folder" if len(folders) > 1 else "name one by its id"
    return f"{name} may be any of {len(choices)}; {way}:\n{_listed(choices)}"


def _listed(choices: list[list[Found]]) -> str:
    lines = []
    for jobs in choices[:_SHOWN]:
        entry = jobs[0].entry
        state = entry.state if len(jobs) == 1 else f"{len(jobs)} jobs"
        lines.append(f"  {ids(one.entry for one in jobs)}  {cut(one_line(entry.name), 40)}  {state}  in {entry.folder}")
    if len(choices) > _SHOWN:
        lines.append(f"  and {len(choices) - _SHOWN} more")
    return "\n".join(lines)


def ids(entries: Iterable[JobEntry]) -> str:
    """The jobs of one call in a word that names them all, where there is one: ``12``, ``1-100``."""
    listed = list(entries)
    first, last = listed[0].job_id, listed[-1].job_id
    if len(listed) == 1:
        return first
    if listed[0].array:
        return listed[0].array
    numbers = [int(entry.job_id) for entry in listed if entry.job_id.isdecimal()]
    whole = numbers == list(range(numbers[0], numbers[0] + len(listed))) if numbers else False
    return f"{first}-{last}" if whole else f"{first}…{last}"


def named(found: Sequence[Found]) -> str:
    """Jobs by their ids, in a sentence."""
    return f"job {found[0].entry.job_id}" if len(found) == 1 else f"{len(found)} jobs: {_ids(found)}"


def _ids(found: Sequence[Found]) -> str:
    listed = ", ".join(one.entry.job_id for one in found[:_SHOWN])
    return f"{listed} and {len(found) - _SHOWN} more" if len(found) > _SHOWN else listed
