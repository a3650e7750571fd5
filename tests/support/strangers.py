"""An ordinary user of this machine who submits jobs, and another one who puts files in their way."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from submitit.storage import outcome
from submitit.storage.submission import DelayedSubmission
from support.local_processes import _MARK, Clients, import_path
from support.users import User

PREAMBLE = """
import os, shutil, stat, sys
from pathlib import Path
import submitit
from support import calls
executor = submitit.AutoExecutor("jobs", cluster=os.environ["CLUSTER"])
executor.update_parameters(timeout_min=10)
def end_of(job):
    try:
        print("returned", job.result())
    except Exception as error:
        print(type(error).__name__, str(error).replace(os.getcwd(), ""))
"""


class Someone:
    """Runs programs as an ordinary user, in a directory of theirs that everybody can write to."""

    def __init__(self, user: User, directory: Path, cluster: str, env: Mapping[str, str] | None = None) -> None:
        self.user = user
        self.directory = directory
        self._env = {"CLUSTER": cluster, "PYTHONPATH": os.pathsep.join(import_path()), **(env or {})}
        self.clients = Clients(directory)

    def run(self, program: str, umask: int = 0o022) -> list[str]:
        """The lines that a program prints in which ``executor``, ``calls`` and ``end_of`` are defined."""
        words = [sys.executable, "-c", f"import os; os.umask({umask})\n{PREAMBLE}{program}"]
        env = {**self._env, _MARK: self.clients.mark}
        return self.user.run(words, cwd=self.directory, env=env).stdout.splitlines()


def put_a_strangers(someone: Someone, path: Path, content: object) -> Path:
    """A file that another user has put there, in place of what was."""
    beside = path.with_name("strange")
    if isinstance(content, DelayedSubmission):
        content.dump(beside)
    else:
        outcome.write_result(beside, ("success", content))
    os.chown(beside, someone.user.uid + 1, someone.user.gid)
    beside.replace(path)
    return path
