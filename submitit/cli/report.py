"""``submitit report``: a page about jobs, or their numbers."""

from __future__ import annotations

import io
import os
import sys
from typing import Annotated

import typer

from submitit import amounts
from submitit.cli import naming, output
from submitit.cli.options import AsJson
from submitit.cli.summary import listed
from submitit.storage import atomic, registry
from submitit.views.folder import Folder
from submitit.views.usage import Row, Seen, seen, write_csv

#: So far into a file it says what it is.
_BEGINNING = 1 << 10
_PAGE = "report.html"
#: Folders that a sentence names.
_SHOWN = 5


def report(
    folders: Annotated[
        list[str] | None,
        typer.Argument(metavar="FOLDER", show_default="all that you submitted from"),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where to write; - for stdout.",
            show_default=f"{_PAGE}; numbers: stdout",
        ),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Write the numbers as CSV, not a page.")] = False,
    as_json: AsJson = False,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is no report.")] = False,
) -> None:
    """Make a page about jobs: timeline, times, use, failures, and what to ask for next time.

    It is one file that opens in any browser, without a network. With --csv or --json it is the numbers alone, one job a line or
    item; `submitit.usage` says what each means.
    """
    if as_csv and as_json:
        output.fail("--csv and --json are two forms of the same numbers: give one of them", 2)
    numbers = as_csv or as_json
    to = to or ("-" if numbers else _PAGE)
    if to != "-":
        _check(to, force=force)
    known = _folders(folders)
    jobs = seen(known)
    if not jobs and not numbers:
        output.fail(_empty(known))
    rows = [one.row() for one in jobs]
    if as_json and to == "-":
        output.print_json(rows)
        return
    text = _numbers(rows, as_json=as_json) if numbers else _page(jobs, [folder.root for folder in known])
    if to == "-":
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode())
        return
    try:
        _write(to, text)
    except OSError as error:
        output.fail(f"cannot write {to}: {error.strerror}", 2)
    output.note(f"{to}: {_said(rows)}")


def _folders(given: list[str] | None) -> list[Folder]:
    if not given:
        found = [Folder(one.root) for one in registry.folders()]
        if not found:
            output.fail("you have not submitted any job yet, as far as is noted; name a folder of jobs")
        return found
    found = [Folder(one) for one in given]
    for folder in found:
        if not os.path.isdir(folder.root):
            output.fail(f"there is no folder {folder.root}", 2)
        if not os.access(folder.root, os.R_OK | os.X_OK):
            output.fail(f"you may not look into the folder {folder.root}; its owner may let you", 2)
    return found


def _empty(known: list[Folder]) -> str:
    if len(known) == 1 and (said := naming.of_version_1(known[0].root)):
        return said
    where = known[0].root if len(known) == 1 else f"any of the {len(known)} folders"
    below = [
        os.path.join(folder.root, name)
        for folder in known
        for name in sorted(os.listdir(folder.root))
        if os.path.isdir(os.path.join(folder.root, name, ".submitit"))
    ]
    some = ", ".join(below[:_SHOWN]) + (f" and {len(below) - _SHOWN} more" if len(below) > _SHOWN else "")
    hint = (
        f"Below it, these are folders of jobs: {some}" if below else "Give the folder that the executor was made with"
    )
    return f"no job was submitted to {where}: there is nothing to report. {hint}"


def _numbers(rows: list[Row], *, as_json: bool) -> str:
    if as_json:
        import json

        return json.dumps(rows, indent=1) + "\n"
    file = io.StringIO()
    write_csv(rows, file)
    return file.getvalue()


def _page(jobs: list[Seen], where: list[str]) -> str:
    from submitit.views.report import page

    return page.render(jobs, where)


def _check(path: str, *, force: bool) -> None:
    """Ends the command where there is something at ``path`` that this one has not written."""
    if os.path.isdir(path):
        output.fail(f"{path} is a folder: name the file to write", 2)
    if not os.path.isdir(os.path.dirname(path) or "."):
        output.fail(f"there is no folder {os.path.dirname(path)} to write {os.path.basename(path)} to", 2)
    if force or not os.path.isfile(path):
        return
    from submitit.views.report.page import MARK

    with open(path, "rb") as file:
        beginning = file.read(_BEGINNING)
    header = ",".join(Row.__annotations__)
    ours = (MARK.encode(), header.encode(), b'[\n {\n  "folder":')
    if beginning and not any(mark in beginning for mark in ours):
        output.fail(
            f"{path} is there and is no report of this command: give another name, or --force to write over it", 2
        )


def _write(path: str, text: str) -> None:
    if os.path.lexists(path) and not os.path.isfile(path):  # a pipe, a terminal
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    else:
        atomic.write_text(path, text)


def _said(rows: list[Row]) -> str:
    told = listed(row["state"] for row in rows)
    return amounts.count(len(rows), "job") + (f" ({told})" if told else "")
