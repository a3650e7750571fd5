"""The local backend as a user sees it: an executor whose jobs run on this machine, and their handles.

::

    submit ─ payload ─ id reserved ─ Connection ─▶ controller ─▶ tasks
      LocalJob(folder, id) ◀─┘           ▲             │
        state, done, wait ───────────────┴── records ──┘        of another process's jobs: journals
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from submitit import environ
from submitit.client.parameters import check_retry, without_markers
from submitit.executors import foreign_python
from submitit.executors.pickling import PicklingExecutor, discard
from submitit.local.environment import LOCAL_REQUEUE_RETURN_CODE, LocalJobEnvironment
from submitit.local.job import LocalJob
from submitit.local.version_1 import start_controller
from submitit.local.watcher import LocalInfoWatcher
from submitit.storage import atomic, names
from submitit.storage.paths import tagless_root

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from submitit.client.dry_run import DryRun
    from submitit.client.executor import P
    from submitit.client.job import Job, R
    from submitit.local.protocol import Launch
    from submitit.orchestrator.dependencies import Waits
    from submitit.storage.submission import DelayedSubmission

__all__ = [
    "LOCAL_REQUEUE_RETURN_CODE",
    "LocalExecutor",
    "LocalInfoWatcher",
    "LocalJob",
    "LocalJobEnvironment",
    "start_controller",
]

#: Minutes of a job that was given no limit (``timeout_min=submitit.UNSET``).
_UNLIMITED_MIN = 10.0 * 365 * 24 * 60
#: What this process has been warned about: sizes of jobs that are larger than the machine.
_warned_about: set[str] = set()


class LocalExecutor(PicklingExecutor):
    """Runs functions as jobs on this machine, as many at a time as there is room for.

    Each job is one process a task. A controller of this process's own starts them: what fits runs, what does not waits. Jobs
    outlive this process. ``python`` is a shell command to use instead of this interpreter.

    Parameters (in ``AutoExecutor`` prefixed by ``local_``, but for the generic ones): ``timeout_min`` (2.0, from the job's
    start), ``tasks_per_node`` (1), ``cpus_per_task`` (1), ``gpus_per_node`` (0), ``mem_gb`` (0),
    ``visible_gpus`` (the GPUs to choose from; those of ``CUDA_VISIBLE_DEVICES``, by default all),
    ``signal_delay_s`` (30: how long before the end the job is asked to save its state), ``stderr_to_stdout``, ``setup``
    (lines of shell before the command), ``max_cpus`` (how many CPUs may be in use, the job's included, for it to start; the
    machine's), ``max_jobs`` (how many jobs of this process may run then, the job included), ``array_parallelism`` (how many jobs
    of an array run at a time), ``preload`` (names of modules that are loaded once, in the process from which the tasks are
    forked), ``retry`` (what to do about failures, see ``submitit.Retry``).

    No two jobs of this user and machine have a GPU in common, whichever process submitted them; a job's GPUs are those of the
    jobs that it submits in its turn. Where no GPU can be found, jobs that ask for some are told the first numbers and do not wait.
    ``mem_gb`` is what a job counts for, not a limit on what it uses.
    """

    job_class = LocalJob
    _takes_dependencies = True

    def __init__(
        self,
        folder: str | os.PathLike[str],
        max_num_timeout: int = 3,
        max_pickle_size_gb: float = 1.0,
        python: str | None = None,
    ) -> None:
        super().__init__(folder, max_num_timeout=max_num_timeout, max_pickle_size_gb=max_pickle_size_gb)
        self.python = shlex.quote(sys.executable) if python is None else python

    @classmethod
    def _valid_parameters(cls) -> set[str]:
        names = {"array_parallelism", "max_cpus", "max_jobs", "preload", "setup", "signal_delay_s", "visible_gpus"}
        return names | {"retry"}

    def _internal_update_parameters(self, **kwargs: Any) -> None:
        """Keep parameters; ``ValueError`` for what this machine cannot give."""
        kwargs = without_markers(kwargs)
        if (kwargs.get("nodes") or 1) > 1:
            raise ValueError("LocalExecutor can use only one node. Use nodes=1")
        check_retry(kwargs.get("retry"))
        merged = {**self.parameters, **kwargs}
        gpus = merged.get("gpus_per_node") or 0
        visible = merged.get("visible_gpus")
        if "visible_gpus" in kwargs and visible is not None:
            if not isinstance(visible, Sequence):
                raise ValueError(f"Provided visible_gpus={visible} is not an instance of Sequence.")
            if not all(isinstance(gpu, int) for gpu in visible):
                raise ValueError(f"Provided visible_gpus={visible} contains an element that is not an int.")
        if visible is not None and int(gpus) > len(visible):
            raise ValueError(f"{gpus} gpus requested, but only {visible} were specified visible.")
        memory = kwargs.get("mem_gb")
        if memory is not None and not (isinstance(memory, (int, float)) and 0 <= memory < float("inf")):
            raise ValueError(f"mem_gb has to be a number of gigabytes, not {memory!r}")
        for name in ("max_cpus", "max_jobs", "array_parallelism"):
            if kwargs.get(name) is not None and not (isinstance(kwargs[name], int) and kwargs[name] > 0):
                raise ValueError(f"{name} has to be a positive number, not {kwargs[name]!r}")
        names = kwargs.get("preload")
        if names is not None and (isinstance(names, str) or not all(isinstance(name, str) for name in names)):
            raise ValueError(f"preload has to be a list of names of modules, not {names!r}")
        super()._internal_update_parameters(**kwargs)

    # ---- submitting

    def dry_run(self, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> DryRun:
        """What each task of the job would run: a command, or lines of shell with it. The call is pickled as a check."""
        from submitit.client.dry_run import DryRun
        from submitit.storage.submission import DelayedSubmission

        super().dry_run(fn, *args, **kwargs)
        launch = self._launch(self._submitit_command_str)
        call = DelayedSubmission(fn, *args, **kwargs)
        self._attach_dependencies([call])
        waits = self._taken_dependencies([call])
        lines = [] if waits is None else [f"# {waits[0]}"]
        if launch.shell:
            text = "\n".join([*lines, launch.command[0]])
            return DryRun(text, ["bash", "-c", text])
        return DryRun("\n".join(lines), launch.command)

    def _internal_process_submissions(self, delayed_submissions: list[DelayedSubmission]) -> list[Job[Any]]:
        """Queue the calls, all or none: one payload for all, and a job for each."""
        path = self._payload_path(names.unique_name())
        waits = self._taken_dependencies(delayed_submissions)
        self._write_payload(path, delayed_submissions)
        single = len(delayed_submissions) == 1
        try:
            job_ids = self._reserve(len(delayed_submissions), path if single else None)
            jobs = self._queue(
                self._submitit_command_str, [(job_id, f"{path}#{k}") for k, job_id in enumerate(job_ids)], waits
            )
        except BaseException:
            discard([path])
            raise
        name = str(path)
        for index, job in enumerate(jobs):
            if isinstance(job, LocalJob):
                job._payload = (name, index)
        self._record(jobs, delayed_submissions, path, waits)
        return jobs

    def _submit_command(self, command: str) -> Job[Any]:
        """Queue one job that runs ``command`` and finds its call in ``<job_id>_submitted.pkl``."""
        from submitit.local import ids

        self._layout().make()
        return self._queue(command, [(job_id, None) for job_id in ids.reserve(self.folder, 1)])[0]

    def _reserve(self, count: int, single: Path | None) -> list[str]:
        from submitit.local import ids
        from submitit.storage.paths import JobPaths

        while True:
            job_ids = ids.reserve(self.folder, count)
            if single is None:
                return job_ids
            # Both the claim and the link fail where the id exists.
            with contextlib.suppress(FileExistsError):
                submitted = JobPaths(self.folder, job_ids[0]).locate("submitted_pickle")
                atomic.link_or_copy(single, submitted, exclusive=True)
                return job_ids

    def _queue(
        self, command: str, jobs: list[tuple[str, str | None]], waits: Sequence[Waits] | None = None
    ) -> list[Job[Any]]:
        from submitit.local import connection

        launch = self._launch(command)
        self._warn_about(launch)
        after = None
        if waits is not None:
            from submitit.local import dependencies

            after = dependencies.after([job_id for job_id, _ in jobs], waits)
        connection.connection().submit(tagless_root(self.folder), launch, jobs, after)
        # A string, since what thousands of jobs have in common is not made again for each; so are the ranks.
        folder, tasks = str(self.folder), tuple(range(launch.tasks))
        made: list[Job[Any]] = [self.job_class(folder=folder, job_id=job_id, tasks=tasks) for job_id, _ in jobs]
        if type(self)._set_job_permissions is not PicklingExecutor._set_job_permissions:
            for job in made:
                self._set_job_permissions(job.paths.folder)
        return made

    def _launch(self, command: str) -> Launch:
        """How to start the tasks of a job with the present parameters."""
        from submitit.local import processes, resources
        from submitit.local.protocol import Launch, user_signal

        given = {name: value for name, value in self.parameters.items() if value is not None}
        env = _submitters_environment()
        gpus = int(given.get("gpus_per_node", 0))
        visible: list[str] = []
        if gpus:
            visible = list(dict.fromkeys(map(str, given.get("visible_gpus") or resources.visible_gpus(env))))
        setup = given.get("setup") or []
        lines = [setup] if isinstance(setup, str) else list(setup)
        if self.python != shlex.quote(sys.executable):
            lines.append(foreign_python.check(self.python))
        words, shell = _command(command, self._default_words(), lines)
        return Launch(
            folder=str(self.folder),
            command=words,
            shell=shell,
            cwd=_working_directory(),
            env={**env, "SUBMITIT_IMPORT_PATH": environ.import_path(), **environ.snapshot_variables()},
            umask=processes.current_umask(),
            limits=processes.limits(),
            tasks=self._num_tasks(),
            cpus=max(1, int(given.get("cpus_per_task", 1)) * self._num_tasks()),
            max_cpus=given.get("max_cpus"),
            max_jobs=given.get("max_jobs"),
            parallelism=given.get("array_parallelism"),
            mem_gb=float(given.get("mem_gb", 0)),
            gpus=gpus,
            visible_gpus=visible or list(map(str, range(gpus))),
            lease_gpus=bool(visible),
            timeout_s=self._timeout_min() * 60,
            signal_delay_s=float(given.get("signal_delay_s", 30)),
            user_signal=user_signal(os.environ),
            stderr_to_stdout=bool(given.get("stderr_to_stdout", False)),
            preload=list(given.get("preload") or ()),
            retry=given["retry"].plain() if "retry" in given else None,
        )

    def _default_words(self) -> list[str]:
        from submitit.local import tasks

        return tasks.default_words(sys.executable, str(self.folder))

    def _concurrency(self) -> int:
        return self._jobs_at_a_time()

    def _jobs_at_a_time(self) -> int:
        """As many as there is room for, if nothing else runs."""
        from submitit.local import resources

        given = {name: value for name, value in self.parameters.items() if value is not None}
        cpus = given.get("max_cpus") or resources.available_cpus()
        room: list[int] = [cpus // max(1, int(given.get("cpus_per_task", 1)) * self._num_tasks())]
        room += [int(given[name]) for name in ("max_jobs", "array_parallelism") if name in given]
        memory = resources.available_memory() if given.get("mem_gb") else None
        if memory is not None:
            room.append(int(memory / (given["mem_gb"] * 2**30)))
        if given.get("gpus_per_node"):
            visible = given.get("visible_gpus") or resources.visible_gpus(dict(os.environ))
            room.append(len(visible) // int(given["gpus_per_node"]) if visible else room[0])
        return max(1, min(room))

    def _timeout_min(self) -> float:
        value = self.parameters.get("timeout_min", 2.0)
        return _UNLIMITED_MIN if value is None else float(value)

    @staticmethod
    def _warn_about(launch: Launch) -> None:
        """Say, once for each size, what the job asks for more of than there is, and that nobody is kept off its GPUs."""
        if launch.cpus == 1 and not launch.mem_gb and not launch.gpus:
            return  # there is room for that everywhere; finding out how much takes longer than the rest of a submission
        from submitit.local import leases, resources, scheduler

        memory = resources.available_memory() if launch.mem_gb else None
        excess = scheduler.excess(scheduler.Request.of(launch), scheduler.Capacity(resources.available_cpus(), memory))
        if not excess and not launch.lease_gpus:
            return
        from submitit import log

        sizes = {
            "cpus": f"{launch.cpus} CPUs (cpus_per_task x tasks_per_node), more than there are to have",
            "memory": f"{launch.mem_gb:g} GB of memory (mem_gb), more than there is to have",
            "gpus": f"{launch.gpus} GPUs (gpus_per_node), more than there are to have ({','.join(launch.visible_gpus)})",
        }
        warnings = [f"A job asks for {sizes[name]}: it will run alone." for name in excess]
        if launch.lease_gpus:
            try:
                leases.make_directory(os.environ)
            except OSError as error:
                warnings.append(f"Other processes may use the GPUs of these jobs at the same time: {error}")
        for text in warnings:
            if text not in _warned_about:
                _warned_about.add(text)
                log.get_logger().warning(text)

    def _record(
        self,
        jobs: Sequence[Job[Any]],
        submissions: Sequence[DelayedSubmission],
        payload: str | os.PathLike[str] | None = None,
        waits: Sequence[Waits] | None = None,
    ) -> None:
        """One record for all jobs of a call, whose order is that of the payload."""
        from submitit.executors import record
        from submitit.storage import registry
        from submitit.storage.journal import Journal

        registry.note(tagless_root(self.folder))
        line = record.records(self, jobs[:1], submissions[:1], payload)[0]
        line["jobs"] = [job.job_id for job in jobs]
        if waits is not None:
            from submitit.orchestrator import dependencies

            line.update(dependencies.noted(waits, line["folder"]))
        try:
            Journal(self._layout().locate(f"journal/{names.client_name()}.jsonl")).append(line)
        except OSError as error:
            from submitit import log

            log.get_logger().warning("Could not write the journal of %s: %s", self._layout().root, error)

    # ---- the hooks of a backend that sends scripts

    def _num_tasks(self) -> int:
        return int(self.parameters.get("tasks_per_node") or 1)

    def _make_submission_file_text(self, command: str, uid: str) -> str:
        return ""

    def _make_submission_command(self, submission_file_path: Path) -> list[str]:
        return []

    @staticmethod
    def _get_job_id_from_submission_command(string: bytes | str) -> str:  # noqa: ARG004 - a hook's signature
        return "0"


def _command(command: str, default: list[str], lines: Sequence[str]) -> tuple[list[str], bool]:
    """The words of a job's command, or a text for the shell (and ``True``) where lines come first or it is not the default."""
    if command != shlex.join(default):
        return ["\n".join([*lines, command])], True
    if lines:
        # The runner takes the shell's place, and gets the signals that are meant for it.
        return ["\n".join([*lines, f"exec {command}"])], True
    return default, False


def _submitters_environment() -> dict[str, str]:
    """This process's variables, less what describes the job that it may be part of.

    What Slurm says of an allocation stays: the job runs in it.
    """
    if not environ.inside_a_job(os.environ):
        return dict(os.environ)
    from submitit.local import tasks

    slurm = ("SLURM", "SRUN_", "SBATCH_", "PMI")
    kept = {name: value for name, value in os.environ.items() if name.startswith(slurm) or not environ.inherited(name)}
    if not kept.get("CUDA_VISIBLE_DEVICES") and tasks.VISIBLE_GPUS in os.environ:
        kept["CUDA_VISIBLE_DEVICES"] = os.environ[tasks.VISIBLE_GPUS]
    return kept


def _working_directory() -> str:
    try:
        return environ.jobs_start_in() or os.getcwd()
    except FileNotFoundError as error:
        raise FileNotFoundError(
            error.errno, "The working directory of this process was deleted, and jobs are to start in it"
        ) from error
