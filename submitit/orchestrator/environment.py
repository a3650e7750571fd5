"""What a running job can know of itself: its id, its ranks, its nodes."""

from __future__ import annotations

import os

from submitit.storage.paths import JobPaths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, ClassVar

    from submitit.orchestrator.interruption import Interruption
    from submitit.storage.submission import DelayedSubmission

_PREEMPT_SIG_ENV = "SUBMITIT_PREEMPT_SIGNAL"


class JobEnvironment:
    """The environment of the job that this process belongs to.

    ``JobEnvironment()`` gives an instance of the active backend's class; outside a job it raises ``RuntimeError`` naming the
    environments that were looked for. A backend subclasses it and names in ``_env`` the variables that its jobs have.
    """

    _env: ClassVar[dict[str, str]] = {}
    #: The signal that asks a job to save its state, without its "SIG".
    USR_SIG = os.environ.get(_PREEMPT_SIG_ENV, "USR2")

    def __new__(cls, *_args: Any) -> JobEnvironment:
        if cls is not JobEnvironment:
            return super().__new__(cls)
        from submitit import plugins

        found: JobEnvironment = plugins.get_job_environment()
        return found

    def __init__(self) -> None:
        # unpickling and plugins make instances without arguments: there is nothing to keep
        pass

    @classmethod
    def name(cls) -> str:
        """The backend's name: the class's without its suffix, in lower case."""
        suffix = "JobEnvironment"
        return (cls.__name__.removesuffix(suffix)).lower()

    def activated(self) -> bool:
        """Whether this process belongs to a job of this backend."""
        named = os.environ.get("SUBMITIT_EXECUTOR")
        if named is not None:
            return named == self.name()
        return self._env.get("job_id", "") in os.environ

    @property
    def paths(self) -> JobPaths:
        """Where the files of this task lie."""
        return JobPaths(os.environ["SUBMITIT_FOLDER"], job_id=self.job_id, task_id=self.global_rank)

    @property
    def hostname(self) -> str:
        """The name of the node that this process runs on."""
        return os.uname().nodename

    @property
    def hostnames(self) -> Sequence[str]:
        """The names of all nodes of the job, the first rank's first."""
        return [self.hostname]

    @property
    def job_id(self) -> str:
        """The id that the client's job has: ``"12"``, or ``"12_3"`` for element 3 of array 12."""
        if self.array_job_id:
            return f"{self.array_job_id}_{self.array_task_id}"
        return self.raw_job_id

    @property
    def raw_job_id(self) -> str:
        """The scheduler's own id of the job, which for an element of an array is not the array's."""
        return os.environ[self._env["job_id"]]

    @property
    def array_job_id(self) -> str | None:
        """The id of the array that the job is an element of, if it is one."""
        return os.environ.get(self._env.get("array_job_id", ""), None)

    @property
    def array_task_id(self) -> str | None:
        """The job's index in its array, if it is in one."""
        return os.environ.get(self._env.get("array_task_id", ""), None)

    def _number(self, name: str, default: int) -> int:
        return int(os.environ.get(self._env.get(name, ""), default))

    @property
    def num_tasks(self) -> int:
        """How many tasks the job has, on all its nodes."""
        return self._number("num_tasks", 1)

    @property
    def num_nodes(self) -> int:
        """How many nodes the job has."""
        return self._number("num_nodes", 1)

    @property
    def node(self) -> int:
        """This process's node, counted from 0 within the job."""
        return self._number("node", 0)

    @property
    def global_rank(self) -> int:
        """This task, counted from 0 over the whole job."""
        return self._number("global_rank", 0)

    @property
    def local_rank(self) -> int:
        """This task, counted from 0 on its node."""
        return self._number("local_rank", 0)

    @property
    def _attempt(self) -> int:
        """How many times the job was started before."""
        return self._number("attempt", 0)

    def __repr__(self) -> str:
        per_node = self.num_tasks // max(1, self.num_nodes)
        return (
            f"JobEnvironment(job_id={self.job_id}, hostname={self.hostname}, local_rank={self.local_rank}({per_node}), "
            f"node={self.node}({self.num_nodes}), global_rank={self.global_rank}({self.num_tasks}))"
        )

    @classmethod
    def _usr_sig(cls) -> Any:
        import signal

        return getattr(signal, f"SIG{cls.USR_SIG}")

    def _handle_signals(self, paths: JobPaths, submission: DelayedSubmission) -> Any:
        """Install the handlers of this process and return them. Only the main thread of a process can."""
        from submitit.orchestrator.signals import SignalHandler

        handler = SignalHandler(self, paths, submission)
        handler.install(self._usr_sig())
        return handler

    def _interruption(self) -> Interruption:
        """Why this job was signalled. Asks the scheduler."""
        from submitit.orchestrator.interruption import Interruption

        return Interruption.UNKNOWN

    def _requeue(self, countdown: int) -> bool | None:
        """Ask the scheduler to run this job again under the same id; ``countdown`` time-outs are left.

        ``False`` says that it was not this that brings the job back.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot requeue its jobs")
