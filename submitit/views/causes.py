"""Why jobs have failed: those that ended alike, together."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from submitit.orchestrator import exits, logs
from submitit.orchestrator.state import JobState
from submitit.storage.paths import JobPaths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from submitit.views.usage import Row

#: So many logs are read, of thousands of failed jobs, and of each so many bytes and of a job so many tasks'.
MOST_LOGS, _LOG_BYTES, _MOST_TASKS = 300, 1 << 14, 8
#: Characters of a line that are kept.
_LONGEST = 300

#: The state says all: what the log ends with is what the job happened to be doing.
_TELLING = frozenset(
    {JobState.TIMEOUT, JobState.OUT_OF_MEMORY, JobState.NODE_FAIL, JobState.PREEMPTED, JobState.DEADLINE}
)


class Cause(NamedTuple):
    """One way in which jobs have failed."""

    state: str
    #: A signal is a negative number. Of the first of them.
    exit_code: int | None
    #: The line that says why, as the first of them has it; ``""`` where none was found or no log was read.
    line: str
    jobs: list[Row]
    #: Of how many jobs the logs were read.
    read: int

    @property
    def raised(self) -> bool:
        """Whether the line may be the reason, not just what the job was at when it was ended."""
        return JobState.read(self.state) not in _TELLING and (self.exit_code or 0) >= 0

    @property
    def title(self) -> str:
        """The state, and the exit code by its name."""
        code = self.exit_code
        return self.state if not code else f"{self.state}, {exits.name(code)}"


def causes(rows: Iterable[Row], most_logs: int = MOST_LOGS, read: Callable[[Row], str] | None = None) -> list[Cause]:
    """The failed jobs by cause: state, exit code, and what the log's last line of any meaning says but for its numbers.

    Most frequent first. Of jobs that have state and exit code in common, some logs are read, spread over them: if these say
    the same, all of them count as one cause; else the jobs whose logs were not read are told of by themselves.

    Args:
        rows: jobs, of which those that failed are looked at.
        most_logs: how many logs are read in all, but for one for each state and exit code.
        read: the line that says why a job has failed.
    """
    read = read or last_words_of
    alike: dict[tuple[str, int | None], list[Row]] = {}
    for row in rows:
        state = JobState.read(row["state"])
        if row["over"] and state not in (JobState.COMPLETED, JobState.CANCELLED):
            alike.setdefault((row["state"], None if state in _TELLING else row["exit_code"]), []).append(row)
    total = sum(map(len, alike.values()))
    found: list[Cause] = []
    for (word, _), group in alike.items():
        telling = JobState.read(word) in _TELLING
        share = 1 if telling else max(1, min(len(group), most_logs * len(group) // total))
        found += _split(group, share, read, telling=telling)
    return sorted(found, key=lambda cause: -len(cause.jobs))


def _split(group: list[Row], share: int, read: Callable[[Row], str], *, telling: bool) -> list[Cause]:
    chosen = {index * len(group) // share for index in range(share)}
    by_pattern: dict[str, Cause] = {}
    rest: list[Row] = []
    for index, row in enumerate(group):
        if index not in chosen:
            rest.append(row)
            continue
        line = read(row)
        cause = by_pattern.setdefault(pattern(line), Cause(row["state"], row["exit_code"], line, [], 0))
        cause.jobs.append(row)
        by_pattern[pattern(line)] = cause._replace(read=cause.read + 1)
    found = list(by_pattern.values())
    if rest and (telling or len(found) == 1):
        return [found[0]._replace(jobs=group)]
    return [*found, Cause(rest[0]["state"], rest[0]["exit_code"], "", rest, 0)] if rest else found


# ---- what a log says


def last_words_of(row: Row) -> str:
    """The line that says why, of the first task whose log has a traceback; else of the first that says anything."""
    words = ""
    for task in range(min(row["tasks"], _MOST_TASKS)):
        paths = JobPaths(row["folder"], row["job_id"], task)
        text = logs.end_of(paths.locate("stderr"), _LOG_BYTES) or logs.end_of(paths.locate("stdout"), _LOG_BYTES)
        words = words or last_words(text)
        if _TRACEBACK in text:
            return last_words(text)
    return words


def last_words(text: str) -> str:
    """Of the end of a log: the exception of its last traceback, else its last line that is not about the end itself."""
    lines = [line for line in map(str.rstrip, logs.lines_of(text)) if line]
    last = max((place for place, line in enumerate(lines) if line.strip() == _TRACEBACK), default=None)
    if last is not None:
        depth = len(lines[last]) - len(lines[last].lstrip())
        raised = (line.strip() for line in lines[last + 1 :] if len(line) - len(line.lstrip()) <= depth)
        return next(raised, "")[:_LONGEST]
    said = (line for line in reversed(lines) if not _ABOUT_THE_END.match(line))
    return _PREFIX.sub("", next(said, "").strip())[:_LONGEST]


def pattern(line: str) -> str:
    """What a line has in common with those of other jobs: without numbers, addresses and names that are numbers."""
    for found, put in _VARYING:
        line = found.sub(put, line)
    return " ".join(line.split())


_TRACEBACK = "Traceback (most recent call last):"
_PREFIX = re.compile(r"^submitit \w+ \([^)]*\) - ")
#: What the runner, srun and slurmstepd say of every job that fails.
_ABOUT_THE_END = re.compile(
    r"submitit INFO |submitit \w+ \([^)]*\) - (Submitted job triggered an exception|Bypassing signal)"
    r"|srun: error: .*(xited with|: Terminated|: Killed)|srun: (Job step aborted|Terminating|Force Terminated|launch)"
    r"|slurmstepd: error: \*\*\* (STEP|JOB) "
)
_VARYING = (
    (re.compile(r"0x[0-9a-fA-F]+"), "0x…"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "…"),
    (re.compile(r"\b(?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{8,}\b"), "…"),
    (re.compile(r"\d+(\.\d+)*(e[+-]?\d+)?"), "#"),
)
