"""What was decided to go of a folder of jobs, removed.

::

    decided again, from what is known now ─ written down (`storage.cleanings`) ─ files of jobs ─ payloads ─ journals ─ copies of code

From the moment on at which it is written down nobody counts the jobs any more; killed before, all is as it was, and killed
later, what is left is taken by the next clean.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING, NamedTuple

from submitit.executors import record
from submitit.storage import cleanings, snapshots
from submitit.storage.paths import Layout
from submitit.upkeep import cleaning, inventory, survey

if TYPE_CHECKING:
    from submitit.upkeep.cleaning import Plan, Wanted
    from submitit.upkeep.inventory import File
    from submitit.views.folder import Folder

_FULL = {errno.ENOSPC, errno.EDQUOT}


class Removed(NamedTuple):
    """What is gone."""

    jobs: int
    files: int
    freed: int
    #: Why a file could not be deleted, for each that could not.
    failures: list[str]
    #: Directories with what jobs had written into copies of code.
    left: list[str]


def remove(folder: Folder, wanted: Wanted, shown: Plan) -> Removed:
    """Remove of the jobs that a user was ``shown`` those that may still go: somebody may have submitted meanwhile, or waits now.

    Raises ``OSError`` where nothing could be removed, since that could not be written down.
    """
    folder.refresh()
    only = {(entry.folder, entry.job_id) for entry in shown.jobs}
    plan = cleaning.decide(survey.take(folder), wanted, only)
    failures: list[str] = []
    _write_down(plan, failures)
    gone = [file for file in plan.files if _unlink(file, failures)]
    _remove_directories(plan, gone)
    left, freed = [], inventory.freed_by(gone)
    for path in plan.snapshots:
        try:
            if (rest := snapshots.remove(path, plan.unused_since)) is not None:
                left.append(rest)
        except OSError as error:
            failures.append(str(error))
    freed += plan.size_of_snapshots
    return Removed(len(plan.jobs), len(gone), freed, failures, left)


def _write_down(plan: Plan, failures: list[str]) -> None:
    told = cleaning.told(plan, record.user())
    if not told:
        return
    layout = Layout(plan.root)
    try:
        cleanings.append(layout, told)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        # There is no room even for that: first go logs, without which a job is still one.
        for file in plan.files:
            if file.kind in ("logs", "temporaries"):
                _unlink(file, failures)
        cleanings.append(layout, told)


def _unlink(file: File, failures: list[str]) -> bool:
    """Whether the file is gone."""
    try:
        os.unlink(file.path)
    except FileNotFoundError:
        return True
    except OSError as error:
        failures.append(str(error))
        return False
    return True


def _remove_directories(plan: Plan, gone: list[File]) -> None:
    """Remove those that are empty now: of jobs up to the folder itself, which stays."""
    state = os.path.join(plan.root, ".submitit")
    for directory in plan.directories:
        with contextlib.suppress(OSError):
            os.rmdir(directory)
    for directory in sorted({os.path.dirname(file.path) for file in gone}, reverse=True):
        while directory.startswith(f"{plan.root}/") and not f"{directory}/".startswith(f"{state}/"):
            try:
                os.rmdir(directory)
            except OSError:
                break
            directory = os.path.dirname(directory)  # noqa: PLW2901 - and so on upwards
