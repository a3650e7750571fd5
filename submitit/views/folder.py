"""All jobs below a folder, whoever submitted them."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING, Any

from submitit.orchestrator.sources import marker_source
from submitit.storage import cleanings, outcome
from submitit.storage.journal import read_journal
from submitit.storage.paths import Layout, tagless_root
from submitit.views import told
from submitit.views.entry import JobEntry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from submitit.client.attempt import Attempt
    from submitit.local.journals import JournalSource
    from submitit.orchestrator import sources
    from submitit.orchestrator.sources import MarkerSource
    from submitit.slurm.watcher import SlurmInfoWatcher
    from submitit.storage.cleanings import Cleaning

    StrPath = str | os.PathLike[str]
    Key = tuple[str, str]

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
        #: For which job they were last read.
        self._sought: JobEntry | None = None

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
        """The same job with its node, times and usage, for which its own files are opened.

        One that runs, for all that is known, and has left all its results is over: so it is for who waits for it, too.
        """
        footers = [outcome.read_footer(entry.paths(task).locate("result_pickle")) for task in range(entry.tasks)]
        told = [footer for footer in footers if footer is not None and footer.attempt in (None, entry.attempt)]
        if entry.running and len(told) == entry.tasks:
            good = all(footer.success for footer in told)
            entry = entry._replace(state="COMPLETED" if good else "FAILED", over=True)
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

    def timed(self, entry: JobEntry) -> JobEntry:
        """The same job with its times, as far as they are known without opening a file of its own."""
        if entry.backend == "local" or (entry.start and (entry.end or not entry.over)):
            return entry
        first, last = self._times(entry, entry.attempt)
        return entry._replace(start=entry.start or first, end=entry.end or (last if entry.over else None))

    def earlier_attempts(self, entry: JobEntry) -> list[Attempt]:
        """The attempts of a job before its newest one, as far as journals and markers tell of them."""
        if entry.backend == "local":
            from submitit.local import history

            if entry.attempt > len(self._earlier.get(entry.job_id, ())) and entry != self._sought:
                self._earlier, self._sought = history.earlier(self.root), entry
            return [one._replace(paths=entry.paths()) for one in self._earlier.get(entry.job_id, ())]
        from submitit.client.attempt import Attempt
        from submitit.slurm import history as slurm_history

        found = []
        source = self._markers(entry)
        for marked in source.attempts(entry.job_id):
            if marked.number < entry.attempt:
                start, end, node = self._marked(entry, marked.number)
                attempt = Attempt(marked.number, "UNKNOWN", start=start, end=end, paths=entry.paths())
                found.append(slurm_history.by_markers(attempt, marked, node))
        return found

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
                    if _is_sound(line):
                        line["folder"] = self._here(line["folder"])
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

    def _here(self, folder: str) -> str:
        """An executor's folder as it is to be found from here: it was moved since, or has several names, links and mounts."""
        return self.root + folder[len(tagless_root(folder)) :]

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
                    told = [one._replace(folder=self._here(one.folder)) for one in cleanings.read(path)]
                    self._cleanings[path] = version, told
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
            entry = self._entries[key]
            if entry.backend == "local":
                found, settled = told.by_record(entry, self._journals().record(entry.job_id)), True
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
                found, settled = told.by_markers(entry, marked)
            else:
                found = told.by_results(entry)
                settled = found.over
            if not settled:
                unsettled.append(key)
            elif found.over:
                del self._open[key]
            if found != entry:
                self._entries[key], changed = found, True
        return changed, unsettled

    def _journals(self) -> JournalSource:
        if self._local is None:
            from submitit.local.journals import journal_source

            self._local = journal_source(self.root)
            self._local.refresh()
        return self._local

    def _markers(self, entry: JobEntry) -> MarkerSource:
        return marker_source(f"{self._layout.events}/{self._clients[entry.folder, entry.job_id]}")

    def _marked(self, entry: JobEntry, attempt: int) -> tuple[float | None, float | None, str]:
        """When the markers of an attempt were left, the first and the last, and by which node."""
        source = self._markers(entry)
        node = source.node(entry.job_id, "0", attempt) or source.node(entry.job_id, "batch", attempt)
        return *self._times(entry, attempt), node

    def _times(self, entry: JobEntry, attempt: int) -> tuple[float | None, float | None]:
        times = []
        for path in self._markers(entry).files(entry.job_id, attempt):
            with contextlib.suppress(OSError):
                times.append(os.stat(path).st_mtime)
        return min(times, default=None), max(times, default=None)


def refresh(folders: Iterable[Folder], *, ask: bool = True) -> bool:
    """Bring several folders up to date, with one question to the scheduler for all; as ``Folder.refresh``."""
    looked = [(folder, *folder._look()) for folder in folders]
    changed = any(fresh for _, fresh, _ in looked)
    if not ask:
        return changed
    unsettled = [(folder, key) for folder, _, keys in looked for key in keys]
    slurm = [(folder, key) for folder, key in unsettled if folder._entries[key].backend == "slurm"]
    watcher = _slurm_watcher() if slurm and shutil.which("squeue") else None
    if watcher is not None:
        for _, (_, job_id) in slurm:
            watcher.register_job(job_id)
        watcher.update_if_long_enough("standard")
    for folder, key in unsettled:
        entry = found = folder._entries[key]
        if entry.backend != "slurm":
            found = told.by_plugin(entry)
            settled = found.over
        elif watcher is not None:
            found = told.by_scheduler(entry, watcher)
            settled = watcher.is_done(entry.job_id, mode="cache")
        else:
            settled = False
        if settled:
            del folder._open[key]
        if found != entry:
            folder._entries[key], changed = found, True
    return changed


def expect_news() -> None:
    """Somebody has acted on jobs: the next ``refresh`` asks the scheduler at once."""
    if _watcher is not None:
        _watcher.expect_news()


_watcher: SlurmInfoWatcher | None = None


def _slurm_watcher() -> SlurmInfoWatcher:
    """One for all folders, so that Slurm is asked as rarely as it would be for one."""
    global _watcher  # noqa: PLW0603 - the one of this process is the point
    if _watcher is None:
        from submitit.slurm.watcher import SlurmInfoWatcher

        _watcher = SlurmInfoWatcher()
    return _watcher


# ---- what a journal holds


def _job_ids(jobs: Any) -> Iterator[str]:
    if isinstance(jobs, dict):
        return (f"{jobs['array']}_{index}" for index in range(jobs["count"]))
    return iter(jobs)


def _is_sound(line: dict[str, Any]) -> bool:
    """Whether a line is about a submission as this library writes it: a journal may be damaged, or be anybody's in a shared folder."""
    texts = ("name", "function", "backend", "user", "host", "cwd", "python", "folder", "payload", "client")
    jobs, tasks, folder = line.get("jobs"), line.get("tasks", 1), line.get("folder")
    if isinstance(jobs, dict):
        count = jobs.get("count")
        listed = isinstance(jobs.get("array"), str) and type(count) is int and 0 <= count <= _MANY
    else:
        listed = isinstance(jobs, list) and all(isinstance(job, str) for job in jobs)
    ids = [jobs["array"]] if listed and isinstance(jobs, dict) else jobs if isinstance(jobs, list) else []
    return (
        listed
        and not any("/" in job_id for job_id in ids)  # it is a part of names of files
        and line.get("event") == "submitted"
        and isinstance(folder, str)
        and folder.startswith("/")
        and ".." not in folder[len(tagless_root(folder)) :].split("/")  # all lies below the root
        and all(isinstance(line.get(name, ""), str) for name in texts)
        and type(line.get("time")) in (int, float)
        and abs(line["time"]) < 1e11
        and type(tasks) is int
        and 0 < tasks <= _MANY
        and isinstance(line.get("parameters", {}), dict)
    )
