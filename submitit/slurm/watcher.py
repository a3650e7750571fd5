"""Asks Slurm for the states of jobs: squeue for the living, sacct for the dead, each about all jobs at once."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

from submitit import commands
from submitit.orchestrator.state import JobState
from submitit.orchestrator.watcher import InfoWatcher
from submitit.slurm import job_ids, queries
from submitit.slurm.held import HeldJobs, reason_to_wait_for_ever
from submitit.slurm.outages import Outages

if TYPE_CHECKING:
    from submitit.slurm.queries import JobRecord, JobTable

#: How long a job that neither squeue nor sacct knows may still turn up: sacct lags, and slurmctld may be restarting.
GRACE_S = 60.0
#: The same for an element of an array whose other elements are known: cancelled while it waited, it leaves no trace.
DROPPED_S = 5.0
#: With more jobs and arrays than this, all of the user's are asked for: a command line has its limits.
_MOST_LISTED = 1000
#: How long the accounts may need to learn of what a job's steps died, and what they used.
ACCOUNTS_S = 0.6
#: ``state`` asks at most this often; the pauses double from the first to the last.
_FIRST_PAUSE_S, _LAST_PAUSE_S = 2.0, 30.0


class SlurmInfoWatcher(InfoWatcher):
    """The states of the Slurm jobs of this process.

    squeue answers from slurmctld's memory, with one cheap request for all the user's jobs. sacct is asked only about jobs that
    squeue does not know any more or that are just ending, and not at all on a cluster that keeps no accounts.
    """

    def __init__(self, delay_s: int = 600) -> None:
        super().__init__(delay_s)
        self._forget()

    def _forget(self) -> None:
        self._accounting = True
        self._let_go: set[str] = set()
        #: What the last answer said of each job: most of thousands have not changed when the next one comes.
        self._seen: dict[str, JobRecord] = {}
        self._missing_since: dict[str, float] = {}
        self._failed_since: dict[str, float] = {}
        self._detailed: set[str] = set()
        self._pause_s = _FIRST_PAUSE_S
        self._outages = Outages()
        self._held = HeldJobs()

    def clear(self) -> None:
        """Forget every job and every answer."""
        super().clear()
        self._forget()

    def _make_command(self) -> list[str] | None:
        """The accounting question about all jobs that are not known to be over."""
        open_jobs = self._open_jobs()
        return queries.sacct_commands(job_ids.main_ids(sorted(open_jobs)))[0] if open_jobs else None

    def _open_jobs(self) -> set[str]:
        return self._registered - self._finished - self._let_go

    def read_info(self, string: bytes | str) -> dict[str, dict[str, str]]:
        """What sacct's output says of each job, elements of arrays by their own ids."""
        return queries.read_info(string)

    def register_job(self, job_id: str) -> None:
        """Include a job in the questions. The next one may be put soon: there is something to learn."""
        if job_id not in self._registered:
            self._pause_s = _FIRST_PAUSE_S
        super().register_job(job_id)

    def expect_news(self) -> None:
        """Somebody has acted on jobs: the next question is put as soon as anybody wants to know, and others soon after it."""
        self._pause_s, self._last_status_check = _FIRST_PAUSE_S, float("-inf")

    def let_go(self, job_id: str) -> None:
        """Leave a job out of the questions until somebody wants to know of it again.

        Thousands of jobs that have left their results must not be asked about for as long as one is waited for: Slurm may
        have forgotten them, and the accounts are slow.
        """
        if job_id not in self._finished:
            self._let_go.add(job_id)

    # ---- what is known

    def get_info(self, job_id: str, mode: str = "standard") -> dict[str, str]:
        """What Slurm says of a job; see ``InfoWatcher``. An element of an array that is known only as a whole has its state.

        In the mode "force" a job that is over has its exit code too, and what it used, where anybody knows.
        """
        self._let_go.discard(job_id)
        info = super().get_info(job_id, mode=mode)
        if mode == "force":
            self._ask_details(job_id)
            info = self._info_dict.get(job_id, info)
        return info or self._info_dict.get(job_ids.main_id(job_id), {})

    def is_done(self, job_id: str, mode: str = "standard") -> bool:
        """Whether the job is over for good: in a final state, gone from the queue in one that may be left, or lost."""
        if mode == "cache" and (job_id in self._seen or not self._info_dict):
            # thousands of jobs that wait are asked for at once
            self._let_go.discard(job_id)
            return job_id in self._finished
        return super().is_done(job_id, mode=mode) or job_id in self._finished

    # ---- asking

    def update_if_long_enough(self, mode: str) -> None:
        """In the mode "standard" the pauses between two questions double from 2 to 30 s."""
        if mode != "standard":
            super().update_if_long_enough(mode)
        elif self._is_older_than(min(self._pause_s, self._delay_s)):
            self._pause_s = min(self._pause_s * 2, _LAST_PAUSE_S)
            self.update()

    def update(self) -> None:
        """Ask Slurm now. Commands that fail leave what was known."""
        open_jobs = self._open_jobs()
        if not open_jobs:
            return
        self._num_calls += 1
        table, accounts, digests = queries.JobTable(), queries.JobTable(), _Digests()
        queued = self.told_by_scheduler = self._ask_squeue(open_jobs, table)
        records = {job_id: table.get(job_id) for job_id in open_jobs}
        unsettled = sorted(job_id for job_id, found in records.items() if _wants_accounts(job_id, found, digests))
        accounted = self._ask_sacct(unsettled, accounts) if unsettled else True
        if queued and accounted:
            self._outages.answered()
        for told in accounts:
            table.add(told)
        records.update((job_id, table.get(job_id)) for job_id in unsettled)
        self._last_status_check = time.time()
        now = time.monotonic()
        for job_id, record in records.items():
            if record is not None:
                self._learn(job_id, record, accounts, digests, now)
            if record is not None and digests.of(record).is_there:
                self._missing_since.pop(job_id, None)
            elif queued and accounted:
                since = self._missing_since.setdefault(job_id, now)
                listed = record is not None and record.source != "sacct"
                self._give_up(job_id, now - since, dropped=table.dropped(job_id) and self._accounting, listed=listed)
        self._held.tell()

    def _ask_squeue(self, open_jobs: set[str], table: queries.JobTable) -> bool:
        """Add what squeue knows to ``table``; ``False`` if it did not answer."""
        mains = sorted({job_ids.leader_id(main) for main in {job_id.partition("_")[0] for job_id in open_jobs}})
        listed = mains if len(mains) <= _MOST_LISTED else []
        command = queries.squeue_command(user=str(os.getuid()), job_ids=listed)
        try:
            records = queries.parse_squeue(_answer(command))
        except Exception as error:  # noqa: BLE001 - absent, failing, or a stand-in's refusal: then sacct is asked
            if not queries.is_unknown_job(_words(error)):
                self._outages.failed("squeue", _words(error))
                return False
            records = []
        for record in records:
            table.add(record)
        return True

    def _ask_sacct(self, unsettled: list[str], table: queries.JobTable) -> bool:
        """Add what the accounts know to ``table``; ``False`` if they should have answered and did not."""
        if not self._accounting:
            return True
        try:
            for command in queries.sacct_commands(unsettled):
                self._output = _answer(command).encode()
                for record in queries.parse_sacct(self._output):
                    table.add(record)
        except FileNotFoundError:
            self._outages.absent("sacct", "jobs that slurmctld has forgotten are known by their results alone")
            return True
        except Exception as error:  # noqa: BLE001 - as above
            if queries.is_without_accounting(_words(error)):
                self._accounting = False
                return True
            self._outages.failed("sacct", _words(error))
            return False
        return True

    def _ask_details(self, job_id: str) -> None:
        """Ask what squeue does not tell of a job that is over: its exit code and, where there are accounts, what it used."""
        info = self._info_dict.get(job_id, {})
        complete = info.get("ExitCode") and (info.get("MaxRSS") or not self._accounting)
        if complete or job_id in self._detailed or not JobState.read(info.get("State", "")).final:
            return
        table = queries.JobTable([self._seen[job_id]] if job_id in self._seen else [])
        asked = self._ask_sacct([job_id], table)
        record = table.get(job_id)
        if record is None or record.exit_code is None:
            try:
                for shown in queries.parse_show_job(_answer(queries.show_job_command(job_id))):
                    table.add(shown)
            except Exception:  # noqa: BLE001 - forgotten, or there is nobody to ask: then nobody knows
                asked = asked and self._accounting
            record = table.get(job_id)
        if record is not None and JobState.read(record.state).final:
            known = {name: value for name, value in _Digests().of(record).info.items() if name in queries.INFO_KEYS}
            self._info_dict[job_id] = {**info, **known, "JobID": job_id}
            if asked and record.exit_code is not None:
                self._detailed.add(job_id)

    # ---- learning

    def _learn(self, job_id: str, record: JobRecord, accounts: JobTable, digests: _Digests, now: float) -> None:
        """Take in what is known of a job."""
        digest = digests.of(record)
        if digest.stays and self._seen.get(job_id) == record:
            return
        self._seen[job_id] = record
        if digest.held:
            self._held.note(record.job_id, digest.held)
        info = {**digest.info, "JobID": job_id}
        if digest.state is JobState.COMPLETING:
            info["Ending"] = _ending(record, accounts.get(job_id))
        elif self._is_being_accounted(job_id, record, accounts.get(job_id), now):
            info |= {"State": JobState.COMPLETING.value, "Ending": info["State"]}
        elif digest.state.final:
            self._finished.add(job_id)
        self._info_dict[job_id] = info

    def _is_being_accounted(self, job_id: str, record: JobRecord, told: JobRecord | None, now: float) -> bool:
        """Whether a job failed so recently that the accounts do not say yet by what: a step's memory, and how much that was."""
        failed = JobState.read(_state(record)) in (JobState.FAILED, JobState.OUT_OF_MEMORY)
        if not self._accounting or not failed or record.max_rss:
            return False
        if told is not None and told.steps and all(JobState.read(step.state).final for step in told.steps):
            return False  # a step shorter than the interval at which its memory is read
        return now - self._failed_since.setdefault(job_id, now) < ACCOUNTS_S

    def _give_up(self, job_id: str, missing_s: float, *, dropped: bool, listed: bool) -> None:
        """Settle the state of a job that both commands, asked again and again, do not know any more.

        Or that slurmctld has ``listed`` in a state that it might leave. It need not have long: of a failed node's or a preempted
        job that it runs again, it says so from the first moment on.
        """
        if dropped and missing_s >= DROPPED_S:
            self._info_dict[job_id] = {"JobID": job_id, "NodeList": "", "State": JobState.CANCELLED.value}
        elif missing_s >= (min(DROPPED_S, GRACE_S) if listed else GRACE_S):
            last = self._info_dict.get(job_id, {"JobID": job_id, "NodeList": "", "State": JobState.UNKNOWN.value})
            vanished = {} if JobState.read(last.get("State", "")).over_if_gone else {"Vanished": "yes"}
            self._info_dict[job_id] = {**last, **vanished}
        else:
            return
        self._finished.add(job_id)


class _Digest(NamedTuple):
    """What a record means, made once for all the elements of an array that it is about."""

    state: JobState
    info: dict[str, str]
    #: Why it waits for a person; ``""`` if it does not.
    held: str
    #: Whether the job is in the queue, or over: not if a word that either may leave behind is all there is.
    is_there: bool
    #: Whether the accounts may know better: as what it ends, or what its steps used.
    told_in_part: bool
    #: Whether the same record again would mean nothing new.
    stays: bool


class _Digests:
    """The digests of one answer's records."""

    def __init__(self) -> None:
        self._made: dict[int, tuple[JobRecord, _Digest]] = {}  # the record too, so that no other one gets its id()

    def of(self, record: JobRecord) -> _Digest:
        made = self._made.get(id(record))
        if made is None:
            state = JobState.read(record.state)
            info = {**queries.as_info(record), "State": _state(record)}
            made = self._made[id(record)] = (
                record,
                _Digest(
                    state,
                    info,
                    reason_to_wait_for_ever(record),
                    is_there=bool(record.state) and (state.final or not state.over_if_gone),
                    told_in_part=state in _TOLD_IN_PART,
                    stays=not state.over_if_gone and state is not JobState.COMPLETING,
                ),
            )
        return made[1]


def _answer(command: list[str]) -> str:
    return commands.query(command, queries.environment(os.environ))


def _ending(record: JobRecord, told: JobRecord | None) -> str:
    """What a job is ending as, which squeue hides behind COMPLETING until its last process is gone; ``""`` if unknown."""
    if told is not None and JobState.read(told.state).final:
        return told.state
    return JobState.TIMEOUT.value if record.reason == "TimeLimit" else ""


def _wants_accounts(job_id: str, record: JobRecord | None, digests: _Digests) -> bool:
    """Whether squeue's word on a job is not all there is.

    It is not if the job is gone, if squeue speaks of its array alone, if it is ending (as what?), or if it failed (perhaps by
    the memory of a step) or was killed for its memory (how much?).
    """
    if record is None or ("_" in job_id and "_" not in record.job_id):
        return True
    digest = digests.of(record)
    return digest.told_in_part or not digest.is_there


_TOLD_IN_PART = frozenset({JobState.COMPLETING, JobState.FAILED, JobState.OUT_OF_MEMORY})


def _state(record: JobRecord) -> str:
    """The job's state, by its steps where these say more: under srun a job killed for memory is just FAILED."""
    failed = JobState.read(record.state) is JobState.FAILED
    return JobState.OUT_OF_MEMORY.value if failed and record.out_of_memory else record.state


def _words(error: Exception) -> str:
    stderr = getattr(error, "stderr", None)
    words = stderr.decode("utf-8", errors="replace") if isinstance(stderr, bytes) else stderr
    return (words or str(error)).strip()
