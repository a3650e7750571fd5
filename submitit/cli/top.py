"""``submitit top``: jobs in a terminal, as they go."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from submitit.cli import output

_ELSE = "submitit ls lists the jobs once, with --json for programs."


def top(
    folder: Annotated[
        str | None,
        typer.Argument(
            metavar="[FOLDER]",
            help="An executor's folder; it may be one that jobs are still to be submitted to.",
            show_default="every folder that you submitted from",
        ),
    ] = None,
) -> None:
    """Watch jobs: by state, filtered, sorted; read logs as they grow; cancel and retry.

    Press ? for the keys, q to leave. What is shown is brought up to date once a second at most; Slurm is asked much more rarely.

    Exit codes: 0; 2 where there is no terminal; 130 when left by Ctrl-C.
    """
    for name, stream in {"input": sys.stdin, "output": sys.stdout, "standard error": sys.stderr}.items():
        if not stream.isatty():
            output.fail(f"top needs a terminal, and its {name} is none. {_ELSE}", 2)
    if not output.in_terminal():
        output.fail(f"top needs a terminal whose cursor can be moved, not one of TERM={os.environ['TERM']}. {_ELSE}", 2)
    if not output.in_colour() or not _has_colours():
        os.environ["NO_COLOR"] = "1"
    else:
        os.environ.pop("NO_COLOR", None)
    from submitit.cli.tui.app import Top

    app = Top(folder)
    app.run()
    raise typer.Exit(app.return_code or (app.return_value or 0))


def _has_colours() -> bool:
    """Whether the terminal has any, as far as is known."""
    import curses

    try:
        curses.setupterm()
        return curses.tigetnum("colors") >= 8 or "COLORTERM" in os.environ
    except curses.error:
        return True
