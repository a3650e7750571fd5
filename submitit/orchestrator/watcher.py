"""The base of what asks a scheduler for the states of jobs.

The names and attributes are those of version 1, which programs subclass and read: see the compatibility contract.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any


class InfoWatcher:
    """Asks a scheduler about all registered jobs at once, and remembers the answer.

    A subclass gives ``_make_command`` and ``read_info``, or overrides ``update``. ``mode`` is everywhere one of "standard"
    (asks if the last answer is older than ``delay_s``), "force" (asks now) and "cache" (never asks).
    """

    #: Whether the last answer came from the scheduler itself: not if that was away and its accounts, which lag, were asked.
    told_by_scheduler = True

    def __init__(self, delay_s: int = 60) -> None:
        self._delay_s = delay_s
        self._registered: set[str] = set()
        self._finished: set[str] = set()
        self._info_dict: dict[str, dict[str, str]] = {}
        self._output = b""
        self._start_time = 0.0
        self._last_status_check = float("-inf")
        self._num_calls = 0

    def read_info(self, string: bytes | str) -> dict[str, dict[str, str]]:
        """What the command's output says, by job id: at least the keys ``JobID`` and ``State``."""
        raise NotImplementedError

    def _make_command(self) -> list[str] | None:
        """The command that asks about every registered job not known to be finished; ``None`` if there is none."""
        raise NotImplementedError

    @property
    def num_calls(self) -> int:
        """How many times the scheduler was asked."""
        return self._num_calls

    def clear(self) -> None:
        """Forget every job and every answer."""
        self._finished = set()
        self._registered = set()
        self._info_dict = {}
        self._output = b""
        self._num_calls = 0
        self._last_status_check = float("-inf")

    def register_job(self, job_id: str) -> None:
        """Include a job in the questions from now on."""
        if not isinstance(job_id, str):
            raise TypeError(f"A job id is a str, not {job_id!r}")
        self._registered.add(job_id)
        if len(self._registered) == 1:
            self._start_time = time.time()

    def get_info(self, job_id: str, mode: str = "standard") -> dict[str, str]:
        """What is known about a job, as texts: ``JobID``, ``State``, ``NodeList``, …; empty if nothing is."""
        if job_id is None:
            raise RuntimeError("Cannot call sacct without a slurm id")
        if job_id not in self._registered:
            self.register_job(job_id)
        self.update_if_long_enough(mode)
        return self._info_dict.get(job_id, {})

    def get_state(self, job_id: str, mode: str = "standard") -> str:
        """The state's word, "UNKNOWN" where nothing is known."""
        return self.get_info(job_id, mode=mode).get("State") or "UNKNOWN"

    def is_done(self, job_id: str, mode: str = "standard") -> bool:
        """Whether the scheduler says that the job is over and will not run again. An unknown job is not done."""
        from submitit.orchestrator.state import JobState

        state = self.get_state(job_id, mode=mode)
        over = JobState.read(state).final
        if over:
            self._finished.add(job_id)
        return over

    def update_if_long_enough(self, mode: str) -> None:
        """Ask the scheduler if ``mode`` wants it."""
        if mode == "force" or (mode == "standard" and self._is_older_than(self._delay_s)):
            self.update()
        elif mode not in ("standard", "cache"):
            raise ValueError(f'Unknown mode {mode!r}: choose "force", "standard" or "cache"')

    def _is_older_than(self, seconds: float) -> bool:
        """Whether the last answer is. ``_last_status_check`` is a time of day, which programs read and write: where the clock
        was set back since, the answer's age is unknown, and asking once too often does no harm.
        """
        return not 0 <= time.time() - self._last_status_check < seconds

    def let_go(self, job_id: str) -> None:
        """A handle has seen the end of this job: it need not be asked about before somebody wants to know more of it."""

    def update(self) -> None:
        """Ask the scheduler now. A failing command leaves what was known."""
        from submitit import commands, log
        from submitit.orchestrator.state import JobState

        command = self._make_command()
        if command is None:
            return
        self._num_calls += 1
        try:
            self._output = commands.query(command).encode()
        except Exception as error:  # noqa: BLE001 - whatever a command fails with, a state is no reason to stop a client
            log.get_logger().warning("Call #%d - Bypassing %s error: %s", self._num_calls, command[0], error)
        else:
            self._info_dict.update(self.read_info(self._output))
        self._last_status_check = time.time()
        for job_id in list(self._registered - self._finished):
            if JobState.read(self._info_dict.get(job_id, {}).get("State", "")).final:
                self._finished.add(job_id)

    def __getstate__(self) -> dict[str, Any]:
        return dict(self.__dict__)
