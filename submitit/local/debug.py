"""The debug executor: each job runs in this process, when its result is asked for, so that a debugger sees it."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import time
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar
from weakref import WeakValueDictionary

from submitit.client.executor import Executor
from submitit.client.job import Job
from submitit.errors import JobCancelledError, JobDependencyError
from submitit.orchestrator.environment import JobEnvironment
from submitit.orchestrator.watcher import InfoWatcher
from submitit.storage import atomic
from submitit.storage.submission import DelayedSubmission

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from submitit.client.dry_run import DryRun
    from submitit.client.executor import P

R = TypeVar("R", covariant=True)

_JOB_ID = "SUBMITIT_DEBUG_JOB_ID"


class DebugInfoWatcher(InfoWatcher):
    """Nobody has to be asked: the jobs know by themselves."""

    def register_job(self, job_id: str) -> None:
        """Nothing to remember."""


class DebugJob(Job[R]):
    """A call that runs in this process, at most once, when its result, exception or end is asked for."""

    _runs_when_asked = True
    watcher = DebugInfoWatcher()

    def __init__(self, folder: Path | str, submission: DelayedSubmission) -> None:
        # Two jobs must never have one id, and `id` of an object comes again when it is gone.
        super().__init__(folder=folder, job_id=f"DEBUG_{_next_number()}")
        self._submission = submission
        waits = submission.__dict__.pop("_waits", None)
        #: The jobs that run before it: those that have to succeed, and those that have to have run.
        self._needed: list[DebugJob[Any]] = [_known(u.job_id) for u in (*waits.ok, *waits.own)] if waits else []
        self._ahead: list[DebugJob[Any]] = [*self._needed, *map(_known, (u.job_id for u in waits.any))] if waits else []
        #: The environment of the submission, which the call runs in.
        self.environ = dict(os.environ)
        self._error: BaseException | None = None
        self._ran = self._running = False
        #: Of those that it needed, or that these did, the one that failed.
        self._blamed: DebugJob[Any] | None = None
        _living[self.job_id] = self

    def submission(self) -> DelayedSubmission:
        """The very object that runs."""
        return self._submission

    def resubmit(self, **overrides: Any) -> DebugJob[R]:
        """A new job for the same call. There are no parameters here that could be others."""
        call = self._submission
        made: list[DebugJob[R]] = DebugExecutor(self.paths._folder)._process(  # type: ignore[assignment]
            [DelayedSubmission(call.function, *call.args, **call.kwargs)]
        )
        return made[0]

    @property
    def num_tasks(self) -> int:
        return 1

    def cancel(self, check: bool = True) -> None:
        """Do not run the call. Does nothing if it has run."""
        self._cancelled = not self._ran

    def results(self, timeout: float | None = None) -> list[R]:
        """The value, in a list. Runs the call if it did not run yet; raises what that raised, unwrapped."""
        error = self.exception()
        if error is not None:
            raise error
        return [self._submission._result]

    def exception(self, timeout: float | None = None) -> BaseException | None:  # type: ignore[override]  # as in 1.x, the original
        """What the call raised, the original object; ``None`` if it returned; of a cancelled job, what ``result()`` raises."""
        self._run()
        if self._cancelled:
            return JobCancelledError(f"Job {self} was cancelled.")
        return self._error

    def wait(self, timeout: float | None = None) -> None:
        """Run the call, if it did not run yet. Only Ctrl-C passes through."""
        self._run()

    def done(self, force_check: bool = False) -> bool:
        """Run the call, if it did not run yet: afterwards it is done, whatever it raised."""
        self._run()
        return True

    def running(self) -> bool:
        """Whether the call is being made, by another thread or around the caller. Runs nothing."""
        return self._running

    def cancelled(self) -> bool:
        """Whether the call was cancelled before it ran. Runs nothing."""
        return self._cancelled

    def _known_to_be_over(self) -> bool:
        """Run the call, if it did not run yet: who wants to be told of the end asks for it."""
        return self.done()

    @property
    def state(self) -> str:
        """QUEUED, DONE or CANCELLED. Runs nothing."""
        if self._ran:
            return "DONE"
        return "CANCELLED" if self._cancelled else "QUEUED"

    def _last_state(self) -> str:
        return self.state

    def _final_state(self) -> str:
        if self._cancelled:
            return "CANCELLED"
        return "COMPLETED" if self._error is None else "FAILED"

    def get_info(self, mode: str = "force") -> dict[str, str]:
        return {"STATE": self.state}

    def _run(self) -> None:
        """Make the call, once, and before it those of the jobs that it waits for; not if the job was cancelled."""
        waiting: list[DebugJob[Any]] = [self]
        while waiting:  # no recursion: chains may be long
            job = waiting[-1]
            over = job._ran or job._cancelled
            first = (
                None if over else next((other for other in job._ahead if not (other._ran or other._cancelled)), None)
            )
            if first is not None:
                waiting.append(first)
                continue
            waiting.pop()
            if not over:
                job._run_alone()

    def _run_alone(self) -> None:
        self._ran = self._running = True
        try:
            self._run_now()
        finally:
            self._running = False

    def _run_now(self) -> None:
        failed = next((job for job in self._needed if job.exception() is not None), None)
        if failed is not None:
            self._blamed = failed._blamed or failed
            error = self._blamed.exception()
            self._error = JobDependencyError(
                f"Job {self.job_id} did not run, because job {self._blamed.job_id}, which it depends on, did not succeed: "
                f"{type(error).__name__}: {error}"
            )
            self._error.__cause__ = error
            return
        with _environment(self.environ, self.job_id, str(self.paths._folder)), self._logging():
            try:
                self._call()
            except BaseException as error:
                self._error = error
                if isinstance(error, KeyboardInterrupt):
                    raise
                _post_mortem(error)

    @staticmethod
    def _examine(error: BaseException) -> None:
        _post_mortem(error)

    def _call(self) -> None:
        submission = self._submission
        if "_unresolved" in submission.__dict__:
            from submitit.orchestrator import dependencies

            resolved = dependencies.resolved(submission, lambda it: _known(it.upstream.job_id).result())
            submission._result, submission._done = resolved.result(), True
        submission.result()

    @contextlib.contextmanager
    def _logging(self) -> Iterator[None]:
        """Copy what is logged meanwhile to the job's log files, warnings to stderr's too."""
        import logging

        root = logging.getLogger()
        handlers: list[logging.Handler] = []
        try:
            atomic.make_directory(self.paths.locate("folder"))
            for name, level in (("stdout", logging.NOTSET), ("stderr", logging.WARNING)):
                handlers.append(logging.FileHandler(self.paths.locate(name)))
                handlers[-1].setLevel(level)
            with open(self.paths.locate("stdout"), "a", encoding="utf-8") as file:
                file.write("A debug job logs here; what it prints appears in its terminal only.\n")
        except OSError as error:
            logging.getLogger("submitit").warning("The logs of %s cannot be written: %s", self.job_id, error)
        for handler in handlers:
            root.addHandler(handler)
        try:
            yield
        finally:
            for handler in handlers:
                root.removeHandler(handler)
                handler.close()


class DebugExecutor(Executor):
    """Runs each call in this process, when its result is asked for. Takes any parameter and ignores it.

    ``retry`` too: a debugger is to see the first failure.
    """

    job_class = DebugJob
    _takes_dependencies = True

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        super().__init__(folder)

    def dry_run(self, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> DryRun:
        """Nothing would be sent: no script, and no command."""
        from submitit.client.dry_run import DryRun

        return DryRun("", [])

    def _concurrency(self) -> int:
        return 0

    def _internal_process_submissions(self, delayed_submissions: list[DelayedSubmission]) -> list[Job[Any]]:
        return [DebugJob(self.folder, submission) for submission in delayed_submissions]


class DebugJobEnvironment(JobEnvironment):
    """The environment of a call that a debug job makes: one task on one node."""

    _env: ClassVar[dict[str, str]] = {
        "job_id": _JOB_ID,
        "num_nodes": "SUBMITIT_DEBUG_NOT_SET",
        "num_tasks": "SUBMITIT_DEBUG_NOT_SET",
        "node": "SUBMITIT_DEBUG_NOT_SET",
        "global_rank": "SUBMITIT_DEBUG_NOT_SET",
        "local_rank": "SUBMITIT_DEBUG_NOT_SET",
    }

    def activated(self) -> bool:
        return _JOB_ID in os.environ

    def _requeue(self, countdown: int) -> None:
        """Nothing runs twice here."""


@contextlib.contextmanager
def _environment(variables: dict[str, str], job_id: str, folder: str) -> Iterator[None]:
    """For the time of the block this process has the job's variables, and none other."""
    before = dict(os.environ)
    own = {_JOB_ID: job_id, "SUBMITIT_EXECUTOR": "debug", "SUBMITIT_FOLDER": folder}
    _replace_environment({**variables, **own})
    try:
        yield
    finally:
        _replace_environment(before)


def _replace_environment(variables: dict[str, str]) -> None:
    # Not `clear`: threads that look something up meanwhile find all that stays the same.
    for name in set(os.environ) - set(variables):
        del os.environ[name]
    os.environ.update(variables)


def _post_mortem(error: BaseException) -> None:
    """Open the debugger where the exception was raised, if somebody sits at a terminal."""
    if isinstance(error, Exception) and sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty():
        import pdb  # noqa: T100 - what this executor is for

        print(error)
        pdb.post_mortem(error.__traceback__)


def _next_number() -> int:
    """A number that no other debug job of this process has, and hardly one of another."""
    return next(_numbers)


#: The jobs of this process that somebody still holds, by their ids.
_living: WeakValueDictionary[str, DebugJob[Any]] = WeakValueDictionary()


def _known(job_id: str) -> DebugJob[Any]:
    job = _living.get(job_id)
    if job is None:
        raise ValueError(f"There is no debug job {job_id} in this process: it has gone with the one that submitted it")
    return job


_numbers = itertools.count(time.time_ns())
