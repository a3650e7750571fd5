"""The calls of a map, as jobs make them and note how each ended.

::

    Chunk    one job, one chunk of the calls             function and arguments are in the submission
    Share    one of several jobs that share chunks       … in a payload; a file of claims says who has taken which
      └ Notes ─▶ <job_id>_<task>_calls.bin ─▶ the client, while the job runs and afterwards
    result of the job: Outcomes, which reads that file

What has been noted is not done again: a job that was interrupted, with a checkpoint or without, looks there first.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
from collections.abc import Sequence

from submitit.records import NamedTuple
from submitit.storage import calls, outcome, payload, serialization
from submitit.storage.claims import Claims
from submitit.storage.submission import DelayedSubmission

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, NoReturn

    #: The arguments of consecutive calls: of each argument what it is in the calls, as a list or the pickle of one.
    Columns = Sequence[list[Any] | bytes]

#: How a call ended is noted within this time.
NOTED_WITHIN_S = 0.05
#: Pickles of so many bytes do not wait for it.
_FULL = 1 << 20
#: Values that cannot change until they are written.
_ATOMS = frozenset({type(None), bool, int, float, complex})
_SHORT = 512


class CallOutcome(NamedTuple):
    """How one call of a map ended."""

    #: The call's number: its place in the iterables.
    call: int
    #: "success" or "error".
    status: str
    #: What the function returned, or the text of the traceback.
    value: Any
    #: What the function raised, with its causes; ``None`` where it did not, or where it does not come through a pickle.
    exception: BaseException | None = None


def decoded(call: int, other: calls.Other) -> CallOutcome:
    """The outcome of a call that is no atom. Raises whatever unpickling its value raises."""
    status, trace, pickled = other
    if status == "success":
        return CallOutcome(call, status, serialization.loads(pickled or b""))
    return CallOutcome(call, status, trace, None if pickled is None else outcome.load_exception(pickled))


class Outcomes(Sequence["CallOutcome"]):
    """How the calls that one job has made ended, in the order in which it made them; read from the job's file of calls.

    Raises ``UntrustedPickleError`` if somebody else could have written that, and where a value does not unpickle what that
    raises.
    """

    def __init__(self, path: str, name: str, size: int, count: int) -> None:
        self._path, self._name, self._count = path, name, count
        #: How large the file is.
        self.size = size

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[CallOutcome]:
        reader = calls.Reader(self._path, self._name)
        while runs := reader.read():
            for run in runs:
                yield from _outcomes(run)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return list(self)[index]
        place = index + self._count if index < 0 else index
        if not 0 <= place < self._count:
            raise IndexError(f"the job made {self._count} calls, there is none with index {index}")
        return next(itertools.islice(self, place, None))

    def __repr__(self) -> str:
        return f"<{self._count} outcomes of calls in {self._path!r}>"


def _outcomes(run: calls.Run) -> Iterator[CallOutcome]:
    for place, value in enumerate(run.values):
        other = run.others.get(place)
        call = run.first + place
        yield CallOutcome(call, "success", value) if other is None else decoded(call, other)


class Notes:
    """Makes calls and notes how they end, soon after each: the file always has all but the last moment's."""

    def __init__(self, name: str) -> None:
        from submitit.orchestrator.environment import JobEnvironment

        self.path = JobEnvironment().paths.locate("calls")
        self._writer = calls.Writer(self.path, name)
        #: Whether a call has ended since this process began.
        self.got_on = False
        #: The calls that were noted, of this attempt and earlier ones.
        self.count = sum(stop - first for first, stop in self._writer.runs)
        # Of the calls that are being made: the number of the first, what they returned, and how many were noted.
        self._first, self._written = 0, 0
        self._values: list[Any] = []
        #: What is no atom, by the call's number.
        self._others: dict[int, calls.Other] = {}
        self._due = 0.0
        self._stopped = False
        self._pid = os.getpid()
        # The same thread may come again: a signal's handler runs on top of it.
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._note_meanwhile, name="submitit-calls", daemon=True)
        self._thread.start()

    def reached(self, first: int, stop: int) -> int:
        """The first of these calls that earlier attempts have not noted."""
        return max((end for start, end in self._writer.runs if first <= start < stop), default=first)

    def make(self, function: Callable[..., Any], rows: Iterable[tuple[Any, ...]], first: int) -> None:
        """Call the function with each row of arguments; ``first`` is the first call's number.

        What a call raises is how it ended. What ends the process passes through: Ctrl-C, and a checkpoint.
        """
        values: list[Any] = []
        with self._lock:
            self._first, self._values, self._written = first, values, 0
        others, clock, size = self._others, time.monotonic, 0
        for number, row in enumerate(rows, first):
            try:
                value = function(*row)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - that is how the call ended
                if os.getpid() != self._pid:
                    _leave(error)
                value = None
                others[number] = _failure(error)
            else:
                kind = type(value)
                if kind not in _ATOMS and not (kind is str and len(value) < _SHORT):
                    others[number] = other = _pickled(value)
                    size += len(other[2] or "")
                    value = None
            if self._stopped:
                raise SystemExit(-1)  # whatever the function, or this loop, has made of the first
            values.append(value)
            if size > _FULL or clock() >= self._due:
                self.catch_up()
                size = 0
        self.catch_up()

    def catch_up(self) -> None:
        """All calls that have ended are noted."""
        with self._lock:
            written, first = self._written, self._first + self._written
            values = self._values[written:]
            if values:
                mine = [number for number in list(self._others) if number < first + len(values)]
                others = {number - first: self._others[number] for number in mine if number >= first}
                self._writer.write(calls.Run(first, values, others))
                # From here on: interrupted before, it is written twice, and read once.
                self._written = written + len(values)
                self.count += len(values)
                self.got_on = True
                for number in mine:
                    self._others.pop(number, None)
            self._due = time.monotonic() + NOTED_WITHIN_S

    def _note_meanwhile(self) -> None:
        """What ended before a call that takes long is not kept back by it."""
        while not self._over.wait(NOTED_WITHIN_S):
            if len(self._values) > self._written:
                try:
                    self.catch_up()
                except Exception:  # noqa: BLE001, S112 - whoever makes the calls tries again, and says so
                    continue

    def stop(self) -> None:
        """The call that is running does not count, and no other follows: a checkpoint was made, or could not be made."""
        self._stopped = True
        try:
            self.catch_up()
        except OSError:
            return  # those calls are made again

    def close(self) -> int:
        """All is noted for good, and no other thread runs. Returns how large the file is."""
        self._over.set()
        self._thread.join()
        return self._writer.close()


class _Maker:
    """What the two kinds of jobs have in common; ``name`` is the map's."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self._name = name
        self._notes: Notes | None = None
        # by these, journals and errors name what is called
        self.__qualname__ = getattr(function, "__qualname__", None) or type(function).__qualname__
        self.__module__ = getattr(function, "__module__", None) or "builtins"

    @property
    def _submitit_got_on(self) -> bool:
        """Whether this attempt has brought the job nearer to its end: then a time-out is not one of those that are counted."""
        return self._notes is not None and self._notes.got_on

    def _submitit_stop(self) -> None:
        """The job is about to end, by an exception in the call that is running."""
        if self._notes is not None:
            self._notes.stop()

    def __submitit_checkpoint__(self, *args: Any) -> DelayedSubmission:
        self._submitit_stop()
        function: Any = self  # either kind can be called
        return DelayedSubmission(function, *args)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_notes": None}

    def _noted(self, make: Callable[[Notes], None]) -> Outcomes:
        notes = self._notes = Notes(self._name)
        try:
            make(notes)
        finally:
            size = notes.close()
        return Outcomes(notes.path, self._name, size, notes.count)


class Chunk(_Maker):
    """Makes consecutive calls, of which ``first`` is the number of the first.

    Where the job is this very process, the outcomes are handed over as they are, and ``examine`` is given what calls raise.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        first: int,
        examine: Callable[[BaseException], None] | None = None,
    ) -> None:
        super().__init__(name, function)
        self._first = first
        self._examine = examine

    def __call__(self, function: Callable[..., Any], columns: Columns, *_: Any) -> Sequence[CallOutcome]:
        """``columns`` are the arguments; the rest is what they share with those of other jobs."""
        rows = _rows(columns)
        if self._examine is not None:
            return [self._made(number, function, row) for number, row in enumerate(rows, self._first)]

        def make(notes: Notes) -> None:
            reached = notes.reached(self._first, self._first + len(rows))
            notes.make(function, rows[reached - self._first :], reached)

        return self._noted(make)

    def _made(self, number: int, function: Callable[..., Any], row: tuple[Any, ...]) -> CallOutcome:
        try:
            return CallOutcome(number, "success", function(*row))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - that is how the call ended
            assert self._examine is not None
            self._examine(error)
            return CallOutcome(number, "error", _trace(error), error)


class Share(_Maker):
    """Takes chunks, as long as there are any, from those that ``takers`` jobs share; this is the job with the number ``taker``.

    A chunk is a submission in the file ``chunks``, and ``size`` calls long, but for the last.
    """

    def __init__(
        self, name: str, function: Callable[..., Any], chunks: str, claims: str, size: int, taker: int, takers: int
    ) -> None:
        super().__init__(name, function)
        self._chunks, self._claims = chunks, claims
        self._size, self._taker, self._takers = size, taker, takers

    @property
    def payload(self) -> str:
        """The file that holds the chunks."""
        return self._chunks

    def __call__(self) -> Outcomes:
        return self._noted(self._make)

    def _make(self, notes: Notes) -> None:
        claims = Claims(self._claims, self._taker, self._takers)
        with payload.Payload(self._chunks) as chunks:
            for number in itertools.chain(claims.taken(), iter(claims.take, None)):
                first = number * self._size
                reached = notes.reached(first, first + self._size)
                if reached == first + self._size:
                    continue
                chunk = chunks.submission(number)
                if "_unresolved" in chunk.__dict__:
                    from submitit.orchestrator import dependencies

                    chunk = dependencies.resolved(chunk)
                notes.make(chunk.function, _rows(chunk.args[0])[reached - first :], reached)


def _rows(columns: Columns) -> list[tuple[Any, ...]]:
    """The arguments of each call."""
    whole = [serialization.loads(column) if isinstance(column, bytes) else column for column in columns]
    return list(zip(*whole, strict=True))


def _leave(error: BaseException) -> NoReturn:
    """End a process that a call has forked, and that came back: the other calls are its parent's."""
    from submitit.orchestrator import runner

    code = 1
    if isinstance(error, SystemExit):
        code = runner._exit_code(error)
    else:
        print(_trace(error), end="", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _pickled(value: Any) -> calls.Other:
    try:
        return "success", "", serialization.dumps(value)
    except Exception as problem:  # noqa: BLE001 - a value's own pickling code may raise anything
        words = serialization.describe_unpicklable(value, problem)
        error = TypeError(f"The function returned a value that cannot be pickled: {words}")
        error.__cause__ = problem
        return "error", f"TypeError: {error}\n", outcome.dump_exception(error)


def _failure(error: BaseException) -> calls.Other:
    return "error", _trace(error), outcome.dump_exception(error)


def _trace(error: BaseException) -> str:
    """The traceback of a function's exception, from the function on."""
    import traceback

    trace = error.__traceback__
    try:
        return "".join(traceback.format_exception(type(error), error, trace and (trace.tb_next or trace)))
    except Exception as problem:  # noqa: BLE001 - an exception whose own __str__ raises is an ending too
        return f"{type(error).__module__}.{type(error).__qualname__} (its traceback cannot be printed: {problem!r})\n"
