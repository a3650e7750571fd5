"""Arguments and options that several commands have in common."""

from __future__ import annotations

from typing import Annotated

import typer

from submitit.cli.naming import complete

#: One job.
JobName = Annotated[
    str, typer.Argument(metavar="JOB", help="Its id, its name, or -1 for the last.", autocompletion=complete)
]
#: One or more.
JobNames = Annotated[
    list[str],
    typer.Argument(metavar="JOB...", help="Ids, ids of arrays, names, or -1 for the last.", autocompletion=complete),
]
#: Where to look for jobs.
InFolder = Annotated[
    str | None,
    typer.Option(
        "--folder",
        "-F",
        metavar="FOLDER",
        help="Look in this folder alone.",
        show_default="all that you submitted from",
    ),
]
#: For scripts.
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
#: For who does not want to wait for a scheduler.
NoAsk = Annotated[bool, typer.Option("--no-ask", help="Ask no scheduler: what files tell is enough.")]
#: For scripts that cancel or submit several jobs.
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
