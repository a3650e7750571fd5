"""What to ask for next time, from what jobs have used."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from submitit import amounts
from submitit.orchestrator.state import JobState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from submitit.views.usage import Row

#: Of fewer jobs nothing is concluded about what is too much, and with fewer than MANY more room is left.
ENOUGH, MANY = 5, 10
#: What is asked for beyond the largest use: the next job may be larger than all before it, and being killed costs a whole job.
MARGIN_OF_FEW, MARGIN = 1.5, 1.25
#: More than this part of what was asked for is next to the limit.
NEAR = 0.9
#: Where no more than this part of the jobs was ended, and all others use far less, these few should run again with more.
FEW = 0.1
#: Less is not worth the change.
_LEAST_SAVED = 0.25
_LEAST_MB, _LEAST_S = 512.0, 600.0
#: Of shorter runs the CPUs wait for imports and for files.
_LEAST_RUN_S = 5.0

_MEMORY_STEPS = ((4.0, 0.5), (16.0, 1.0), (32.0, 2.0), (64.0, 4.0), (256.0, 8.0), (math.inf, 32.0))
_MINUTE_STEPS = ((60, 5), (240, 15), (1440, 60), (math.inf, 360))


class Advice(NamedTuple):
    """One thing that the jobs of one kind should ask for otherwise."""

    #: ``"memory"`` (MB of a node), ``"time"`` (seconds) or ``"cpus"`` (of a task): the unit of the three amounts.
    kind: str
    #: Which jobs: those of this name that run this function and asked for this much.
    name: str
    function: str
    asked: float
    #: How many of them tell how much they used, and the most that one did; of CPUs what nine in ten needed at most.
    jobs: int
    used: float | None
    #: How many were ended because it was not enough.
    ended: int
    suggested: float

    @property
    def more(self) -> bool:
        """Whether it is more that they should ask for."""
        return self.suggested > self.asked

    @property
    def parameter(self) -> str:
        """The parameter of ``update_parameters``."""
        if self.kind == "memory":
            return f"mem_gb={self.suggested / 1024:g}"
        return f"timeout_min={self.suggested / 60:g}" if self.kind == "time" else f"cpus_per_task={self.suggested:g}"

    @property
    def sentence(self) -> str:
        """What to do, and why."""
        show = _SHOWN[self.kind]
        asked = show(self.asked) if self.kind != "cpus" else f"{self.asked:g}"
        return f"Ask for {show(self.suggested)} instead of {asked}: {self._reason(show)}."

    def _reason(self, show: Callable[[float], str]) -> str:
        jobs = amounts.count(self.jobs, "job")
        if self.ended and self.more:
            lack = _POLICIES[self.kind][0].replace("were", "was" if self.ended == 1 else "were")
            # the accounts see memory now and then: of what grew fast they have missed the most
            tells = self.kind == "memory" and self.used is not None and self.used > self.asked / 2
            known = f", and the largest use known is {show(self.used or 0.0)}" if tells else ""
            return f"{amounts.count(self.ended, 'job')} {lack}{known}"
        assert self.used is not None
        if self.kind == "cpus":
            who = "none of {} kept more than" if self.jobs < MANY else "nine in ten of {} kept at most"
            busy = amounts.number(self.used)
            return f"{who.format(jobs)} {busy} {'CPU' if busy == '1' else 'CPUs'} busy"
        what = "the largest" if self.kind == "memory" else "the longest"
        did = "used" if self.kind == "memory" else "ran"
        why = f"{what} of {jobs} {did} {show(self.used)}" + (", next to the limit" if self.more else "")
        if not self.ended:
            return why
        lack, policy = _POLICIES[self.kind]
        return f"{why}. But {self.ended:,} {lack}: let these run again with more, by retry=submitit.Retry({policy}=2)"


#: What ended jobs that had too little, and the policy for those that it did.
_POLICIES = {"memory": ("were killed for memory", "out_of_memory"), "time": ("ran out of time", "timeout")}


def _cpus(count: float) -> str:
    return f"{count:g} {'CPU' if count == 1 else 'CPUs'} a task"


_SHOWN: dict[str, Callable[[float], str]] = {"memory": amounts.memory, "time": amounts.duration, "cpus": _cpus}


def advice(rows: Iterable[Row]) -> list[Advice]:
    """What to ask for next time, most urgent first: where jobs were ended, where they came near to it, then what saves most.

    Jobs of one name and function that asked for the same are one kind. Nothing is said of a kind of which too little is known.
    """
    rows = list(rows)
    found = [*_about(rows, "memory"), *_about(rows, "time"), *_about(rows, "cpus")]
    return sorted(found, key=lambda one: (not one.ended, not one.more, -one.jobs * abs(1 - one.suggested / one.asked)))


def memory_used(row: Row) -> float | None:
    """MB that a job had on a node, as far as that can be known: on Slurm each task tells of itself, and the largest is taken for all."""
    if row["max_rss_mb"] is None:
        return None
    return row["max_rss_mb"] * (max(1, row["tasks"] // row["nodes"]) if row["backend"] == "slurm" else 1)


def cpus_used(row: Row) -> float | None:
    """How many CPUs a job kept busy, over its tasks and over its time."""
    if row["cpu_s"] is None or not row["run_s"]:
        return None
    return row["cpu_s"] / row["run_s"]


def quantile(values: Sequence[float], part: float) -> float:
    """The least of the values that is not less than so large a part of them."""
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)]


# ---- the three kinds


class _Measure(NamedTuple):
    """How one kind of amount is read off a row, and judged."""

    asked: Callable[[Row], float | None]
    used: Callable[[Row], float | None]
    #: The state of a job that had too little.
    ended: JobState | None
    suggest: Callable[[float], float]
    least: float


def _about(rows: Iterable[Row], kind: str) -> Iterable[Advice]:
    measure = _MEASURES[kind]
    alike: dict[tuple[str, str, float], list[Row]] = {}
    for row in rows:
        asked = measure.asked(row)
        if asked and row["over"]:
            alike.setdefault((row["name"] or "", row["function"] or "", asked), []).append(row)
    for (name, function, asked), group in alike.items():
        found = _judged(measure, kind, asked, group)
        if found is not None:
            used, jobs, ended, suggested = found
            yield Advice(kind, name, function, asked, jobs, used, ended, suggested)


def _judged(
    measure: _Measure, kind: str, asked: float, group: list[Row]
) -> tuple[float | None, int, int, float] | None:
    """The use, of how many jobs, how many were ended, and what to ask for; ``None`` for nothing to say."""
    ended = sum(measure.ended is not None and JobState.read(row["state"]) is measure.ended for row in group)
    good = [row for row in group if JobState.read(row["state"]) is JobState.COMPLETED]
    values = [value for row in good if (value := measure.used(row)) is not None]
    used = max(values, default=0.0)
    margin = MARGIN_OF_FEW if len(values) < MANY else MARGIN
    if (
        ended
        and len(values) >= MANY
        and ended <= FEW * len(group)
        and _saves(measure, asked, measure.suggest(used * margin))
    ):
        return used, len(values), ended, measure.suggest(used * margin)
    if ended:
        # one that was killed tells the least that it would have needed
        seen = [value for row in group if (value := measure.used(row)) is not None]
        largest = max(seen, default=None)
        return largest, len(seen), ended, measure.suggest(max(asked, largest or 0.0) * MARGIN_OF_FEW)
    if len(values) < ENOUGH:
        return None
    if kind == "cpus" and len(values) >= MANY:
        used = quantile(values, 0.9)
    suggested = measure.suggest(used * margin)
    if kind != "cpus" and used > NEAR * asked:
        return (used, len(values), 0, suggested) if suggested > asked else None
    return (used, len(values), 0, suggested) if _saves(measure, asked, suggested) else None


def _saves(measure: _Measure, asked: float, suggested: float) -> bool:
    """Whether it is worth the change."""
    return asked - suggested >= max(_LEAST_SAVED * asked, measure.least)


def _cpus_a_task(row: Row) -> float | None:
    return None if row["asked_cpus"] is None else row["asked_cpus"] / row["tasks"]


def _busy_a_task(row: Row) -> float | None:
    busy = cpus_used(row)
    return None if busy is None or (row["run_s"] or 0) < _LEAST_RUN_S else busy / row["tasks"]


def _rounded_up(value: float, steps: Iterable[tuple[float, float]]) -> float:
    step = next(step for least, step in steps if value <= least)
    return math.ceil(round(value / step, 6)) * step


_MEASURES = {
    "memory": _Measure(
        lambda row: row["asked_mem_mb"],
        memory_used,
        JobState.OUT_OF_MEMORY,
        lambda value: 1024 * _rounded_up(value / 1024, _MEMORY_STEPS),
        _LEAST_MB,
    ),
    "time": _Measure(
        lambda row: row["asked_time_s"],
        lambda row: row["run_s"],
        JobState.TIMEOUT,
        lambda value: 60 * _rounded_up(value / 60, _MINUTE_STEPS),
        _LEAST_S,
    ),
    "cpus": _Measure(_cpus_a_task, _busy_a_task, None, lambda value: float(max(1, math.ceil(value))), 1.0),
}
