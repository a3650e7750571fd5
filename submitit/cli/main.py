"""The entry point of the ``submitit`` command, which also says what is missing where it is not installed whole."""

from __future__ import annotations

import io
import sys


def main() -> None:
    """Run the command that the program's arguments name; ends the process with its exit code."""
    try:
        import typer  # noqa: F401 - the first of what the command needs
    except ModuleNotFoundError as error:
        print(
            f"submitit: the command needs {error.name}, which is not installed. Install it with "
            f"{sys.executable} -m pip install 'submitit[cli]'; the library itself works without.",
            file=sys.stderr,
        )
        sys.exit(2)
    from submitit.cli.app import app

    for stream in (sys.stdout, sys.stderr):  # names may hold what a terminal's encoding has no words for
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="submitit")
