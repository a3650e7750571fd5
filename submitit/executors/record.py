"""What is written down of a submission: who sent what, from where, as which jobs."""

from __future__ import annotations

import functools
import os
import shlex
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from submitit import environ
from submitit.executors import arrays
from submitit.storage import journal, names, registry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from submitit.client.executor import Executor
    from submitit.client.job import Job
    from submitit.orchestrator.dependencies import Waits
    from submitit.storage.paths import Layout
    from submitit.storage.submission import DelayedSubmission


def append(
    layout: Layout,
    executor: Executor,
    jobs: Sequence[Job[Any]],
    submissions: Sequence[DelayedSubmission],
    payload: str | os.PathLike[str] | None,
    first: int = 0,
    waits: Sequence[Waits] | None = None,
) -> None:
    """Note in this client's journal that ``jobs`` were submitted; the payload has their ``submissions`` from ``first`` on.

    The jobs are in the queue: that they cannot be noted is logged, and is no error.
    """
    registry.note(str(layout.root))
    try:
        book = journal.Journal(layout.journals / f"{names.client_name()}.jsonl")
        for record in records(executor, jobs, submissions, payload, first, waits):
            book.append(record)
    except OSError as error:
        from submitit import log

        log.get_logger().warning("Could not write the journal of %s: %s", layout.root, error)


def records(
    executor: Executor,
    jobs: Sequence[Job[Any]],
    submissions: Sequence[DelayedSubmission],
    payload: str | os.PathLike[str] | None,
    first: int = 0,
    waits: Sequence[Waits] | None = None,
) -> list[dict[str, Any]]:
    """One record for each plain job and each array among ``jobs``, with what they wait for."""
    directory = working_directory()
    common = {
        "event": "submitted",
        "time": round(time.time(), 3),
        "client": names.client_name(),
        "user": user(),
        "host": os.uname().nodename,
        "cwd": directory,
        "git": git_commit(directory),
        "python": sys.executable,
        "backend": executor.name(),
        "name": str(executor.parameters.get(executor._own_name("name")) or "submitit"),
        "parameters": {name: plain(value) for name, value in executor.parameters.items()},
        "folder": str(executor.folder),
    }
    if arguments := _arguments(executor):
        common["arguments"] = arguments
    if payload is not None:
        common["payload"] = os.path.basename(payload)
    if "SUBMITIT_SNAPSHOT" in (snapshot := environ.snapshot_variables()):
        common["snapshot"] = snapshot["SUBMITIT_SNAPSHOT"]
    return [
        {
            **common,
            "function": function_name(submissions[group.place].function),
            "tasks": jobs[group.place].num_tasks,
            **_jobs(group, first, payload is not None),
            **_shared(submissions[group.place].function),
            **({} if waits is None else _after(group, waits, str(executor.folder))),
        }
        for group in _grouped([job.job_id for job in jobs])
    ]


def _arguments(executor: Executor) -> dict[str, Any]:
    """What the executor was made with, beside its folder, as far as it is not the default."""
    usual = {"max_num_timeout": 3, "max_pickle_size_gb": 1.0, "python": shlex.quote(sys.executable)}
    given = {name: getattr(executor, name, value) for name, value in usual.items()}
    return {name: plain(value) for name, value in given.items() if value != usual[name]}


def _jobs(group: _Group, first: int, in_payload: bool) -> dict[str, Any]:
    """The fields that say which jobs they are, and where in the payload their calls begin."""
    place = first + group.place
    if isinstance(group.jobs, dict):
        return {"jobs": {**group.jobs, "first": place}}
    return {"jobs": group.jobs, **({"first": place} if in_payload and place else {})}


def _after(group: _Group, waits: Sequence[Waits], folder: str) -> dict[str, Any]:
    from submitit.orchestrator import dependencies

    count = group.jobs["count"] if isinstance(group.jobs, dict) else len(group.jobs)
    return dependencies.noted(waits[group.place : group.place + count], folder)


def _shared(function: Any) -> dict[str, str]:
    """The payload that jobs of a map take their calls from, beside their own."""
    chunks = sys.modules.get("submitit.orchestrator.chunks")  # without which there is no such function
    if chunks is None or not isinstance(function, chunks.Share):
        return {}
    return {"shares": os.path.basename(function.payload)}


class _Group(NamedTuple):
    """Jobs that one record is about, as ``storage.journal`` has them; ``place`` is that of the first in the list of all."""

    jobs: list[str] | dict[str, Any]
    place: int


def _grouped(job_ids: list[str]) -> list[_Group]:
    """Each whole array by itself, and what lies between as lists of ids."""
    groups: list[_Group] = []
    place = 0
    for run in arrays.runs(job_ids):
        ids = job_ids[place : place + run.size]
        if run.array and run.first == "0":
            groups.append(_Group({"array": run.array, "count": run.size}, place))
        elif groups and isinstance(groups[-1].jobs, list):
            groups[-1].jobs.extend(ids)
        else:
            groups.append(_Group(ids, place))
        place += run.size
    return groups


def function_name(function: Any) -> str:
    """``module.qualname`` of a function; of a callable object its class's, of a ``functools.partial`` the inner one's."""
    while isinstance(function, functools.partial):
        function = function.func
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{getattr(named, '__module__', None) or 'builtins'}.{named.__qualname__}"


def user() -> str:
    """The user's name as the environment has it: asking the name service may take seconds on a cluster."""
    return os.environ.get("USER") or os.environ.get("LOGNAME") or str(os.getuid())


def working_directory() -> str:
    """The working directory, ``""`` where it was removed meanwhile."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return ""


def git_commit(directory: str) -> str | None:
    """The commit that is checked out where ``directory`` lies; ``None`` outside a repository.

    Reads the repository's files: a process for it would cost more than the rest of a submission.
    """
    try:
        git = _git_directory(directory)
        if git is None:
            return None
        head = _read(os.path.join(git, "HEAD"))
        if not head.startswith("ref: "):
            return head or None
        return _resolve(git, head[len("ref: ") :])
    except (OSError, ValueError):
        return None


@functools.lru_cache(maxsize=16)
def _git_directory(directory: str) -> str | None:
    while True:
        git = os.path.join(directory, ".git")
        if os.path.isdir(git):
            return git
        if os.path.isfile(git):  # a work tree, or a submodule: gitrepository-layout(5)
            return os.path.join(directory, _read(git).removeprefix("gitdir: "))
        parent = os.path.dirname(directory)
        if parent == directory:
            return None
        directory = parent


@functools.lru_cache(maxsize=16)
def _common_directory(git: str) -> str:
    """Where the references are that all work trees share."""
    shared = os.path.join(git, "commondir")
    return os.path.join(git, _read(shared)) if os.path.exists(shared) else git


def _resolve(git: str, reference: str) -> str | None:
    common = _common_directory(git)
    for folder in (git, common):
        path = os.path.join(folder, reference)
        if os.path.exists(path):
            return _read(path)
    packed = os.path.join(common, "packed-refs")
    if os.path.exists(packed):
        for line in _read(packed).splitlines():
            commit, _, name = line.partition(" ")
            if name == reference:
                return commit
    return None


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read().strip()


def plain(value: Any) -> Any:
    """``value`` as JSON can hold it: what is not made of plain values is its ``repr``."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if hasattr(type(value), "plain"):  # a policy
        return plain(value.plain())
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(type(value), "__index__"):
        return int(value)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return repr(value)
