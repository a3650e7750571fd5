"""``submitit doctor``: what is here for jobs, and what it means."""

from __future__ import annotations

import os
import textwrap
from typing import TYPE_CHECKING, Annotated, Any

import typer

from submitit import amounts, commands
from submitit.cli import output
from submitit.cli.options import AsJson
from submitit.cli.run import parameter
from submitit.storage.paths import tagless_root
from submitit.terminal import one_line
from submitit.upkeep import cluster as clusters
from submitit.upkeep import machine, probe
from submitit.upkeep.diagnosis import Finding, Level

if TYPE_CHECKING:
    from collections.abc import Iterator

_STYLES = {Level.OK: "green", Level.NOTE: "cyan", Level.WARNING: "yellow", Level.ERROR: "red"}


def doctor(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="Where jobs are to keep their files.")] = ".",
    submit: Annotated[bool, typer.Option("--submit", help="Send a test job too, which tells more.")] = False,
    cluster: Annotated[
        str | None,
        typer.Option("--cluster", "-c", help="Where to send it.", show_default="slurm where there is one, else local"),
    ] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option("-P", "--parameter", metavar="KEY=VALUE", help="Its parameters: slurm_partition=dev."),
    ] = None,
    patience: Annotated[
        float, typer.Option("--patience", metavar="SECONDS", min=1, help="For how long to wait for it.")
    ] = 600.0,
    as_json: AsJson = False,
) -> None:
    """Say what is here for jobs: Slurm and how it is set up, this machine, the folder; and what each means for you.

    Exits with 1 where something will make jobs fail.
    """
    if not submit and (cluster or parameters):
        output.fail("--cluster and -P are about the test job: give --submit as well", 2)
    given = dict(parameter(text) for text in parameters or ())
    root = tagless_root(folder)
    told: list[tuple[str, Finding]] = []
    try:
        for section, finding in _findings(root, cluster, given, patience, submit=submit):
            if not as_json:
                if not told or told[-1][0] != section:
                    print(("\n" if told else "") + output.styled(section, "bold"), flush=True)
                _show(finding)
            told.append((section, finding))
    except KeyboardInterrupt:
        output.note("\nStopped; the test job, if there was one, is cancelled.")
        raise typer.Exit(130) from None
    errors = sum(finding.level is Level.ERROR for _, finding in told)
    if as_json:
        output.print_json([_record(section, finding) for section, finding in told])
    else:
        _conclude(errors, sum(finding.level is Level.WARNING for _, finding in told))
    raise typer.Exit(int(errors > 0))


def _findings(
    root: str, cluster: str | None, given: dict[str, Any], patience: float, *, submit: bool
) -> Iterator[tuple[str, Finding]]:
    for finding in machine.software():
        yield "Python", finding
    for finding in machine.hardware():
        yield "This machine", finding
    slurm = False
    for finding in clusters.examine():
        slurm = slurm or commands.which("sbatch") is not None
        yield "Slurm", finding
    for finding in machine.folder(root, for_nodes=slurm):
        yield "Folder", finding
    if slurm:
        home = machine.file_system("your home", os.path.expanduser("~"), for_nodes=True)
        if home.level is Level.WARNING:
            words = "Nodes may not see what is installed there: Python, packages, modules of yours."
            home = home._replace(level=Level.NOTE, meaning=words)
        yield "Folder", home
    if submit:
        for finding in probe.run(root, cluster, given, patience, output.note):
            yield "Test job", finding


def _show(finding: Finding) -> None:
    """A line for what was found, and below it what that means."""
    width = output.width() if output.in_terminal() else 100
    word = output.styled(f"{finding.level.value:<7}", _STYLES[finding.level])
    indent = " " * 10
    found = one_line(f"{finding.topic}: {finding.found}")
    lines = textwrap.wrap(found, width - len(indent), break_on_hyphens=False) or [""]
    print(f"  {word} {lines[0]}")
    meant = textwrap.wrap(finding.meaning, width - len(indent) - 2, break_on_hyphens=False)
    for line in lines[1:]:
        print(f"{indent}{line}")
    for line in meant:
        print(f"{indent}  {output.styled(line, 'dim')}", flush=True)


def _conclude(errors: int, warnings: int) -> None:
    if errors:
        print(f"\n{amounts.count(errors, 'thing')} will make jobs fail.")
    elif warnings:
        print(f"\nJobs can be submitted; {amounts.count(warnings, 'warning')}.")
    else:
        print("\nAll is well.")


def _record(section: str, finding: Finding) -> dict[str, str]:
    return {
        "section": section,
        "topic": finding.topic,
        "level": finding.level.value,
        "found": finding.found,
        "meaning": finding.meaning,
    }
