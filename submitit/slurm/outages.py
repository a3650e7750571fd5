"""Times in which Slurm does not answer: the user is told of each once."""

from __future__ import annotations

import time

#: An outage is over when everything was answered for so long. A cluster that comes and goes is one outage.
OVER_AFTER_S = 600.0


class Outages:
    """Warns once an outage: a cluster that is away for an hour is no reason for a thousand lines."""

    def __init__(self) -> None:
        self._said = False
        self._calm_since: float | None = None
        self._absent: set[str] = set()

    def failed(self, command: str, error: str) -> None:
        """A command did not answer."""
        self._calm_since = None
        if self._said:
            return
        self._said = True
        _warn(f"{command} did not answer: {error}. The last known states stand; this is said once in an outage.")

    def answered(self) -> None:
        """Every command that was asked has answered."""
        now = time.monotonic()
        if self._calm_since is None:
            self._calm_since = now
        elif now - self._calm_since >= OVER_AFTER_S:
            self._said = False

    def absent(self, command: str, without_it: str) -> None:
        """A command is not installed here, which is no outage; ``without_it`` says what that means."""
        if command not in self._absent:
            self._absent.add(command)
            if not self._said:
                _warn(f"There is no {command} on PATH: {without_it}. This is said once.")


def _warn(text: str) -> None:
    from submitit import log

    log.get_logger().warning("%s", text)
