"""The handle of one job: a durable future, found again from ``(folder, job_id)``."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from submitit.orchestrator.sources import MarkerSource
from submitit.orchestrator.watcher import InfoWatcher
from submitit.storage.paths import JobPaths

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

    from submitit.client.attempt import Attempt
    from submitit.client.awaitable import AsyncJobProxy
    from submitit.errors import FailedJobError, UncompletedJobError
    from submitit.orchestrator import sources
    from submitit.orchestrator.collector import Ending, Sighting
    from submitit.orchestrator.sources import Source
    from submitit.storage.cleanings import Cleaning
    from submitit.storage.submission import DelayedSubmission

R = TypeVar("R", covariant=True)

_MULTI_TASK = "You should use `results()` if your job has subtasks."


class Job(Generic[R]):
    """A submitted call: its state, its logs and its result.

    Two handles are never equal, whatever their job. A handle may be pickled and used in another process.

    Parameters
    ----------
    folder: Path or str
        the executor's folder, tags and all
    job_id: str
        the scheduler's id of the job
    tasks: sequence of int
        the ranks that this handle is about: all of the job's, or one
    trust: bool
        load what the job has pickled whoever wrote it, as for a job in a colleague's folder; whoever wrote it can run code
        as you. By default files that others own, or can write, raise ``UntrustedPickleError``
    """

    _cancel_command = "dummy"
    #: How long the result of a job that is over may take to appear, in seconds (network file systems).
    _results_timeout_s: float = 15
    #: Whether the job is over as soon as anybody asks, since that makes it run, in the thread that asks.
    _runs_when_asked = False
    #: Asks the scheduler; shared by the jobs of a class.
    watcher: InfoWatcher = InfoWatcher()

    # Programs build handles without ``__init__``: what it would set has a value here.
    _job_id: str
    _tasks: tuple[int, ...] = (0,)
    _trust = False
    _sub_jobs: Sequence[Job[R]] = ()
    _cancel_at_deletion = False
    _paths: JobPaths
    _start_time = 0.0
    _last_status_check = 0.0
    _events_path: str | None = None
    _ending: Ending | None = None
    _sighting: Sighting | None = None
    _missing_since: float | None = None
    _cancelled = False
    #: Whether this handle was made by the submission itself, and not found again later.
    _submitted_here = False
    #: Whether the function can save its state and be run again; ``None`` where it is not known.
    _checkpointable: bool | None = None

    def __init__(self, folder: Path | str, job_id: str, tasks: Sequence[int] = (0,), *, trust: bool = False) -> None:
        self._job_id = job_id
        self._tasks = tuple(tasks)
        # what most of a hundred thousand handles have in common is the class's
        if len(tasks) > 1:
            self._sub_jobs = [type(self)(folder=folder, job_id=job_id, tasks=(task,)) for task in tasks]
        if trust:
            for job in (self, *self._sub_jobs):  # backends of others have an ``__init__`` that does not know of it
                job._trust = True
        self._paths = JobPaths(folder, job_id=job_id, task_id=self.task_id or 0)
        self._start_time = time.time()
        self._last_status_check = self._start_time
        # Objects whose attributes appear later, and not all in one order, take four times the memory.
        self._ending, self._sighting, self._cancelled = None, None, False
        self._register_in_watcher()

    def _register_in_watcher(self) -> None:
        if not self._tasks[0]:  # one task is enough
            self.watcher.register_job(self.job_id)

    # ---- what it is

    @property
    def job_id(self) -> str:
        """The scheduler's id of the job (``"12"``, or ``"12_3"`` for element 3 of array 12)."""
        return self._job_id

    @property
    def task_id(self) -> int | None:
        """The rank that this handle is about; ``None`` if it is about several."""
        return None if len(self._tasks) > 1 else self._tasks[0]

    @property
    def key(self) -> tuple[str, int, str, int, int]:
        """What names the job, for sorting and for finding a handle again: equal handles of one job have the same.

        It is ``(folder, number, word, index, task)``: the executor's folder; the job's, or its array's, id as a number, so that 9
        comes before 10; the id itself where it is no number (which is -1 then; otherwise ``""``); the index in the array, -1
        outside of one; and the rank, -1 for a handle of several.
        """
        array, _, index = self.job_id.partition("_")
        if not (array.isdecimal() and (index.isdecimal() or not index)):
            array, index = self.job_id, ""
        number, word = (int(array), "") if array.isdecimal() else (-1, array)
        task = self.task_id
        return self.paths._template, number, word, int(index or -1), -1 if task is None else task

    @property
    def num_tasks(self) -> int:
        """How many tasks this handle is about."""
        return len(self._tasks)

    @property
    def paths(self) -> JobPaths:
        """Where the job's files lie, those of its first task."""
        return self._paths

    @property
    def attempts(self) -> list[Attempt]:
        """How each start of the job went, the first one first: its state, node, exit code, usage and logs, and why another
        followed. Asks the scheduler's accounts where there are some.
        """
        return self._attempts()

    def task(self, task_id: int) -> Job[R]:
        """The handle of one task: ``result()``, logs and errors of that rank alone."""
        if not 0 <= task_id < self.num_tasks:
            raise ValueError(f"task_id {task_id} must be between 0 and {self.num_tasks - 1}")
        return self._sub_jobs[task_id] if self._sub_jobs else self

    def submission(self) -> DelayedSubmission:
        """The call as it was submitted, or as its last checkpoint left it."""
        from submitit.storage import payload
        from submitit.storage.submission import DelayedSubmission

        path = self.paths.submitted_pickle
        if path.exists():
            return DelayedSubmission.load(path, trust=self._trust)
        reference = self._payload_reference()
        if (cleaned := self._cleaning()) is not None:
            raise FileNotFoundError(
                2, f"The call of job {self.job_id} is gone: it was cleaned {cleaned.words()}", str(path)
            )
        assert reference is not None, f"Cannot find job submission pickle: {path}"
        if not os.path.exists(reference[0]):
            words = f"The call of job {self.job_id} is gone: its payload was deleted, as `submitit clean --keep-results` does"
            raise FileNotFoundError(2, words, reference[0])
        return payload.read_submission(*reference, trust=self._trust)

    # ---- the life of the job

    @property
    def state(self) -> str:
        """What the scheduler says of the job now, ``"UNKNOWN"`` if nothing. Never raises."""
        if self._cancelled and not self._recorded():
            return "CANCELLED"
        return self.watcher.get_state(self.job_id, mode="standard")

    def get_info(self, mode: str = "force") -> dict[str, str]:
        """What the scheduler knows of the job, as texts: ``JobID``, ``State``, ``NodeList`` and more where known."""
        return self.watcher.get_info(self.job_id, mode=mode)

    def done(self, force_check: bool = False) -> bool:
        """Whether the job is over: ``result()`` would return or raise at once. ``force_check`` asks the scheduler now."""
        from submitit.orchestrator import tracker

        if self._ending is not None:
            return True
        source = self._source()
        if source is None:
            return self._done_without_source(force_check)
        source.refresh()
        # no marker yet: whoever runs a job by hand, as test suites do, leaves its result alone
        if self._look(at_files=isinstance(source, MarkerSource) and source.attempt(self.job_id) is None):
            return True
        if force_check:
            self.watcher.update()
            tracker.questions(self.watcher).note(time.monotonic())
            return self._look(at_files=True)
        asked = tracker.questions(self.watcher)
        if asked.ask(suspicious=self._suspicious()):
            return self._look()
        return False

    def running(self) -> bool:
        """Whether the job has begun and is not over. Asks the scheduler as rarely as ``state``."""
        from submitit.orchestrator.state import JobState

        return not self._known_to_be_over() and JobState.read(self.state).begun

    def cancelled(self) -> bool:
        """Whether the job has ended by being cancelled, by whomever. Asks the scheduler as rarely as ``state``."""
        from submitit.orchestrator.state import JobState

        if not self._known_to_be_over() and not JobState.read(self.state).final:
            return False
        return self.done() and self._ending is not None and JobState.read(self._ending.state) is JobState.CANCELLED

    def add_done_callback(self, fn: Callable[[Job[R]], object]) -> None:
        """Have ``fn(job)`` called once, when the job is over: succeeded, failed or cancelled.

        Where that is known already it is called at once. Otherwise a thread of this process calls it, one for all jobs, so it
        should not take long; callbacks of one job are called in their order. What it raises is logged and goes no further. No
        callback keeps this process from ending, and a process that is forked has none of its parent's.
        """
        from submitit.orchestrator import notifier

        if not callable(fn):
            raise TypeError(f"add_done_callback(fn) takes a function that is given the job, not {fn!r:.100}")
        if self._known_to_be_over():
            notifier.call(fn, self)
        else:
            notifier.notifier().add([self], fn)

    def _known_to_be_over(self) -> bool:
        """Whether the job is over by what its markers, its controller or its result tell by now; asks no scheduler."""
        if self._ending is not None:
            return True
        source = self._source()
        if source is None:
            return (self._cancelled or self._recorded()) and self.done()
        source.refresh()
        return self._look()

    def wait(self, timeout: float | None = None) -> None:
        """Block until the job is over, or for ``timeout`` seconds.

        Ctrl-C ends the wait, not the job.
        """
        if self._ending is not None:
            return
        try:
            from submitit.orchestrator import tracker

            tracker.wait([self], timeout)
        except KeyboardInterrupt:
            print(
                f"\nStopped waiting for job {self.job_id}, which goes on. It can be found again with "
                f"{type(self).__name__}(folder={str(self.paths._folder)!r}, job_id={self.job_id!r}); "
                f"its cancel() ends it.",
                file=sys.stderr,
            )
            raise

    def result(self, timeout: float | None = None) -> R:
        """The value that the function returned; blocks until the job is over.

        Raises ``FailedJobError`` with the remote traceback, and the function's own exception as its cause, if the function
        raised; ``UncompletedJobError`` or the subclass for the cause if the job left no result; ``TimeoutError`` after
        ``timeout`` seconds. A job of several tasks has ``results()``.
        """
        assert not self._sub_jobs, _MULTI_TASK
        return self.results(timeout)[0]

    def results(self, timeout: float | None = None) -> list[R]:
        """The values of all tasks, in the order of their ranks; raises like ``result()`` for the first task that failed."""
        error = self.exception(timeout)
        if error is not None:
            raise error
        return [job._get_outcome_and_result()[1] for job in self._sub_jobs or [self]]

    def exception(self, timeout: float | None = None) -> UncompletedJobError | None:
        """What ``result()`` raises, ``None`` if it returns a value; blocks until the job is over.

        Of several tasks it is the error of the first that failed.
        """
        from submitit.orchestrator import collector

        self.wait(timeout)
        if not self.done():
            raise TimeoutError(f"Job {self.job_id} was not over after {timeout} seconds (state: {self.state})")
        handles = self._sub_jobs or [self]
        recorded = [job for job in handles if job._recorded()]
        for job in recorded:
            error = job._failure()
            if error is not None:
                return error
        if len(recorded) == len(handles):
            return None
        # a rank that died explains the others, which may still be running
        ending = self._ending or self._unseen_ending()
        missing = [job._tasks[0] for job in handles if job not in recorded]
        first = next((task for task in missing if task in ending.exits), missing[0])
        return collector.error_of(self, first, ending)

    def _failure(self) -> FailedJobError | None:
        """The error of the one task of this handle, if it recorded one."""
        from submitit.orchestrator import collector
        from submitit.storage import outcome

        path = self.paths.locate("result_pickle")
        footer = outcome.read_footer(path)
        if footer is not None and footer.success:
            return None  # known without loading the value
        result = outcome.read_result(path, trust=self._trust)
        return (
            collector.failure_of(self, self._tasks[0], result.value, result.exception)
            if result.status == "error"
            else None
        )

    def _get_outcome_and_result(self) -> tuple[str, Any]:
        """``("success", value)`` or ``("error", traceback text)``; ``UncompletedJobError`` where there is neither."""
        from submitit.orchestrator import collector
        from submitit.storage import outcome

        assert not self._sub_jobs, _MULTI_TASK
        if not self._recorded():
            self.wait()
        if not self._recorded():
            raise collector.error_of(self, self._tasks[0], self._ending or self._unseen_ending())
        result = outcome.read_result(self.paths.result_pickle, trust=self._trust)
        return result.status, result.value

    def _unseen_ending(self) -> Ending:
        from submitit.orchestrator import collector

        info = self.watcher.get_info(self.job_id, mode="cache")
        return collector.Ending(info.get("State", "") or self.state, {}, dict(info))

    # ---- ending it

    def cancel(self, check: bool = True) -> None:
        """Ask the scheduler to end the job; it is over for this process at once. With ``check`` a refusal raises."""
        from submitit import commands

        commands.call([self._cancel_command, self.job_id], check=check)
        self._note_cancelled()

    @classmethod
    def _cancel_all(cls, jobs: Sequence[Job[Any]], check: bool) -> None:
        """Cancel jobs of this class; with ``check`` the first refusal raises, after all the others were cancelled."""
        first: Exception | None = None
        for job in jobs:
            if job._ending is None:
                try:
                    job.cancel(check=check)
                except Exception as error:  # noqa: BLE001 - raised below
                    first = first or error
        if first is not None:
            raise first

    def _note_cancelled(self) -> None:
        """The job is over for this process: whoever waits for this handle learns of it now."""
        self._cancelled = True
        for job in self._sub_jobs:
            job._cancelled = True
        source = self._source()
        if source is not None:
            source.tell(self.job_id)

    def _interrupt(self, timeout: bool = False) -> None:
        """Send the job what a preemption sends, or with ``timeout`` what a time-out sends first; for trying out a checkpoint."""
        raise NotImplementedError(f"{type(self).__name__} cannot signal its jobs")

    def _array_id(self) -> str | None:
        """The array that the job belongs to, if one can change how many jobs of it run at once."""
        return None

    @classmethod
    def _throttle_array(cls, array_id: str, parallelism: int, jobs: Sequence[Job[Any]]) -> None:
        """Let so many jobs of an array run at once, 0 for all; ``jobs`` are those of it that the caller knows."""
        raise NotImplementedError(f"{cls.__name__} has no arrays")

    def cancel_at_deletion(self, value: bool = True) -> Job[R]:
        """Cancel the job when this handle is collected; returns the handle."""
        self._cancel_at_deletion = value
        return self

    def __del__(self) -> None:
        if self._cancel_at_deletion:
            with contextlib.suppress(Exception):  # the interpreter may be half gone
                if not self.watcher.is_done(self.job_id, mode="cache"):
                    self.cancel(check=False)

    # ---- again

    def resubmit(self, **overrides: Any) -> Job[R]:
        """Submit the call once more: a new job of the same backend, folder and parameters, but for the ``overrides``.

        These are named as ``AutoExecutor.update_parameters`` takes them. The call is what ``submission()`` gives: a function that
        has saved its state goes on from there. Works for handles found again as well, with the parameters that the folder's
        journal holds; ``LookupError`` if none does. This job stays as it is, whatever has become of it.
        """
        from submitit.client import resubmission

        made: Job[R] = resubmission.resubmit(self, overrides)
        return made

    # ---- logs

    def stdout(self) -> str | None:
        """What the job printed so far; ``None`` before it has begun. The tasks' logs follow each other."""
        return self._get_logs_string("stdout")

    def stderr(self) -> str | None:
        """What the job printed on stderr so far; ``None`` before it has begun."""
        return self._get_logs_string("stderr")

    def _get_logs_string(self, name: str) -> str | None:
        texts = []
        for job in self._sub_jobs or [self]:
            with contextlib.suppress(FileNotFoundError), open(getattr(job.paths, name), errors="replace") as file:
                texts.append(file.read())
        return "\n".join(texts) if texts else None

    def awaitable(self) -> AsyncJobProxy[R]:
        """The same job for ``asyncio``: its ``wait``, ``result`` and ``results`` are coroutines."""
        from submitit.client.awaitable import AsyncJobProxy

        return AsyncJobProxy(self)

    def __await__(self) -> Generator[Any, None, R]:
        """``await job`` gives what ``result()`` gives, and leaves the event loop to others until then.

        Of a job of several tasks it raises ``AssertionError`` at once, as ``result()`` does: ``await job.awaitable().results()``
        gives their values. Cancelling the coroutine does not cancel the job.
        """
        assert self.num_tasks == 1, "You should use `await job.awaitable().results()` if your job has subtasks."
        return self.awaitable().result().__await__()

    def _attempts(self) -> list[Attempt]:
        """As ``attempts``, where nothing but the job's present state and its result is known."""
        from submitit.client.attempt import Attempt
        from submitit.storage import outcome

        attempt = Attempt(0, self.state, paths=self.paths)
        return [attempt.told_by(outcome.read_footer(self.paths.locate("result_pickle")))]

    # ---- for the tracker and the collector

    def _source(self) -> Source | None:
        """Where news of this job comes from; ``None`` if from its result file and its watcher alone."""
        return None

    def _look(self, *, at_files: bool = False) -> bool:
        """Whether the job is over, from what is known by now; asks nobody."""
        from submitit.orchestrator import collector

        if self._ending is None:
            # Two threads may look at once: what one of them has seen is not taken back by the other.
            sighting, found_again = self._sighting, False
            if sighting is None:
                sighting = self._sighting = collector.Sighting()
                found_again = self._found_again()
                at_files = at_files or found_again
            ending = collector.judge(self, sighting, at_files=at_files)
            if ending is None and found_again and self._cleaning() is not None:
                ending = self._unseen_ending()
            if ending is not None:
                self._ending = ending
                self._sighting = None  # the handles of thousands of jobs are kept until all are over
                self._let_go()
        return self._ending is not None

    def _let_go(self) -> None:
        """Nobody has to be asked about the job any more on behalf of this handle."""
        let_go = getattr(self.watcher, "let_go", None)  # programs have watchers of their own
        if let_go is not None:
            let_go(self.job_id)

    def _suspicious(self) -> bool:
        """Whether the scheduler should be asked about the job soon."""
        sighting = self._sighting
        return sighting is not None and sighting.suspicious

    def _hasten(self, attempt: int, info: dict[str, str]) -> bool:
        """The job has asked to be run again after ``attempt`` and waits for it: shorten that, if one can.

        Returns whether all is done; if not, the scheduler is asked about the job soon again.
        """
        return True

    def _goes_on_elsewhere(self, attempt: sources.Attempt) -> bool:
        """Whether another job takes the place of this one, whose policy asks for a further attempt that was refused."""
        return False

    def _another(self, job_id: str, folder: Path | str, tasks: Sequence[int]) -> Job[Any]:
        """A handle of another job, as far trusted as this one."""
        made = type(self)(folder=folder, job_id=job_id, tasks=tasks)
        for job in (made, *made._sub_jobs):
            job._trust = self._trust
        return made

    def _found_again(self) -> bool:
        """Whether the job may have ended before this handle was made."""
        return not self._submitted_here

    def _cleaning(self) -> Cleaning | None:
        """Who has cleaned the job away, if somebody has; ``None`` for a job that was submitted later under its id."""
        from submitit.storage import cleanings, journal
        from submitit.storage.paths import layout_of

        layout, folder = layout_of(self.paths._folder), self.paths._template
        found = cleanings.find(layout, folder, self.job_id)
        if found is None:
            return None
        submission = journal.find_submission(layout, self.job_id)
        submitted = None if submission is None or submission["folder"] != folder else submission["time"]
        return cleanings.find(layout, folder, self.job_id, submitted)

    def _done_without_source(self, force_check: bool) -> bool:
        from submitit.orchestrator import collector

        if self._recorded() or self._cancelled:
            self._ending = collector.Ending("" if self._recorded() else "CANCELLED", {}, {})
            self._let_go()
            return True
        if self._missing_since is None and self._cleaning() is not None:
            self._ending = self._unseen_ending()
            return True
        if not self.watcher.is_done(self.job_id, mode="force" if force_check else "standard"):
            return False
        if self._recorded() or collector._missing_long_enough(self):
            self._ending = self._unseen_ending()
            return True
        return False

    def _recorded(self) -> bool:
        from submitit.orchestrator import collector

        return collector._all_recorded(self)

    def _result_path(self, task: int) -> str:
        paths = self._task_paths(task) if self._sub_jobs else self.paths
        return paths.locate("result_pickle")

    def _task_paths(self, task: int) -> JobPaths:
        return self.task(self._tasks.index(task)).paths

    @staticmethod
    def _examine(error: BaseException) -> None:
        """Do what a job that runs when it is asked for does about what its function raises. Does nothing here."""

    def _batch_log(self) -> str:
        """Where the script's own output went, if the backend has such a file."""
        return os.devnull

    def _payload_reference(self) -> tuple[str, int] | None:
        """The payload file and the index in it of this job, if it is known."""
        return None

    # ---- as an object

    def __repr__(self) -> str:
        # A notebook shows lists of thousands: what is not known is not asked for here.
        return f'{type(self).__name__}<job_id={self.job_id}, task_id={self.task_id}, state="{self._last_state()}">'

    def _last_state(self) -> str:
        """The state as of the last time that anybody asked or told; runs no command and looks at no file."""
        from submitit.orchestrator.state import JobState

        ended = "" if self._ending is None else self._ending.state
        if ended or self._cancelled:
            return ended or "CANCELLED"
        try:
            state: str = self.watcher.get_state(self.job_id, mode="cache")
        except Exception:  # noqa: BLE001 - a plugin's own; this is for people who look for errors
            state = "UNKNOWN"
        if self._ending is not None and not JobState.read(state).final:
            return "COMPLETING"  # its results are here
        return "PENDING" if state == "UNKNOWN" and self._submitted_here else state

    def _final_state(self) -> str:
        """The state that the job, which is over, has ended in. Asks nobody, and opens the results at most."""
        from submitit.storage import outcome

        if self._ending is not None and self._ending.state:
            return self._ending.state
        results = [self._result_path(task) for task in self._tasks]
        return "COMPLETED" if all(map(outcome.is_success, results)) else "FAILED"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from submitit.client import notebook

        return notebook.of_job(self)

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        for name in ("_sighting", "_ending", "_missing_since", "_submitted_here"):
            state.pop(name, None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._register_in_watcher()
