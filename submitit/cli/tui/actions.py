"""Has jobs cancelled, or their calls submitted again, by the commands of these names in processes of their own.

A call is unpickled to be submitted again: that imports the user's modules, which print, start threads and take seconds; and what
``scancel`` has to say it says on the terminal. None of that may reach the screen.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, NamedTuple

from submitit import commands
from submitit.storage.paths import tagless_root

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from submitit.views.entry import JobEntry

#: In words: before and after.
VERBS = {"cancel": ("Cancel", "cancelled"), "retry": ("Retry", "submitted again")}
#: Nothing is imported from the working directory, which may be a folder of jobs, where anybody's files may lie.
_START = "import sys; sys.path[:] = filter(None, sys.path); from submitit.cli.main import main; main()"
#: Words of one command: command lines have their limits.
_MOST = 2000


class Done(NamedTuple):
    """What became of a request."""

    #: How many jobs it was carried out for.
    number: int
    #: Why it was not for others.
    problems: list[str]


def perform(verb: str, jobs: Sequence[JobEntry]) -> Done:
    """Cancel these jobs, or submit their calls again; returns when that is done."""
    number, problems = 0, []
    for root, words in _requests(jobs):
        command = [sys.executable, "-c", _START, verb, "--yes", "--json", "--folder", root, "--", *words]
        try:
            number += len(json.loads(commands.read(command, os.environ)))
        except (RuntimeError, OSError, ValueError) as error:
            problems.append(str(error).removeprefix("submitit: "))
    return Done(number, problems)


def _requests(jobs: Iterable[JobEntry]) -> Iterator[tuple[str, list[str]]]:
    """Folders, and words that name jobs of them."""
    by_root: dict[str, list[str]] = {}
    for job in jobs:
        by_root.setdefault(tagless_root(job.folder), []).append(job.job_id)
    for root, ids in by_root.items():
        words = ranges(ids)
        for first in range(0, len(words), _MOST):
            yield root, words[first : first + _MOST]


def ranges(ids: Iterable[str]) -> list[str]:
    """The same jobs in fewer words: numbers that follow each other are ``3-12``."""
    words: list[str] = []
    numbers = sorted({int(one) for one in ids if (one.isascii() and one.isdecimal())})
    first = last = None
    for number in [*numbers, None]:
        if last is not None and number == last + 1:
            last = number
            continue
        if first is not None:
            words.append(str(first) if first == last else f"{first}-{last}")
        first = last = number
    return words + [one for one in ids if not (one.isascii() and one.isdecimal())]
