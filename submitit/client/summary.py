"""A job at a glance, for people: by what is known of it, or lies in its files. Nobody is asked, and nothing unpickled."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from submitit.orchestrator.sources import MarkerSource
from submitit.orchestrator.state import JobState, StateKind

if TYPE_CHECKING:
    from submitit.client.job import Job
    from submitit.storage.journal import Submission

#: What the executors call a job that nobody has named.
_UNNAMED = ("", "submitit")
#: The debug executor's own words.
_DEBUG_STATES = {"QUEUED": "PENDING", "DONE": "COMPLETED"}


class Summary(NamedTuple):
    """One job. What is not known is ``None``, or ``""``."""

    job_id: str
    #: As the executor was given it, else the function's.
    name: str
    #: One of ``JobState``'s words.
    state: str
    #: Why it has failed, in one line fit for a terminal.
    cause: str = ""
    tasks: int = 1
    node: str = ""
    #: Of its newest attempt, in seconds since the epoch.
    start: float | None = None
    end: float | None = None
    #: When it was submitted.
    submitted: float | None = None
    #: Where its first task's logs lie, if they are there.
    stdout: str = ""
    stderr: str = ""


def state_of(job: Job[Any]) -> str:
    """One of ``JobState``'s words for how the job is, as far as it is known; cheap but for jobs that are over."""
    if job._ending is not None:
        return str(JobState.read(job._final_state()).value)
    word = job._last_state()
    if job._runs_when_asked:
        if word == "DONE":
            return job._final_state()
        word = "RUNNING" if job.running() else _DEBUG_STATES.get(word, word)
    return str(JobState.read(word).value)


def name_of(job: Job[Any]) -> str:
    """What the job is called, else the function that it runs; ``""`` where no journal tells."""
    if job._runs_when_asked:
        function = job.submission().function
        return getattr(function, "__name__", type(function).__name__)
    return _name(_record(job))


def cause_of(job: Job[Any]) -> str:
    """Why a job that is over has failed, as one line fit for a terminal; ``""`` where it has not, or nobody knows."""
    from submitit.orchestrator import collector

    if not job._runs_when_asked:
        return collector.cause_of(job)
    error = job.exception() if job._last_state() == "DONE" else None
    return "" if error is None else collector.raised(f"{type(error).__name__}: {error}")


def times_of(job: Job[Any]) -> tuple[float | None, float | None]:
    """When the job began, and when it ended if it is over: by its results, its scheduler's last word, or its markers."""
    from submitit.storage import outcome

    if job._ending is not None:
        told = [outcome.read_footer(job._result_path(task)) for task in job._tasks]
        starts = [footer.start for footer in told if footer is not None and footer.start is not None]
        ends = [footer.end for footer in told if footer is not None and footer.end is not None]
        if starts and ends:
            return min(starts), max(ends)
    info = _info(job)
    start, end = _moment(info.get("Start", "")), _moment(info.get("End", ""))
    source = None if start is not None else job._source()
    if isinstance(source, MarkerSource) and (attempt := source.attempt(job.job_id)) is not None:
        for path in source.files(job.job_id, attempt.number)[:1]:
            with contextlib.suppress(OSError):
                start = os.stat(path).st_mtime
    return start, end if job._ending is not None else None


def summary(job: Job[Any]) -> Summary:
    """The job with all that its record, its files and the scheduler's last word tell of it."""
    from submitit.storage import outcome

    record = _record(job)
    state = state_of(job)
    start, end = times_of(job)
    footer = None if job._ending is None else outcome.read_footer(job._result_path(job._tasks[0]))
    logs = [job.paths.locate(name) for name in ("stdout", "stderr")]
    stdout, stderr = (path if os.path.exists(path) else "" for path in logs)
    return Summary(
        job.job_id,
        name_of(job) if record is None else _name(record),
        state,
        cause=cause_of(job) if JobState.read(state).kind is StateKind.FAILED else "",
        tasks=job.num_tasks,
        node=(footer.host or "" if footer else "") or _info(job).get("NodeList", ""),
        start=start,
        end=end,
        submitted=None if record is None else record.get("time"),
        stdout=stdout,
        stderr=stderr,
    )


def _info(job: Job[Any]) -> dict[str, str]:
    try:
        return job.get_info(mode="cache")
    except Exception:  # noqa: BLE001 - a plugin's own; this is for people who look for errors
        return {}


def _record(job: Job[Any]) -> Submission | None:
    if job._runs_when_asked:
        return None
    from submitit.storage import journal
    from submitit.storage.paths import layout_of

    return journal.find_submission(layout_of(job.paths._folder), job.job_id)


def _name(record: Submission | None) -> str:
    if record is None:
        return ""
    name, function = str(record.get("name", "")), str(record.get("function", ""))
    return function.rpartition(".")[2] or name if name in _UNNAMED else name


def _moment(text: str) -> float | None:
    """Seconds since the epoch of a time as ``Job.get_info`` gives it."""
    import datetime

    if text.isdecimal() and text.isascii():
        return float(text[:18])
    with contextlib.suppress(ValueError, OverflowError, OSError):
        return datetime.datetime.fromisoformat(text).timestamp()
    return None
