"""Which lines the table has: filtered, sorted, arrays folded. Knows nothing of terminals."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from submitit.cli.summary import rank
from submitit.orchestrator.state import StateKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from submitit.views.entry import JobEntry

    SortKey = Callable[[JobEntry, float], tuple[object, ...] | None]
    Key = tuple[str, str, bool]


class Query(NamedTuple):
    """What the user wants to see, and in which order."""

    #: All of them have to occur somewhere in a job's texts, whatever their case.
    words: str = ""
    #: The one kind of states to be shown; ``None`` for all.
    kind: StateKind | None = None
    #: One of ``SORTS``.
    sort: str = "submitted"
    #: Against the order that the column has by itself.
    reverse: bool = False


class Line(NamedTuple):
    """One line of the table: a job, or the head of all jobs of one call."""

    #: The jobs that it stands for, as far as the query lets them through. Of a head there may be one as well.
    jobs: Sequence[JobEntry]
    #: How many jobs the call submitted; 0 for a job's own line.
    of: int = 0
    #: Whether it stands below a head.
    inner: bool = False
    #: Whether a head's jobs follow it.
    unfolded: bool = False

    @property
    def entry(self) -> JobEntry:
        """The job; of a head the first of its jobs."""
        return self.jobs[0]

    @property
    def is_head(self) -> bool:
        """Whether it stands for the jobs of one call."""
        return self.of > 0

    @property
    def key(self) -> Key:
        """What the same line has after any change."""
        entry = self.entry
        if self.is_head:
            return entry.folder, str(id(entry.submission)), True
        return entry.folder, entry.job_id, False


class Table:
    """The lines for some jobs and a query."""

    def __init__(self) -> None:
        self.entries: Sequence[JobEntry] = ()
        self.query = Query()
        #: The calls whose jobs are shown one by one, by the identity of their record.
        self._unfolded: set[int] = set()
        self._sizes: Counter[int] = Counter()
        self._texts: dict[int, str] = {}
        self.lines: list[Line] = []
        #: How many jobs of each kind there are that have the query's words.
        self.counts: Counter[StateKind] = Counter()
        #: How many jobs the lines stand for.
        self.shown = 0
        #: Where each line stands, by its key.
        self._places: dict[Key, int] = {}

    def show(self, entries: Sequence[JobEntry]) -> None:
        """These are the jobs now, in the order of submission."""
        if len(entries) != len(self.entries):
            self._sizes = Counter(id(entry.submission) for entry in entries)
            self._texts = {}
        self.entries = entries
        self.arrange()

    def ask(self, query: Query) -> None:
        """Show what the query wants."""
        self.query = query
        self.arrange()

    def fold(self, line: Line, folded: bool | None = None) -> None:
        """Show the jobs of the line's call as one line, or one by one; by default the other of the two."""
        call = id(line.entry.submission)
        if self._sizes[call] < 2:
            return
        if folded is None:
            folded = call in self._unfolded
        (self._unfolded.discard if folded else self._unfolded.add)(call)
        self.arrange()

    def fold_all(self) -> None:
        """Fold every call if one is unfolded, else unfold all."""
        many = {call for call, size in self._sizes.items() if size > 1}
        self._unfolded = set() if self._unfolded & many else many
        self.arrange()

    @property
    def jobs(self) -> list[JobEntry]:
        """All jobs that the query lets through, folded ones as well."""
        return [job for line in self.lines if not line.inner for job in line.jobs]

    def place(self, key: Key) -> int | None:
        """Where a line stands now; a job of a call that is folded stands where its head does."""
        found = self._places.get(key)
        if found is None and not key[2]:
            for place, line in enumerate(self.lines):
                if line.is_head and any((job.folder, job.job_id) == key[:2] for job in line.jobs):
                    return place
        return found

    def arrange(self) -> None:
        """Make the lines anew."""
        query = self.query
        chosen = self._with_words(query.words.casefold().split())
        self.counts = Counter(entry.kind for entry in chosen)
        if query.kind is not None:
            chosen = [entry for entry in chosen if entry.kind is query.kind]
        self.shown = len(chosen)
        # A call stands where the first of its jobs does.
        calls: dict[int, list[JobEntry]] = {}
        for entry in ordered(chosen, query.sort, reverse=query.reverse):
            calls.setdefault(id(entry.submission), []).append(entry)
        self.lines = [line for call, jobs in calls.items() for line in self._lines_of(call, jobs)]
        self._places = {line.key: place for place, line in enumerate(self.lines)}

    def _lines_of(self, call: int, jobs: list[JobEntry]) -> list[Line]:
        size = self._sizes[call]
        if size == 1:
            return [Line(jobs)]
        if call not in self._unfolded:
            return [Line(jobs, size)]
        return [Line(jobs, size, unfolded=True), *(Line((job,), inner=True) for job in jobs)]

    def _with_words(self, words: list[str]) -> list[JobEntry]:
        if not words:
            return list(self.entries)
        return [entry for entry in self.entries if all(map(self._text(entry).__contains__, words))]

    def _text(self, entry: JobEntry) -> str:
        """All that one can look for in a job; what a call's jobs have in common is put together once."""
        call = id(entry.submission)
        common = self._texts.get(call)
        if common is None:
            given = entry.submission
            words = (
                entry.name,
                entry.function,
                entry.folder,
                entry.backend,
                given.get("user", ""),
                given.get("host", ""),
            )
            common = self._texts[call] = "\n".join(words).casefold()
        own = f"{entry.job_id}\n{entry.state}\n{entry.node}\n{entry.reason}".casefold()
        return f"{own}\n{common}"


# ---- in which order


def ordered(entries: Sequence[JobEntry], sort: str, *, reverse: bool = False) -> list[JobEntry]:
    """Jobs in one of the orders of ``SORTS``. Those that have nothing to be sorted by come last whichever way it goes."""
    key, downwards = SORTS[sort]
    now = time.time()
    keyed = [(key(entry, now), entry) for entry in entries]
    known = [(value, entry) for value, entry in keyed if value is not None]
    known.sort(key=lambda pair: pair[0], reverse=downwards is not reverse)
    return [entry for _, entry in known] + [entry for value, entry in keyed if value is None]


def _by_id(entry: JobEntry, _now: float) -> tuple[object, ...]:
    """As numbers where they are numbers: 9 comes before 10."""
    array, _, index = entry.job_id.partition("_")
    if array.isdecimal() and (index.isdecimal() or not index):
        return 0, int(array), int(index or 0), ""
    return 1, 0, 0, entry.job_id


def _by_elapsed(entry: JobEntry, now: float) -> tuple[object, ...] | None:
    seconds = entry.ran_s(now)
    return None if seconds is None else (seconds,)


#: By what jobs are sorted, each by its column's name, and whether the greatest comes first.
SORTS: dict[str, tuple[SortKey, bool]] = {
    "submitted": (lambda entry, _: (entry.submitted,), True),
    "id": (_by_id, False),
    "name": (lambda entry, _: (entry.name.casefold(),), False),
    "state": (lambda entry, _: (rank(entry.state), entry.state), False),
    "time": (_by_elapsed, True),
    "node": (lambda entry, _: (entry.node,) if entry.node else None, False),
}


# ---- what to do something about


def to_cancel(jobs: Iterable[JobEntry]) -> list[JobEntry]:
    """Those that can still be cancelled, and were not: they may need a moment to end."""
    return [job for job in jobs if not job.over and job.kind is not StateKind.CANCELLED]


def to_retry(jobs: Iterable[JobEntry]) -> list[JobEntry]:
    """Those that have come to a bad end, or were cancelled."""
    return [job for job in jobs if job.failed or job.cancelled]
