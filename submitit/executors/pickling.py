"""Executors whose jobs are given a pickled call and a script.

::

    _internal_process_submissions ─ write the payloads ─ for each: _throttle ─ _submitit_command_str
      └ _submit_command ─ _make_submission_file_text ─ (the script is written) ─ _make_submission_command ─ (it is run)
                        ─ _get_job_id_from_submission_command ─ _num_tasks ─ job_class(…) ─ _write_job_id ─ _set_job_permissions
      └ the payload becomes <job_id>_submitted.pkl
    ─ one record in the journal
"""

from __future__ import annotations

import abc
import contextlib
import os
import sys
import time
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from submitit import commands, environ
from submitit.client.executor import Executor
from submitit.errors import FailedJobError, FailedSubmissionError, SubmissionRefusedError
from submitit.storage import atomic, names
from submitit.storage.paths import JobPaths, Layout, layout_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from submitit.client.dry_run import DryRun
    from submitit.client.executor import P
    from submitit.client.job import Job, R
    from submitit.orchestrator.dependencies import Waits
    from submitit.storage.submission import DelayedSubmission

    StrPath = str | os.PathLike[str]

#: The name of the payload that is being submitted: `_submit_command` has 1.x's signature, and two threads may share an executor.
_UID: ContextVar[str | None] = ContextVar("submitit_uid", default=None)
#: How many jobs of an array run at a time where nothing is said: Slurm's ``array_parallelism``.
_AT_A_TIME = 256
_SCRIPT_WAS = "\n\nThe script was:\n"


class PicklingExecutor(Executor):
    """The base of executors that send scripts to a scheduler's command.

    ``max_num_timeout`` is how many time-outs a checkpointable job survives, ``max_pickle_size_gb`` how large functions and
    arguments may be as written, all of an array together. A backend overrides the hooks that are abstract here, and may override
    every other; they are called in the order that the module's
    docstring shows.
    """

    #: Minutes, for jobs that were given no limit; only to tell a time-out from a preemption.
    _unlimited_min = 5

    def __init__(
        self, folder: str | os.PathLike[str], max_num_timeout: int = 3, max_pickle_size_gb: float = 1.0
    ) -> None:
        super().__init__(folder)
        self.max_num_timeout = max_num_timeout
        self.max_pickle_size_gb = max_pickle_size_gb
        #: Seconds between two submissions, for the scheduler's sake.
        self._throttling = 0.2
        self._last_job_submitted = 0.0

    # ------------------------------------------------------------------ the submission

    def dry_run(self, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> DryRun:
        """The script and the command that ``submit`` would send. The call is pickled as a check, and the pickle removed."""
        import tempfile

        from submitit.client.dry_run import DryRun
        from submitit.storage import payload
        from submitit.storage.submission import DelayedSubmission

        uid = names.unique_name()
        script = self._script_path(uid)
        with tempfile.TemporaryDirectory(prefix="submitit-") as scratch:
            call = DelayedSubmission(fn, *args, **kwargs)
            self._attach_dependencies([call])
            sender = self._dry_sender(call)
            payload.write_payload(os.path.join(scratch, "call.pkl"), [call], max_bytes=self._max_bytes())
            token = _UID.set(uid)
            try:
                text = sender._make_submission_file_text(self._submitit_command_str, uid)
            finally:
                _UID.reset(token)
            elsewhere = Path(scratch, script.name)  # a backend may read the script to make the command
            elsewhere.write_text(text, encoding="utf-8")
            command = self._make_submission_command(elsewhere)
        return DryRun(text, [word.replace(str(elsewhere), str(script)) for word in command])

    def _dry_sender(self, submission: DelayedSubmission) -> PicklingExecutor:
        """The executor that would send this call."""
        return self

    def _internal_process_submissions(self, delayed_submissions: list[DelayedSubmission]) -> list[Job[Any]]:
        """Submit each call as a job of its own.

        Either all calls are pickled or none is sent. If sending one of them fails, those before it are in the queue, in the
        journal and named in a log record.
        """
        payloads = [self._payload_path(names.unique_name()) for _ in delayed_submissions]
        jobs: list[Job[Any]] = []
        try:
            written = 0
            for path, submission in zip(payloads, delayed_submissions, strict=True):
                written += self._write_payload(path, [submission], written)
            for path in payloads:
                job = self._submit_payload(path)
                jobs.append(job)
        except BaseException:
            self._say_what_was_sent(jobs, len(payloads))
            raise
        finally:
            discard(payloads)
            if jobs:
                self._record(jobs, delayed_submissions[: len(jobs)])
        return jobs

    @staticmethod
    def _taken_dependencies(submissions: Sequence[DelayedSubmission]) -> list[Waits] | None:
        """What each of the calls waits for, which is no part of their payload; ``None`` if none waits."""
        if "submitit.orchestrator.dependencies" not in sys.modules:
            return None
        from submitit.orchestrator import dependencies

        return dependencies.taken(submissions)

    def _write_payload(self, path: StrPath, submissions: Sequence[DelayedSubmission], before: int = 0) -> int:
        """Pickle calls into the new file ``path``, each told the job's time limit first; return the file's size.

        Makes the folder. Raises ``OSError`` naming a folder that cannot be written, ``RuntimeError`` for more than
        ``max_pickle_size_gb`` together with the ``before`` bytes of other files, and the pickler's own error, which says what
        cannot be pickled. No file is left then.
        """
        from submitit.storage import payload

        timeout_min = self._timeout_min()
        for submission in submissions:
            submission.set_timeout(timeout_min, self.max_num_timeout)
        self._layout().make()
        return payload.write_payload(path, submissions, max_bytes=self._max_bytes(), before=before)

    def _write_shared(self, submissions: Sequence[DelayedSubmission]) -> Path:
        """A payload from which several jobs take these calls. Raises what ``_write_payload`` raises."""
        path = self._payload_path(names.unique_name())
        self._write_payload(path, submissions)
        return path

    def _submit_payload(self, path: Path) -> Job[Any]:
        """Send one job whose call is in the file ``path``, which is linked to ``<job_id>_submitted.pkl``."""
        self._throttle()
        self._last_job_submitted = time.time()
        job = self._send(path.stem)
        try:
            self._link_submitted(path, job)
        except BaseException:
            # It would wait for its pickle for a minute and fail.
            with contextlib.suppress(Exception):
                job.cancel(check=False)
            raise
        return job

    def _link_submitted(self, path: StrPath, job: Job[Any]) -> None:
        """Let the file of one call be found as ``<job_id>_submitted.pkl`` as well."""
        submitted = job.paths.submitted_pickle
        atomic.make_directory(submitted.parent)
        atomic.link_or_copy(path, submitted)

    def _send(self, uid: str) -> Job[Any]:
        """Send one job, with ``uid`` as the name of its script and payload."""
        token = _UID.set(uid)
        try:
            return self._submit_command(self._submitit_command_str)
        finally:
            _UID.reset(token)

    def _throttle(self) -> None:
        """Wait until the next submission is due."""
        # No longer than ever, should the clock have been set back meanwhile.
        pause = min(self._last_job_submitted + self._throttling - time.time(), self._throttling)
        if pause > 0:
            time.sleep(pause)

    def _submit_command(self, command: str) -> Job[Any]:
        """Send one job whose script runs ``command``, and return its handle.

        Raises ``SubmissionRefusedError`` with what the scheduler's command printed, and the script, if that fails; no script is
        left then.
        """
        uid = _UID.get() or names.unique_name()
        script = self._script_path(uid)
        atomic.make_directory(script.parent)
        text = self._make_submission_file_text(command, uid)
        atomic.write_text(script, text)
        try:
            job_id = self._get_job_id_from_submission_command(self._run(self._make_submission_command(script), script))
            job: Job[Any] = self.job_class(folder=self.folder, job_id=job_id, tasks=list(range(self._num_tasks())))
            self._write_job_id(job.job_id, uid)
        except SubmissionRefusedError as error:
            discard([script])
            raise SubmissionRefusedError(f"{str(error).strip()}{_SCRIPT_WAS}{_shown(text)}") from error.__cause__
        except BaseException:
            discard([script])
            raise
        try:
            folder = job.paths.folder
        except ValueError:  # an array as a whole has no folder where the elements' names hold their index
            folder = self._layout().root
        self._set_job_permissions(folder)
        return job

    def _run(self, command: list[str], script: Path) -> str:
        """What the command that sends ``script`` prints. It does not see what describes the job that this process is part of."""
        try:
            # Programs put a CommandFunction of 1.x's signature in place of ours, or one that knows less.
            place: dict[str, Any] = {}
            if (directory := environ.jobs_start_in()) is not None:
                place = {"cwd": directory, "env": environ.snapshot_variables()}
            with environ.outside_of_jobs():
                return commands.CommandFunction(command, verbose=False, **place)()
        except FailedSubmissionError:
            raise
        except FailedJobError as error:
            raise SubmissionRefusedError(str(error) or f"{command[0]} failed and said nothing") from error

    def _record(
        self, jobs: Sequence[Job[Any]], submissions: Sequence[DelayedSubmission], payload: StrPath | None = None
    ) -> None:
        """Note in the journal what was submitted; ``payload`` where the jobs find their calls there, by their order."""
        from submitit.executors import record

        record.append(self._layout(), self, jobs, submissions, payload)

    def _say_what_was_sent(self, jobs: Sequence[Job[Any]], count: int) -> None:
        if not jobs:
            return
        from submitit import log
        from submitit.executors import arrays

        ids = arrays.words(job.job_id for job in jobs)
        log.get_logger().error(
            "The submission ended after %d of %d jobs, which are in the queue: %s", len(jobs), count, ids
        )

    # ------------------------------------------------------------------ hooks

    @property
    def _submitit_command_str(self) -> str:
        """The command that runs a job of this executor, for the shell."""
        import shlex

        python = getattr(self, "python", None) or shlex.quote(sys.executable)
        return f"{python} -u -m submitit.core._submit {shlex.quote(str(self.folder))}"

    @abc.abstractmethod
    def _make_submission_file_text(self, command: str, uid: str) -> str:
        """The script of a job that runs ``command``; ``uid`` names this submission."""

    @abc.abstractmethod
    def _make_submission_command(self, submission_file_path: Path) -> list[str]:
        """The command that gives the script to the scheduler."""

    @staticmethod
    @abc.abstractmethod
    def _get_job_id_from_submission_command(string: bytes | str) -> str:
        """The job's id in what that command printed; ``FailedSubmissionError`` if there is none in it."""

    @abc.abstractmethod
    def _num_tasks(self) -> int:
        """How many tasks a job has with the present parameters."""

    def _write_job_id(self, job_id: str, uid: str) -> None:
        """Give the script its name. The old one stays as a link: a scheduler may read the script when the job starts."""
        JobPaths(self.folder, job_id=job_id).move_temporary_file(
            self._script_path(uid), "submission_file", keep_as_symlink=True
        )

    @staticmethod
    def _set_job_permissions(folder: Path) -> None:
        """Adjust who may read a new job's folder. Does nothing here."""

    # ------------------------------------------------------------------ what hooks are made of

    @staticmethod
    def _has_payload(uid: str) -> bool:
        """Whether the submission that ``uid`` names has a payload file. What a subclass sends by itself has none."""
        return _UID.get() == uid

    def _layout(self) -> Layout:
        return layout_of(self.folder)

    def _script_path(self, uid: str) -> Path:
        """Where the script lies until the job has an id."""
        return self._layout().root / f".submission_file_{uid}.sh"

    def _payload_path(self, uid: str) -> Path:
        """Where the payload of the submission that ``uid`` names lies."""
        return self._layout().payloads / f"{uid}.pkl"

    def _max_bytes(self) -> float:
        return self.max_pickle_size_gb * 2**30

    def _jobs_at_a_time(self) -> int | None:
        return int(self.parameters.get("array_parallelism") or _AT_A_TIME)

    def _timeout_min(self) -> float:
        """The time limit of the jobs, in minutes."""
        value = self.parameters.get(self._own_name("timeout_min"))
        try:
            return self._unlimited_min if value is None else float(value) if isinstance(value, str) else value
        except ValueError:
            return self._unlimited_min


#: Of a longer script an error shows the beginning and the end.
_SHOWN = 20_000


def _shown(text: str) -> str:
    if len(text) <= _SHOWN:
        return text
    half = _SHOWN // 2
    return f"{text[:half]}\n… ({len(text) - _SHOWN} characters are left out) …\n{text[-half:]}"


def words_of(refusal: SubmissionRefusedError) -> str:
    """What the scheduler's command said, without the script."""
    return str(refusal).partition(_SCRIPT_WAS)[0]


def discard(paths: Sequence[Path]) -> None:
    """Remove files of a submission that came to nothing."""
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()
