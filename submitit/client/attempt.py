"""One attempt of a job: what became of it, and what it has said and used."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

    from submitit.storage.outcome import Footer
    from submitit.storage.paths import JobPaths

#: What a runner says when it begins, in each log: attempts of one job write to the same files.
_BEGINS = re.compile(
    r"^submitit \w+ \(.*?\) - (?:Starting with JobEnvironment\(.*\), attempt (\d+)|Attempt (\d+) of job \S+ begins: .*)$",
    re.MULTILINE,
)


class Attempt(NamedTuple):
    """How one start of a job went, as far as it is known. Of several tasks it is about the first, but for what is said otherwise."""

    #: 0 for the first start of the job, 1 for the second …
    number: int
    #: The state that it ended in; of the last one the job's.
    state: str
    #: Why another followed: a reason of ``submitit.Retry``, ``"requeue"`` where the job had saved its state, ``""`` where the
    #: scheduler did it by itself, and of the last one.
    again: str = ""
    #: The node, or nodes, that it ran on.
    node: str = ""
    #: Of the task that ended worst; a signal is a negative number. ``None``: not known, or still running.
    exit_code: int | None = None
    #: Seconds since the epoch.
    start: float | None = None
    end: float | None = None
    #: CPU seconds, and the most memory in MB (1024²).
    cpu_s: float | None = None
    max_rss_mb: float | None = None
    #: Where the job's files lie. Its logs are one file for all attempts, see ``stdout`` and ``stderr``.
    paths: JobPaths | None = None

    def stdout(self) -> str | None:
        """What this attempt's first task has printed; ``None`` if there is no log.

        It begins where the runner has said that it begins: what it printed before belongs to the attempt before it.
        """
        return self._part("stdout")

    def stderr(self) -> str | None:
        """What this attempt's first task has printed as errors, as ``stdout``."""
        return self._part("stderr")

    def _part(self, name: str) -> str | None:
        if self.paths is None:
            return None
        with contextlib.suppress(FileNotFoundError), open(self.paths.locate(name), errors="replace") as file:
            return part_of(file.read(), self.number)
        return None

    def told_by(self, footer: Footer | None) -> Attempt:
        """The same with what the task itself has written down."""
        if footer is None:
            return self
        return self._replace(
            node=self.node or footer.host or "",
            start=footer.start if self.start is None else self.start,
            end=footer.end if self.end is None else self.end,
            cpu_s=footer.cpu_s if self.cpu_s is None else self.cpu_s,
            max_rss_mb=max(self.max_rss_mb or 0.0, footer.max_rss_mb or 0.0) or None,
        )


def part_of(text: str, number: int) -> str:
    """The part of a log that one attempt has written, from the line in which its runner says that it begins."""
    begin, end = _bounds(((found, found.start()) for found in _BEGINS.finditer(text)), number)
    return "" if begin is None else text[begin:end]


def bounds_of(path: str, number: int) -> tuple[int | None, int | None]:
    """Where in a log the part of an attempt lies that ``part_of`` gives: its first byte, ``None`` where it has none, and the byte after
    its last, ``None`` for the end of the file. Lines are read one by one.
    """
    with open(path, "rb") as file:
        return _bounds(_begins_in(file), number)


def _begins_in(file: BinaryIO) -> Iterator[tuple[re.Match[str], int]]:
    place = 0
    for line in file:
        if line.startswith(b"submitit ") and (found := _BEGINS.match(line.decode(errors="replace"))):
            yield found, place
        place += len(line)


def _bounds(found: Iterable[tuple[re.Match[str], int]], number: int) -> tuple[int | None, int | None]:
    begins = {0: 0}
    for match, place in found:
        begins.setdefault(int(match[1] or match[2]) - 1, place)
    later = [place for other, place in begins.items() if other > number]
    return begins.get(number), min(later, default=None)
