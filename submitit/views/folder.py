"""All jobs below a folder, whoever submitted them."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from typing import TYPE_CHECKING, Any

from submitit.orchestrator.sources import marker_source
from submitit.orchestrator.state import JobState
from submitit.storage import cleanings, outcome
from submitit.storage.journal import read_journal
from submitit.storage.paths import Layout, tagless_root
from submitit.views.entry import JobEntry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from submitit.client.attempt import Attempt
    from submitit.local.journals import JournalSource
    from submitit.local.records import Record
    from submitit.orchestrator import sources
    from submitit.orchestrator.sources import MarkerSource
    from submitit.slurm.watcher import SlurmInfoWatcher
    from submitit.storage.cleanings import Cleaning

    StrPath = str | os.PathLike[str]
    Key = tuple[str, str]

#: For how long a job that has left no trace, and that nobody knows, may still be on its way.
GRACE_S = 60.0
#: More jobs than one line of a journal tells of.
_MANY = 1 << 22


class Folder:
    """The jobs below one folder, as its files tell of them at the last ``refresh``.

    Args:
        folder: an executor's folder, or the part of it without tags.
    """

    def __init__(self, folder: StrPath) -> None:
        #: The folder without tags, absolute.
        self.root = tagless_root(folder)
        self._layout = Layout(self.root)
        self._offsets: dict[str, int] = {}
        self._entries: dict[Key, JobEntry] = {}
        self._clients: dict[Key, str] = {}
        #: Who wrote each journal, by the client's name.
        self._owners: dict[str, int] = {}
        #: What is known of cleanings, by the file that tells of it, with what tells one version of that from another.
        self._cleanings: dict[str, tuple[tuple[int, int, int], list[Cleaning]]] = {}
        self._cleaned: dict[Key, JobEntry] = {}
        #: Jobs that may still change; of those of Slurm, what their markers last said.
        self._open: dict[Key, tuple[sources.Attempt | None] | None] = {}
        self._local: JournalSource | None = None
        self._earlier: dict[str, list[Attempt]] = {}

    @property
    def entries(self) -> list[JobEntry]:
        """Every job, in the order of submission."""
        return sorted(self._entries.values(), key=lambda entry: entry.submitted)

    @property
    def cleaned(self) -> list[JobEntry]:
        """The jobs that were cleaned away, as far as journals still name them. They are not among the ``entries``."""
        return list(self._cleaned.values())

    def client(self, entry: JobEntry) -> str:
        """The name of the client process that submitted a job: its journal's, and its markers' directory's."""
        return self._clients[entry.folder, entry.job_id]

    def owner(self, entry: JobEntry) -> int:
        """The number of the user whose journal a job stands in."""
        return self._owners[self.client(entry)]

    def find(self, job_id: str) -> list[JobEntry]:
        """The jobs of this id, or the elements of the array of this id. Several jobs where folders with tags share their beginning."""
        found = [entry for entry in self._entries.values() if entry.job_id == job_id]
        return found or [entry for entry in self.entries if entry.array == job_id]

    def current(self, entry: JobEntry) -> JobEntry:
        """The same job as of the last ``refresh``."""
        return self._entries.get((entry.folder, entry.job_id), entry)

    def refresh(self, *, ask: bool = True) -> bool:
        """Bring ``entries`` up to date; says whether one has changed.

        Reads what journals have grown by, and lists markers where there are new ones. With ``ask`` the scheduler is asked once
        about all jobs that these leave open, and in later calls as rarely as ``Job.state`` asks.
        """
        return refresh([self], ask=ask)

    def detailed(self, entry: JobEntry) -> JobEntry:
        """The same job with its node, times and usage, for which its own files are opened."""
        footers = [outcome.read_footer(entry.paths(task).locate("result_pickle")) for task in range(entry.tasks)]
        told = [footer for footer in footers if footer is not None and footer.attempt in (None, entry.attempt)]
        start = entry.start or min((footer.start for footer in told if footer.start), default=None)
        end = entry.end or (max((footer.end for footer in told if footer.end), default=None) if entry.over else None)
        node = entry.node or ",".join(dict.fromkeys(footer.host for footer in told if footer.host))
        if entry.backend != "local" and not (start and node and (end or not entry.over)):
            first, last, host = self._marked(entry, entry.attempt)
            start, node, end = start or first, node or host, end or (last if entry.over else None)
        cpu = [footer.cpu_s for footer in told if footer.cpu_s is not None]
        most = [footer.max_rss_mb for footer in told if footer.max_rss_mb is not None]
        return entry._replace(
            start=start,
            end=end,
            node=node,
            cpu_s=max(sum(cpu), entry.cpu_s or 0.0) if cpu else entry.cpu_s,
            max_rss_mb=max([*most, entry.max_rss_mb or 0.0]) or None,
        )

    # ---- what `refresh` does, for one folder of several

    def _read(self) -> bool:
        """Take in what was submitted, or cleaned, since the last call; says whether there was anything."""
        changed = self._read_cleanings()
        try:
            names = sorted(name for name in os.listdir(self._layout.journals) if name.endswith(".jsonl"))
        except OSError:
            return changed
        for name in names:
            offset = self._offsets.get(name, 0)
            if offset < 0 or name.endswith(cleanings.SUFFIX):
                continue
            with contextlib.suppress(OSError):
                path = self._layout.locate(f"journal/{name}")
                lines, self._offsets[name] = read_journal(path, offset)
                if not offset and lines and lines[0].get("event") == "controller":
                    self._offsets[name] = -1  # which `journal_source` reads
                    continue
                client = name.removesuffix(".jsonl")
                if client not in self._owners:
                    self._owners[client] = os.stat(path).st_uid
                for line in lines:
                    if _is_sound(line, self.root):
                        changed |= self._add(line, client)
        return changed

    def _add(self, submission: Any, client: str) -> bool:
        folder, submitted, changed = submission["folder"], submission["time"], False
        told = [one for one in self._told_of_cleanings(client) if one.folder == folder and submitted <= one.until]
        for job_id in _job_ids(submission["jobs"]):
            key = folder, job_id
            known = self._entries.get(key) or self._cleaned.get(key)
            # Ids come round again after years: the job that was submitted last has the files.
            if known is not None and known.submitted >= submitted:
                continue
            self._forget(key)
            self._clients[key] = client
            if any(one.covers(job_id, submitted) for one in told):
                self._cleaned[key] = JobEntry(submission, job_id)
                continue
            self._entries[key] = JobEntry(submission, job_id)
            self._open[key] = None
            changed = True
        return changed

    def _forget(self, key: Key) -> None:
        for known in (self._entries, self._cleaned, self._open):
            known.pop(key, None)

    def _read_cleanings(self) -> bool:
        """Take in which jobs were cleaned since the last call; says whether one is not there any more."""
        fresh = False
        for path in cleanings.paths(self._layout):
            with contextlib.suppress(OSError):
                status = os.stat(path)
                version = status.st_ino, status.st_size, status.st_mtime_ns
                if path not in self._cleanings or self._cleanings[path][0] != version:
                    self._cleanings[path] = version, cleanings.read(path)
                    fresh = True
        gone = []
        for key, entry in self._entries.items() if fresh else ():
            told = self._told_of_cleanings(self._clients[key])
            if any(one.folder == entry.folder and one.covers(entry.job_id, entry.submitted) for one in told):
                gone.append(entry)
        for entry in gone:
            self._forget((entry.folder, entry.job_id))
            self._cleaned[entry.folder, entry.job_id] = JobEntry(entry.submission, entry.job_id)
        return bool(gone)

    def _told_of_cleanings(self, client: str) -> list[Cleaning]:
        """What is said about cleanings by who may clean the jobs of a client: in a shared folder anybody can write such a file."""
        may = (self._owners[client], 0)
        return [one for _, told in self._cleanings.values() for one in told if one.owner in may]

    def _look(self) -> tuple[bool, list[Key]]:
        """Take in what files tell: whether a job has changed, and those about which the scheduler may know more."""
        changed = self._read()
        unsettled: list[Key] = []
        markers: dict[str, MarkerSource] = {}
        if self._local is not None:
            self._local.refresh()
        for key in list(self._open):
            entry, settled = self._entries[key], True
            if entry.backend == "local":
                told = _by_record(entry, self._journals().record(entry.job_id))
            elif entry.backend == "slurm":
                client = self._clients[key]
                if client not in markers:
                    markers[client] = self._markers(entry)
                    markers[client].refresh()
                marked = markers[client].attempt(entry.job_id)
                if self._open[key] == (marked,):
                    unsettled.append(key)
                    continue  # what the scheduler has said meanwhile stands until a marker says more
                self._open[key] = (marked,)
                told, settled = _by_markers(entry, marked)
            else:
                told = _by_results(entry)
            if not settled:
                unsettled.append(key)
            elif told.over:
                del self._open[key]
            if told != entry:
                self._entries[key], changed = told, True
        return changed, unsettled

    def _journals(self) -> JournalSource:
        if self._local is None:
            from submitit.local.journals import journal_source

            self._local = journal_source(self.root)
            self._local.refresh()
        return self._local

    def earlier_attempts(self, entry: JobEntry) -> list[Attempt]:
        """The attempts of a job before its newest one, as far as journals and markers tell of them."""
        if entry.backend == "local":
            from submitit.local import history

            if entry.attempt > len(self._earlier.get(entry.job_id, ())):
                self._earlier = history.earlier(self.root)
            return [one._replace(paths=entry.paths()) for one in self._earlier.get(entry.job_id, ())]
        from submitit.client.attempt import Attempt
        from submitit.slurm import history as slurm_history

        found = []
        source = self._markers(entry)
        for told in source.attempts(entry.job_id):
            if told.number < entry.attempt:
                start, end, node = self._marked(entry, told.number)
                attempt = Attempt(told.number, "UNKNOWN", start=start, end=end, paths=entry.paths())
                found.append(slurm_history.by_markers(attempt, told, node))
        return found

    def _markers(self, entry: JobEntry) -> MarkerSource:
        return marker_source(f"{self._layout.events}/{self._clients[entry.folder, entry.job_id]}")

    def _marked(self, entry: JobEntry, attempt: int) -> tuple[float | None, float | None, str]:
        """When the markers of an attempt were left, the first and the last, and by which node."""
        source = self._markers(entry)
        times = []
        for path in source.files(entry.job_id, attempt):
            with contextlib.suppress(OSError):
                times.append(os.stat(path).st_mtime)
        node = source.node(entry.job_id, "0", attempt) or source.node(entry.job_id, "batch", attempt)
        return min(times, default=None), max(times, default=None), node


def refresh(folders: Iterable[Folder], *, ask: bool = True) -> bool:
    """Bring several folders up to date, with one question to the scheduler for all; as ``Folder.refresh``."""
    looked = [(folder, *folder._look()) for folder in folders]
    changed = any(fresh for _, fresh, _ in looked)
    unsettled = [(folder, key) for folder, _, keys in looked for key in keys]
    slurm = [(folder, key) for folder, key in unsettled if folder._entries[key].backend == "slurm"]
    if not ask or not slurm or shutil.which("squeue") is None:
        return changed
    watcher = _slurm_watcher()
    for _, (_, job_id) in slurm:
        watcher.register_job(job_id)
    watcher.update_if_long_enough("standard")
    for folder, key in slurm:
        entry = folder._entries[key]
        told = _by_scheduler(entry, watcher)
        if told != entry:
            folder._entries[key], changed = told, True
        if watcher.is_done(entry.job_id, mode="cache"):
            del folder._open[key]
    return changed


_watcher: SlurmInfoWatcher | None = None


def _slurm_watcher() -> SlurmInfoWatcher:
    """One for all folders, so that Slurm is asked as rarely as it would be for one."""
    global _watcher  # noqa: PLW0603 - the one of this process is the point
    if _watcher is None:
        from submitit.slurm.watcher import SlurmInfoWatcher

        _watcher = SlurmInfoWatcher()
    return _watcher


# ---- one job, by what tells of it


def _by_record(entry: JobEntry, record: Record | None) -> JobEntry:
    """A local job, by its controller's journal."""
    from submitit.local.records import worst

    if record is None:
        lost = time.time() - entry.submitted > GRACE_S
        return entry._replace(state="UNKNOWN", over=True, reason="no controller has it") if lost else entry
    return entry._replace(
        state=record.state,
        over=record.over,
        attempt=record.attempt,
        exit_code=worst(record.exits),
        reason=record.reason or record.memory_kill,
        node=record.node,
        start=record.start or None,
        end=record.end or None,
        cpu_s=record.cpu_s if record.end else None,
        max_rss_mb=record.peak_mb or None,
    )


def _by_markers(entry: JobEntry, told: sources.Attempt | None) -> tuple[JobEntry, bool]:
    """A job by the markers of its newest attempt; and whether they are all there is to know."""
    if told is None:
        return entry, False
    codes = [128 - code if code > 128 else code for code in told.exits.values()]
    worst = min(codes, key=lambda code: (code >= 0, code == 0), default=None)
    known = entry._replace(attempt=told.number, exit_code=worst)
    if told.retried or told.requeued:
        return known._replace(state="REQUEUED", reason=told.retried), False
    if "batch" not in told.exits:
        begun = bool(told.started or told.recorded)
        return known._replace(state="RUNNING" if begun else entry.state, exit_code=worst or None), False
    if not told.exits["batch"] and len(told.recorded - {"batch"}) >= entry.tasks:
        return known._replace(state="COMPLETED", over=True), True
    # Of what was told to end, or killed, the scheduler knows why; and whether it runs again.
    settled = not told.terminated and worst is not None and worst > 0
    return known._replace(state="FAILED", over=True), settled


def _by_results(entry: JobEntry) -> JobEntry:
    """A job of a backend that leaves no markers: it is over when every task has left a result."""
    found = [entry.paths(task).locate("result_pickle") for task in range(entry.tasks)]
    if not all(map(os.path.exists, found)):
        return entry
    footers = [outcome.read_footer(path) for path in found]
    success = all(footer is not None and footer.success for footer in footers)
    return entry._replace(state="COMPLETED" if success else "FAILED", over=True)


def _by_scheduler(entry: JobEntry, watcher: SlurmInfoWatcher) -> JobEntry:
    """A job by what Slurm has answered. Where it knows nothing, markers and results decide."""
    from submitit.slurm import queries

    info = watcher.get_info(entry.job_id, mode="cache")
    state = JobState.read(info.get("State", ""))
    if state is JobState.UNKNOWN or info.get("Vanished"):
        if entry.over or not watcher.told_by_scheduler or time.time() - entry.submitted < GRACE_S:
            return entry
        found = _by_results(entry)
        return found if found.over else entry._replace(state="UNKNOWN", reason="Slurm does not know it any more")
    if state is JobState.PENDING and entry.state == "RUNNING":
        return entry  # a marker is quicker
    code, _, signal = info.get("ExitCode", "").partition(":")
    told = -int(signal) if signal.strip("0").isdecimal() else int(code) if code.isdecimal() else None
    exit_code = entry.exit_code or told  # a task's own says more than that of the script around it
    return entry._replace(
        state=state.value,
        over=state.final or watcher.is_done(entry.job_id, mode="cache"),
        exit_code=exit_code if state.final else None,
        reason=_reason(info.get("Reason", "")),
        node=info.get("NodeList", "") or entry.node,
        start=queries.timestamp(info.get("Start", "")) or entry.start,
        end=(queries.timestamp(info.get("End", "")) if state.final else None) or entry.end,
        # of what was killed nobody else knows
        max_rss_mb=used / 1024**2 if (used := queries.memory_bytes(info.get("MaxRSS", ""))) else entry.max_rss_mb,
    )


def _reason(text: str) -> str:
    return "" if text in ("None", "(null)") else text


# ---- what a journal holds


def _job_ids(jobs: Any) -> Iterator[str]:
    if isinstance(jobs, dict):
        return (f"{jobs['array']}_{index}" for index in range(jobs["count"]))
    return iter(jobs)


def _is_sound(line: dict[str, Any], root: str) -> bool:
    """Whether a line is about a submission as this library writes it: a journal may be damaged, or be anybody's in a shared folder."""
    texts = ("name", "function", "backend", "user", "host", "cwd", "python", "folder", "payload", "client")
    jobs, tasks, folder = line.get("jobs"), line.get("tasks", 1), line.get("folder")
    if isinstance(jobs, dict):
        count = jobs.get("count")
        listed = isinstance(jobs.get("array"), str) and type(count) is int and 0 <= count <= _MANY
    else:
        listed = isinstance(jobs, list) and all(isinstance(job, str) for job in jobs)
    ids = [jobs["array"]] if listed and isinstance(jobs, dict) else jobs if listed else []
    return (
        listed
        and not any("/" in job_id for job_id in ids)  # it is a part of names of files
        and line.get("event") == "submitted"
        and isinstance(folder, str)
        and tagless_root(folder) == root
        and all(isinstance(line.get(name, ""), str) for name in texts)
        and type(line.get("time")) in (int, float)
        and abs(line["time"]) < 1e11
        and type(tasks) is int
        and 0 < tasks <= _MANY
        and isinstance(line.get("parameters", {}), dict)
    )
