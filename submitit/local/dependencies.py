"""Which of a controller's jobs wait for which others: of its own, or of another controller, whose journal tells of them.

What the client says of jobs that wait (see `protocol`), ``after``::

    {"common": [upstream, ...],             what each of them waits for
     "own": {job_id: [upstream, ...]}}      and what one of them does
    upstream: [root, folder, job_id, tasks, any end will do]
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

from submitit.local import records
from submitit.orchestrator.dependencies import Upstream
from submitit.storage.paths import tagless_root

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable, Sequence

    from submitit.local.records import Record
    from submitit.orchestrator.dependencies import Waits

    After = dict[str, Any]
    Key = tuple[str, str]

#: How long nobody may know a job that is waited for: its controller may be about to write it down.
UNKNOWN_S = 10.0
#: What Slurm says of a job that waits for one that has failed.
NEVER = "DependencyNeverSatisfied"


def after(job_ids: Sequence[str], waits: Sequence[Waits]) -> After:
    """What a controller is told of jobs and what each of them waits for."""
    first = waits[0]
    return {
        "common": [*(_words(u, any_end=False) for u in first.ok), *(_words(u, any_end=True) for u in first.any)],
        "own": {
            job_id: [_words(upstream, any_end=False) for upstream in each.own]
            for job_id, each in zip(job_ids, waits, strict=True)
            if each.own
        },
    }


def _words(upstream: Upstream, *, any_end: bool) -> list[Any]:
    return [tagless_root(upstream.folder), upstream.folder, upstream.job_id, upstream.tasks, any_end]


class Dependencies:
    """The jobs that wait for others. ``places`` are this controller's jobs that are not over.

    What has come of it is in ``settled``: jobs that wait for nothing any more, and those that never will start with the reason.
    """

    def __init__(self, places: Container[Key]) -> None:
        self._places = places
        #: By a job, or a gate: those that it still waits for.
        self._missing: dict[Key, set[Key]] = {}
        #: By the one that is waited for: who waits, and whether any end will do.
        self._dependents: dict[Key, list[tuple[Key, bool]]] = {}
        self._upstreams: dict[Key, Upstream] = {}
        #: Those waited for that are no job of this controller, or are over: since when nobody knows them.
        self._elsewhere: dict[Key, float] = {}
        self._settled: deque[tuple[Key, str]] = deque()
        self._gates = 0

    @property
    def settled(self) -> bool:
        """Whether there is something to take."""
        return bool(self._settled)

    def take(self) -> list[tuple[Key, str]]:
        """What was settled since the last call: the job, and why it never will start, or ``""``."""
        taken = list(self._settled)
        self._settled.clear()
        return taken

    def add(self, root: str, job_ids: Collection[str], after: After) -> None:
        """These jobs wait as ``after`` says."""
        common = after["common"]
        if len(common) > 1 and len(job_ids) > 1:
            # A thousand jobs that wait for the same thousand wait for one gate, which waits for these.
            self._gates += 1
            gate = ("", str(self._gates))
            self._wait(gate, common)
            for job_id in job_ids:
                self._wait((root, job_id), after["own"].get(job_id, ()), [gate])
        else:
            for job_id in job_ids:
                self._wait((root, job_id), [*common, *after["own"].get(job_id, ())])
        self.look()

    def _wait(self, who: Key, upstreams: Iterable[Any], gates: Iterable[Key] = ()) -> None:
        missing = self._missing[who] = set(gates)
        for gate in gates:
            self._dependents.setdefault(gate, []).append((who, False))
        for root, folder, job_id, tasks, any_end in upstreams:
            key = (root, job_id)
            missing.add(key)
            self._dependents.setdefault(key, []).append((who, any_end))
            if key not in self._upstreams:
                self._upstreams[key] = Upstream("local", folder, job_id, tuple(tasks))
                if key not in self._places:
                    self._elsewhere[key] = time.monotonic()
        if not missing:
            del self._missing[who]
            self._settled.append((who, ""))

    def ended(self, key: Key, record: Record) -> None:
        """A job of this controller is over."""
        if key in self._dependents:
            self._elsewhere.pop(key, None)
            self._resolve(key, self._reason(key, record))

    def look(self) -> None:
        """See what has become of the jobs that are none of this controller's, or are over."""
        if not self._elsewhere:
            return
        from submitit.local.journals import journal_source

        now = time.monotonic()
        for root in {root for root, _ in self._elsewhere}:
            journal_source(root).refresh()
        for key, since in list(self._elsewhere.items()):
            root, job_id = key
            record = journal_source(root).record(job_id)
            if record is not None and not record.over:
                self._elsewhere[key] = now
                continue
            if record is not None:
                reason = self._reason(key, record)
            elif self._upstreams[key].succeeded():
                reason = ""
            elif now - since > UNKNOWN_S:
                reason = f"no journal has job {job_id}"
            else:
                continue
            del self._elsewhere[key]
            self._resolve(key, reason)

    def _reason(self, key: Key, record: Record) -> str:
        """Why a job that is over is none to go on after; ``""`` if it is."""
        # One whose results are all there has not failed, whatever became of its processes then.
        if record.state == records.COMPLETED or self._upstreams[key].succeeded():
            return ""
        return f"job {record.job} is {record.state}"

    def _resolve(self, key: Key, reason: str) -> None:
        """What was waited for has come to its end: as it had to, or for a reason not so."""
        ends = [(key, reason)]
        while ends:
            key, reason = ends.pop()
            self._upstreams.pop(key, None)
            for who, any_end in self._dependents.pop(key, ()):
                missing = self._missing.get(who)
                if missing is None:
                    continue  # it never will start, for another reason
                missing.discard(key)
                failed = reason if not any_end else ""
                if missing and not failed:
                    continue
                del self._missing[who]
                if who[0]:
                    self._settled.append((who, f"{NEVER}: {failed}" if failed else ""))
                else:
                    ends.append((who, failed))
