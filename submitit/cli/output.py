"""What the commands print: lines, JSON and sentences about what went wrong, harmless to the terminal they reach."""

from __future__ import annotations

import functools
import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from submitit.terminal import harmless

if TYPE_CHECKING:
    from collections.abc import Iterable


def in_terminal() -> bool:
    """Whether a person reads along, whose lines have a width; otherwise records are whole and one a line."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


@functools.cache
def in_colour() -> bool:
    """Whether to colour: in a terminal, unless ``NO_COLOR`` is set (no-color.org)."""
    return in_terminal() and not os.environ.get("NO_COLOR")


def width() -> int:
    """How many columns the terminal has; ``COLUMNS`` says otherwise where it is set."""
    import shutil

    return max(shutil.get_terminal_size().columns, 40)


def home(path: str) -> str:
    """A path as people write it: ``~`` for their home."""
    own = os.path.expanduser("~")
    return f"~{path[len(own) :]}" if f"{path}/".startswith(f"{own}/") and own != "/" else path


def styled(text: str, style: str) -> str:
    """The text in a style of ``views.colours``, or ``"bold"``, where there is colour."""
    if not in_colour():
        return text
    from submitit.views.colours import SGR

    return f"\x1b[{1 if style == 'bold' else SGR[style]}m{text}\x1b[0m"


def print_json(value: Any) -> None:
    """Print a value as JSON: a list one item a line, all else indented. Control characters are escaped, as JSON has it."""
    import json

    if isinstance(value, list):
        lines = ",\n".join(json.dumps(item, default=str) for item in value)
        text = f"[\n{lines}\n]" if value else "[]"
    else:
        text = json.dumps(value, indent=2, default=str)
    print(text)


def joined(pieces: Iterable[tuple[str, str]]) -> str:
    """A cell of a table as a text."""
    return "".join(styled(text, style) if style else text for text, style in pieces)


def lines(text: str) -> str:
    """Somebody's text of several lines: as it is, or harmless to the terminal that it goes to."""
    return harmless(text) if sys.stdout.isatty() else text


def ask(question: str, *, yes: bool, option: str = "--yes") -> None:
    """Return if the person agrees. Ends the command if not, and where nobody can be asked: ``option`` answers beforehand."""
    if yes:
        return
    if not sys.stdin.isatty():
        fail(f"{question} Nobody is here to answer: {option} does", 2)
    import typer

    try:
        agreed = typer.confirm(question, err=True)
    except typer.Abort as error:  # for Ctrl-C and for the end of the input alike
        note("")
        fail("nothing was done", 130 if isinstance(error.__context__, KeyboardInterrupt) else 1)
    if not agreed:
        fail("nothing was done")


def note(sentence: str) -> None:
    """Tell the person something that is no part of the answer; in a terminal no word is cut at its edge."""
    text = harmless(sentence)
    if sys.stderr.isatty():
        import textwrap

        fill = textwrap.TextWrapper(width(), break_long_words=False, break_on_hyphens=False).fill
        text = "\n".join(fill(line) if line.isascii() else line for line in text.split("\n"))
    print(text, file=sys.stderr, flush=True)


def fail(sentence: str, code: int = 1) -> NoReturn:
    """End the command with a sentence that says why: code 1 where what was asked about failed or is not there, 2 for wrong use."""
    import typer

    note(f"submitit: {sentence}")
    raise typer.Exit(code)
