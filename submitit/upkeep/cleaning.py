"""What can go of a folder of jobs: decided from a survey, without touching anything."""

from __future__ import annotations

import enum
import os
from typing import TYPE_CHECKING, NamedTuple

from submitit.orchestrator.state import JobState
from submitit.storage import cleanings
from submitit.upkeep import inventory, survey
from submitit.upkeep.inventory import File

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from submitit.upkeep.inventory import Key
    from submitit.upkeep.survey import Survey
    from submitit.views.entry import JobEntry

#: A file that its writer has not touched for so long is not being written any more.
ABANDONED_S = 86400.0
#: A payload that no journal names, and a copy of code that no job runs in, may be part of a submission that takes its time.
UNUSED_S = 7 * 86400.0


class Part(enum.Enum):
    """What of the jobs is to go."""

    #: all of them: they are forgotten
    ALL = "all"
    #: what they printed
    LOGS = "logs"
    #: all but their results: ``result()`` works as before, ``resubmit()`` does not
    ALL_BUT_RESULTS = "all but results"


class Wanted(NamedTuple):
    """Which jobs a user wants to clean."""

    #: Those that have been over for so long.
    older_than_s: float = 0.0
    #: Those in these states; in all if there is none. What is ``UNKNOWN`` may still be running: it has to be named.
    states: frozenset[JobState] = frozenset()
    part: Part = Part.ALL


class Kept(enum.Enum):
    """Why a job stays."""

    ALIVE = "running or waiting"
    NEEDED = "needed by jobs that are not over"
    UNKNOWN = "of which nobody knows whether they are over"
    OTHERS = "of other users"
    YOUNGER = "over since more recently"
    OTHER_STATE = "in another state"


class Plan(NamedTuple):
    """What is to go. Nothing of the jobs that stay is in it."""

    root: str
    part: Part
    jobs: list[JobEntry]
    #: How many jobs stay, and why.
    kept: dict[Kept, int]
    #: What goes, in this order.
    files: list[File]
    #: Directories that go if nothing is in them then.
    directories: list[str]
    #: Copies of code that go as far as no job has written into them, and the time since when nobody has used them.
    snapshots: list[str]
    unused_since: float
    #: Files that the jobs themselves have written into their folders, which stay.
    left: list[File]
    #: What the copies of code take.
    size_of_snapshots: int = 0

    @property
    def freed(self) -> int:
        """How much of the disk is free afterwards."""
        return inventory.freed_by(self.files) + self.size_of_snapshots

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.jobs or self.files or self.snapshots)


def decide(known: Survey, wanted: Wanted, only: Container[Key] | None = None) -> Plan:
    """What of a folder is to go for what a user wants; of the jobs ``only`` these, where they are given.

    It is never anything of a job that is not over, of one that such a job waits for, or of somebody else's; a payload goes with
    the last of its jobs, and a journal too.
    """
    files = known.inventory.of_jobs()
    jobs: list[JobEntry] = []
    kept: dict[Kept, int] = {}
    for entry in known.entries:
        reason = _reason_to_keep(known, wanted, entry, files.get(_key(entry), ()))
        if reason is None and (only is None or _key(entry) in only):
            jobs.append(entry)
        elif reason is not None:
            kept[reason] = kept.get(reason, 0) + 1
    going = {_key(entry) for entry in jobs}
    whole = wanted.part is Part.ALL
    dead = {_key(entry) for entry in known.cleaned if _is_mine(known, entry)}
    found = [file for key in (*going, *dead) for file in files.get(key, ()) if key in dead or _goes(file, wanted.part)]
    if wanted.part is not Part.LOGS:
        found += _payloads(known, wanted, going)
        found += _scripts(known, going)
    directories: list[str] = []
    if whole:
        traces, directories = _traces(known, going | dead)
        found += traces
        found += _abandoned(known)
    mine = {file.path: file for file in found if file.owner == known.user and file.kind != "others"}
    unused_since = known.time - max(UNUSED_S, wanted.older_than_s)
    unused = _unused_snapshots(known, going, unused_since) if whole else []
    return Plan(
        known.root,
        wanted.part,
        jobs,
        kept,
        sorted(mine.values(), key=lambda file: (_ORDER.index(file.kind), file.path)),
        directories,
        unused,
        unused_since,
        [file for key in going for file in files.get(key, ()) if file.kind == "others"] if whole else [],
        sum(known.inventory.snapshots[path][0] for path in unused),
    )


#: A job that stays has all its files; of one that goes, what tells of the others goes last.
_ORDER = ("others", "temporaries", "snapshots", "logs", "scripts", "results", "payloads", "markers", "journals")


def _reason_to_keep(known: Survey, wanted: Wanted, entry: JobEntry, files: Iterable[File]) -> Kept | None:
    state = JobState.read(entry.state)
    last = max([entry.submitted, entry.end or 0.0, *(file.mtime for file in files if file.kind in ("logs", "results"))])
    if state is JobState.UNKNOWN:
        if state not in wanted.states or known.time - last < ABANDONED_S:
            return Kept.UNKNOWN
    elif not entry.over:
        return Kept.ALIVE
    elif wanted.states and state not in wanted.states:
        return Kept.OTHER_STATE
    if not _is_mine(known, entry):
        return Kept.OTHERS
    if _key(entry) in known.needed:
        return Kept.NEEDED
    return Kept.YOUNGER if known.time - last < wanted.older_than_s else None


def _goes(file: File, part: Part) -> bool:
    if part is Part.ALL:
        return True
    return file.kind == "logs" or (part is Part.ALL_BUT_RESULTS and file.kind in ("scripts", "payloads"))


def _payloads(known: Survey, wanted: Wanted, going: set[Key]) -> list[File]:
    """The payloads that no remaining job reads, and no submission that still goes on."""
    stay = {name for entry in known.entries if _key(entry) not in going for name in survey.payloads_of(entry)}
    stay |= known.needed_payloads
    readers: dict[str, list[JobEntry]] = {}
    for entry in (*known.entries, *known.cleaned):
        for name in survey.payloads_of(entry):
            readers.setdefault(name, []).append(entry)
    unnoted = _unnoted(known)
    found = []
    for file in known.inventory.files:
        if file.kind != "payloads" or os.path.dirname(file.path) != _state(known, "payloads"):
            continue
        uid = os.path.splitext(os.path.basename(file.path))[0]
        name = f"{uid}.pkl"  # beside which others may lie: who has taken which of its parts
        if name in stay:
            continue
        if name in readers:
            goes = all(_is_sent(known, readers, entry) for entry in readers[name])
        else:
            goes = (
                wanted.part is Part.ALL
                and known.time - file.mtime > max(UNUSED_S, wanted.older_than_s)
                and survey.writer_is_gone(uid) is not False
                and known.queued is not None
                and uid not in known.queued
                and not unnoted
            )
        if goes:
            found.append(file)
    return found


def _is_sent(known: Survey, readers: dict[str, list[JobEntry]], entry: JobEntry) -> bool:
    """Whether nothing of what a job was submitted with still waits, in a client that lives, for room in the queue."""
    if known.clients[_key(entry)] not in known.living:
        return True
    name = entry.submission.get("payload", "")
    return known.elements.get(name, 0) <= len(readers.get(name, ()))


def _unnoted(known: Survey) -> set[str]:
    """The jobs of this machine that are not over and that no client has lived to note down."""
    alive = {job_id for controller in known.controllers for job_id in controller.open}
    return alive - {entry.job_id for entry in known.entries}


def _scripts(known: Survey, going: set[Key]) -> list[File]:
    """The scripts of arrays of which no element remains."""
    arrays = {(entry.folder, entry.array) for entry in known.entries if entry.array and _key(entry) not in going}
    jobs = {_key(entry) for entry in known.entries}
    gone = {(entry.folder, entry.array) for entry in known.cleaned}
    gone |= {(folder, job_id.partition("_")[0]) for folder, job_id in going if "_" in job_id}
    return [file for file in known.inventory.files if file.kind == "scripts" and file.job in gone - arrays - jobs]


def _traces(known: Survey, gone: set[Key]) -> tuple[list[File], list[str]]:
    """The journals of clients and controllers that are gone and of whose jobs none remains, and what is left in their directories."""
    stay = {client for key, client in known.clients.items() if key not in gone}
    stay |= {known.clients[file.job] for file in known.inventory.files if _is_foreign(known, file, gone)}
    clients = [
        client
        for client, owner in known.owners.items()
        if client not in stay and client not in known.living and owner == known.user
    ]
    ids = {job_id for _, job_id in gone}
    controllers = [one for one in known.controllers if one.gone and not one.open and one.jobs <= ids]
    journals = {os.path.join(_state(known, "journal"), f"{client}.jsonl") for client in clients}
    journals |= {one.journal for one in controllers}
    directories = [os.path.join(_state(known, "events"), client) for client in clients]
    for one in controllers:
        directories += [os.path.join(one.directory, "cancel"), one.directory]
    files = [
        file
        for file in known.inventory.files
        if file.path in journals or (file.kind == "markers" and os.path.dirname(file.path) in directories)
    ]
    return files, directories


def _is_foreign(known: Survey, file: File, gone: set[Key]) -> bool:
    """Whether it is somebody else's file of a job that goes: what could not be deleted is found by its journal later."""
    return file.job in gone and file.job in known.clients and file.owner != known.user and file.kind != "others"


def _abandoned(known: Survey) -> list[File]:
    """What processes that were killed have left half-written, and links to scripts that are gone."""
    return [
        file for file in known.inventory.files if file.kind == "temporaries" and known.time - file.mtime > ABANDONED_S
    ]


def _unused_snapshots(known: Survey, going: set[Key], unused_since: float) -> list[str]:
    used = {entry.submission.get("snapshot") for entry in known.entries if _key(entry) not in going}
    return sorted(
        path
        for path, (_, last_use) in known.inventory.snapshots.items()
        if path not in used and last_use <= unused_since
    )


def _is_mine(known: Survey, entry: JobEntry) -> bool:
    return known.owners[known.clients[_key(entry)]] == known.user


def _key(entry: JobEntry) -> Key:
    return entry.folder, entry.job_id


def _state(known: Survey, name: str) -> str:
    return os.path.join(known.root, ".submitit", name)


def told(plan: Plan, user: str) -> list[cleanings.Cleaning]:
    """What is to be written down before the first file of a plan goes."""
    by_folder: dict[str, list[tuple[str, float]]] = {}
    for entry in plan.jobs if plan.part is Part.ALL else ():
        by_folder.setdefault(entry.folder, []).append((entry.job_id, entry.submitted))
    return [cleanings.cleaning(folder, jobs, user) for folder, jobs in by_folder.items()]
