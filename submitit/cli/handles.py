"""From what a folder tells of jobs to the handles that act on them."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from submitit.cli import output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from submitit.cli.naming import Found
    from submitit.client.job import Job


def handles(found: Sequence[Found], *, trust: bool = False) -> list[Job[Any]]:
    """A handle for each job. Ends the command where a backend is not installed here."""
    from submitit import plugins

    classes: dict[str, Any] = {}
    made: list[Job[Any]] = []
    for _, entry in found:
        if entry.backend not in classes:
            try:
                classes[entry.backend] = plugins.executor_class(entry.backend).job_class
            except (ValueError, RuntimeError) as error:
                output.fail(f"job {entry.job_id} is one of the backend {entry.backend!r}: {error}", 2)
        job = classes[entry.backend](folder=entry.folder, job_id=entry.job_id, tasks=range(entry.tasks))
        if trust:
            for handle in (job, *job._sub_jobs):  # backends of others have an ``__init__`` that does not know of it
                handle._trust = True
        made.append(job)
    return made


def work_where_submitted(one: Found, *, trust: bool = False) -> None:
    """Go to where the job was submitted from, so that what it has pickled is found and what is submitted starts there.

    Modules are imported from there then: ``UntrustedPickleError`` where somebody else could have written which place that is,
    unless there is ``trust``. Ends the command where another Python submitted the job, whose pickles are not this one's.
    """
    from submitit.storage import journal
    from submitit.storage.paths import layout_of

    record: Any = journal.find_submission(layout_of(one.entry.folder), one.entry.job_id, trust=trust) or {}
    python, directory = record.get("python", ""), record.get("cwd", "")
    if python and os.path.exists(python) and not _is_this(python):
        output.fail(
            f"job {one.entry.job_id} was submitted with another Python, whose modules this one ({sys.executable}) may not have: "
            f"use {python} -m submitit",
            2,
        )
    if directory and os.path.isdir(directory):
        os.chdir(directory)
        if directory not in sys.path:
            sys.path.insert(0, directory)


def _is_this(python: str) -> bool:
    """Whether an interpreter is this one: links of one environment have different names."""
    here = os.path.dirname(python) == os.path.dirname(sys.executable)
    return here and os.path.realpath(python) == os.path.realpath(sys.executable)
