"""What a controller's journal says of its jobs, written and read.

The journal is the truth about local jobs for every process but their client, which is told the same lines as they are
written. One JSON object a line, ``event`` first:

    controller   who writes: its name, machine, pid and start time, and those of its client
    attempt      how one attempt of a job ended that was not its last, with the reason for which it was started again
    state        a job's new state; its keys are those of `Record`. Several jobs that begin to wait share one line, with
                 ``jobs``: [[first id, last id], ...] in place of ``job``
    closed       nothing follows: every job came to an end and the client was gone
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from submitit.local import processes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

#: The states of a job that its controller tells of. A job that is over stays so, except that a cancelled one may still be
#: coming to its end (``over`` is false until its processes are gone).
PENDING, RUNNING = "PENDING", "RUNNING"
COMPLETED, FAILED, CANCELLED, TIMEOUT, LOST = "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL"
OUT_OF_MEMORY = "OUT_OF_MEMORY"


class Record(NamedTuple):
    """One job at one moment."""

    job: str
    state: str
    #: Whether the job has come to its end: its processes are gone and it will not run again.
    over: bool = False
    time: float = 0.0
    #: How many times it was started before.
    attempt: int = 0
    tasks: int = 1
    #: When the newest attempt started and ended, seconds since the epoch; 0.0 before.
    start: float = 0.0
    end: float = 0.0
    #: The host that it ran on.
    node: str = ""
    #: Process number and start time of each task, in the order of the ranks.
    pids: list[tuple[int, str]] = []  # noqa: RUF012 - never changed
    #: How each task ended: its exit code, or the signal as a negative number; ``None`` for a task that never started.
    exits: list[int | None] = []  # noqa: RUF012 - never changed
    #: Why, where the state does not say it.
    reason: str = ""
    #: Whether the job's folder, or its log in it, was gone when it ended.
    vanished: bool = False
    #: Ranks whose result was on disk before their process had ended.
    recorded: list[int] = []  # noqa: RUF012 - never changed
    #: The GPUs that the newest attempt was given, as ``CUDA_VISIBLE_DEVICES`` names them.
    gpus: list[str] = []  # noqa: RUF012 - never changed
    #: The most memory that the attempt's processes had at one time, in MB (1024²), and their CPU seconds; see `usage`.
    peak_mb: float = 0.0
    cpu_s: float = 0.0
    #: What shows that the kernel has killed a task for memory.
    memory_kill: str = ""
    #: The memory that was asked for; 0 if none was.
    mem_gb: float = 0.0

    def write(self) -> dict[str, Any]:
        """The record as a line of the journal; what has its default is left out."""
        fields = self._asdict()
        kept = {key: value for key, value in fields.items() if value != _DEFAULTS.get(key)}
        return {"event": "state", **kept}

    def write_attempt(self, reason: str) -> dict[str, Any]:
        """The record as what became of one attempt, after which the job was started again for a reason."""
        return {**self._replace(over=False).write(), "event": "attempt", "again": reason}

    @classmethod
    def read(cls, line: dict[str, Any]) -> Record:
        """The record of a line; unknown keys are left out."""
        fields = {key: value for key, value in line.items() if key in _FIELDS}
        if "pids" in fields:
            fields["pids"] = [(pid, started) for pid, started in fields["pids"]]
        # Thousands of records are kept, and a parser makes each its own string.
        fields["state"], fields["node"] = sys.intern(fields["state"]), sys.intern(fields.get("node", ""))
        for name in ("exits", "recorded"):
            if len(listed := fields.get(name, ())) == 1:
                fields[name] = _OF_ONE.setdefault(listed[0], listed)
        return cls(**fields)

    def kept(self) -> Record:
        """The same for who keeps thousands: without the numbers of processes that are no more."""
        return self._replace(pids=_NO_PIDS) if self.over else self

    def info(self) -> dict[str, str]:
        """What `Job.get_info` tells of the job. Exit codes are Slurm's ``code:signal``, of the worst task and of each."""
        info = {"JobID": self.job, "State": self.state, "NodeList": self.node}
        if self.exits:
            info["ExitCode"] = code_and_signal(worst(self.exits))
            info["TaskExitCodes"] = ",".join(map(code_and_signal, self.exits))
        if self.gpus:
            info["GPUs"] = ",".join(self.gpus)
        if self.reason:
            info["Reason"] = self.reason
        if self.memory_kill:
            info["OutOfMemory"] = self.memory_kill
        if self.vanished:
            info["Vanished"] = "The job's folder was deleted while it ran, or moved"
        for key, moment in (("Start", self.start), ("End", self.end)):
            if moment:
                info[key] = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(moment))
        if self.start and self.end:
            info["Elapsed"] = f"{self.end - self.start:.3f}"
            info["TotalCPU"] = f"{self.cpu_s:.3f}"
        if self.mem_gb:
            info["ReqMem"] = f"{self.mem_gb * 1024:.0f}M"
        if self.peak_mb:
            info["MaxRSS"] = f"{self.peak_mb * 1024:.0f}K"
        info["Restarts"] = str(self.attempt)
        return info


_NO_PIDS: list[tuple[int, str]] = []
#: Lists of one number, which most jobs have: of each there is one.
_OF_ONE: dict[int | None, list[Any]] = {}
_FIELDS = frozenset(Record._fields)
_DEFAULTS = Record._field_defaults


class Header(NamedTuple):
    """The first line of a controller's journal."""

    controller: str
    #: The directory in which files that ask for something are left: ``cancel/JOB`` and ``requeue/JOB``.
    directory: str
    who: processes.Identity
    client: processes.Identity

    def write(self) -> dict[str, Any]:
        return {"event": "controller", "time": round(time.time(), 3), **self._asdict()}

    @classmethod
    def read(cls, line: dict[str, Any]) -> Header:
        """The header of a line; ``ValueError`` where it is none."""
        who, client = line.get("who"), line.get("client")
        if not (
            all(_is_text(line.get(name)) for name in ("controller", "directory"))
            and all(
                isinstance(one, list) and len(one) == 3 and _is_text(one[0]) and _is_process(one[1:])
                for one in (who, client)
            )
        ):
            raise ValueError(f"Not a controller: {line!r:.200}")
        return cls(
            line["controller"], line["directory"], processes.Identity(*line["who"]), processes.Identity(*line["client"])
        )


def waiting(job_ids: Iterable[str], tasks: int, when: float) -> dict[str, Any]:
    """One line for jobs that begin to wait together."""
    spans: list[list[int]] = []
    for number in map(int, job_ids):
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    # Rounded down: nothing that happens to them next may seem to have come before.
    line = {"event": "state", "jobs": spans, "state": PENDING, "time": int(when * 1000) / 1000}
    return line if tasks == 1 else {**line, "tasks": tasks}


def read_line(line: dict[str, Any]) -> Iterator[Record]:
    """The records in one line of a journal; none for lines about something else, and for what no controller writes."""
    if line.get("event") != "state" or not _is_sound(line):
        return
    spans = line.get("jobs")
    if spans is None:
        yield Record.read(line)
        return
    common = Record.read({**{key: value for key, value in line.items() if key != "jobs"}, "job": ""})
    for first, last in spans:
        for number in range(first, last + 1):
            yield common._replace(job=str(number))


#: More jobs than one line tells of, and more tasks than a job has.
_MANY = 1 << 22


def _is_sound(line: dict[str, Any]) -> bool:
    """Whether a line about states is what a controller writes: a journal may be damaged, or be anybody's in a shared folder."""
    if "state" not in line or not ("job" in line or "jobs" in line):
        return False
    for key, value in line.items():  # noqa: SIM110 - tens of thousands of lines: a generator takes half as long again
        if key in _CHECKS and not _CHECKS[key](value):
            return False
    return True


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and 0 <= value <= _MANY


def _is_amount(value: object) -> bool:
    # As a moment it is a time that every C library can tell; infinity is none.
    return isinstance(value, (int, float)) and 0 <= value < 1e11


def _is_list(check: Callable[[Any], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, list) and all(map(check, value))


def _is_pid(value: object) -> bool:
    return isinstance(value, int) and 0 < value < 1 << 31


def _is_process(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and _is_pid(value[0]) and _is_text(value[1])


def _are_spans(value: object) -> bool:
    if not isinstance(value, list) or not all(isinstance(span, list) and len(span) == 2 for span in value):
        return False
    return all(_is_amount(end) and isinstance(end, int) for span in value for end in span) and (
        sum(max(0, last - first + 1) for first, last in value) <= _MANY
    )


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "job": _is_text,
    "jobs": _are_spans,
    "state": _is_text,
    "over": _is_flag,
    "time": _is_amount,
    "attempt": _is_count,
    "tasks": _is_count,
    "start": _is_amount,
    "end": _is_amount,
    "node": _is_text,
    "pids": _is_list(_is_process),
    "exits": _is_list(lambda code: code is None or isinstance(code, int)),
    "reason": _is_text,
    "vanished": _is_flag,
    "recorded": _is_list(_is_count),
    "gpus": _is_list(_is_text),
    "peak_mb": _is_amount,
    "cpu_s": _is_amount,
    "memory_kill": _is_text,
    "mem_gb": _is_amount,
}


def worst(exits: Iterable[int | None]) -> int | None:
    """The exit code that tells most: a signal before a code, a code before 0."""
    known = [code for code in exits if code is not None]
    return min(known, key=lambda code: (code >= 0, code == 0)) if known else None


def code_and_signal(code: int | None) -> str:
    """An exit code as Slurm prints it: ``3:0``, ``0:9``; empty for a task that never started."""
    if code is None:
        return ""
    return f"0:{-code}" if code < 0 else f"{code}:0"
