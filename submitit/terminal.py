"""Text of others on the user's terminal: what a program prints may move the cursor, hide lines or answer for the keyboard."""

from __future__ import annotations

#: What begins with ESC or its one-character forms: strings up to their end (titles, links, clipboards), sequences (colours,
#: cursor), and all else (ECMA-48). A sequence that was cut has no end, and is left out as far as it goes.
_SEQUENCES = (
    r"(?:\x1b[P\]X^_]|[\x90\x9d\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|\x1b[ -/]*[0-~]?"
)
#: Controls of one character, but for tabs and ends of lines, and what makes text be read in another direction than it is written.
_CONTROLS = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"


def one_line(text: str) -> str:
    """``text`` as it may stand in a line: harmless, with single blanks for tabs and ends of lines."""
    return text if text.isascii() and text.isprintable() else " ".join(harmless(text).split())


def harmless(text: str) -> str:
    """``text`` without control sequences and control characters: colours are lost, words, tabs and lines stay."""
    import re

    return re.sub(f"{_SEQUENCES}|{_CONTROLS}", "", text)
