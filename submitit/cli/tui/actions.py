"""Cancelling jobs and submitting their calls again, in a process of its own.

A call is unpickled to be submitted again: that imports the user's modules, which print, start threads and take seconds; and
``scancel`` says what it has to say on the terminal. None of that may reach the screen.

::

    perform(verb, jobs) ── a file with the request ──▶ main ── the client's own handles
      a sentence ◀── JSON on stdout ────────────────────┘       what else is printed goes to stderr
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from typing import TYPE_CHECKING, Any, NamedTuple

from submitit import commands

if TYPE_CHECKING:
    from collections.abc import Sequence

    from submitit.client.job import Job
    from submitit.views.entry import JobEntry

    #: Backend, folder, id and number of tasks of each job of one call, and where that was made.
    Call = tuple[list[tuple[str, str, str, int]], str]

VERBS = {"cancel": ("Cancel", "cancelled"), "retry": ("Retry", "submitted again")}
#: The working directory is no place to import this from: in a folder of jobs, anything may lie.
_START = "import sys; sys.path[:] = [entry for entry in sys.path if entry]; from submitit.cli.tui import actions; actions.main()"


class Done(NamedTuple):
    """What became of a request."""

    #: How many jobs it was carried out for.
    number: int
    #: Why it was not for the others.
    problems: list[str]


def perform(verb: str, jobs: Sequence[JobEntry]) -> Done:
    """Cancel these jobs, or submit their calls again; returns when that is done."""
    calls: dict[int, tuple[list[tuple[str, str, str, int]], str]] = {}
    for job in jobs:
        listed, _ = calls.setdefault(id(job.submission), ([], job.submission.get("cwd", "")))
        listed.append((job.backend, job.folder, job.job_id, job.tasks))
    with tempfile.NamedTemporaryFile("w", suffix=".json", prefix="submitit-top-") as file:
        json.dump({"verb": verb, "calls": list(calls.values())}, file)
        file.flush()
        try:
            answer = commands.read([sys.executable, "-c", _START, file.name], os.environ)
        except RuntimeError as error:
            return Done(0, [str(error).strip().rpartition("\n")[2]])
    return Done(**json.loads(answer))


def main() -> None:
    """Carry out the request in the file that the first argument names."""
    answer = os.dup(1)
    os.dup2(2, 1)
    with open(sys.argv[1], encoding="utf-8") as file:
        request = json.load(file)
    done = {"cancel": _cancel, "retry": _retry}[request["verb"]](request["calls"])
    with open(answer, "w", encoding="utf-8") as out:
        json.dump(done._asdict(), out)


def _cancel(calls: Sequence[Call]) -> Done:
    from submitit.client.cancelling import cancel

    jobs = [_handle(*job) for listed, _ in calls for job in listed]
    try:
        cancel(jobs)
    except Exception as error:  # noqa: BLE001 - said to the user
        return Done(sum(job._cancelled for job in jobs), [_sentence(error)])
    return Done(len(jobs), [])


def _retry(calls: Sequence[Call]) -> Done:
    number, problems = 0, []
    for listed, directory in calls:
        jobs = [_handle(*job) for job in listed]
        try:
            number += len(_resubmitted(jobs, directory))
        except Exception as error:  # noqa: BLE001 - said to the user; the other calls are not concerned
            problems.append(_sentence(error))
    return Done(number, problems)


def _resubmitted(jobs: list[Job[Any]], directory: str) -> list[Job[Any]]:
    """One array of the jobs of one call, as that was."""
    from submitit.client import resubmission

    executor = resubmission.executor_of(jobs[0])  # raises where somebody else could have written the record
    if directory not in sys.path:
        sys.path.append(directory)  # modules that the function names may lie where it was submitted from
    if len(jobs) == 1:
        return [jobs[0].resubmit()]
    return executor._process(resubmission.calls(jobs))


def _handle(backend: str, folder: str, job_id: str, tasks: int) -> Job[Any]:
    from submitit import plugins

    made: Job[Any] = plugins.executor_class(backend).job_class(folder=folder, job_id=job_id, tasks=list(range(tasks)))
    return made


def _sentence(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
