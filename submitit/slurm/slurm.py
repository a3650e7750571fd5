"""Submitting to Slurm, and the jobs that come of it."""

from __future__ import annotations

import copy
import functools
import inspect
import os
import shlex
import sys
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from submitit import commands, environ, log
from submitit.client.job import Job, R
from submitit.client.parameters import check_retry, without_markers
from submitit.errors import SubmissionRefusedError
from submitit.executors import arrays
from submitit.executors.pickling import PicklingExecutor, discard, words_of
from submitit.orchestrator import checkpoint
from submitit.orchestrator.sources import MarkerSource, marker_source
from submitit.orchestrator.state import JobState
from submitit.slurm import job_ids, queries, requeued, sbatch, shield
from submitit.slurm import parameters as parameters_
from submitit.slurm.environment import SlurmJobEnvironment
from submitit.slurm.job_ids import _expand_id_suffix, read_job_id
from submitit.slurm.nodelist import SlurmParseException, _parse_node_list
from submitit.slurm.parameters import SlurmParameters
from submitit.slurm.watcher import SlurmInfoWatcher
from submitit.storage import events, journal, names, paths, payload
from submitit.storage.paths import JobPaths

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from submitit.client.attempt import Attempt
    from submitit.client.parameters import EquivalenceDict
    from submitit.executors.arrays import Part
    from submitit.orchestrator import sources
    from submitit.orchestrator.sources import Source
    from submitit.slurm.waiting import Waiting
    from submitit.storage.submission import DelayedSubmission

__all__ = [
    "SlurmExecutor",
    "SlurmInfoWatcher",
    "SlurmJob",
    "SlurmJobEnvironment",
    "SlurmParseException",
    "_expand_id_suffix",
    "_get_default_parameters",
    "_make_sbatch_string",
    "_parse_node_list",
    "read_job_id",
]


#: So many jobs are cancelled by one command: their ids stay well below what the system allows in one word (128 KB).
_MOST_CANCELLED = 10_000


class SlurmJob(Job[R]):
    """A job on Slurm."""

    _cancel_command = "scancel"
    watcher = SlurmInfoWatcher(delay_s=600)

    #: The payload and the index in it, where this process submitted the job.
    _payload: tuple[str, int] | None = None
    _looked_up = False
    #: The job that took the place of this one, where Slurm had refused to requeue it.
    _successor: SlurmJob[R] | None = None

    @property
    def state(self) -> str:
        """Slurm's word for the job's state. Where the job's own markers tell as much, nobody is asked."""
        if self._successor is not None:
            return self._successor.state
        source = self._source()
        if self._cancelled or not isinstance(source, MarkerSource):
            return super().state
        source.refresh()
        known = self.watcher.get_state(self.job_id, mode="cache")
        attempt = source.attempt(self.job_id)
        if attempt is None or JobState.read(known).final:
            return super().state
        if attempt.exits.get("batch") == 0 and self._recorded():
            return "COMPLETED"
        if attempt.started and not attempt.exits and not attempt.terminated:
            return "RUNNING"
        return super().state

    def _last_state(self) -> str:
        if self._successor is not None:
            return self._successor._last_state()
        state = super()._last_state()
        word = JobState.read(state)
        if word not in (JobState.PENDING, JobState.UNKNOWN, JobState.COMPLETING) or self._events_path is None:
            return state
        attempt = marker_source(self._events_path).attempt(self.job_id)
        if attempt is None:
            return state
        if word is JobState.COMPLETING:
            return "COMPLETED" if self._ending is not None and attempt.exits.get("batch") == 0 else state
        return "RUNNING" if attempt.started and not attempt.exits and not attempt.terminated else state

    def _final_state(self) -> str:
        if self._successor is not None:
            return self._successor._final_state()
        if self._events_path is not None and not (self._ending and self._ending.state):
            attempt = marker_source(self._events_path).attempt(self.job_id)
            if attempt is not None and attempt.exits.get("batch") == 0:
                return "COMPLETED"  # without opening the results of thousands: a function that failed is an exit code
        return super()._final_state()

    def _source(self) -> Source | None:
        if self._events_path is None and not self._looked_up:
            self._looked_up = True
            layout = paths.layout_of(self.paths._folder)
            client = journal.find_client(layout, self.job_id)
            if client is not None:
                self._events_path = f"{layout.events}/{client}"
        return None if self._events_path is None else marker_source(self._events_path)

    def _payload_reference(self) -> tuple[str, int] | None:
        if self._payload is None:
            layout = paths.layout_of(self.paths._folder)
            found = journal.find_submission(layout, self.job_id)
            if found is not None and found.get("payload"):
                self._payload = (f"{layout.payloads}/{found['payload']}", journal.payload_index(found, self.job_id))
        return self._payload

    def _attempts(self) -> list[Attempt]:
        from submitit.slurm import history

        source = self._source()
        if source is not None:
            source.refresh()
        found = history.attempts(self, source if isinstance(source, MarkerSource) else None)
        if self._successor is not None:
            found += [attempt._replace(number=len(found) + attempt.number) for attempt in self._successor.attempts]
        return found

    # ---- where Slurm has refused another attempt

    def _goes_on_elsewhere(self, attempt: sources.Attempt) -> bool:
        if self._successor is None and self.watcher.is_done(self.job_id, mode="cache"):
            from submitit.slurm import successors

            found = successors.find(self, attempt)
            if found is None:
                return False
            if found:
                self._successor = cast("SlurmJob[R]", self._another(found, self.paths._folder, self._tasks))
        return True

    def _look(self, *, at_files: bool = False) -> bool:
        if self._successor is None or self._ending is not None:
            return super()._look(at_files=at_files)
        source = self._successor._source()
        if source is not None:
            source.refresh()
        if self._successor._look(at_files=True):
            from submitit.slurm import successors

            successors.adopt(self, self._successor)
            self._ending = self._successor._ending
            self._sighting = None
            self._let_go()
        return self._ending is not None

    def _suspicious(self) -> bool:
        waiting = self._successor is not None and self._ending is None
        return waiting or super()._suspicious()

    @property
    def _last(self) -> SlurmJob[R]:
        """The job that is not over as long as this one is not: itself, or what took its place."""
        return self if self._successor is None else self._successor._last

    def cancel(self, check: bool = True) -> None:
        if self._successor is None:
            super().cancel(check)
        else:
            self._successor.cancel(check)
            super()._note_cancelled()

    def _note_cancelled(self) -> None:
        super()._note_cancelled()
        if self._successor is not None:
            self._successor._note_cancelled()

    def _batch_log(self) -> str:
        return f"{paths.layout_of(self.paths._folder).batch}/{self.job_id}.log"

    def _array_id(self) -> str | None:
        array_id, _, index = self.job_id.partition("_")
        return array_id if index.isdecimal() else None

    @classmethod
    def _throttle_array(cls, array_id: str, parallelism: int, jobs: Sequence[Job[Any]]) -> None:
        """Tell slurmctld. ``RuntimeError`` if it refuses, but not where jobs have ended meanwhile."""
        try:
            commands.query(queries.throttle_command(array_id, parallelism), queries.environment(os.environ))
        except Exception as error:
            if not hasattr(error, "returncode"):  # scontrol did not answer
                raise
            words = queries.throttle_refusal(f"{_text_of(error, 'output')}\n{_text_of(error, 'stderr')}")
            if not words or (queries.is_unknown_job(words) and all(job.done() for job in jobs)):
                return
            raise RuntimeError(f"Slurm did not throttle array {array_id}: {words}") from error

    @classmethod
    def _cancel_all(cls, jobs: Sequence[Job[Any]], check: bool) -> None:
        """Tell slurmctld, of ten thousand jobs at a time: an array's are one word, but a word and a command have their limits."""
        if cls.cancel is not SlurmJob.cancel or cls._cancel_command != SlurmJob._cancel_command:
            super()._cancel_all(jobs, check)
            return
        jobs = [job for job in jobs if job._ending is None]
        refused: Exception | None = None
        for first in range(0, len(jobs), _MOST_CANCELLED):
            some = jobs[first : first + _MOST_CANCELLED]
            ids = [job._last.job_id for job in some]  # type: ignore[attr-defined]  # job_class is a SlurmJob
            try:
                commands.call(["scancel", *job_ids.ranges(ids)], check=check)
            except Exception as error:  # noqa: BLE001 - raised below
                refused = refused or error
                continue
            for job in some:
                job._note_cancelled()
        if refused is not None:
            raise refused

    def _hasten(self, attempt: int, info: dict[str, str]) -> bool:
        return requeued.start_soon(self._events_path or "", self.job_id, attempt, info)

    def _interrupt(self, timeout: bool = False) -> None:
        """Send what a preemption sends (SIGTERM, then the user signal), or with ``timeout`` what a time-out sends first.

        For trying out a checkpoint.
        """
        signals = [SlurmJobEnvironment.USR_SIG] if timeout else ["SIGTERM", SlurmJobEnvironment.USR_SIG]
        for name in signals:
            commands.call(["scancel", self.job_id, "--signal", name])
            # Without srun there is no step, and the script passes on what it gets; with srun it does nothing.
            commands.call(["scancel", self.job_id, "--signal", name, "--batch"])


class SlurmExecutor(PicklingExecutor):
    """Submits to Slurm, with the parameters that ``SlurmParameters`` lists.

    Every other long option of sbatch is a parameter as well, ``_`` for ``-`` (``reservation``, ``nice``, ``requeue``; those of a
    site's plugins too, where sbatch is). ``gpus_as_gres=True`` asks for ``gpus_per_node`` by ``--gres=gpu:N``.

    Raises ``RuntimeError`` where there is no srun on PATH.

    Parameters
    ----------
    folder: Path or str
        where the jobs' files go, on a file system that the nodes share; ``%j`` in it is the job's id
    max_num_timeout: int
        how many times a checkpointable function that ran out of time is requeued
    max_pickle_size_gb: float
        the largest payload that is sent
    python: str, optional
        the shell command that starts the job's Python; default: this interpreter
    """

    job_class: type[Job[Any]] = SlurmJob

    _takes_dependencies = True

    #: The payload that is being sent, and the place in it of the call of index 0 of this array, were there one.
    _part: tuple[Path, int] | None = None
    #: The name of the next submission, where it has to be known before.
    _token: str | None = None

    def __init__(
        self,
        folder: str | os.PathLike[str],
        max_num_timeout: int = 3,
        max_pickle_size_gb: float = 1.0,
        python: str | None = None,
    ) -> None:
        super().__init__(folder, max_num_timeout=max_num_timeout, max_pickle_size_gb=max_pickle_size_gb)
        self.python = shlex.quote(sys.executable) if python is None else python
        if not self.affinity() > 0:
            raise RuntimeError('Could not detect "srun", are you indeed on a slurm cluster?')

    @classmethod
    def affinity(cls) -> int:
        """2 where there is an ``srun`` on PATH, -1 elsewhere."""
        return -1 if commands.which("srun") is None else 2

    @classmethod
    def _equivalence_dict(cls) -> EquivalenceDict:
        return cast("EquivalenceDict", dict(parameters_.EQUIVALENTS))

    @classmethod
    def _valid_parameters(cls) -> set[str]:
        return set(_get_default_parameters())

    @classmethod
    def _takes_parameter(cls, name: str) -> bool:
        """Every long option of sbatch is a parameter; ``ValueError`` for one that is refused, with the reason."""
        return name in cls._valid_parameters() or name in parameters_.EXECUTORS_OWN or _is_option(name)

    @classmethod
    def _parameter_names(cls) -> set[str]:
        from submitit.slurm import options

        names = cls._valid_parameters() | set(parameters_.EXECUTORS_OWN)
        return names | set(options.OPTIONS) - set(options.REFUSED) | _options_of_sbatch()

    def _convert_parameters(self, params: dict[str, Any]) -> dict[str, Any]:
        return parameters_.convert(params)

    def _internal_update_parameters(self, **kwargs: Any) -> None:
        """Check names and values, and keep them. Raises ``ValueError`` for an unknown name, with all that are known."""
        defaults = {**_get_default_parameters(), **parameters_.EXECUTORS_OWN}
        kwargs = parameters_.joined(without_markers(kwargs))
        if "mem" not in kwargs and "mem_gb" in kwargs:
            kwargs.update(parameters_.convert({"mem_gb": kwargs.pop("mem_gb")}))
        if further := {name: value for name, value in kwargs.items() if name not in defaults}:
            kwargs.update(self._check_options(further, defaults))
        check_retry(kwargs.get("retry"))
        parameters_.check_values(kwargs)
        parameters_.check_forms(kwargs)
        super()._internal_update_parameters(**kwargs)

    def _check_options(self, given: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
        """Check what is to be an option of sbatch; return what it unsets."""
        from submitit.slurm import options

        # They reach the script by additional_parameters: a function that took its place may have none.
        carried = "additional_parameters" in defaults
        unknown = [name for name in given if not carried or not _is_option(name)]
        parameters_.check_names(unknown, defaults, defaults, further=self._parameter_names)
        for name, value in given.items():
            options.check(name, value)
        return options.replaced(given)

    # ---- submitting

    def _internal_process_submissions(self, delayed_submissions: list[DelayedSubmission]) -> list[Job[Any]]:
        """One payload file, and one script and call of sbatch for as many submissions as Slurm takes as one array.

        Several submissions wait for room in the queue, a single one does not. If this fails, those that were sent are in the
        queue, in the journal and named in a log record; if none was, no file is left.
        """
        count = len(delayed_submissions)
        file = self._payload_path(self._token or names.unique_name())
        waiting = self._waiting(delayed_submissions)
        if waiting is not None:
            waiting.demand(delayed_submissions)
        self._write_payload(file, delayed_submissions)
        events.EventDirectory(self._events_path()).make()
        jobs: list[Job[Any]] = []
        from submitit.executors import record

        def send(part: Part, largest: int) -> None:
            sender = self if count == 1 else self._sender(file, part, largest, count)
            if waiting is not None:
                sender = waiting.sender(sender, part)
            # From here on a job may exist, and has to be noted.
            with shield.held():
                first = sender._send(names.unique_name() if jobs else file.stem)
                self._last_job_submitted = time.time()
                submissions = delayed_submissions[part.first : part.stop]
                index = part.first - sender._part[1] if sender._part else 0
                sent = self._handles(first, sender.parameters.get("map_count"), file, part.first, submissions, index)
                jobs.extend(sent)
                if count == 1:
                    try:
                        self._link_submitted(file, first)
                    except OSError as error:  # the job is in the queue and has its payload
                        log.get_logger().warning("Could not link the pickle of job %s: %s", first.job_id, error)
                waits = None if waiting is None else waiting.waits[part.first : part.stop]
                for job, each in zip(sent, waits or (), strict=bool(waits)):
                    for upstream in (*each.ok, *each.own):
                        marker_source(self._events_path()).follow(job.job_id, upstream.job_id)
                record.append(self._layout(), self, sent, submissions, file, part.first, waits)

        try:
            self._throttle()
            if count == 1:
                send(arrays.Part(0, 1), 0)
            elif waiting is None:
                from submitit.slurm import sending

                sending.in_parts(count, send)
            else:
                waiting.send(send, self._throttle)
        except BaseException as error:
            self._say_what_was_sent(jobs, count)
            if not jobs:
                discard([file])
            if isinstance(error, SubmissionRefusedError):
                from submitit.slurm import limits

                if advice := limits.advice(words_of(error), single=count == 1):
                    raise SubmissionRefusedError(f"{error}\n\n{advice}") from error.__cause__
            raise
        return jobs

    def _sender(self, file: Path, part: Part, largest: int, count: int) -> SlurmExecutor:
        """An executor like this one that sends a part of ``count`` submissions, as an array of at most ``largest`` elements."""
        sender = copy.copy(self)
        sender._part = (file, part.first)
        if largest:
            sender.parameters = {**self.parameters, "map_count": part.size}
            number = -(-count // largest)
            if number > 1:  # the arrays of one list share what is meant for it
                defaults = _get_default_parameters()
                parallelism = self.parameters.get("array_parallelism", defaults.get("array_parallelism", number))
                if parallelism is not None:
                    sender.parameters["array_parallelism"] = max(1, int(parallelism) // number)
        return sender

    def _waiting(self, submissions: list[DelayedSubmission]) -> Waiting | None:
        """What these calls wait for; ``None`` if none waits."""
        waits = self._taken_dependencies(submissions)
        if waits is None:
            return None
        from submitit.slurm.waiting import Waiting

        return Waiting(waits, self.job_class)

    def _dry_sender(self, submission: DelayedSubmission) -> SlurmExecutor:
        waiting = self._waiting([submission])
        return self if waiting is None else waiting.sender(self, arrays.Part(0, 1))

    def _handles(
        self,
        first: Job[Any],
        elements: int | None,
        file: Path,
        index: int,
        submissions: list[DelayedSubmission],
        first_index: int = 0,
    ) -> list[Job[Any]]:
        """The jobs of what was sent, ``first`` being the whole; the payload has their calls from ``index`` on.

        The elements of an array are numbered from ``first_index`` on.
        """
        ids = [first.job_id]
        if elements is not None:
            first.watcher._registered.discard(first.job_id)
            ids = arrays.element_ids(first.job_id, elements, first_index)
        ranks = tuple(range(first.num_tasks))
        events_path, payload_file = self._events_path(), os.fspath(file)
        jobs: list[Job[Any]] = []
        for place, job_id in enumerate(ids):
            job = first if elements is None else self.job_class(folder=self.folder, job_id=job_id, tasks=ranks)
            for handle in (job, *job._sub_jobs):
                handle._events_path = events_path
                handle._payload = (payload_file, index + place)  # type: ignore[attr-defined]  # job_class is a SlurmJob
                handle._submitted_here = True
                handle._checkpointable = checkpoint.is_checkpointable(submissions[place])
            jobs.append(job)
        return jobs

    def _run(self, command: list[str], script: Path) -> str:
        """What sbatch prints. A refusal that may not last is followed by other attempts, see ``attempts``."""

        def attempt() -> str:
            with commands.time_limit(commands.SUBMISSION_TIMEOUT_S):
                return super(SlurmExecutor, self)._run(command, script)

        try:
            return attempt()
        except (SubmissionRefusedError, TimeoutError) as error:
            from submitit.slurm import attempts

            return attempts.again(error, attempt, script.name, script.read_text(errors="replace"))

    def _events_path(self) -> str:
        return os.fspath(self._layout().events / names.client_name())

    def _write_job_id(self, job_id: str, uid: str) -> None:
        """Give the script its name; slurmctld has a copy of its own."""
        folder = self._layout().root if "%a" in os.fspath(self.folder) else self.folder
        JobPaths(folder, job_id=job_id).move_temporary_file(self._script_path(uid), "submission_file")

    def _make_submission_file_text(self, command: str, uid: str) -> str:
        text = _make_sbatch_string(command=command, folder=self.folder, **self._script_parameters())
        retry = self.parameters.get("retry")
        if retry is not None and self._has_payload(uid):
            import json

            policy = shlex.quote(json.dumps(retry.plain()))
            text = sbatch.with_retry(
                text, policy, f"{self.python} -u -m submitit.slurm.again {shlex.quote(str(self.folder))}"
            )
        if self.python != shlex.quote(sys.executable):
            text = sbatch.with_python_check(text, self.python)
        if not self._has_payload(uid):
            return text  # a subclass sends by itself, and its job waits for the pickle
        file, first = self._part or (self._payload_path(uid), 0)
        is_array = "map_count" in self.parameters
        reference = payload.reference(file, 0 if is_array else first)
        exports = {
            "SUBMITIT_PAYLOAD": sbatch.payload_word(reference, array=is_array, first=first),
            "SUBMITIT_EVENTS": shlex.quote(self._events_path()),
        }
        if "SUBMITIT_PREEMPT_SIGNAL" in os.environ:  # --export may keep it from the job, whose script uses it
            exports["SUBMITIT_PREEMPT_SIGNAL"] = shlex.quote(SlurmJobEnvironment.USR_SIG)
        if import_path := environ.import_path():
            exports["SUBMITIT_IMPORT_PATH"] = shlex.quote(import_path)
        exports.update({name: shlex.quote(value) for name, value in environ.snapshot_variables().items()})
        return sbatch.with_exports(text, exports)

    def _script_parameters(self) -> dict[str, Any]:
        """The parameters as ``_make_sbatch_string`` takes them, or whatever function of 1.x's signature is in its place."""
        given = dict(self.parameters)
        if type(self)._num_tasks is SlurmExecutor._num_tasks:
            parameters_.num_tasks(given)  # raises now what it would raise when the job is in the queue
        # A switch that is neither on nor off is as it was by default.
        unset = {name for name in parameters_.SWITCHES if given.get(name, False) is None}
        for name in (*parameters_.EXECUTORS_OWN, *unset):
            given.pop(name, None)
        if self.parameters.get("gpus_as_gres"):
            given = parameters_.gpus_as_gres(given)
        known = {*_get_default_parameters(), "map_count"}
        further = {name: given.pop(name) for name in list(given) if name not in known and _is_option(name)}
        if further:
            from submitit.slurm import options

            additional = given.get("additional_parameters") or {}
            given["additional_parameters"] = {**options.rendered(further), **additional}
        return given

    def _timeout_min(self) -> float:
        time_limit = self.parameters.get("time", _get_default_parameters().get("time"))
        time_limit = (self.parameters.get("additional_parameters") or {}).get("time", time_limit)
        minutes = parameters_.time_limit_min(time_limit)
        return self._unlimited_min if minutes is None else minutes

    def _num_tasks(self) -> int:
        return parameters_.num_tasks(self.parameters)

    def _make_submission_command(self, submission_file_path: Path) -> list[str]:
        return ["sbatch", str(submission_file_path)]

    @staticmethod
    def _get_job_id_from_submission_command(string: bytes | str) -> str:
        return queries.parse_sbatch(string).job_id


def _is_option(name: str) -> bool:
    """Whether a parameter is an option of sbatch; ``ValueError`` for one that cannot be. sbatch is asked if the table has none."""
    from submitit.slurm import options

    if (reason := options.reason_against(name)) is not None:
        raise ValueError(reason)
    return name in options.OPTIONS or name in _options_of_sbatch()


def _text_of(error: Exception, stream: str) -> str:
    text: str | bytes = getattr(error, stream, None) or ""
    return text if isinstance(text, str) else text.decode("utf-8", errors="replace")


@functools.cache
def _options_of_sbatch() -> frozenset[str]:
    """The options that the sbatch of this machine names; none where it cannot be asked."""
    from submitit.slurm import options

    if commands.which("sbatch") is None:  # nor where somebody's test suite answers in its place
        return frozenset()
    try:
        return options.read_help(commands.query(["sbatch", "--help"])) - set(options.REFUSED)
    except Exception:  # noqa: BLE001 - no sbatch, no configuration, what stands in for it
        return frozenset()


@functools.cache
def _get_default_parameters() -> dict[str, Any]:
    """The names of all parameters, with their defaults.

    Those of a function that a program has put in the place of ours; if that one takes whatever comes, ours as well.
    """
    given = inspect.signature(_make_sbatch_string).parameters
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in given.values()):
        given = MappingProxyType({**_PARAMETERS, **given})
    return {
        name: parameter.default
        for name, parameter in given.items()
        if parameter.default is not inspect.Parameter.empty and name != "map_count"
    }


def _make_sbatch_string(
    command: str,
    folder: str | os.PathLike[str],
    job_name: str | None = "submitit",
    partition: str | None = None,
    time: int | str | None = 5,
    nodes: int | str | None = 1,
    ntasks_per_node: int | str | None = None,
    cpus_per_task: int | str | None = None,
    cpus_per_gpu: int | str | None = None,
    num_gpus: int | str | None = None,  # old name of gpus_per_node
    gpus_per_node: int | str | None = None,
    gpus_per_task: int | str | None = None,
    qos: str | None = None,
    setup: Iterable[str] | None = None,
    teardown: Iterable[str] | None = None,
    mem: str | None = None,
    mem_per_gpu: str | None = None,
    mem_per_cpu: str | None = None,
    signal_delay_s: int | None = 90,
    comment: str | None = None,
    constraint: str | None = None,
    exclude: str | None = None,
    account: str | None = None,
    gres: str | None = None,
    mail_type: str | None = None,
    mail_user: str | None = None,
    nodelist: str | None = None,
    dependency: str | None = None,
    exclusive: bool | str | None = None,
    array_parallelism: int | None = 256,
    wckey: str | None = "submitit",
    stderr_to_stdout: bool = False,
    map_count: int | None = None,
    additional_parameters: dict[str, Any] | None = None,
    srun_args: Iterable[str] | None = None,
    use_srun: bool = True,
) -> str:
    """The batch script that runs ``command``; ``map_count`` is the number of elements of an array.

    A plain function whose arguments are the parameters, looked up here at each submission: programs read its signature, and
    put another in its place.
    """
    given = locals()
    values = SlurmParameters(**{name: given[name] for name in SlurmParameters._fields})
    values = parameters_.resolve(values)
    user_signal = SlurmJobEnvironment.USR_SIG
    warning = sbatch.signal_option(user_signal, signal_delay_s, batch_shell=not use_srun)
    return sbatch.make(
        command,
        os.fspath(folder),
        parameters_.flags(values, signal=warning, map_count=map_count),
        array=map_count is not None,
        setup=setup,
        teardown=teardown,
        srun_args=srun_args or (),
        cpus_per_task=cpus_per_task,
        use_srun=use_srun,
        stderr_to_stdout=stderr_to_stdout,
        user_signal=user_signal,
    )


_PARAMETERS = inspect.signature(_make_sbatch_string).parameters
