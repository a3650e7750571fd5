"""What a process asks of a controller that is not its own.

A cancellation is a file in the controller's directory, which works from other hosts as well. A signal is sent to the job's
processes directly, and only to processes that are still those of the journal.
"""

from __future__ import annotations

import os
import signal

from submitit.local import journals, processes
from submitit.local.protocol import user_signal


def ask(root: str, job_id: str, action: str) -> None:
    """Ask for ``"cancel"`` or ``"signal"``. Does nothing if no journal has the job, or if it is over."""
    source = journals.journal_source(root)
    source.refresh()
    record, header = source.record(job_id), source.header(job_id)
    if record is None or header is None or record.over:
        return
    if action == "cancel":
        directory = os.path.join(header.directory, "cancel")
        os.makedirs(directory, exist_ok=True)
        os.close(os.open(os.path.join(directory, job_id), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o664))
        return
    for pid, started in record.pids:
        processes.send(processes.Identity(header.who.machine, pid, started), user_signal(os.environ))


def ask_process(pid: int, action: str) -> None:
    """The same of a job that is a process: it passes the user signal on, and ends its tasks at SIGTERM."""
    processes.send(processes.identify(pid), signal.SIGTERM if action == "cancel" else user_signal(os.environ))
