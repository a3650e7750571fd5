"""``submitit du``: what takes space in folders of jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from submitit import amounts
from submitit.cli import naming, output, table
from submitit.cli.options import AsJson
from submitit.terminal import one_line
from submitit.upkeep import inventory, occupancy
from submitit.upkeep.inventory import KINDS
from submitit.upkeep.occupancy import Share

if TYPE_CHECKING:
    from submitit.upkeep.occupancy import Occupancy
    from submitit.views.folder import Folder


def du(
    folder: Annotated[str | None, typer.Argument(metavar="FOLDER", show_default="all that you submitted from")] = None,
    largest: Annotated[int, typer.Option("--largest", "-n", min=0, help="How many of the largest jobs to name.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Say what takes space: by folder, by kind, and which jobs take most.

    It is the space on the disk, as du tells it; a file with several names counts once. `submitit clean` frees it.
    """
    known = naming.folders(folder)
    found = [occupancy.occupancy(one.root, inventory.take(one)) for one in known]
    if as_json:
        output.print_json([_record(one, told, largest) for one, told in zip(known, found, strict=True)])
        return
    if not any(told.total.files for told in found):
        output.fail(
            naming.nothing(known)
            if folder
            else "there are no folders of jobs that you submitted from; du FOLDER looks into one"
        )
    if len(found) > 1:
        _print_folders(known, found)
    _print_kinds(found)
    if largest:
        _print_largest(known, found, largest)


def _print_folders(known: list[Folder], found: list[Occupancy]) -> None:
    columns = [table.Column("SIZE", right=True), table.Column("FILES", right=True), table.Column("JOBS", right=True)]
    pairs = sorted(zip(known, found, strict=True), key=lambda pair: -pair[1].total.size)
    _print_table(
        [*columns, table.Column("FOLDER", least=20)],
        [
            [amounts.size(told.total.size), f"{told.total.files:,}", f"{len(one.entries):,}", output.home(one.root)]
            for one, told in pairs
        ],
    )
    print()


def _print_kinds(found: list[Occupancy]) -> None:
    total = together(told.total for told in found)
    rows = []
    for kind, meaning in KINDS.items():
        share = together(told.kinds[kind] for told in found if kind in told.kinds)
        if share.files:
            rows.append([amounts.size(share.size), f"{share.files:,}", kind, meaning])
    where = f"in {output.home(found[0].root)}" if len(found) == 1 else "in all of them"
    rows.append([amounts.size(total.size), f"{total.files:,}", "together", where])
    columns = [table.Column("SIZE", right=True), table.Column("FILES", right=True), table.Column("KIND")]
    _print_table([*columns, table.Column("WHAT IT IS", least=15)], rows)


def _print_largest(known: list[Folder], found: list[Occupancy], most: int) -> None:
    jobs = [
        (sum(share.size for share in kinds.values()), one, key, kinds)
        for one, told in zip(known, found, strict=True)
        for key, kinds in list(told.jobs.items())[:most]
    ]
    rows = []
    for whole, one, (template, job_id), kinds in sorted(jobs, key=lambda job: -job[0])[:most]:
        entries = [entry for entry in one.find(job_id) if entry.folder == template]
        name = one_line(entries[0].name) if entries else ""
        state = entries[0].state if len(entries) == 1 else ""
        by_size = sorted(kinds.items(), key=lambda item: -item[1].size)
        rows.append(
            [
                amounts.size(whole),
                one_line(job_id),
                name,
                one_line(state),
                ", ".join(f"{kind} {amounts.size(share.size)}" for kind, share in by_size[:3]),
                output.home(one.root) if len(known) > 1 else "",
            ]
        )
    if not rows:
        return
    print()
    columns = [
        table.Column("SIZE", right=True),
        table.Column("LARGEST JOBS"),
        table.Column("NAME", least=8),
        table.Column("STATE"),
        table.Column("OF WHICH", least=15),
        table.Column("FOLDER", least=8),
    ]
    _print_table(columns, rows)


def _print_table(columns: list[table.Column], rows: list[list[str]]) -> None:
    width = output.width() if output.in_terminal() else None
    for line in table.lines(columns, [[table.plain(text) for text in row] for row in rows], width):
        print(line)


def together(shares: Any) -> Share:
    """Several shares as one."""
    listed = list(shares)
    return Share(sum(share.size for share in listed), sum(share.files for share in listed))


def _record(one: Folder, told: Occupancy, largest: int) -> dict[str, Any]:
    return {
        "folder": told.root,
        "size": told.total.size,
        "files": told.total.files,
        "jobs": len(one.entries),
        "kinds": {kind: share._asdict() for kind, share in told.kinds.items()},
        "largest": [
            {
                "folder": template,
                "job_id": job_id,
                "size": sum(share.size for share in kinds.values()),
                "kinds": {kind: share._asdict() for kind, share in kinds.items()},
            }
            for (template, job_id), kinds in list(told.jobs.items())[:largest]
        ],
    }
