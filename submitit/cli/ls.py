"""``submitit ls``: the jobs there are, a line each."""

from __future__ import annotations

from typing import Annotated

import typer

from submitit.cli import naming, output
from submitit.cli.options import AsJson


def ls(
    folder: Annotated[
        str | None, typer.Argument(metavar="[FOLDER]", show_default="all that you submitted from")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List what was submitted, the newest last."""
    listed = [
        (naming.ids(one.entry for one in jobs), jobs[0].entry.state) for jobs in naming.calls(naming.folders(folder))
    ]
    if as_json:
        output.print_json(listed)
        return
    for name, state in reversed(listed):
        print(name, state)
