"""How many jobs there is room for, where Slurm limits how many may be in the queue.

An array that does not fit is refused whole, and no command tells what would fit. So the size is guessed: from the limits that
the accounts tell, less what is in the queue; where those do not fit either, by halving. When there is no room for one more,
squeue is asked now and then for the number of jobs: as many as have ended are sent next.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from submitit import commands, log
from submitit.slurm import limits, queries, shield
from submitit.slurm.limits import Counted

if TYPE_CHECKING:
    from collections.abc import Callable

#: Between two looks into the queue while there is no room: longer while nothing ends, shorter when much has.
FIRST_INTERVAL_S, LAST_INTERVAL_S = 2.0, 30.0
#: How often whoever waits is told so.
SAY_S = 60.0
#: Where the user's own jobs do not tell (a limit on a whole account), or cannot be counted: try one after this long.
PROBE_S = 120.0
#: This many limits that turn out not to be the one are tried before halving.
_GUESSES = 3


class Room:
    """The room for a list of ``count`` submissions, of which a part has just been refused.

    The caller asks ``size`` for how many to send, sends them, and tells ``accepted`` or ``refused``.
    """

    def __init__(self, count: int, cluster: Callable[[], limits.ClusterLimits | None]) -> None:
        self._count_of_list = count
        self._cluster = cluster
        self._reason = ""
        self._counted = Counted.OWN
        self._limits: list[int] | None = None
        self._guesses = _GUESSES
        #: Jobs in the queue; ``None`` where they could not be counted.
        self._jobs: int | None = None
        #: As many were there when there was no room for one more.
        self._level = 1
        #: What is to be sent next; 0 is to wait.
        self._next = 0
        #: So many are too many, as far as is known.
        self._ceiling: int | None = None
        self._exact = False
        self._growing = False
        self._empty = 0
        self._interval_s = FIRST_INTERVAL_S
        self._said = float("-inf")

    def size(self, left: int) -> int:
        """How many of the ``left`` that are left to send now; waits until there is room for one."""
        if not self._next:
            self._wait(left)
        return min(left, self._next)

    def accepted(self, size: int) -> None:
        """That many have been sent."""
        self._empty = 0
        if self._jobs is not None:
            self._jobs += size
        if self._ceiling is not None:
            self._ceiling -= size
        self._next -= size
        if self._next > 0:
            return
        if self._growing and self._ceiling is None:
            self._next = 2 * size
        elif self._ceiling is None or self._exact:
            self._is_full()
        else:
            self._guess()

    def refused(self, size: int, refusal: Exception, words: str) -> None:
        """That many were too many, in sbatch's ``words``. Raises the ``refusal`` where waiting cannot help."""
        self._reason = limits.reason(words) or words.strip().rpartition("\n")[2].removeprefix("sbatch: error: ")
        self._counted = limits.counted(words)
        if self._limits is None:
            self._limits = self._ask()
            self._jobs = self._count()
        if size > 1:
            self._ceiling = size
            self._guess()
            return
        self._jobs = self._count()
        if self._counted is Counted.OWN and self._jobs == 0:
            self._empty += 1
            if self._empty > 2:  # once, the last may have ended just now
                raise refusal
        self._is_full()

    def _is_full(self) -> None:
        self._level = max(1, self._jobs or 0)
        self._next, self._ceiling, self._exact, self._growing = 0, None, False, False

    def _guess(self) -> None:
        """Choose what to try below the ceiling."""
        ceiling = self._ceiling or 0
        if ceiling <= 1:
            self._is_full()
            return
        rooms = [limit - self._jobs for limit in self._limits or () if self._jobs is not None]
        fitting = [room for room in rooms if 0 < room < ceiling]
        self._exact = bool(fitting) and self._guesses > 0
        if self._exact:
            self._guesses -= 1
            self._next = max(fitting)
        else:
            self._next = 1 if rooms and max(rooms) <= 0 else ceiling // 2

    # ---- waiting

    def _wait(self, left: int) -> None:
        """Return when it is worth another attempt."""
        since = time.monotonic()
        while True:
            self._say(left)
            shield.pause(max(0.0, min(self._interval_s, self._said + SAY_S - time.monotonic())))
            jobs = self._count()
            ended = 0 if jobs is None else self._level - jobs
            if ended > 0:
                self._jobs, self._next = jobs, ended
                if 2 * ended > self._level:
                    self._interval_s = max(FIRST_INTERVAL_S, self._interval_s / 2)
                return
            self._interval_s = min(self._interval_s * 1.5, LAST_INTERVAL_S)
            if time.monotonic() - since >= PROBE_S:
                self._jobs, self._next, self._growing = jobs, 1, True
                return

    def _say(self, left: int) -> None:
        if time.monotonic() - self._said < SAY_S:
            return
        self._said = time.monotonic()
        whose = {
            Counted.OWN: "jobs of yours",
            Counted.SHARED: "jobs",
            Counted.ALL: "jobs, and to be forgotten by Slurm,",
        }
        log.get_logger().warning(
            "Slurm takes no more jobs now (%s): %d of %d are sent, %d wait for %s to end. "
            "Ctrl-C ends the wait; what is sent stays in the queue.",
            self._reason,
            self._count_of_list - left,
            self._count_of_list,
            left,
            whose[self._counted],
        )

    # ---- asking

    def _count(self) -> int | None:
        """The jobs that the limit counts, as far as they can be seen."""
        user = None if self._counted is Counted.ALL else str(os.getuid())
        printed = _printed(limits.queue_command(user))
        return None if printed is None else limits.parse_queue(printed)

    def _ask(self) -> list[int]:
        """What the limit may be."""
        if self._counted is Counted.ALL:
            cluster = self._cluster()
            return [] if cluster is None or cluster.max_job_count is None else [cluster.max_job_count]
        by_quality = self._reason.startswith(("QOS", "MaxSubmitJobsPerAccount"))
        command = limits.qos_command() if by_quality else limits.associations_command(_user_name())
        found = limits.parse_sacctmgr(_printed(command) or "")
        return sorted({limit.jobs for limit in found})


def _printed(command: list[str]) -> str | None:
    try:
        return commands.query(command, queries.environment(os.environ))
    except Exception:  # noqa: BLE001 - Slurm is away, has no accounts, or hangs: then it is not known
        return None


def _user_name() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
