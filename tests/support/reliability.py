"""The fault matrix of docs/reliability.md: every test of a fault says what its user saw.

A test takes the fixture ``fault`` and describes a row. ``make reliability`` runs those tests and writes the rows of all that
passed between the marks in the document, so that the table says nothing that was not just seen.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

#: A file to which the rows are appended, one JSON object a line.
ROWS_VARIABLE = "TESTS_FAULT_ROWS"
#: Set, and nothing else is run.
ONLY_VARIABLE = "TESTS_FAULTS_ONLY"
_BEGIN, _END = "<!-- rows -->", "<!-- end of rows -->"


class Row(NamedTuple):
    """One fault, on one backend, and one kind of function."""

    backend: str
    #: what happens to the job or the cluster
    fault: str
    #: what kind of function or job it is; empty where it makes no difference
    job: str
    #: what the user sees: a result, an error by its type, a state
    sees: str
    #: seconds from the fault to that; None where nothing is to be seen
    seconds: float | None
    #: what was lost of the user's work
    lost: str


class Fault:
    """The row of one test."""

    def __init__(self) -> None:
        self._injected_at = time.monotonic()
        self.rows: list[Row] = []

    def injected(self) -> None:
        """The fault happens now."""
        self._injected_at = time.monotonic()

    def seen(
        self, fault: str, sees: str, *, job: str = "", lost: str = "nothing", backend: str = "Slurm", timed: bool = True
    ) -> None:
        """The user has just seen what is to be seen of it."""
        seconds = time.monotonic() - self._injected_at if timed else None
        self.rows.append(Row(backend, fault, job, sees, seconds, lost))


@pytest.fixture
def fault(request: pytest.FixtureRequest) -> Iterator[Fault]:
    """What the test tells of a fault; nothing is written of a test that fails."""
    noted = Fault()
    failed = request.session.testsfailed
    yield noted
    path = os.environ.get(ROWS_VARIABLE)
    if path and request.session.testsfailed == failed:
        with open(path, "a") as file:
            file.writelines(json.dumps(row) + "\n" for row in noted.rows)


def only_faults(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what tells of no fault, where that is wanted."""
    if ONLY_VARIABLE in os.environ:
        wanted = [item for item in items if "fault" in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=[item for item in items if item not in wanted])
        items[:] = wanted


def write_table(rows: Path, document: Path) -> None:
    """Put the rows between the marks of ``document``, sorted; the longest wait of rows that are otherwise the same."""
    longest: dict[tuple[str, ...], float | None] = {}
    for line in rows.read_text().splitlines():
        row = Row(*json.loads(line))
        key = (row.backend, row.fault, row.job, row.sees, row.lost)
        waits = [wait for wait in (row.seconds, longest.get(key)) if wait is not None]
        longest[key] = max(waits, default=None)
    lines = ["| on | fault | job | what its user sees | after | lost |", "|---|---|---|---|---|---|"]
    for (backend, fault_, job, sees, lost), seconds in sorted(longest.items()):
        lines.append(f"| {backend} | {fault_} | {job} | {sees} | {_duration(seconds)} | {lost} |")
    text = document.read_text()
    head, tail = text.split(_BEGIN)[0], text.split(_END)[1]
    document.write_text("\n".join([head + _BEGIN, "", *lines, "", _END + tail]))


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


if __name__ == "__main__":
    import sys

    write_table(Path(sys.argv[1]), Path(sys.argv[2]))
