"""A job's log: the piece that is asked for, without reading the rest, and made harmless for a terminal."""

from __future__ import annotations

import codecs
import os
import re
from typing import TYPE_CHECKING

from submitit.terminal import harmless

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK = 1 << 16
#: A control sequence whose end has not come yet (``terminal`` has the kinds); a string longer than this never ends.
_UNENDED = re.compile(
    r"(?:(?:\x1b[P\]X^_]|[\x90\x9d\x98\x9e\x9f])[^\x07\x1b\x9c\n]{0,4096}\x1b?|(?:\x1b\[|\x9b)[0-?]*[ -/]*|\x1b[ -/]*)\Z"
)


def last_lines(path: str, count: int, end: int | None = None) -> list[str]:
    """The last lines of a log, harmless; each as it is ``shown``."""
    begin = start_of_last(path, count, end)
    if begin is None:
        return []
    data = b"".join(blocks(path, begin, end))
    text = data.decode("utf-8", "replace")
    lines = list(map(shown, text.split("\n")))
    while lines and not lines[-1].strip():
        lines.pop()
    return lines[-count:] if count else []


def shown(line: str) -> str:
    """A line as a terminal would leave it: of a progress bar, which begins its line again and again, the last state."""
    return harmless(line.rstrip("\r").rpartition("\r")[2])


def start_of_last(path: str, count: int, end: int | None = None) -> int | None:
    """Where the last lines of a log begin, which is read backwards from its end; ``None`` where there is no log."""
    try:
        with open(path, "rb") as file:
            place = file.seek(0, os.SEEK_END) if end is None else end
            if count <= 0:
                return place
            wanted, last = count, True
            while place > 0:
                size = min(_BLOCK, place)
                place -= size
                file.seek(place)
                block = file.read(size)
                if last:  # the end of the last line is not the end of one before it
                    last, block = False, block[:-1] + b" "
                found = block.count(b"\n")
                if found >= wanted:
                    cut = len(block)
                    for _ in range(wanted):
                        cut = block.rfind(b"\n", 0, cut)
                    return place + cut + 1
                wanted -= found
            return 0
    except OSError:
        return None


def blocks(path: str, begin: int, end: int | None = None) -> Iterator[bytes]:
    """What a log holds between two places, up to its present end, in pieces."""
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed by the block below
    except FileNotFoundError:
        return
    with file:
        file.seek(begin)
        while (left := _BLOCK if end is None else min(_BLOCK, end - begin)) > 0 and (block := file.read(left)):
            begin += len(block)
            yield block


class Harmless:
    """Bytes of a log as text for a terminal, piece by piece.

    Control sequences are left out, those too that two pieces share. A carriage return goes back to the beginning of the line, as a
    progress bar means it, and the rest of what stood there is wiped out: nothing hides beneath it.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""

    def __call__(self, data: bytes, *, final: bool = False) -> str:
        """The text of the next piece; with ``final`` nothing is held back for the one after it."""
        text = self._held + self._decoder.decode(data, final)
        self._held = ""
        if not final:
            unended = _UNENDED.search(text)
            keep = unended.start() if unended else len(text) - text.endswith("\r")
            text, self._held = text[:keep], text[keep:]
        pieces = text.replace("\r\n", "\n").split("\r")
        return "\r\x1b[K".join(map(harmless, pieces))
