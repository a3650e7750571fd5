"""Words by which others recognise a process that was forked and never executed anything.

The variables that another process can see of it (/proc/PID/environ) are those that its ancestor was started with, in the very
memory in which the kernel put them. A process that is to be told apart overwrites its copy; what it forks has that as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from submitit.local import processes

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Longer marks are cut.
LONGEST = 128


def room_for(names: Iterable[str]) -> dict[str, str]:
    """Variables to start a process with, so that it and what it forks can be marked."""
    return dict.fromkeys(names, " " * LONGEST)


class Marks:
    """The marks of this process, which was started with room for them. Where the platform has none, nothing happens."""

    def __init__(self, names: Iterable[str]) -> None:
        self._places = {name: place for name in names if (place := processes.variable_address(name, LONGEST))}

    def set(self, name: str, value: str) -> None:
        """Have others see this value of a variable. It is no change to the variables that this process itself sees."""
        place = self._places.get(name)
        if place:
            processes.overwrite(place, value.encode()[:LONGEST].ljust(LONGEST, b"\0"))
