"""Many calls in few jobs: what ``executor.map`` submits.

::

    iterables ─ columns ─ chunks ─ jobs ─▶ scheduler
                                    └ each notes how its calls end in a file of its own ─▶ MapResults
"""

from __future__ import annotations

import os
import sys
import time
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

from submitit.client.map_results import MapResults, Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from submitit.client.executor import Executor
    from submitit.client.job import Job

R = TypeVar("R", covariant=True)

#: So many chunks a job, where nobody says how long they are to be: those that take longer even out.
CHUNKS_A_JOB = 4
#: What is cheaper in each chunk than shared, and so are short texts.
_ATOMS = frozenset({type(None), bool, int, float, complex})


def submit(
    executor: Executor,
    function: Callable[..., R],
    iterables: Sequence[Iterable[Any]],
    chunksize: int | None,
    timeout: float | None,
    *,
    ordered: bool,
) -> MapResults[R]:
    """Submit the calls of ``executor.map``, see there."""
    deadline = None if timeout is None else time.monotonic() + _seconds(timeout)
    backend = executor._backend()
    size = None if chunksize is None else _whole(chunksize)
    _check_tasks(backend)
    columns = _columns(iterables)
    count = len(columns[0]) if columns else 0
    at_a_time = backend._jobs_at_a_time()
    size = size or max(1, -(-count // (CHUNKS_A_JOB * (at_a_time or 1))))
    from submitit.storage import names

    plan = Plan(names.unique_name(), count, size, None, not backend.job_class._runs_when_asked)
    if not count:
        return MapResults([], plan, deadline, ordered=ordered)
    chunks = _cut(columns, size, pack=plan.streams)
    shared = _shared(columns, size) if plan.streams and len(chunks) > 1 else [[] for _ in chunks]
    try:
        if at_a_time is None or len(chunks) <= at_a_time:
            jobs = _submit_each(executor, plan, function, chunks, shared)
        else:
            jobs, claims = _submit_shares(executor, plan, function, chunks, shared, at_a_time)
            plan = plan._replace(claims=claims)
    except Exception as error:
        named = _about_a_call(error, function, columns)
        if named is None:
            raise
        raise named from error
    return MapResults(jobs, plan, deadline, ordered=ordered)


def _about_a_call(error: Exception, function: Callable[..., Any], columns: list[list[Any]]) -> Exception | None:
    """Where a chunk could not be pickled: the error that names the call in it that cannot."""
    from submitit.storage import serialization
    from submitit.storage.submission import UNPICKLABLE, DelayedSubmission, explain_unpicklable

    if not str(error).startswith(UNPICKLABLE):
        return None
    parts: Iterable[tuple[int, object]] = enumerate(zip(*columns, strict=True))
    for number, part in chain([(0, function)], parts):
        try:
            serialization.dumps(part)
        except Exception as problem:  # noqa: BLE001 - a value's own pickling code may raise anything
            row = (column[number] for column in columns)
            return explain_unpicklable(problem, DelayedSubmission(function, *row), number)
    return None


def _submit_each(
    executor: Executor, plan: Plan, function: Callable[..., Any], chunks: list[Any], shared: list[list[Any]]
) -> list[Job[Any]]:
    from submitit.orchestrator.chunks import Chunk
    from submitit.storage.submission import DelayedSubmission

    examine = None if plan.streams else executor._backend().job_class._examine
    numbered = enumerate(zip(chunks, shared, strict=True))
    return executor._process(
        [
            DelayedSubmission(Chunk(plan.name, function, number * plan.size, examine), function, chunk, *more)
            for number, (chunk, more) in numbered
        ]
    )


def _submit_shares(
    executor: Executor,
    plan: Plan,
    function: Callable[..., Any],
    chunks: list[Any],
    shared: list[list[Any]],
    takers: int,
) -> tuple[list[Job[Any]], str]:
    from submitit.orchestrator.chunks import Share
    from submitit.storage import claims
    from submitit.storage.submission import DelayedSubmission

    backend: Any = executor._backend()
    work = [DelayedSubmission(function, chunk, *more) for chunk, more in zip(chunks, shared, strict=True)]
    if "submitit.orchestrator.dependencies" in sys.modules:
        from submitit.client import dependencies

        executor = dependencies.waiting_for_all(executor, work)
    path: Path = backend._write_shared(work)
    taken = path.with_suffix(".claims")
    try:
        claims.make(taken, len(work))
        files = os.fspath(path), os.fspath(taken)
        shares = [Share(plan.name, function, *files, plan.size, taker, takers) for taker in range(takers)]
        return executor._process([DelayedSubmission(share) for share in shares]), os.fspath(taken)
    except Exception:
        for file in (path, taken):
            file.unlink(missing_ok=True)
        raise


def _whole(chunksize: object) -> int:
    if isinstance(chunksize, bool) or not hasattr(type(chunksize), "__index__"):
        raise TypeError(f"map(…, chunksize=…) takes a whole number of calls, not {chunksize!r}")
    size = int(chunksize)  # type: ignore[call-overload]  # it has __index__
    if size < 1:
        raise ValueError(f"map(…, chunksize=…) takes 1 call or more, not {size}; None leaves it to the executor")
    return int(size)


def _seconds(timeout: object) -> float:
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(f"map(…, timeout=…) takes a number of seconds, or None to wait for ever, not {timeout!r}")
    return float(timeout)


def _check_tasks(backend: Any) -> None:
    """Each task of a job would make all of its calls."""
    tasks = backend._num_tasks() if hasattr(backend, "_num_tasks") else 1
    if tasks != 1:
        raise ValueError(
            f"map makes each call once, in jobs of one task, but the jobs of this {type(backend).__name__} have {tasks}: "
            "set tasks_per_node=1 and nodes=1, or use map_array"
        )


def _columns(iterables: Sequence[Iterable[Any]]) -> list[list[Any]]:
    """The arguments of all calls, each a list; the shortest iterable ends them all."""
    if len(iterables) == 1:
        return [list(iterables[0])]
    rows = list(zip(*iterables))  # noqa: B905 - the shortest wins, as in zip
    return [list(column) for column in zip(*rows, strict=True)]


def _is_atomic(column: list[Any]) -> bool:
    return set(map(type, column)) <= _ATOMS


def _cut(columns: list[list[Any]], size: int, *, pack: bool) -> list[list[Any]]:
    """The columns of each chunk. With ``pack``, columns of numbers and their kind are pickled by themselves, which is fast."""
    from submitit.storage import serialization

    packs = [pack and _is_atomic(column) for column in columns]
    return [
        [
            serialization.dumps_plain(column[start : start + size]) if packed else column[start : start + size]
            for column, packed in zip(columns, packs, strict=True)
        ]
        for start in range(0, len(columns[0]), size)
    ]


def _shared(columns: list[list[Any]], size: int) -> list[list[Any]]:
    """The objects of each chunk that other chunks have as well: as arguments of its submission they are written once."""
    from submitit.storage import sharing

    homes: dict[int, set[int]] = {}
    objects: dict[int, Any] = {}
    for column in columns:
        if _is_atomic(column):
            continue
        for number, obj in enumerate(column):
            kind = type(obj)
            if kind not in _ATOMS and not ((kind is str or kind is bytes) and len(obj) < sharing.SMALL):
                homes.setdefault(id(obj), set()).add(number // size)
                objects[id(obj)] = obj
    shared: list[list[Any]] = [[] for _ in range(0, len(columns[0]), size)]
    for key, chunks in homes.items():
        if len(chunks) > 1:
            for chunk in chunks:
                shared[chunk].append(objects[key])
    return shared
