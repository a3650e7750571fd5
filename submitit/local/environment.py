"""What a job of the local backend knows of itself."""

from __future__ import annotations

import os

from submitit.orchestrator.environment import JobEnvironment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar

    from submitit.orchestrator.interruption import Interruption
    from submitit.storage.paths import JobPaths
    from submitit.storage.submission import DelayedSubmission

#: What a task exits with that wants to be run again, for a controller of version 1.
LOCAL_REQUEUE_RETURN_CODE = 144
#: Names the file that a task creates to be run again. Set by the controller.
REQUEUE = "SUBMITIT_LOCAL_REQUEUE"


class LocalJobEnvironment(JobEnvironment):
    """The environment of a task that a controller on this machine has started."""

    _env: ClassVar[dict[str, str]] = {
        "job_id": "SUBMITIT_LOCAL_JOB_ID",
        "num_tasks": "SUBMITIT_LOCAL_NTASKS",
        "num_nodes": "SUBMITIT_LOCAL_JOB_NUM_NODES",
        "node": "SUBMITIT_LOCAL_NODEID",
        "global_rank": "SUBMITIT_LOCAL_GLOBALID",
        "local_rank": "SUBMITIT_LOCAL_LOCALID",
        "attempt": "SUBMITIT_LOCAL_ATTEMPT",
    }

    def _handle_signals(self, paths: JobPaths, submission: DelayedSubmission) -> Any:
        import signal

        handler = super()._handle_signals(paths, submission)
        # Held back by the controller until there is a handler: see `tasks`.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {self._usr_sig()})
        return handler

    def _interruption(self) -> Interruption:
        from submitit.orchestrator.interruption import Interruption

        return Interruption.OTHER

    def _requeue(self, countdown: int) -> None:
        """Ask to be run again; it happens once this process has ended.

        Under a controller of version 1 it is the exit code that asks, so ``SystemExit`` is raised.
        """
        path = os.environ.get(REQUEUE)
        if path is None:
            from submitit import log

            log.say("INFO", f"Requeued job {self.job_id} ({countdown} remaining timeouts)")
            raise SystemExit(LOCAL_REQUEUE_RETURN_CODE)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o664))
