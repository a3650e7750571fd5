"""Sending jobs that wait for others: what they wait for is looked up first, since Slurm forgets jobs that are over."""

from __future__ import annotations

import copy
import os
import time
from typing import TYPE_CHECKING, Any

from submitit import commands
from submitit.errors import FailedSubmissionError
from submitit.executors.arrays import Part
from submitit.orchestrator import dependencies as orchestrated
from submitit.orchestrator.state import JobState
from submitit.slurm import dependencies, job_ids, queries
from submitit.slurm import parameters as parameters_
from submitit.storage import journal
from submitit.storage.paths import layout_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from submitit.client.job import Job
    from submitit.orchestrator.dependencies import Upstream, Waits
    from submitit.slurm.slurm import SlurmExecutor
    from submitit.storage.submission import DelayedSubmission

#: Jobs submitted so recently are known to slurmctld, whatever became of them. It forgets those that are over after MinJobAge, by
#: default 300 s (slurm.conf.5).
REMEMBERED_S = 30.0
#: How old an answer may be that says of jobs that they are not over.
FRESH_S = 30.0


class Waiting:
    """What each call of a list waits for.

    Raises ``FailedSubmissionError`` where a job that has to succeed has failed so long ago that slurmctld does not know it any
    more, and would start the new one.
    """

    def __init__(self, waits: Sequence[Waits], job_class: type[Job[Any]]) -> None:
        self.waits = waits
        self._runs = dependencies.runs(waits)
        self._job_class = job_class
        needed = dict.fromkeys([*waits[0].ok, *(upstream for each in waits for upstream in each.own)])
        ended = dict.fromkeys(waits[0].any)
        records = _records([*needed, *ended])
        self._sizes = {main: _size(record) for (_, main), record in records.items()}
        long_ago = time.time() - REMEMBERED_S
        old = {u for u in {**needed, **ended} if records[_main(u)].get("time", 0.0) < long_ago}
        self._succeeded = {upstream for upstream in needed if upstream in old and upstream.succeeded()}
        self._ended = {upstream for upstream in ended if upstream in old and upstream.succeeded() is not None}
        unsettled = [u for u in needed if u in old and u not in self._succeeded]
        unsettled += [u for u in ended if u in old and u not in self._ended and u not in needed]
        for upstream, job in self._gone(unsettled).items():
            if upstream in needed:
                _check(upstream, job)
                self._succeeded.add(upstream)
            self._ended.add(upstream)

    def demand(self, submissions: Sequence[DelayedSubmission]) -> None:
        """Have the jobs look for themselves where Slurm cannot be relied on: an element that is cancelled before it began is taken for
        one that has succeeded, by what waits for that one alone (22.05).
        """
        for submission, each in zip(submissions, self.waits, strict=True):
            elements = (u for u in dict.fromkeys((*each.ok, *each.own)) if "_" in u.job_id and u not in self._succeeded)
            orchestrated.demand(submission, elements)

    def send(self, send: Callable[[Part, int], None], throttle: Callable[[], None]) -> None:
        """Call ``send`` for the parts of the list, see `sending.in_parts`."""
        from submitit.slurm import sending

        for number, run in enumerate(self._runs):
            if number:
                throttle()
            first, alone = run.first, run.size == 1

            def send_part(part: Part, largest: int, first: int = first, alone: bool = alone) -> None:
                send(Part(first + part.first, part.size), 0 if alone else largest)

            sending.in_parts(run.size, send_part)

    def sender(self, sender: SlurmExecutor, part: Part) -> SlurmExecutor:
        """An executor like ``sender`` whose jobs wait for what those of this part of the list do."""
        run = next(run for run in reversed(self._runs) if run.first <= part.first)
        is_array = "map_count" in sender.parameters
        index = run.base + part.first - run.first if is_array and run.arrays else 0
        text = dependencies.text(
            self.waits[part.first : part.stop],
            run if is_array else run._replace(arrays=()),
            self._sizes,
            self._succeeded,
            self._ended,
        )
        made = copy.copy(sender)
        made.parameters = parameters = dict(sender.parameters)
        if text:
            parameters["dependency"] = dependencies.merged(parameters.get("dependency"), text)
            if parameters.get("kill_on_invalid_dep") is None:
                parameters["kill_on_invalid_dep"] = True
        if index:
            assert made._part is not None
            made._part = (made._part[0], part.first - index)
            array = parameters_.array(part.size, parameters.get("array_parallelism", 256), index)
            additional = parameters.get("additional_parameters") or {}
            parameters["additional_parameters"] = {"array": array, **additional}
        return made

    def _gone(self, upstreams: Collection[Upstream]) -> dict[Upstream, Job[Any]]:
        """Those that slurmctld knows nothing of; asks it once about all, unless it has just been asked."""
        jobs = {upstream: self._job_class(upstream.folder, upstream.job_id, upstream.tasks) for upstream in upstreams}
        doubtful = {u: job for u, job in jobs.items() if job.watcher._is_older_than(FRESH_S) or not _lives(job)}
        known = _known_to_slurm(doubtful) if doubtful else doubtful.keys()
        return {upstream: job for upstream, job in doubtful.items() if upstream not in known}


def _known_to_slurm(upstreams: Collection[Upstream]) -> Collection[Upstream]:
    """Those that slurmctld remembers; all of them where it does not answer."""
    ids = sorted({job_ids.leader_id(job_ids.main_id(upstream.job_id)) for upstream in upstreams})
    command = queries.squeue_command(user=str(os.getuid()), job_ids=ids)
    try:
        records = queries.parse_squeue(commands.query(command, queries.environment(os.environ)))
    except Exception as error:  # noqa: BLE001 - absent, away, or it knows none of them
        words = getattr(error, "stderr", None) or error
        text = words.decode("utf-8", errors="replace") if isinstance(words, bytes) else str(words)
        return () if queries.is_unknown_job(text) else upstreams
    table = queries.JobTable(records)
    return [upstream for upstream in upstreams if table.get(upstream.job_id) is not None]


def _lives(job: Job[Any]) -> bool:
    state = _state(job)
    return state is not JobState.UNKNOWN and not state.final


def _check(upstream: Upstream, job: Job[Any]) -> None:
    """Raise ``FailedSubmissionError`` unless a job that slurmctld has forgotten is known to have succeeded."""
    over = job.done(force_check=True)
    if _state(job) is JobState.COMPLETED and upstream.succeeded() is not False:
        return  # somebody has removed its result
    error = job.exception(timeout=0) if over else None
    reason = error or "Slurm does not know it any more, and there is no result of it"
    raise FailedSubmissionError(
        f"Job {upstream.job_id}, whose success this one is to wait for, has ended without: {reason}"
    ) from error


def _state(job: Job[Any]) -> JobState:
    return JobState.read(job.watcher.get_info(job.job_id, mode="cache").get("State", ""))


def _main(upstream: Upstream) -> tuple[str, str]:
    return upstream.folder, job_ids.main_id(upstream.job_id)


def _records(upstreams: Iterable[Upstream]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """What the journals have of each job, and of each array once; empty where that is nothing."""
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for upstream in upstreams:
        key = _main(upstream)
        if key not in found:
            found[key] = journal.find_submission(layout_of(upstream.folder), upstream.job_id) or {}
    return found


def _size(record: Mapping[str, Any]) -> int:
    """How many elements an array has."""
    jobs: Any = record.get("jobs", ())
    return int(jobs["count"]) if isinstance(jobs, dict) else len(jobs)
