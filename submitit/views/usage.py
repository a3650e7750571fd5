"""What jobs asked for, and what they used: one row a job, for pandas, spreadsheets and the report."""

from __future__ import annotations

import csv
import math
import os
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from submitit.orchestrator.state import JobState
from submitit.views.asked import asked
from submitit.views.attempts import attempts
from submitit.views.entry import JobEntry
from submitit.views.folder import Folder, refresh

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import IO

    from submitit.client.attempt import Attempt
    from submitit.client.job import Job

    StrPath = str | os.PathLike[str]
    Jobs = Job[Any] | Folder | StrPath | Iterable[Job[Any] | Folder | StrPath]

#: Moments beyond this (the year 5138), and amounts, are what a damaged file says.
_MOST = 1e11


class Row(TypedDict):
    """One job. What is not known, or not yet, is ``None``; never zero. Times are seconds since the epoch."""

    #: The executor's folder, tags and all: with the id it names the job.
    folder: str
    job_id: str
    #: The id of its array; ``None`` outside of one.
    array: str | None
    name: str | None
    #: ``module.qualname`` of what it runs.
    function: str | None
    backend: str | None
    #: One of Slurm's words, whatever the backend.
    state: str
    #: Whether it has come to its end.
    over: bool
    submitted: float | None
    #: When its newest attempt began and ended.
    start: float | None
    end: float | None
    #: Seconds from the submission to its first start.
    queued_s: float | None
    #: Seconds that its newest attempt took.
    run_s: float | None
    #: How many times it was started; 0 for a job that has not begun.
    attempts: int
    #: Seconds that the attempts before the newest one took together.
    earlier_s: float | None
    #: The node, or nodes, of its newest attempt.
    node: str | None
    #: How many nodes and processes it asked for.
    nodes: int
    tasks: int
    #: What it asked for: CPUs and GPUs of all its tasks, memory of each node in MB (1024²), and seconds.
    asked_cpus: int | None
    asked_gpus: int | None
    asked_mem_mb: float | None
    asked_time_s: float | None
    #: CPU seconds of all its tasks, in the newest attempt.
    cpu_s: float | None
    #: The most memory in MB (1024²): of its processes on a node, or of its largest task.
    max_rss_mb: float | None
    #: Of the task that ended worst; a signal is a negative number.
    exit_code: int | None
    #: Why, where the state does not say it; in the scheduler's words.
    reason: str | None
    #: Where its first task's logs lie, whether they are there or not.
    stdout: str
    stderr: str


class Seen(NamedTuple):
    """A job with what is known of each of its attempts, the first one first."""

    entry: JobEntry
    attempts: Sequence[Attempt]

    @classmethod
    def of(cls, entry: JobEntry, attempts: Iterable[Attempt]) -> Seen:
        """The same, without what only a damaged file says: moments and amounts that cannot be."""
        return cls(entry, [_sound(attempt) for attempt in attempts])

    def row(self) -> Row:
        """The numbers of the job."""
        entry, request = self.entry, asked(self.entry)
        newest = self.attempts[-1] if self.attempts else None
        submitted = _moment(entry.submission.get("time"))
        start, end = (None, None) if newest is None else (newest.start, newest.end)
        first = None if newest is None else self.attempts[0].start
        begun = first is not None or start is not None or entry.attempt > 0 or entry.exit_code is not None
        count = entry.attempt + 1 if begun or entry.running else 0
        paths = entry.paths()
        return Row(
            folder=entry.folder,
            job_id=entry.job_id,
            array=entry.array,
            name=entry.name or None,
            function=entry.function or None,
            backend=entry.backend or None,
            state=entry.state,
            over=entry.over,
            submitted=submitted,
            start=start,
            end=end if entry.over else None,
            # of earlier attempts that nobody knows of, the newest one's start says nothing about the queue
            queued_s=_span(submitted, first) if len(self.attempts) == count else None,
            run_s=_span(start, end) if entry.over else None,
            attempts=count,
            earlier_s=_earlier(self.attempts[:-1], count),
            node=(newest.node if newest is not None else entry.node) or None,
            nodes=request.nodes,
            tasks=request.tasks,
            asked_cpus=request.cpus,
            asked_gpus=request.gpus,
            asked_mem_mb=_amount(request.mem_mb),
            asked_time_s=_amount(request.time_s),
            cpu_s=None if newest is None else newest.cpu_s,
            max_rss_mb=None if newest is None else newest.max_rss_mb,
            exit_code=entry.exit_code,
            reason=entry.reason or None,
            stdout=paths.locate("stdout"),
            stderr=paths.locate("stderr"),
        )


def usage(jobs: Jobs) -> list[Row]:
    """What each job asked for and used, as dicts: ``pandas.DataFrame(submitit.usage(jobs))``.

    Args:
        jobs: jobs, of several folders too; or a folder, for all jobs below it; or a list of either.

    Reads journals, markers and the footers of results, never a pickle; of jobs that these leave open the scheduler is asked
    once. The keys, and their units, are those of ``submitit.views.usage.Row``.

    Raises:
        FileNotFoundError: there is no such folder.
        TypeError: neither jobs nor folders.
    """
    return [one.row() for one in seen(jobs)]


def seen(jobs: Jobs, *, ask: bool = True) -> list[Seen]:
    """The jobs, each once, in the order given; those of a folder in that of their submission. As ``usage``."""
    wanted, folders = _sorted_out(jobs)
    refresh(folders.values(), ask=ask)
    entries = {
        folder.root: {(entry.folder, entry.job_id): entry for entry in folder.entries} for folder in folders.values()
    }
    found: dict[tuple[str, str], Seen] = {}
    for folder, job in wanted:
        known = entries[folder.root]
        if job is None:
            for key, entry in known.items():
                if key not in found:
                    found[key] = Seen.of(entry, attempts(folder, entry))
            continue
        key = (job.paths._template, job.job_id)
        if key not in found:
            found[key] = Seen.of(known[key], attempts(folder, known[key])) if key in known else _by_handle(job)
    return list(found.values())


def write_csv(rows: Iterable[Row], file: IO[str]) -> None:
    """The rows under a line of their keys; what is not known is left empty."""
    # A spreadsheet takes what begins like this for a formula.
    writer = csv.DictWriter(file, list(Row.__annotations__), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: _inert(value) if isinstance(value, str) else value for key, value in row.items()})


def _inert(text: str) -> str:
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _sorted_out(jobs: Jobs) -> tuple[list[tuple[Folder, Job[Any] | None]], dict[str, Folder]]:
    """What is wanted, a folder or a job of a folder each; and the folders by their roots."""
    wanted: list[tuple[Folder, Job[Any] | None]] = []
    folders: dict[str, Folder] = {}
    for item in _listed(jobs):
        if isinstance(item, Folder):
            wanted.append((folders.setdefault(item.root, item), None))
        elif isinstance(item, (str, os.PathLike)):
            folder = Folder(item)
            if not os.path.isdir(folder.root):
                raise FileNotFoundError(2, "No such folder of jobs", folder.root)
            wanted.append((folders.setdefault(folder.root, folder), None))
        elif _is_job(item):
            folder = Folder(item.paths._template)
            wanted.append((folders.setdefault(folder.root, folder), item))
        else:
            raise TypeError(_wrong(item))
    return wanted, folders


def _listed(jobs: Any) -> list[Any]:
    if isinstance(jobs, (str, os.PathLike, Folder)) or _is_job(jobs):
        return [jobs]
    try:
        return list(jobs)
    except TypeError:
        raise TypeError(_wrong(jobs)) from None


def _is_job(item: object) -> bool:
    from submitit.client.job import Job

    return isinstance(item, Job)


def _wrong(item: object) -> str:
    return f"usage(jobs) takes jobs, a folder of jobs, or a list of them, not {item!r:.100}"


def _by_handle(job: Job[Any]) -> Seen:
    """A job that no journal tells of: of version 1, of the debug executor, or of a plugin."""
    from submitit.client.job import Job as Base

    state = job.state
    told: list[Attempt] = Base._attempts(job)  # what a backend's own would ask its scheduler for each job
    over = JobState.read(state).final or state == "DONE" or told[-1].end is not None
    record: Any = {"folder": job.paths._template, "tasks": job.num_tasks}
    entry = JobEntry(record, job.job_id, state, over)
    return Seen.of(entry, told if told[-1].start is not None or over else [])


def _earlier(before: Sequence[Attempt], count: int) -> float | None:
    if len(before) != max(0, count - 1):
        return None
    spans = [_span(one.start, one.end) for one in before]
    return None if None in spans else math.fsum(span or 0.0 for span in spans)


def _sound(attempt: Attempt) -> Attempt:
    return attempt._replace(
        start=_moment(attempt.start),
        end=_moment(attempt.end),
        cpu_s=_amount(attempt.cpu_s),
        max_rss_mb=_amount(attempt.max_rss_mb) or None,
    )


def _moment(value: float | None) -> float | None:
    return value if value is not None and 0 < value < _MOST else None


def _amount(value: float | None) -> float | None:
    return value if value is not None and 0 <= value < _MOST else None


def _span(begin: float | None, end: float | None) -> float | None:
    """The seconds between; two machines' clocks may differ."""
    return None if begin is None or end is None else max(0.0, round(end - begin, 3))
