"""Jobs that wait for other jobs: what stands for a result in a call, how the job reads it, and who is to blame where it cannot.

::

    client                                       scheduler                     job
    submit(f, result_of(job)) ─ call with a ResultOf in it ─ waits for the job ─▶ the result file is read in its place ─▶ f(value)
      journal: "after"                                       └ the job failed: it does not run
      first_failure ◀── journals, result files

Loaded where there is something to wait for, and nowhere else.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import os
import time

from submitit.errors import JobDependencyError
from submitit.records import NamedTuple
from submitit.storage import outcome
from submitit.storage.paths import JobPaths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from submitit.orchestrator.collector import Collectable
    from submitit.storage.submission import DelayedSubmission

#: How long a result may take to be seen on another node.
VISIBLE_S = 15.0
_LOOK_S = 0.25
#: More tasks than a job has.
_MANY = 1 << 22


class Upstream(NamedTuple):
    """A job that others wait for."""

    backend: str
    #: Its executor's folder, tags and all.
    folder: str
    job_id: str
    #: The ranks that are asked about: all of the job's, or one.
    tasks: tuple[int, ...] = (0,)

    def result_path(self, task: int) -> str:
        """Where the result of one of its tasks lies."""
        return JobPaths(self.folder, self.job_id, task).locate("result_pickle")

    def succeeded(self) -> bool | None:
        """What its results say: whether every task recorded a value, or one an error; ``None`` where that is not known."""
        footers = [outcome.read_footer(self.result_path(task)) for task in self.tasks]
        known = [footer.success for footer in footers if footer is not None]
        if False in known:
            return False
        return True if len(known) == len(footers) and all(known) else None


def backend_of(job: Collectable) -> str:
    """The backend of a handle, as its executor calls it."""
    return type(job).__name__.removesuffix("Job").lower()


class Waits(NamedTuple):
    """What one job waits for."""

    #: Jobs that have to have succeeded, and jobs that have to have ended: those of all jobs submitted together.
    ok: tuple[Upstream, ...] = ()
    any: tuple[Upstream, ...] = ()
    #: Jobs that have to have succeeded for this one.
    own: tuple[Upstream, ...] = ()

    def __str__(self) -> str:
        kinds = {"success": (*self.ok, *self.own), "end": self.any}
        texts = [f"the {kind} of job {', '.join(u.job_id for u in jobs)}" for kind, jobs in kinds.items() if jobs]
        return f"after {' and '.join(texts)}"


class ResultOf:
    """Stands for the result of a job among the arguments of another."""

    __slots__ = ("_found", "job", "upstream")
    #: In a set, or as a key, it would not be found.
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, upstream: Upstream, job: Any = None) -> None:
        self.upstream = upstream
        #: The handle that it was made of; not kept in a pickle.
        self.job = job
        self._found = job is None

    def __repr__(self) -> str:
        return f"<result of job {self.upstream.job_id}>"

    def __reduce__(self) -> tuple[Any, ...]:
        if not self._found:
            raise TypeError(
                f"the {self!r:.100} stands where it cannot be found: result_of(job) may be an argument, or lie in lists, tuples, "
                "dicts (as a value), dataclasses and functools.partial"
            )
        return ResultOf, (self.upstream,)


# ---------------------------------------------------------------- in calls


_ATOMS = frozenset({type(None), bool, int, float, complex, str, bytes})


def found(submission: DelayedSubmission) -> list[ResultOf]:
    """Every ``ResultOf`` in a call."""
    here: list[ResultOf] = []

    def note(stand_in: ResultOf) -> ResultOf:
        stand_in._found = True
        here.append(stand_in)
        return stand_in

    _Replacing(note)((submission.function, submission.args, submission.kwargs))
    return here


def resolved(submission: DelayedSubmission, value_of: Callable[[ResultOf], Any] | None = None) -> DelayedSubmission:
    """The same call with results where there was a ``ResultOf``; the call itself is as it was.

    What ``value_of`` gives, or what lies on disk: then ``JobDependencyError`` is raised for a job that has no result there, and
    for one that the call only is to come after.
    """
    made = object.__new__(type(submission))
    made.__dict__.update(submission.__dict__)
    for upstream in made.__dict__.pop("_needed", ()):
        _demand(upstream)
    call = (submission.function, submission.args, submission.kwargs)
    made.function, made.args, made.kwargs = _Replacing(value_of or _Results())(call)
    made.__dict__.pop("_unresolved", None)
    return made


class _Replacing:
    """Puts something else in the place of each ``ResultOf`` in a structure: in copies of what holds them."""

    def __init__(self, by: Callable[[ResultOf], Any]) -> None:
        self._by = by
        #: By the id of what was seen: itself, so that no other object gets its id, and what took its place.
        self._seen: dict[int, tuple[Any, Any]] = {}

    def __call__(self, value: Any) -> Any:
        kind = type(value)
        if kind in _ATOMS:
            return value
        if kind is ResultOf:
            return self._by(value)
        seen = self._seen.get(id(value))
        if seen is not None:
            return seen[1]
        self._seen[id(value)] = (value, value)
        made = self._replaced(value)
        self._seen[id(value)] = (value, made)
        return made

    def _replaced(self, value: Any) -> Any:
        made: Any
        if isinstance(value, (list, tuple)):
            before = list(value)
            items = [self(item) for item in before]
            if all(one is other for one, other in zip(items, before, strict=True)):
                return value
            if isinstance(value, tuple):
                return type(value)._make(items) if hasattr(value, "_make") else tuple.__new__(type(value), items)
            made = copy.copy(value)
            made[:] = items
        elif isinstance(value, dict):
            changed = self._changed(value.items())
            if not changed:
                return value
            made = copy.copy(value)
            for key, item in changed.items():
                made[key] = item
        elif isinstance(value, functools.partial):
            call = (value.func, value.args, value.keywords)
            new = self(call)
            if new is call:
                return value
            made = type(value)(new[0], *new[1], **new[2])
        elif hasattr(type(value), "__dataclass_fields__") and not isinstance(value, type):
            fields = [name for name in type(value).__dataclass_fields__ if hasattr(value, name)]
            changed = self._changed((name, getattr(value, name)) for name in fields)
            if not changed:
                return value
            made = copy.copy(value)
            for name, item in changed.items():
                object.__setattr__(made, name, item)  # a frozen one as well
        else:
            return value
        return made

    def _changed(self, items: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
        pairs = [(key, item, self(item)) for key, item in items]
        return {key: new for key, item, new in pairs if new is not item}


class _Results:
    """Reads results from disk, each once."""

    def __init__(self) -> None:
        self._read: dict[str, Any] = {}

    def __call__(self, stand_in: ResultOf) -> Any:
        upstream = stand_in.upstream
        path = upstream.result_path(upstream.tasks[0])
        if path not in self._read:
            self._read[path] = _value(upstream, path)
        return self._read[path]


def _value(upstream: Upstream, path: str) -> Any:
    _await_file(path, 0.0 if upstream.backend == "local" else VISIBLE_S)
    try:
        result = outcome.read_result(path)
    except FileNotFoundError as error:
        raise JobDependencyError(
            f"The result of job {upstream.job_id}, which is an argument of this one, is not there (any more): {path}"
        ) from error
    if result.status == "success":
        return result.value
    raise JobDependencyError(
        f"Job {upstream.job_id}, whose result is an argument of this one, failed: {_last_line(str(result.value))}"
    ) from result.exception


def demand(submission: DelayedSubmission, upstreams: Iterable[Upstream]) -> None:
    """Have the job itself see to it that these have succeeded, before it makes the call."""
    needed = tuple(upstreams)
    if needed:
        submission.__dict__.update(_unresolved=True, _needed=needed)


def _demand(upstream: Upstream) -> None:
    for task in upstream.tasks:
        _await_file(upstream.result_path(task), VISIBLE_S)
    if not upstream.succeeded():
        raise JobDependencyError(f"Job {upstream.job_id}, whose success this one is to wait for, has no result")


def _await_file(path: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not os.path.exists(path) and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            os.listdir(os.path.dirname(path))  # a network file system looks again
        time.sleep(_LOOK_S)


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]


# ---------------------------------------------------------------- in the client's journal


def taken(submissions: Sequence[DelayedSubmission]) -> list[Waits] | None:
    """What each of the calls waits for, which is kept with them until they are sent; ``None`` if none waits."""
    waits = [submission.__dict__.pop("_waits", None) for submission in submissions]
    return None if all(each is None for each in waits) else [each or Waits() for each in waits]


def noted(waits: Sequence[Waits], folder: str) -> dict[str, Any]:
    """The fields of a submission's record that say what its jobs wait for.

    A job is its id, or ``[id, folder]`` where its executor's folder is another one. ``after`` and ``after_any`` are common to
    all jobs of the record; ``after_own`` has a list for each.
    """

    def words(upstreams: Iterable[Upstream]) -> list[Any]:
        return [u.job_id if u.folder == folder else [u.job_id, u.folder] for u in upstreams]

    fields = {"after": words(waits[0].ok), "after_any": words(waits[0].any)}
    if any(each.own for each in waits):
        fields["after_own"] = [words(each.own) for each in waits]
    return {name: value for name, value in fields.items() if value}


def upstream_jobs(job: Collectable) -> dict[str, list[Collectable]]:
    """Handles of the jobs that a job waited for, by the parameters that name such jobs."""
    backend, folder = backend_of(job), str(job.paths._folder)
    found = {"after": _upstreams(backend, folder, job.job_id), "after_any": _ended(backend, folder, job.job_id)}
    return {name: [_handle(job, upstream) for upstream in upstreams] for name, upstreams in found.items()}


def _upstreams(backend: str, folder: str, job_id: str) -> list[Upstream]:
    """The jobs that a job needed the success of, as the journals have it."""
    record = _submission(folder, job_id)
    own = record.get("after_own")
    if isinstance(own, list):
        from submitit.storage import journal

        place = journal.place_of(record, job_id)
        own = own[place] if place < len(own) else None
    return [_named(backend, record, word) for word in (*_words(record.get("after")), *_words(own))]


def _ended(backend: str, folder: str, job_id: str) -> list[Upstream]:
    """The jobs that only had to end, as the journals have it."""
    record = _submission(folder, job_id)
    return [_named(backend, record, word) for word in _words(record.get("after_any"))]


def _words(listed: Any) -> list[Any]:
    """What ``noted`` has written, without what it would not write: a journal may be damaged, or be anybody's in a shared folder."""
    return [word for word in listed if _is_word(word)] if isinstance(listed, list) else []


def _is_word(word: Any) -> bool:
    return isinstance(word, str) or (
        isinstance(word, list) and len(word) == 2 and all(isinstance(text, str) for text in word)
    )


def _submission(folder: str, job_id: str) -> Any:
    from submitit.storage import journal
    from submitit.storage.paths import layout_of

    return journal.find_submission(layout_of(folder), job_id) or {}


def _named(backend: str, record: Any, word: Any) -> Upstream:
    job_id, folder = (word, record["folder"]) if isinstance(word, str) else word
    tasks = _submission(folder, job_id).get("tasks", 1)
    return Upstream(backend, folder, job_id, tuple(range(tasks if type(tasks) is int and 0 < tasks < _MANY else 1)))


# ---------------------------------------------------------------- who is to blame


def error_of(job: Collectable) -> JobDependencyError | None:
    """The error of a job that the scheduler has ended before it began, if a job that it depends on has failed.

    Its cause is the error of the first job that failed: of a chain, the one at its beginning.
    """
    failed = _first_failure(job)
    if failed is None:
        return None
    error = None
    with contextlib.suppress(TimeoutError):
        error = failed.exception(timeout=0)
    words = f"Job {job.job_id} did not run, because job {failed.job_id}, which it depends on, did not succeed"
    text = str(error or "")
    if error is not None and error.__cause__ is not None:
        text = f"{type(error.__cause__).__name__}: {error.__cause__}\n{text}"
    raised = JobDependencyError(f"{words}: {text}" if text else f"{words} (state: {failed.state})")
    raised.__cause__ = error
    return raised


def _first_failure(job: Collectable) -> Collectable | None:
    """A handle of the job that failed first among those that a job depends on, directly or not."""
    backend = backend_of(job)
    ahead = list(_upstreams(backend, str(job.paths._folder), job.job_id))
    seen = set(ahead)
    without_result: list[Upstream] = []
    for upstream in ahead:  # which grows meanwhile
        succeeded = upstream.succeeded()
        if succeeded is False:
            return _handle(job, upstream)
        if succeeded is None:
            # it was killed, or did not run itself for what one of its own has done
            without_result.append(upstream)
            new = [u for u in _upstreams(backend, upstream.folder, upstream.job_id) if u not in seen]
            seen.update(new)
            ahead += new
    for upstream in reversed(without_result):
        handle = _handle(job, upstream)
        if handle.done(force_check=True):
            return handle
    return None


def _handle(job: Collectable, upstream: Upstream) -> Collectable:
    return job._another(upstream.job_id, upstream.folder, upstream.tasks)
