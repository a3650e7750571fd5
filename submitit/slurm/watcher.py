"""Asks Slurm for the states of jobs: squeue for the living, sacct for the dead, each about all jobs at once."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from submitit import commands, log
from submitit.orchestrator.state import JobState
from submitit.orchestrator.watcher import InfoWatcher
from submitit.slurm import job_ids, queries

if TYPE_CHECKING:
    from submitit.slurm.queries import JobRecord

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
        self._accounting = True
        self._missing_since: dict[str, float] = {}
        self._failed_since: dict[str, float] = {}
        self._pause_s = _FIRST_PAUSE_S
        self._warned = False

    def _make_command(self) -> list[str] | None:
        """The accounting question about all jobs that are not known to be over."""
        open_jobs = self._registered - self._finished
        return queries.sacct_commands(job_ids.main_ids(sorted(open_jobs)))[0] if open_jobs else None

    def read_info(self, string: bytes | str) -> dict[str, dict[str, str]]:
        """What sacct's output says of each job, elements of arrays by their own ids."""
        return queries.read_info(string)

    def get_info(self, job_id: str, mode: str = "standard") -> dict[str, str]:
        """What Slurm says of a job; see ``InfoWatcher``. An element of an array that is known only as a whole has its state."""
        info = super().get_info(job_id, mode=mode)
        return info or self._info_dict.get(job_ids.main_id(job_id), {})

    def update_if_long_enough(self, mode: str) -> None:
        """In the mode "standard" the pauses between two questions double from 2 to 30 s."""
        if mode != "standard":
            super().update_if_long_enough(mode)
        elif time.time() - self._last_status_check >= min(self._pause_s, self._delay_s):
            self._pause_s = min(self._pause_s * 2, _LAST_PAUSE_S)
            self.update()

    def register_job(self, job_id: str) -> None:
        """Include a job in the questions. The next one may be put soon: there is something to learn."""
        if job_id not in self._registered:
            self._pause_s = _FIRST_PAUSE_S
        super().register_job(job_id)

    def update(self) -> None:
        """Ask Slurm now. Commands that fail leave what was known."""
        open_jobs = self._registered - self._finished
        if not open_jobs:
            return
        self._num_calls += 1
        table, accounts = queries.JobTable(), queries.JobTable()
        queued = self._ask_squeue(open_jobs, table)
        unsettled = sorted(job_id for job_id in open_jobs if _wants_accounts(table, job_id))
        accounted = self._ask_sacct(unsettled, accounts) if unsettled else True
        for told in accounts:
            table.add(told)
        self._last_status_check = time.time()
        now = time.monotonic()
        for job_id in open_jobs:
            record = table.get(job_id)
            if record is not None:
                info = {**queries.as_info(record), "JobID": job_id, "State": _state(record)}
                if record.max_rss and not info.get("MaxRSS"):
                    info["MaxRSS"] = f"{record.max_rss // 1024}K"  # a step's: sacct has none for the job itself
                if JobState.read(record.state) is JobState.COMPLETING:
                    info["Ending"] = _ending(record, accounts.get(job_id))
                elif self._is_being_accounted(job_id, record, accounts.get(job_id), now):
                    info |= {"State": JobState.COMPLETING.value, "Ending": info["State"]}
                elif JobState.read(record.state).final:
                    self._finished.add(job_id)
                self._info_dict[job_id] = info
            known = record is not None and record.state and not _may_be_gone(record)
            if known:
                self._missing_since.pop(job_id, None)
            elif queued and accounted:
                since = self._missing_since.setdefault(job_id, now)
                self._give_up(job_id, now - since, dropped=table.dropped(job_id) and self._accounting)

    def _is_being_accounted(self, job_id: str, record: JobRecord, told: JobRecord | None, now: float) -> bool:
        """Whether a job failed so recently that the accounts do not say yet by what: a step's memory, and how much that was."""
        failed = JobState.read(_state(record)) in (JobState.FAILED, JobState.OUT_OF_MEMORY)
        if not self._accounting or not failed or record.max_rss:
            return False
        if told is not None and told.steps and all(JobState.read(step.state).final for step in told.steps):
            return False  # a step shorter than the interval at which its memory is read
        return now - self._failed_since.setdefault(job_id, now) < ACCOUNTS_S

    def _give_up(self, job_id: str, missing_s: float, *, dropped: bool) -> None:
        """Settle the state of a job that both commands, asked again and again, do not know any more."""
        if dropped and missing_s >= DROPPED_S:
            self._info_dict[job_id] = {"JobID": job_id, "NodeList": "", "State": JobState.CANCELLED.value}
        elif missing_s >= GRACE_S:
            last = self._info_dict.get(job_id, {"JobID": job_id, "NodeList": "", "State": JobState.UNKNOWN.value})
            vanished = {} if JobState.read(last.get("State", "")).over_if_gone else {"Vanished": "yes"}
            self._info_dict[job_id] = {**last, **vanished}
        else:
            return
        self._finished.add(job_id)

    def is_done(self, job_id: str, mode: str = "standard") -> bool:
        """Whether the job is over for good: in a final state, gone from the queue in one that may be left, or lost."""
        return super().is_done(job_id, mode=mode) or job_id in self._finished

    def _ask_squeue(self, open_jobs: set[str], table: queries.JobTable) -> bool:
        """Add what squeue knows to ``table``; ``False`` if it did not answer."""
        mains = job_ids.main_ids(sorted(open_jobs))
        listed = mains if len(mains) <= _MOST_LISTED else []
        command = queries.squeue_command(user=str(os.getuid()), job_ids=listed)
        try:
            records = queries.parse_squeue(commands.query(command, queries.environment(os.environ)))
        except Exception as error:  # noqa: BLE001 - absent, failing, or a stand-in's refusal: then sacct is asked
            if not queries.is_unknown_job(_words(error)):
                self._warn("squeue", error)
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
                self._output = commands.query(command, queries.environment(os.environ)).encode()
                for record in queries.parse_sacct(self._output):
                    table.add(record)
        except Exception as error:  # noqa: BLE001 - as above
            if queries.is_without_accounting(_words(error)):
                self._accounting = False
                return True
            self._warn("sacct", error)
            return False
        return True

    def clear(self) -> None:
        """Forget every job and every answer."""
        super().clear()
        self._accounting = True
        self._missing_since = {}
        self._failed_since = {}
        self._pause_s = _FIRST_PAUSE_S
        self._warned = False

    def _warn(self, command: str, error: Exception) -> None:
        """One warning a process: a cluster that is away for an hour is no reason for a thousand lines."""
        if not self._warned:
            self._warned = True
            log.get_logger().warning(
                "Call #%d - %s did not answer: %s. The last known states stand; this is said once.",
                self._num_calls,
                command,
                _words(error),
            )


def _ending(record: JobRecord, told: JobRecord | None) -> str:
    """What a job is ending as, which squeue hides behind COMPLETING until its last process is gone; ``""`` if unknown."""
    if told is not None and JobState.read(told.state).final:
        return told.state
    return JobState.TIMEOUT.value if record.reason == "TimeLimit" else ""


def _wants_accounts(table: queries.JobTable, job_id: str) -> bool:
    """Whether squeue's word on a job is not all there is.

    It is not if the job is gone, if squeue speaks of its array alone, if it is ending (as what?), or if it failed (perhaps by
    the memory of a step) or was killed for its memory (how much?).
    """
    record = table.get(job_id)
    if record is None or not table.names(job_id):
        return True
    return JobState.read(record.state) in _TOLD_IN_PART or _may_be_gone(record)


_TOLD_IN_PART = frozenset({JobState.COMPLETING, JobState.FAILED, JobState.OUT_OF_MEMORY})


def _may_be_gone(record: JobRecord) -> bool:
    return JobState.read(record.state).over_if_gone and not JobState.read(record.state).final


def _state(record: JobRecord) -> str:
    """The job's state, by its steps where these say more: under srun a job killed for memory is just FAILED."""
    failed = JobState.read(record.state) is JobState.FAILED
    return JobState.OUT_OF_MEMORY.value if failed and record.out_of_memory else record.state


def _words(error: Exception) -> str:
    stderr = getattr(error, "stderr", None)
    words = stderr.decode("utf-8", errors="replace") if isinstance(stderr, bytes) else stderr
    return (words or str(error)).strip()
