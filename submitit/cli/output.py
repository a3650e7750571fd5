"""What the commands print: lines, JSON and sentences about what went wrong, harmless to the terminal they reach."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from submitit.terminal import harmless

if TYPE_CHECKING:
    from typing import TextIO


def in_terminal(stream: TextIO | None = None) -> bool:
    """Whether a person reads along, whose lines have a width; otherwise records are whole and one a line."""
    stream = stream or sys.stdout
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def in_colour(stream: TextIO | None = None) -> bool:
    """Whether to colour: in a terminal, unless ``NO_COLOR`` is set (no-color.org)."""
    return in_terminal(stream) and not os.environ.get("NO_COLOR")


def one_line(text: str) -> str:
    """Somebody's text as it may stand in a line: no control sequences, and blanks for ends of lines and tabs."""
    return text if text.isascii() and text.isprintable() else " ".join(harmless(text).split())


def print_json(value: Any) -> None:
    """Print a value as JSON: a list one item a line, all else indented. Control characters are escaped, as JSON has it."""
    import json

    if isinstance(value, list):
        lines = ",\n".join(json.dumps(item, default=str) for item in value)
        text = f"[\n{lines}\n]" if value else "[]"
    else:
        text = json.dumps(value, indent=2, default=str)
    print(text)


def note(sentence: str) -> None:
    """Tell the person something that is no part of the answer."""
    print(harmless(sentence), file=sys.stderr, flush=True)


def fail(sentence: str, code: int = 1) -> NoReturn:
    """End the command with a sentence that says why: code 1 where what was asked about failed or is not there, 2 for wrong use."""
    import typer

    note(f"submitit: {sentence}")
    raise typer.Exit(code)
