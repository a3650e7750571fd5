"""From the end of a job to its value, or to an error that says why there is none."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from submitit import errors, terminal
from submitit.orchestrator import exits, logs
from submitit.orchestrator.sources import SWEEP_S, MarkerSource
from submitit.orchestrator.state import JobState
from submitit.orchestrator.tracker import questions
from submitit.storage import atomic

if TYPE_CHECKING:
    from collections.abc import Iterable

    from submitit.orchestrator.sources import Attempt

    Collectable = Any  # a client.job.Job: the layer above this one

#: How many lines of a log an error shows.
TAIL_LINES = 30
_TAIL_BYTES = 16 * 1024
#: How long a job that the scheduler does not know, but that has died by its markers, may still turn up.
GRACE_S = 10.0
#: How long the scheduler may need to see that a job is over whose every task has ended.
SETTLING_S = 0.5
#: The same for one that was killed for its memory: what it had used is worth waiting for.
MEMORY_SETTLING_S = 3.0

#: How long slurmstepd may need to write why it ends a job.
SAYING_S = 2.0

_ERRORS = {
    JobState.TIMEOUT: errors.JobTimeoutError,
    JobState.DEADLINE: errors.JobTimeoutError,
    JobState.OUT_OF_MEMORY: errors.JobOutOfMemoryError,
    JobState.CANCELLED: errors.JobCancelledError,
    JobState.NODE_FAIL: errors.JobNodeFailError,
    JobState.BOOT_FAIL: errors.JobNodeFailError,
}
#: What slurmstepd and srun write to a rank's stderr when the kernel kills for memory; without accounting there is no more.
_MEMORY_WORDS = ("oom-kill event", "oom_kill event", "Out Of Memory")


class Ending(NamedTuple):
    """How a job, or one task of it, was seen to end. ``state`` is empty where every task left its result."""

    state: str
    #: The tasks that died: the exit code of each.
    exits: dict[int, int]
    #: What the scheduler knew.
    info: dict[str, str]


#: That of thousands of jobs; it holds nothing that is a job's own.
RECORDED = Ending("", {}, {})


class Sighting:
    """What one job's markers made of it so far: remembered between two looks."""

    __slots__ = ("attempt", "completing", "confirmed", "settled", "since", "suspicious", "swept")

    def __init__(self) -> None:
        self.attempt: Attempt | None = None
        self.since = 0.0
        #: Since when the scheduler calls the job COMPLETING; ``None`` while it does not.
        self.completing: float | None = None
        #: Whether the scheduler says of a job that was told to terminate that it goes on.
        self.confirmed = False
        #: The last attempt that the scheduler is known to run again: its markers are history.
        self.settled = -1
        self.suspicious = False
        #: When the result files were last looked for.
        self.swept = time.monotonic()


def judge(job: Collectable, sighting: Sighting, *, at_files: bool = False) -> Ending | None:
    """Whether ``job`` is over, from its files, its markers and the scheduler's last answer; asks nobody.

    ``sighting.suspicious`` says afterwards whether the scheduler should be asked about it.
    """
    source = job._source()
    attempt = source.attempt(job.job_id) if isinstance(source, MarkerSource) else None
    if attempt != sighting.attempt:
        sighting.attempt, sighting.since, sighting.confirmed = attempt, time.monotonic(), False
    sighting.suspicious = False
    tasks = [str(task) for task in job._tasks]
    told = attempt is not None and all(task in attempt.recorded for task in tasks)
    if told or at_files or time.monotonic() - sighting.swept > SWEEP_S:
        sighting.swept = time.monotonic()
        if _all_recorded(job):
            return RECORDED
        sighting.suspicious = told  # on a network file system the result may show up later than its marker
    if job._cancelled:
        return RECORDED if _all_recorded(job) else Ending(JobState.CANCELLED.value, {}, {})
    asked = questions(job.watcher)
    fresh = asked.asked > sighting.since
    dead: dict[int, int] = {}
    if attempt is not None and attempt.number > sighting.settled:
        dead = {
            int(task): attempt.exits[task] for task in tasks if task in attempt.exits and task not in attempt.recorded
        }
        unheard = bool(set(tasks) - attempt.recorded)
        sighting.suspicious |= (bool(dead) and not attempt.undecided) or (
            unheard and ("batch" in attempt.exits or (attempt.terminated and not sighting.confirmed))
        )
    info: dict[str, str] = job.watcher.get_info(job.job_id, mode="cache")
    state = JobState.read(info.get("State", ""))
    if state is not JobState.COMPLETING:
        sighting.completing = None
    elif sighting.completing is None:
        sighting.completing = time.monotonic()
    if attempt is None:
        sighting.suspicious |= isinstance(source, MarkerSource) and source.doubtful(job.job_id)
        dead = _told_exits(job, info)
        if dead and state in _ALIVE:
            return _ended(job, sighting, info, dead)
    if job.watcher.is_done(job.job_id, mode="cache") and (fresh or attempt is None or not dead):
        return _ended(job, sighting, info, dead)
    if not sighting.suspicious or asked.told <= sighting.since or attempt is None:
        return None
    if state in _WAITING:
        if not attempt.requeued or job._hasten(attempt.number, info):
            sighting.settled, sighting.suspicious = attempt.number, False
    elif attempt.undecided:  # its script looks into the failure, and leaves a marker when it has
        if state in _ALIVE:
            sighting.confirmed, sighting.suspicious = True, False
    elif state in _ALIVE and dead and not attempt.terminated:
        # one rank died under the others, or the scheduler is about to see that there is none left
        settling_s = MEMORY_SETTLING_S if _shows_memory(job, dead) else SETTLING_S
        if not attempt.started <= attempt.exits.keys() or time.monotonic() - sighting.since > settling_s:
            return _ended(job, sighting, info, dead)
    elif state in _ALIVE and not dead and "batch" not in attempt.exits:
        sighting.confirmed, sighting.suspicious = True, False
    elif state is JobState.COMPLETING and (ending := _ending_for_good(job, info, sighting)):
        return _ended(job, sighting, {**info, "State": ending}, dead)
    elif dead and state is JobState.UNKNOWN and time.monotonic() - sighting.since > GRACE_S:
        return _ended(job, sighting, info, dead)
    return None


def _shows_memory(job: Collectable, dead: Iterable[int]) -> bool:
    return any(_tells_of_memory(tail(job._task_paths(task).stderr)) for task in dead)


def _tells_of_memory(stderr: str) -> bool:
    of_last_attempt = stderr.rpartition("begins: what stands above is of earlier ones")[2]
    return any(words in of_last_attempt for words in _MEMORY_WORDS)


def _ending_for_good(job: Collectable, info: dict[str, str], sighting: Sighting) -> str:
    """The state that a job which is being ended will stay in; ``""`` if it may yet return, or nobody knows.

    At a time-out a function that saves its state may still be at it.
    """
    ending: JobState = JobState.read(info.get("Ending", ""))
    if ending in (JobState.TIMEOUT, JobState.DEADLINE):
        return str(ending.value) if job._checkpointable is False else ""
    if ending is JobState.CANCELLED or (not info.get("Ending") and _was_cancelled(job, sighting)):
        return "CANCELLED"
    return ""


def _was_cancelled(job: Collectable, sighting: Sighting) -> bool:
    """Whether slurmstepd says so in the script's log: where there are no accounts, nobody else does before the last process is gone.

    Of a job that is ended for another reason it says more, if a little later: "DUE TO TIME LIMIT", "… PREEMPTION", "… JOB
    REQUEUE". What it says of a step is no evidence: "STEP 7.0 … CANCELLED AT …" is what comes of any SIGTERM, of a preemption's
    too.
    """
    attempt = sighting.attempt
    if attempt is None or not attempt.terminated or attempt.requeued or "batch" in attempt.exits:
        return False
    if sighting.completing is None or time.monotonic() - sighting.completing < SAYING_S:
        return False
    said = [line for line in tail(job._batch_log()).splitlines() if "*** JOB " in line and " CANCELLED AT " in line]
    return bool(said) and " DUE TO " not in said[-1]


_WAITING = frozenset(
    {
        JobState.PENDING,
        JobState.REQUEUED,
        JobState.REQUEUE_FED,
        JobState.REQUEUE_HOLD,
        JobState.SPECIAL_EXIT,
        JobState.CONFIGURING,
    }
)
_ALIVE = frozenset({JobState.RUNNING, JobState.SUSPENDED, JobState.STAGE_OUT, JobState.SIGNALING, JobState.RESIZING})


def _ended(job: Collectable, sighting: Sighting, info: dict[str, str], dead: dict[int, int]) -> Ending | None:
    """The ending of a job that the scheduler calls over: its results where they are there, or will be in a moment."""
    if _all_recorded(job):
        return RECORDED
    attempt = sighting.attempt
    sighting.suspicious = True
    if attempt is not None and attempt.refused and job._goes_on_elsewhere(attempt):
        return None
    if _was_set_aside(job, attempt):
        return RECORDED
    on_purpose = JobState.read(info.get("State", "")) in (JobState.CANCELLED, JobState.TIMEOUT, JobState.DEADLINE)
    if not dead and not on_purpose and not _told_all(job, sighting.attempt) and not _missing_long_enough(job):
        return None
    return Ending(info.get("State", "") or JobState.UNKNOWN.value, dead, dict(info))


def _was_set_aside(job: Collectable, attempt: Attempt | None) -> bool:
    """Put the errors in their places that an attempt has left in case that it is not the last; whether nothing is missing then.

    The job is over, and whoever was to do that could not.
    """
    if attempt is None or attempt.retried:
        return False
    from submitit.storage import outcome

    for task in job._tasks:
        result = job._result_path(task)
        if not os.path.exists(result):
            with contextlib.suppress(OSError):
                os.replace(outcome.set_aside_path(result, attempt.number), result)
    return _all_recorded(job)


def _told_exits(job: Collectable, info: dict[str, str]) -> dict[int, int]:
    """The tasks without a result whose end a scheduler tells of one by one: exit codes as a shell writes them."""
    dead = {}
    told = info.get("TaskExitCodes", "").split(",")
    for task in job._tasks:
        code, colon, signal = told[task].partition(":") if task < len(told) else ("", "", "")
        if colon and not os.path.exists(job._result_path(task)):
            dead[task] = 128 + int(signal) if int(signal) else int(code)
    return dead


def _told_all(job: Collectable, attempt: Attempt | None) -> bool:
    """Whether the script of a job that is over has left its last marker and no task one for a result: none will show up."""
    return (
        attempt is not None
        and "batch" in attempt.exits
        and not any(str(task) in attempt.recorded for task in job._tasks)
    )


def _missing_long_enough(job: Collectable) -> bool:
    """Whether the result of a job that is over had ``_results_timeout_s`` to show up: a network file system may be late."""
    now = time.monotonic()
    if job._missing_since is None:
        job._missing_since = now
        _refresh_listing(job)
    return bool(now - job._missing_since >= job._results_timeout_s)


def _refresh_listing(job: Collectable) -> None:
    for task in job._tasks[:1]:
        try:
            os.listdir(os.path.dirname(job._result_path(task)))
        except OSError:
            return


def _all_recorded(job: Collectable) -> bool:
    if len(job._tasks) == 1:
        return os.path.exists(job._result_path(job._tasks[0]))
    return all(os.path.exists(job._result_path(task)) for task in job._tasks)


def error_of(job: Collectable, task: int, ending: Ending) -> errors.UncompletedJobError:
    """The error of a task that left no result: its type by the cause, its text with all that is known."""
    paths = job._task_paths(task)
    cleaned = job._cleaning()
    if cleaned is not None:
        return errors.JobVanishedError(
            f"Job {job.job_id} was cleaned {cleaned.words()} (`submitit clean` does that): its result and logs are gone. "
            f"They lay in {paths.locate('folder')}"
        )
    state = JobState.read(ending.state)
    source = job._source()
    if state is JobState.CANCELLED and not job._cancelled and not _has_begun(job, source, ending):
        from submitit.orchestrator import dependencies

        upstream_failed = dependencies.error_of(job)
        if upstream_failed is not None:
            return upstream_failed
    kind = _ERRORS.get(state, errors.UncompletedJobError)
    stderr, stdout = tail(paths.stderr), tail(paths.stdout)
    if kind is errors.UncompletedJobError and (ending.info.get("OutOfMemory") or _tells_of_memory(stderr)):
        kind = errors.JobOutOfMemoryError
    if ending.info.get("Vanished"):
        kind = errors.JobVanishedError
    lines = [f"Job {job.job_id} (task: {task}) with path {paths.result_pickle}"]
    lines.append(f"has not produced any output (state: {ending.state})")
    node = source.node(job.job_id, str(task)) if isinstance(source, MarkerSource) else ""
    lines += _evidence(task, node, ending)
    if atomic.lacks_room(os.path.dirname(paths.locate("result_pickle"))):
        lines.append("There is no space left on the disk of the job's folder")
    if stderr:
        lines += ["Error stream produced:", "-" * 40, stderr]
        if stdout:
            lines += ["-" * 40, "Output stream produced:", "-" * 40, stdout]
    elif stdout:
        lines += [f"No error stream produced. Look at stdout: {paths.stdout}", "-" * 40, stdout]
    else:
        lines += [f"No output/error stream produced ! Check: {paths.stdout}"]
    batch = "" if task in ending.exits else tail(job._batch_log())
    if batch:
        lines += ["-" * 40, "The script printed:", "-" * 40, batch]
    lines += ["-" * 40, f"stderr: {paths.stderr}", f"stdout: {paths.stdout}"]
    return kind("\n".join(lines))


def _has_begun(job: Collectable, source: Any, ending: Ending) -> bool:
    """Whether the job ever ran, as far as is known."""
    if isinstance(source, MarkerSource):
        return source.attempt(job.job_id) is not None
    return bool(ending.info.get("Start"))


def cause_of(job: Collectable) -> str:
    """Why a job that is over has no value to give, as one line fit for a terminal; ``""`` where it has one, or nobody knows.

    Unlike the error itself it loads nothing that the job has pickled.
    """
    from submitit.storage import outcome

    for task in job._tasks:
        trace = outcome.read_trace(job._result_path(task))
        if trace is not None:
            return terminal.harmless(raised(trace))
    ending: Ending | None = job._ending
    if ending is None or not ending.state:
        return ""
    task = next(iter(ending.exits), job._tasks[0])
    source = job._source()
    node = source.node(job.job_id, str(task)) if isinstance(source, MarkerSource) else ""
    lines = [line for line in _evidence(task, node, ending) if not line.startswith("The scheduler says: ")]
    lines.sort(key=lambda line: not line.startswith("Out of memory"))
    reason = ending.info.get("Reason", "")
    lines += [] if reason in _NOTHING else [terminal.harmless(reason)]
    return next(iter(lines or tail(job._task_paths(task).stderr).splitlines()[-1:]), "")


def raised(trace: str) -> str:
    """The line of a traceback that names the exception: the first one of its message, where that has several."""
    lines = [line.rstrip() for line in trace.strip().splitlines()]
    frames = [number for number, line in enumerate(lines) if line.lstrip(" |").startswith('File "')]
    after = lines[frames[-1] + 1 :] if frames else lines
    return next((line for line in after if line[:1].strip()), lines[-1] if lines else "").strip(" |")


def _evidence(task: int, node: str, ending: Ending) -> list[str]:
    lines = []
    nodes = ending.info.get("NodeList", "")
    node = node or ("" if "," in nodes or "[" in nodes else nodes)
    if task in ending.exits:
        code = exits.of_shell(ending.exits[task])
        words = exits.in_words(code) + (" and recorded no result" if code >= 0 else "")
        lines.append(f"Task {task}{f' on node {node}' if node else ''} {words}")
    elif node:
        lines.append(f"Task {task} ran on node {node}")
    if ending.info.get("Reason") == "JobLaunchFailure" and ending.info.get("ExitCode") == "0:53":
        lines.append("Slurm could not open the job's log: the disk is full, or the folder is gone or cannot be written")
    if ending.info.get("OutOfMemory"):
        lines.append(f"Out of memory: {ending.info['OutOfMemory']}")
    vanished = ending.info.get("Vanished")
    if vanished:
        unknown = "Nobody knows this job any more: look whether the folder and the id are right"
        lines.append(unknown if vanished == "yes" else vanished)
    known = [f"{key}={value}" for key, value in ending.info.items() if value not in _NOTHING and key in _SHOWN]
    if known:
        lines.append("The scheduler says: " + terminal.harmless(", ".join(known)))
    return lines


_SHOWN = ("State", "Reason", "ExitCode", "NodeList", "Elapsed", "Timelimit", "ReqMem", "MaxRSS")
_NOTHING = ("", "None", "Unknown", "N/A")


def tail(path: str | os.PathLike[str]) -> str:
    """The last lines of a log, fit for a terminal; ``""`` where there is none. Reads a bounded piece, whatever the log's size."""
    return "\n".join(logs.lines_of(logs.end_of(path, _TAIL_BYTES).rstrip())[-TAIL_LINES:])


def failure_of(job: Collectable, task: int, trace: str, remote: BaseException | None) -> errors.FailedJobError:
    """The error of a task whose function raised: the traceback in its text, the exception itself as its cause."""
    paths = job._task_paths(task)
    error = errors.FailedJobError(
        f"Job (task={task}) failed during processing with trace:\n"
        f"----------------------\n{trace}\n"
        f"----------------------\n"
        f"You can check full logs with 'job.stderr({task})' and 'job.stdout({task})'or at paths:\n  - {paths.stderr}\n  - {paths.stdout}"
    )
    error.__cause__ = remote
    return error
