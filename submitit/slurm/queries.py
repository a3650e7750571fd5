"""The commands that ask Slurm, or tell it, and what their answers say.

Every question is a pair: a function that makes the command and one that reads its output. Someone else runs it, with
`environment`. Words and numbers are Slurm's own: nothing is judged here, an unknown state stays the word that it is.
"""

# Annotations are evaluated here: as strings, every field of a NamedTuple would be compiled by itself, which takes
# longer than all the rest of the import. Patterns are compiled when they are first used.

import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from submitit.errors import FailedSubmissionError
from submitit.slurm import job_ids as ids_

# ---------------------------------------------------------------- how to ask

#: Set where a question is asked: lists of elements are printed whole, times as seconds since 1970, whatever the time zone
#: (squeue.1, sacct.1, scontrol.1 ENVIRONMENT; strftime.3).
ENVIRONMENT: Final = {"SLURM_BITSTR_LEN": "0", "SLURM_TIME_FORMAT": "%s"}
#: Taken away where a question is asked: a user's own filters and formats. They hide jobs even when they are empty, so
#: overwriting does not do (squeue.1, sacct.1 ENVIRONMENT; tried on 22.05).
ENVIRONMENT_PREFIXES_DROPPED: Final = ("SQUEUE_", "SACCT_")


def environment(base: Mapping[str, str]) -> dict[str, str]:
    """``base`` with what makes the answers complete and readable. SLURM_CONF, SLURM_CLUSTERS and their kind stay."""
    kept = {name: value for name, value in base.items() if not name.startswith(ENVIRONMENT_PREFIXES_DROPPED)}
    return {**kept, **ENVIRONMENT}


def is_unknown_job(text: str) -> bool:
    """Whether a command failed because the controller does not know the job: it never did, or has forgotten it.

    ``text`` is what it wrote to stdout (scontrol does) and stderr.
    """
    return "Invalid job id specified" in text or re.search(r"\bJob \S+ not found", text) is not None


def is_without_accounting(stderr: str) -> bool:
    """Whether sacct failed because this cluster keeps no accounts. It never will answer, so it need not be asked again."""
    return "accounting storage is disabled" in stderr


# ---------------------------------------------------------------- what is known of a job


class StepRecord(NamedTuple):
    """One step of a job: its batch script (``batch``), or what one srun started (``0``, ``1``, …)."""

    step: str
    state: str
    exit_code: int | None = None
    signal: int | None = None
    #: bytes, of the task that used most; ``None`` too where it ended before the first measurement
    max_rss: int | None = None
    node_list: str = ""


class JobRecord(NamedTuple):
    """What one command says of a job, or of elements of an array that are all alike. Times are seconds since 1970."""

    #: as printed: ``"12"``, ``"12_3"``, ``"12_[0-4,7%3]"``
    job_id: str
    #: as printed, such as ``"CANCELLED by 1000"``
    state: str
    #: the command that said so: ``"squeue"``, ``"scontrol"`` (both ask the controller) or ``"sacct"``
    source: str
    node_list: str = ""
    #: of the batch script; both ``None`` where it was not printed (squeue never does)
    exit_code: int | None = None
    #: 125 stands for "out of memory"
    signal: int | None = None
    #: the largest exit code of any step, which the script may have swallowed; not always up to date, the steps are
    derived_exit_code: int | None = None
    derived_signal: int | None = None
    #: why it waits, or why it failed (job_reason_codes.shtml); empty where there is none
    reason: str = ""
    submit: float | None = None
    #: when this attempt started; of a waiting job, when the scheduler expects it to
    start: float | None = None
    #: when it ended; of a job that has not, when it will at the latest
    end: float | None = None
    elapsed_s: float | None = None
    #: infinite where there is none
    time_limit_s: float | None = None
    #: as Slurm writes it (``"4G"``, ``"500M per CPU"``), for messages
    requested_memory: str = ""
    #: bytes, of the task that used most, over all steps
    max_rss: int | None = None
    #: how many times it was requeued (scontrol only)
    restarts: int | None = None
    #: when preemption began, if it has (scontrol only)
    preempted: float | None = None
    #: the id that this element has as a job of its own
    raw_id: str = ""
    steps: tuple[StepRecord, ...] = ()
    #: every column that was printed
    columns: Mapping[str, str] = {}

    @property
    def word(self) -> str:
        """The state alone: ``"CANCELLED"`` for ``"CANCELLED by 1000"``."""
        return self.state.partition(" ")[0]

    @property
    def out_of_memory(self) -> bool:
        """Whether the job or any step of it was killed for its memory. Under srun the job's own state does not say so."""
        words = (self.state, *(step.state for step in self.steps))
        # Once it was 125, Slurm leaves it so for all later attempts (22.05): where there are steps, they know better.
        derived = None if self.steps or self.restarts else self.derived_signal
        signals = (self.signal, derived, *(step.signal for step in self.steps))
        # sacct without -P cuts the word.
        return any(word.startswith("OUT_OF_ME") for word in words) or _SIGNAL_OUT_OF_MEMORY in signals


_SIGNAL_OUT_OF_MEMORY: Final = 125  # slurm.h, SIG_OOM


def as_info(record: JobRecord) -> dict[str, str]:
    """What ``Job.get_info`` returns: texts under sacct's names, among them ``JobID``, ``State`` and ``NodeList``.

    Whichever command has answered, a value reads as sacct writes it; ``NodeList`` is empty where there is no node yet, and
    times are seconds since 1970. A program that stands in for sacct and prints fewer columns gives fewer keys.
    """
    info = dict(record.columns)
    if "NodeList" in info:
        info["NodeList"] = record.node_list
    for name in ("Elapsed", "Timelimit"):
        if name in info:
            info[name] = _as_sacct_writes(info[name])
    if "?" in info.get("ReqMem", ""):
        info["ReqMem"] = ""  # "16?": sacct's way to write that it does not know yet (22.05)
    if record.max_rss and not info.get("MaxRSS"):
        info["MaxRSS"] = f"{record.max_rss // 1024}K"  # a step's: sacct has none for the job itself
    return info


@functools.lru_cache(maxsize=1024)
def _as_sacct_writes(text: str) -> str:
    """A duration as ``[days-]hours:minutes:seconds``: squeue leaves off the hours, and the zero before them."""
    seconds = duration(text)
    if seconds is None or seconds == float("inf"):
        return text
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f"{f'{days}-' if days else ''}{hour:02}:{minute:02}:{second:02}"


# ---------------------------------------------------------------- squeue: what the controller knows

#: Letters that every version has (squeue.1 --format), named as sacct names them. The reason is last: it may hold anything.
_SQUEUE_COLUMNS: Final = {
    "JobID": "%i",
    "State": "%T",
    "NodeList": "%N",
    "JobIDRaw": "%A",
    "Submit": "%V",
    "Start": "%S",
    "End": "%e",
    "Elapsed": "%M",
    "Timelimit": "%l",
    "ReqMem": "%m",
    "Reason": "%r",
}


def squeue_command(user: str | None = None, job_ids: Iterable[str] = ()) -> list[str]:
    """Ask the controller, in one request, about every job of ``user`` (a name or a number), or about some jobs of anyone.

    By user is the cheap way for the controller: for a list of ids it sends the jobs of everybody and squeue throws most of
    them away. With both, it sends the user's and squeue keeps those listed. Ids are asked for as whole jobs and arrays.
    Jobs that have ended are listed for another MinJobAge (300 s by default). An unknown id is left out of the answer.
    """
    command = ["squeue", "--noheader", "--all", "--states=all", f"--format={'|'.join(_SQUEUE_COLUMNS.values())}"]
    if user is not None:
        command.append(f"--user={user}")
    mains = list(dict.fromkeys(map(ids_.leader_id, job_ids)))
    if mains:
        # With a single id, one that is unknown is an error that looks like a controller out of reach.
        command.append(f"--jobs={','.join(mains if len(mains) > 1 else mains * 2)}")
    return command


def parse_squeue(output: str | bytes) -> list[JobRecord]:
    """One record a line; elements that wait together are one record. Lines that are none are left out."""
    records = []
    for line in _lines(output):
        values = line.split("|", len(_SQUEUE_COLUMNS) - 1)
        if len(values) == len(_SQUEUE_COLUMNS):
            records.append(_record(dict(zip(_SQUEUE_COLUMNS, values, strict=True)), "squeue"))
    return records


def submissions_command(user: str) -> list[str]:
    """Ask for the scripts of all jobs of a user, to find one that was accepted although sbatch did not say so."""
    return ["squeue", "--noheader", "--all", "--states=all", "--format=%F|%o", f"--user={user}"]


def accounted_submissions_command(user: str, clusters: str = "") -> list[str]:
    """Ask the accounts for how the jobs of a user's last hour were submitted (22.05; older ones than 21.08 refuse)."""
    command = ["sacct", "--noheader", "--parsable2", "--allocations", "--format=JobID,SubmitLine"]
    return [*command, f"--user={user}", "--starttime=now-1hour", *([f"--clusters={clusters}"] if clusters else [])]


def parse_submissions(output: str | bytes, token: str) -> str | None:
    """The id of the job, or of the whole array, whose script's path holds ``token``; ``None`` if there is none."""
    for line in _lines(output):
        job_id, bar, script = line.partition("|")
        if bar and token in script:
            return job_id.strip().partition("_")[0]
    return None


# ---------------------------------------------------------------- sacct: what the accounts know

#: Names that every version has since 17.11; Reason and Restarts are later, and an unknown one is an error (sacct/sacct.c).
_SACCT_COLUMNS: Final = (
    "JobID",
    "State",
    "NodeList",
    "JobIDRaw",
    "ExitCode",
    "DerivedExitCode",
    "Submit",
    "Start",
    "End",
    "Elapsed",
    "Timelimit",
    "ReqMem",
    "MaxRSS",
)
#: The keys of `as_info` that squeue or sacct give. scontrol tells much else.
INFO_KEYS: Final = frozenset({*_SQUEUE_COLUMNS, *_SACCT_COLUMNS})
#: More elements than this of one array, and the whole array is asked for.
_SACCT_ELEMENTS: Final = 50
#: Ids in one command: a request to the database grows with them.
_SACCT_IDS: Final = 200


def sacct_commands(job_ids: Iterable[str]) -> list[list[str]]:
    """Ask the accounts about jobs, steps included; one command for every 200 ids.

    Unknown ids are left out of the answer, as are elements of a few that have not been split off their array: this is for
    jobs that have left the queue. Of a requeued job only the latest attempt is told. Raises ValueError for what is no id.
    """
    elements: dict[str, dict[str, None]] = {}
    for job_id in job_ids:
        ids = ids_.parse(job_id)
        main = ids_.leader_id(ids.main)
        wanted = elements.setdefault(main, {})
        few = ids.array and sum(map(len, ids.spans)) + len(wanted) <= _SACCT_ELEMENTS
        wanted.update(dict.fromkeys(ids.each() if few else [main]))
    chosen: list[str] = []
    for main, wanted in elements.items():
        chosen += [main] if main in wanted else wanted
    head = ["sacct", "--parsable2", f"--format={','.join(_SACCT_COLUMNS)}", "-j"]
    return [[*head, ",".join(chosen[start : start + _SACCT_IDS])] for start in range(0, len(chosen), _SACCT_IDS)]


def sacct_attempts_command(job_id: str) -> list[str]:
    """Ask the accounts about every attempt of one job: a requeue begins a new record (sacct.1 --duplicates)."""
    columns = ",".join([*_SACCT_COLUMNS, "TotalCPU"])
    return ["sacct", "--parsable2", "--duplicates", f"--format={columns}", "-j", job_id]


def parse_sacct(output: str | bytes) -> list[JobRecord]:
    """One record a job, with its steps. Columns are found by the header, so any order and any choice will do.

    A step without its job is left out, as is everything where there is no header.
    """
    records: list[JobRecord] = []
    latest: dict[str, int] = {}
    for columns in read_table(output):
        job_id, step = ids_.split_step(columns["JobID"])
        if not step:
            latest[job_id] = len(records)
            records.append(_record(columns, "sacct"))
        elif job_id in latest:
            job = records[latest[job_id]]
            records[latest[job_id]] = _with_step(job, _step(step, columns))
    return records


def _step(step: str, columns: Mapping[str, str]) -> StepRecord:
    code, signal = _exit(columns.get("ExitCode", ""))
    rss = memory_bytes(columns.get("MaxRSS", "")) or None
    return StepRecord(step, columns.get("State", ""), code, signal, rss, _node_list(columns.get("NodeList", "")))


def _with_step(job: JobRecord, step: StepRecord) -> JobRecord:
    rss = max((value for value in (job.max_rss, step.max_rss) if value is not None), default=None)
    return job._replace(steps=(*job.steps, step), max_rss=rss)


def read_table(output: str | bytes) -> list[dict[str, str]]:
    """The lines below a header like ``JobID|State|…``, by the names in it; nothing where no header names ``JobID``.

    A line with fewer values than the header lacks the last ones; further values are left out.
    """
    header: list[str] = []
    rows = []
    for line in _lines(output):
        values = line.split("|")
        if header:
            rows.append(dict(zip(header, values, strict=False)))
        elif "JobID" in values:
            header = values
    return [row for row in rows if row.get("JobID")]


def read_info(output: str | bytes) -> dict[str, dict[str, str]]:
    """What sacct says, by the id of every single job and element, as version 1's watcher returns it. Steps are left out.

    An element's own line stands before the one that lists it with others, which the accounts forget to correct.
    """
    alone: dict[str, dict[str, str]] = {}
    listed: dict[str, dict[str, str]] = {}
    for columns in read_table(output):
        job_id, step = ids_.split_step(columns["JobID"])
        if step:
            continue
        try:
            ids = ids_.parse(job_id)
        except ValueError:
            ids = ids_.JobIds(job_id)
        sane = sum(map(len, ids.spans)) <= ids_.INDEX_LIMIT
        found = dict.fromkeys(ids.each() if sane else [job_id], columns)
        (listed if "[" in job_id else alone).update(found)
    return listed | alone


# ---------------------------------------------------------------- scontrol show job: everything the controller knows of one


def show_job_command(job_id: str) -> list[str]:
    """Ask the controller for everything about one job, element or whole array. It fails for a job that it has forgotten."""
    return ["scontrol", "show", "job", job_id]


#: The rest of the line is theirs: users write what is in them, and may write ``JobState=COMPLETED``.
_FREE_TEXT: Final = frozenset(
    {
        "JobName",
        "Command",
        "WorkDir",
        "StdErr",
        "StdIn",
        "StdOut",
        "Comment",
        "AdminComment",
        "SystemComment",
        "Extra",
        "SubmitLine",
    }
)
_FIELD: Final = r"(?:^|(?<=\s))([A-Za-z][\w/:.&-]*)="


def parse_show_job(output: str | bytes) -> list[JobRecord]:
    """One record a job. Elements that have not been split off are one record, with a range as its id."""
    jobs: list[dict[str, str]] = []
    for line in _lines(output):
        fields = _fields(line.strip())
        # A record begins with its id; free text below it cannot begin another.
        if line.startswith("JobId="):
            jobs.append({})
        if jobs:
            for name, value in fields:
                jobs[-1].setdefault(name, value)
    return [_shown(fields) for fields in jobs if fields.get("JobId") and fields.get("JobState")]


def _fields(line: str) -> Iterator[tuple[str, str]]:
    """The ``Name=value`` of one line, in which a value may hold spaces."""
    starts = list(re.finditer(_FIELD, line))
    for match, following in zip(starts, [*starts[1:], None], strict=False):
        if match[1] in _FREE_TEXT or following is None:
            yield match[1], line[match.end() :].strip()
            return
        yield match[1], line[match.end() : following.start()].strip()


_NO_INDEX: Final = str(0xFFFFFFFE)  # slurm.h, NO_VAL


def _shown(fields: dict[str, str]) -> JobRecord:
    job_id = fields["JobId"]
    if array := fields.get("ArrayJobId"):
        index = fields.get("ArrayTaskId", "")
        job_id = f"{array}_{index}" if index.isdecimal() else f"{array}_[{index}]"
        if index == _NO_INDEX:  # what waited of a cancelled array
            job_id = array
    elif het := fields.get("HetJobId", fields.get("PackJobId")):
        job_id = f"{het}+{fields.get('HetJobOffset', fields.get('PackJobOffset', '0'))}"
    memory = fields.get("MinMemoryNode") or (f"{fields['MinMemoryCPU']}c" if "MinMemoryCPU" in fields else "")
    named = {
        "JobID": job_id,
        "State": fields["JobState"],
        "NodeList": fields.get("NodeList", ""),
        "JobIDRaw": fields["JobId"],
        "ExitCode": fields.get("ExitCode", ""),
        "DerivedExitCode": fields.get("DerivedExitCode", ""),
        "Submit": fields.get("SubmitTime", ""),
        "Start": fields.get("StartTime", ""),
        "End": fields.get("EndTime", ""),
        "Elapsed": fields.get("RunTime", ""),
        "Timelimit": fields.get("TimeLimit", ""),
        "ReqMem": memory,
        "Reason": fields.get("Reason", ""),
    }
    restarts = fields.get("Restarts", "")
    return _record(named, "scontrol")._replace(
        restarts=int(restarts) if restarts.isdecimal() else None,
        preempted=timestamp(fields.get("PreemptTime", "")),
        columns={**fields, **named},
    )


# ---------------------------------------------------------------- many answers as one


class JobTable:
    """What the answers say together, found by the id of a single job or element. Ranges stay ranges inside.

    The controller is believed before the accounts, which lag; of two records of one command the later attempt is taken. What
    the first leaves open is filled from the other where both tell of the same attempt.
    """

    __slots__ = ("_ranges", "_records", "_told")

    def __init__(self, records: Iterable[JobRecord] = ()) -> None:
        self._records: dict[str, JobRecord] = {}
        self._ranges: dict[str, list[tuple[ids_.JobIds, ids_.Elements, JobRecord]]] = {}
        # Jobs and arrays of which the controller has told something.
        self._told: set[str] = set()
        for record in records:
            self.add(record)

    def add(self, record: JobRecord) -> None:
        """Take one more record in."""
        try:
            ids = ids_.parse(record.job_id)
        except ValueError:
            ids = ids_.JobIds(record.job_id)
        if record.source != "sacct":
            self._told.add(ids.main)
        if ids.array and (ids.cut or sum(map(len, ids.spans)) != 1):
            self._ranges.setdefault(ids.main, []).append((ids, ids_.Elements(ids.spans), record))
            return
        key = next(ids.each())
        known = self._records.get(key)
        self._records[key] = record if known is None else merge(known, record)

    def get(self, job_id: str) -> JobRecord | None:
        """What is known of one job or element, be it as part of a whole array (see `names`); ``None`` if nothing is.

        A heterogeneous job is its first component, ``12`` and ``12+0`` alike: there its script runs, and sacct calls it 12 until
        it ends.
        """
        found = self._records.get(job_id)
        if found is not None:
            return found
        main, underscore, index = job_id.partition("_")
        if underscore and index.isdecimal():
            return self._in_range(main, int(index)) or self._records.get(main)
        return self._records.get(job_id.removesuffix("+0") if job_id.endswith("+0") else f"{job_id}+0")

    def names(self, job_id: str) -> bool:
        """Whether a record names this very job or element, alone or in a list.

        What waited of an array that was cancelled is listed by the array's id alone (``scancel --user``, 22.05). `get` then gives
        that record for every element without one of its own, such as one that ended so long ago that the controller has
        forgotten it: the accounts should be asked before it is believed.
        """
        main, underscore, index = job_id.partition("_")
        if job_id in self._records:
            return True
        if not (underscore and index.isdecimal()):
            return self.get(job_id) is not None
        return self._in_range(main, int(index)) is not None

    def dropped(self, job_id: str) -> bool:
        """Whether nothing tells of an element, although others of its array are known.

        That is what cancelling a waiting element leaves behind: squeue, sacct and scontrol list the others and say nothing of
        it ever again (22.05). It is also what an element looks like that ended longer ago than MinJobAge and for which the
        accounts were not asked, or have not heard yet.
        """
        main, underscore, _ = job_id.partition("_")
        if not underscore or self.get(job_id) is not None or any(ids.cut for ids, _, _ in self._ranges.get(main, ())):
            return False
        return main in self._told or main in self._ranges or any(key.startswith(f"{main}_") for key in self._records)

    def _in_range(self, main: str, index: int) -> JobRecord | None:
        found: JobRecord | None = None
        for _, elements, record in self._ranges.get(main, ()):
            # The accounts go on listing an element that was taken out of a waiting array.
            stale = record.source == "sacct" and record.word == "PENDING" and main in self._told
            if not stale and index in elements:
                found = record if found is None else merge(found, record)
        return found

    def __iter__(self) -> Iterator[JobRecord]:
        yield from self._records.values()
        for ranges in self._ranges.values():
            yield from (record for _, _, record in ranges)

    def __len__(self) -> int:
        return len(self._records) + sum(map(len, self._ranges.values()))


def merge(one: JobRecord, other: JobRecord) -> JobRecord:
    """Two records of one job as one. Between records of one command, and equally late attempts, the second one stands."""
    if (one.source == "sacct") != (other.source == "sacct"):
        first, second = (other, one) if one.source == "sacct" else (one, other)
    else:
        first, second = (one, other) if _later(one, other) else (other, one)
    if first.word != second.word and not _together(first, second):
        return first
    # Fields that say nothing are empty or None in every record; steps and memory are known to the accounts alone.
    pairs = zip(JobRecord._fields, first, second, strict=True)
    filled: dict[str, Any] = {name: theirs for name, mine, theirs in pairs if mine in (None, "", ())}
    filled["columns"] = {**second.columns, **{name: value for name, value in first.columns.items() if value}}
    if second.word in _NOT_OVER:  # it lags, and has no exit code yet: it prints 0:0
        filled = {name: value for name, value in filled.items() if name not in _EXIT_FIELDS}
        for name in ("ExitCode", "DerivedExitCode"):
            if not first.columns.get(name):
                filled["columns"].pop(name, None)
    return first._replace(**filled)


_NOT_OVER: Final = frozenset({"PENDING", "RUNNING", "REQUEUED", "RESIZING", "SUSPENDED"})
_EXIT_FIELDS: Final = frozenset({"exit_code", "signal", "derived_exit_code", "derived_signal"})


def _later(one: JobRecord, other: JobRecord) -> bool:
    return (one.submit or 0, one.start or 0) > (other.submit or 0, other.start or 0)


def _together(one: JobRecord, other: JobRecord) -> bool:
    return one.start is not None and other.start is not None and abs(one.start - other.start) < 2


# ---------------------------------------------------------------- what sbatch answered

_SUBMITTED: Final = (
    r"(?m)^Submitted batch job (?P<id>[0-9]+)(?: on cluster (?P<cluster>\S+))?\s*$",
    r"(?m)^(?P<id>[0-9]+)(?:;(?P<cluster>\S+))?\s*$",  # --parsable
    r"job (?P<id>[0-9]+)(?P<cluster>)",  # wrappers of sbatch, and what stands in for it in tests
)


class SubmittedJob(NamedTuple):
    """A job, or an array, that sbatch has handed over."""

    job_id: str
    #: empty unless several clusters are served
    cluster: str = ""


def parse_sbatch(output: str | bytes) -> SubmittedJob:
    """The id that sbatch printed, whatever a site's wrapper prints around it. Raises FailedSubmissionError if there is none."""
    text = _text(output)
    for pattern in _SUBMITTED:
        if match := re.search(pattern, text):
            return SubmittedJob(match["id"], match["cluster"] or "")
    raise FailedSubmissionError(
        f'Could not make sense of sbatch output "{text}"\n'
        "Job instance will not be able to fetch status\n"
        "(you may however set the job job_id manually if needed)"
    )


# ---------------------------------------------------------------- telling Slurm


def scancel_command(job_ids: Iterable[str], signal: str | None = None) -> list[str]:
    """End jobs, elements or whole arrays, or with ``signal`` (a name or a number) send it to their steps.

    scancel exits with 0 for jobs that are unknown or over as well (22.05). Raises ValueError for what is no id.
    """
    return ["scancel", *ids_.ranges(job_ids), *(["--signal", signal] if signal else [])]


def requeue_command(job_id: str) -> list[str]:
    """Run a job again from the start, under its id. A refusal for a waiting job says "Job is pending execution"."""
    return ["scontrol", "requeue", job_id]


def start_soon_command(job_id: str) -> list[str]:
    """End the wait that follows a requeue (121 s). The owner may; a job that has started or ended is an error.

    Not at once: in the second in which an attempt has ended, its node refuses the next one as the same ("Job credential
    revoked"), and the job fails.
    """
    return update_command(job_id, StartTime="now+3")


def throttle_command(array_id: str, parallelism: int) -> list[str]:
    """Change how many elements of an array run at once; 0 lifts the limit."""
    return update_command(array_id, ArrayTaskThrottle=str(parallelism))


def throttle_refusal(output: str) -> str:
    """What is left of the words of a ``throttle_command`` that failed, less those on elements that have ended.

    It fails where there is one of these, and changes the others all the same (22.05).
    """
    lines = (line.strip() for line in output.splitlines())
    return "\n".join(line for line in lines if line and not line.endswith(("Job has already finished", ": No error")))


def update_command(job_id: str, **settings: str) -> list[str]:
    """Change a job that has not started: ``MinMemoryNode="400"`` (megabytes), ``TimeLimit``, ``Dependency``, … (scontrol.1)."""
    return ["scontrol", "update", f"jobid={job_id}", *(f"{name}={value}" for name, value in settings.items())]


# ---------------------------------------------------------------- Slurm's way to write values

_NOTHING: Final = frozenset({"", "Unknown", "None", "N/A", "(null)", "None assigned", "None assi+", "n/a"})
_ISO: Final = r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)"
_DURATION: Final = r"(?:(\d{1,9})-)?(?:(\d{1,9}):)?(\d{1,9}):(\d\d)(\.\d+)?"
_MEMORY: Final = r"(?i)(\d{1,18}(?:\.\d{1,9})?)([KMGTPE]?)i?B?([nc]?)"


def timestamp(text: str) -> float | None:
    """Seconds since 1970 of a time in this machine's time zone, or of such seconds; ``None`` for "Unknown" and the like."""
    if text.isdecimal() and text.isascii():
        return float(text[:18])
    match = re.fullmatch(_ISO, text)
    if match is None:
        return None
    import time

    try:
        year, month, day, hour, minute, second = map(int, match.groups())
        return time.mktime((year, month, day, hour, minute, second, 0, 0, -1))
    except (OverflowError, ValueError):
        return None


@functools.lru_cache(maxsize=1024)  # thousands of jobs say the same
def duration(text: str) -> float | None:
    """Seconds of ``[days-][hours:]minutes:seconds``; infinite for "UNLIMITED"; ``None`` for what is none."""
    if text == "UNLIMITED":
        return float("inf")
    match = re.fullmatch(_DURATION, text)
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups()[:4])
    # 1-00:00 would be days and hours: Slurm accepts that form but does not print it.
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds + float(match[5] or 0)


@functools.lru_cache(maxsize=1024)
def memory_bytes(text: str) -> int | None:
    """Bytes of ``"500M"``, ``"4Gn"``, ``"220K"`` or ``"0"``; ``None`` for what is none."""
    match = re.fullmatch(_MEMORY, text)
    if match is None:
        return None
    return int(float(match[1]) * 1024 ** " KMGTPE".index(match[2].upper() or " "))


@functools.lru_cache(maxsize=1024)
def _requested(text: str) -> str:
    """ReqMem for people: before 21.08 it ends in ``n`` for each node, or in ``c`` for each CPU."""
    match = re.fullmatch(_MEMORY, text)
    if match is None or not match[3]:
        return "" if text in _NOTHING else text
    return text[:-1] + (" per CPU" if match[3] == "c" else "")


@functools.lru_cache(maxsize=1024)
def _exit(text: str) -> tuple[int | None, int | None]:
    """Code and signal of ``code:signal``."""
    code, _, signal = text.partition(":")
    if not (code.isdecimal() and signal.isdecimal() and len(text) < 20):
        return None, None
    return int(code), int(signal)


def _node_list(text: str) -> str:
    return "" if text in _NOTHING else text


def _record(columns: dict[str, str], source: str) -> JobRecord:
    """A record of the columns that are there, under sacct's names."""

    def column(name: str) -> str:
        return columns.get(name, "").strip()

    code, signal = _exit(column("ExitCode"))
    derived_code, derived_signal = _exit(column("DerivedExitCode"))
    reason = column("Reason")
    return JobRecord(
        job_id=column("JobID"),
        state=column("State"),
        source=source,
        node_list=_node_list(column("NodeList")),
        exit_code=code,
        signal=signal,
        derived_exit_code=derived_code,
        derived_signal=derived_signal,
        reason="" if reason in _NOTHING else reason,
        submit=timestamp(column("Submit")),
        start=timestamp(column("Start")),
        end=timestamp(column("End")),
        elapsed_s=duration(column("Elapsed")),
        time_limit_s=duration(column("Timelimit")),
        requested_memory=_requested(column("ReqMem")),
        max_rss=memory_bytes(column("MaxRSS")) or None,
        raw_id=column("JobIDRaw"),
        columns=columns,
    )


def _text(output: str | bytes) -> str:
    return output.decode("utf-8", errors="replace") if isinstance(output, bytes) else output


def _lines(output: str | bytes) -> list[str]:
    # Only "\n" ends a line: a name may hold other separators that splitlines() knows.
    return [line for line in _text(output).split("\n") if line.strip()]
