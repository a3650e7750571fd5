"""Marker files that say "look now".

``<job_id>-<task>.<attempt>.<kind>``, empty or with the name of a host, in one directory a client process. A marker never
decides anything: it tells the client to look at once, instead of at its next, rare, question to the scheduler.
"""

from __future__ import annotations

import os
import time

from submitit.records import NamedTuple
from submitit.storage import atomic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    StrPath = str | os.PathLike[str]

#: ``run``: the function is about to be called. ``done``: its result is on disk. ``term``: SIGTERM arrived, the ending may be
#: undone by the scheduler. ``requeue``: the job has saved its state and asked to be run again, and was heard. ``exit-<code>``:
#: the process is gone, the last word of the shell around it.
#: Of jobs with a policy for their failures: ``memory`` says what has killed a task, ``retry-<reason>`` that the
#: job's script has asked for another attempt, and was heard, ``refused-<reason>`` that it was not, ``final`` that none follows.
KINDS = ("run", "term", "memory", "done", "requeue", "retry", "refused", "final", "exit")
_ORDER = {kind: place for place, kind in enumerate(KINDS)}
_WORDS = frozenset(KINDS) - {"retry", "refused", "exit"}

#: The coarsest clock of a file system, doubled: a directory can change after a listing and show the same time.
SETTLING_S = 2.0
#: How long a change may wait for the next listing, in a directory so large that a listing takes longer than this.
LATE_S, QUICK_S = 0.5, 0.01


class Marker(NamedTuple):
    """One event of one task."""

    job_id: str
    #: "0", "1" … or "batch" for the batch step.
    task: str
    attempt: int
    #: One of `KINDS`, those of two parts with the second.
    kind: str
    #: The exit code, of "exit-<code>" alone.
    code: int | None = None


def marker_name(job_id: str, task: str | int, attempt: int, kind: str) -> str:
    """The file name of a marker; ``ValueError`` for what ``parse_marker`` would not read back."""
    name = f"{job_id}-{task}.{attempt}.{kind}"
    if parse_marker(name) is None or "\0" in name:
        raise ValueError(f"Not a marker: {name!r}")
    return name


def parse_marker(name: str) -> Marker | None:
    """What a file name says; ``None`` where it is not that of a marker."""
    # From the right: the ids of some schedulers hold dots and hyphens.
    head, _, kind = name.rpartition(".")
    head, _, attempt = head.rpartition(".")
    job_id, _, task = head.rpartition("-")
    if not job_id or "/" in job_id or not _is_number(attempt) or not (task == "batch" or _is_number(task)):
        return None
    word, _, code = kind.partition("-")
    if kind in _WORDS or (word in {"retry", "refused"} and code):
        return Marker(job_id, task, int(attempt), kind)
    if word != "exit" or not _is_number(code.removeprefix("-")):
        return None
    return Marker(job_id, task, int(attempt), kind, int(code))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


class EventDirectory:
    """The markers of the jobs of one client.

    Args:
        path: the directory; made by ``make``, or by the first mark.
    """

    def __init__(self, path: StrPath) -> None:
        self._path = os.fspath(path)
        #: By job the ends of the names of its markers: "0.0.run". The short histories of thousands are a few, and kept once.
        self._known: dict[str, Collection[str]] = {}
        self._histories: dict[tuple[str, ...], tuple[str, ...]] = {}
        #: Every end that was seen, itself.
        self._ends: dict[str, str] = {}
        # The directory's time that was last seen, when it was first seen, and when the last listing began and ended.
        self._mtime_ns = -1
        self._first_seen = self._listed_from = self._listed_to = float("-inf")
        self._took = 0.0

    @property
    def path(self) -> Path:
        """The directory."""
        from pathlib import Path

        return Path(self._path)

    def make(self) -> None:
        """The directory exists, its parents too."""
        atomic.make_directory(self._path)

    def mark(self, job_id: str, task: str | int, attempt: int, kind: str, text: str = "") -> bool:
        """Leaves a marker, at most two system calls and no lock: a signal handler may call it.

        Args:
            job_id: of the job.
            task: rank, or "batch".
            attempt: 0 for the first start.
            kind: one of `KINDS`, those of two parts with the second.
            text: what the file holds: the host's name.

        Returns:
            False where it cannot be written. It is a hint, and no reason for a job to fail.
        """
        path = os.path.join(self._path, marker_name(job_id, task, attempt, kind))
        # The name is known beforehand: in a shared directory it may be somebody's link to a file of this user's.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            try:
                descriptor = os.open(path, flags, atomic.FILE_MODE)
            except FileNotFoundError:
                self.make()
                descriptor = os.open(path, flags, atomic.FILE_MODE)
            try:
                if text:
                    os.write(descriptor, text.encode("utf-8", "replace"))
            finally:
                os.close(descriptor)
        except OSError:
            return False
        return True

    def scan(self, refresh: bool = False) -> list[str]:
        """The ids of the jobs that have left a marker since the last call.

        One ``stat`` where nothing has happened: the directory is listed when its time has moved or was first seen less
        than two seconds ago (by this machine's monotonic clock: that of a file server may be off), and a large one not all the
        time.

        Args:
            refresh: set the directory's times first. On a network file system this makes the server's listing the
                client's.
        """
        try:
            if refresh:
                os.utime(self._path)
            mtime_ns = os.stat(self._path).st_mtime_ns
            now = time.monotonic()
            if mtime_ns != self._mtime_ns:
                self._mtime_ns, self._first_seen = mtime_ns, now
            if not self._is_due(now):
                return []
            self._listed_from = now
            names = os.listdir(self._path)
        except OSError:
            return []
        fresh = self._fresh(names)
        for job_id, ends in fresh.items():
            self._known[job_id] = self._continued(self._known.get(job_id, ()), ends)
        self._listed_to = time.monotonic()
        self._took = self._listed_to - self._listed_from
        return list(fresh)

    def history(self, job_id: str) -> Collection[str]:
        """What the last ``scan`` knew of a job: each marker's name after the job's id, ``"0.0.run"``, each task's in the order of
        its life. A short one is a tuple, the same for all jobs that have come as far.
        """
        return self._known.get(job_id, ())

    def markers(self, job_id: str) -> list[Marker]:
        """The same, read."""
        found = (parse_marker(f"{job_id}-{end}") for end in self.history(job_id))
        return [marker for marker in found if marker is not None]

    def node(self, marker: Marker) -> str:
        """What the marker's file holds: the name of the host; "" where it holds nothing or is gone."""
        name = marker_name(marker.job_id, marker.task, marker.attempt, marker.kind)
        try:
            with open(os.path.join(self._path, name), encoding="utf-8", errors="replace") as file:
                return file.readline(1024).strip()
        except OSError:
            return ""

    def _is_due(self, now: float) -> bool:
        """Whether to list: something has changed, or with the same time as before may have; and a tenth of the time may go into it."""
        rest = 9 * self._took
        if self._first_seen > self._listed_from:
            return self._took < QUICK_S or now >= self._listed_to + min(rest, LATE_S)
        return self._listed_from < self._first_seen + SETTLING_S and now >= self._listed_to + rest

    def _fresh(self, names: list[str]) -> dict[str, list[str]]:
        """What was not known before, by job; ``names`` is used up. Of hundreds of thousands of names most are known: one is looked at in half a µs."""
        known, ends = self._known, self._ends
        fresh: dict[str, list[str]] = {}
        while names:
            name = names.pop()  # given back one by one: they take more memory than what is made of them
            # as `parse_marker` does, from the right
            cut = name.rfind("-", 0, name.rfind(".", 0, name.rfind(".")))
            end = ends.get(name[cut + 1 :])
            if end is None:
                if parse_marker(name) is None:
                    continue
                end = ends[name[cut + 1 :]] = name[cut + 1 :]
            elif cut <= 0:
                continue
            job_id = name[:cut]
            if end not in known.get(job_id, ()):
                fresh.setdefault(job_id, []).append(end)
        return fresh

    def _continued(self, history: Collection[str], ends: list[str]) -> Collection[str]:
        if len(history) + len(ends) > _SHORT:
            return dict.fromkeys((*history, *sorted(ends, key=_in_order)))
        raw = (*history, *ends)
        found = self._histories.get(raw)
        if found is None:
            ordered = tuple(sorted(raw, key=_in_order))
            found = self._histories[raw] = self._histories.setdefault(ordered, ordered)
        return found


#: Up to so many markers, those of a task or two, a job's history is likely to be that of others.
_SHORT = 8


def _in_order(end: str) -> tuple[str, int, int]:
    task, attempt, kind = end.split(".")
    return task, int(attempt), _ORDER[kind.partition("-")[0]]
