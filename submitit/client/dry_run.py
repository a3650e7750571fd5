"""What a submission would send."""

from __future__ import annotations

import shlex
from typing import NamedTuple


class DryRun(NamedTuple):
    """What ``submit`` would send for a call; as a ``str``, both for a reader."""

    script: str
    """The script, or the lines of shell that would run; ``""`` where there is none."""
    command: list[str]
    """The command that would be run; empty where the call would be made in this process."""

    def __str__(self) -> str:
        if not self.command:
            return "Nothing would be sent: the call would be made in this process."
        script = "" if self.script in self.command else self.script
        return "\n".join(filter(None, [f"$ {shlex.join(self.command)}", script]))
