"""The end of a text file that grows, as lines. Knows nothing of terminals, but for what must not reach them."""

from __future__ import annotations

import codecs
import os
from typing import NamedTuple

from submitit.cli.logfile import shown

#: So much of the end is read of what has been written since the last look.
MOST_BYTES = 256 * 1024
#: Lines that are kept; when there are more, as many as leave room for a quarter are dropped. And for how many characters a line may go without an end.
MOST_LINES, LONGEST = 8192, 64 * 1024


class Grown(NamedTuple):
    """What a look at a file has brought."""

    #: So many of the lines of the last look are as they were; what followed them is gone.
    after: int
    #: These follow now.
    lines: list[str]


class Tail:
    """The last lines of a file, which may not be there yet, may be cut, or be replaced by another."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._begin(0, 0)

    def _begin(self, identity: int, offset: int) -> None:
        #: Whether the file is there.
        self.there = identity != 0
        #: Whether something stands in it before the first line.
        self.cut = offset > 0
        self.lines: list[str] = []
        self._identity, self._offset = identity, offset
        #: How many lines have an end, and what stands behind the last of them.
        self._whole, self._rest = 0, ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def read(self) -> Grown | None:
        """Take in what was written since the last call; ``None`` if nothing has changed."""
        try:
            with open(self.path, "rb") as file:
                status = os.fstat(file.fileno())
                fresh = status.st_ino != self._identity or status.st_size < self._offset
                unread = status.st_size - (0 if fresh else self._offset)
                if not fresh and not unread:
                    return None
                if fresh or unread > MOST_BYTES:
                    self._begin(status.st_ino, max(0, status.st_size - MOST_BYTES))
                    fresh = True
                file.seek(self._offset)
                if fresh and self.cut:
                    self._offset += len(file.readline(MOST_BYTES // 2))
                data = file.read(MOST_BYTES)
        except OSError:
            was_there = self.there
            self._begin(0, 0)
            return Grown(0, []) if was_there else None
        self._offset += len(data)
        grown = self._add(self._decoder.decode(data))
        return Grown(0, self.lines[:]) if fresh else grown

    def _add(self, text: str) -> Grown:
        # Sequences may have come in two parts: what has no end yet is looked at again as a whole.
        *whole, self._rest = (self._rest + text).split("\n")
        if len(self._rest) > LONGEST:
            self._rest = self._rest[-LONGEST // 2 :]
        after = self._whole
        del self.lines[after:]
        self.lines += (shown(line).expandtabs() for line in whole)
        self._whole = len(self.lines)
        if rest := shown(self._rest).expandtabs():
            self.lines.append(rest)
        if self._whole <= MOST_LINES:
            return Grown(after, self.lines[after:])
        self._whole = MOST_LINES * 3 // 4
        del self.lines[: after + len(whole) - self._whole]
        self.cut = True
        return Grown(0, self.lines[:])
