"""The decision what to start: never too much, nobody starved, nobody idle for nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from submitit.local.scheduler import (
    BACKFILL_DEPTH,
    Capacity,
    Entry,
    Request,
    Running,
    Start,
    decide,
    excess,
    held_elsewhere,
    latest_start,
)

MACHINE = Capacity(4, 16)
GPUS = ("0", "1", "2")


def entry(key: int, cpus: int = 1, waiting: int = 1, limit_s: float = 100, **more: int) -> Entry:
    return Entry(key, Request(cpus, limit_s), waiting, **more)


def on_gpus(key: int, gpus: int, waiting: int = 1, limit_s: float = 100, pool: tuple[str, ...] = GPUS) -> Entry:
    return Entry(key, Request(1, limit_s, gpus=gpus, pool=pool), waiting)


def with_memory(key: int, memory: int, waiting: int = 1, limit_s: float = 100) -> Entry:
    return Entry(key, Request(1, limit_s, memory=memory), waiting)


def decided(queue: list[Entry], running: list[Running], capacity: Capacity = MACHINE) -> list[tuple[int, int]]:
    """How many jobs of which entry start."""
    return list(Counter(start.key for start in decide(queue, running, capacity, 0)).items())


def test_what_fits_starts_in_order() -> None:
    assert decided([entry(1, 2), entry(2, 1), entry(3, 2)], []) == [(1, 1), (2, 1)]


def test_jobs_of_one_entry_start_as_many_as_fit() -> None:
    assert decided([entry(1, 1, waiting=10)], [Running(1, 50)]) == [(1, 3)]


def test_memory_is_shared_out() -> None:
    assert decided([with_memory(1, 6, waiting=9)], []) == [(1, 2)]
    assert decided([with_memory(1, 6), entry(2)], [Running(1, 50, memory=16)]) == [(2, 1)], "it asks for none"
    assert decided([with_memory(1, 10**9)], [Running(1, 50)], Capacity(4, None)) == [(1, 1)], "not known: no limit"


def test_gpus_are_distinct() -> None:
    started = decide([on_gpus(1, 1, waiting=2), on_gpus(2, 2)], [Running(1, 50, gpus=("0",))], MACHINE, 0)
    assert started == [Start(1, ("1",)), Start(1, ("2",))]
    assert decide([on_gpus(1, 2)], [held_elsewhere("0", 50)], MACHINE, 0) == [Start(1, ("1", "2"))]
    assert decide([on_gpus(1, 1, pool=("GPU-a",)), on_gpus(2, 1)], [], MACHINE, 0) == [
        Start(1, ("GPU-a",)),
        Start(2, ("0",)),
    ]


def test_so_many_jobs_may_run() -> None:
    limited = Entry(1, Request(1, 100, max_jobs=2), 5)
    assert decided([limited], []) == [(1, 2)]
    assert decided([limited], [Running(1, 50)]) == [(1, 1)]
    assert decided([limited], [Running(1, 50)] * 2) == []
    assert decided([limited], [held_elsewhere("0", 50)]) == [(1, 2)], "of this queue"


@pytest.mark.parametrize(
    "big, what",
    [
        (entry(1, 9), ["cpus"]),
        (with_memory(1, 17), ["memory"]),
        (on_gpus(1, 4), ["gpus"]),
        (Entry(1, Request(3, 100, max_cpus=2), 1), ["cpus"]),
        (Entry(1, Request(9, 100, None, 17, 4, GPUS), 1), ["cpus", "memory", "gpus"]),
    ],
)
def test_what_can_never_fit_runs_alone(big: Entry, what: list[str]) -> None:
    assert excess(big.request, MACHINE) == what
    assert decided([big, entry(2)], [Running(1, 50)]) == []
    assert decided([big, entry(2)], []) == [(1, 1)]
    beside = Running.of(big.request, MACHINE, 50)
    for other in (entry(2), on_gpus(3, 1, pool=("9",))):
        assert decided([other], [beside]) == []
        assert latest_start(other.request, [beside], MACHINE, 0) == 50


def test_a_job_that_wants_too_many_gpus_gets_all_there_are() -> None:
    assert decide([on_gpus(1, 4)], [], MACHINE, 0) == [Start(1, GPUS)]
    assert decide([on_gpus(1, 4)], [held_elsewhere("1", 50)], MACHINE, 0) == []


def test_a_small_job_passes_a_big_one_if_it_is_over_in_time() -> None:
    running = [Running(3, end=100)]
    assert decided([entry(1, 4), entry(2, 1, limit_s=100)], running) == [(2, 1)]
    assert decided([entry(1, 4), entry(2, 1, limit_s=101)], running) == []


def test_a_small_job_passes_a_big_one_if_it_leaves_enough_for_it() -> None:
    running = [Running(3, end=100)]
    assert decided([entry(1, 3), entry(2, 1, limit_s=1000)], running) == [(2, 1)]
    assert decided([entry(1, 3), entry(2, 1, waiting=5, limit_s=1000)], [Running(2, 100)]) == [(2, 1)]


def test_it_leaves_enough_of_everything() -> None:
    running = [Running(1, end=100, memory=10)]
    assert decided([with_memory(1, 12), with_memory(2, 4, 2, limit_s=1000)], running) == [(2, 1)]
    assert decided([with_memory(1, 12), with_memory(2, 5, limit_s=1000)], running) == []
    alone = Entry(1, Request(1, 100, max_jobs=1), 1)
    assert decided([alone, entry(2, limit_s=101)], [Running(1, 100)]) == []
    assert (
        decided([alone._replace(request=Request(1, 100, max_jobs=2)), entry(2, limit_s=101)], [Running(1, 100)] * 2)
        == []
    )
    assert decided([alone, entry(2, limit_s=100)], [Running(1, 100)]) == [(2, 1)]


def test_the_first_jobs_gpus_are_kept_for_it() -> None:
    running = [Running(1, end=100, gpus=("0",))]
    first = on_gpus(1, 2, pool=("0", "1"))
    assert decide([first, on_gpus(2, 1, limit_s=1000)], running, MACHINE, 0) == [Start(2, ("2",))], (
        "which it cannot use"
    )
    assert decide([first, on_gpus(2, 1, waiting=2, limit_s=1000)], running, MACHINE, 0) == [Start(2, ("2",))]
    assert decide([first, on_gpus(2, 1, limit_s=100, pool=("1",))], running, MACHINE, 0) == [Start(2, ("1",))]
    assert decide([first, on_gpus(2, 1, limit_s=101, pool=("1",))], running, MACHINE, 0) == []
    assert decide([first, on_gpus(2, 3, limit_s=1000, pool=("2",))], [held_elsewhere("0", 10)], MACHINE, 0) == []


def test_what_is_overdue_counts_as_over_soon() -> None:
    assert decided([entry(1, 4), entry(2, 1, limit_s=1)], [Running(3, end=-50)]) == []


def test_a_group_has_a_limit_of_its_own() -> None:
    limited = Entry(1, Request(1, 100), 5, group=7, parallelism=2)
    assert decided([limited, entry(2)], [Running(1, 50, group=7)]) == [(1, 1), (2, 1)]
    again = limited._replace(key=3, waiting=1)
    assert decided([again, limited], []) == [(3, 1), (1, 1)], "a requeued job counts for its group"


def test_a_limit_of_its_own_may_exceed_the_machine() -> None:
    sleepy = Entry(1, Request(1, 100, max_cpus=100), 60)
    assert decided([sleepy], [Running(4, 50)]) == [(1, 60)]
    assert decided([sleepy], [Running(4, 50)], MACHINE._replace(most_cpus=100)) == [(1, 60)]
    modest = Entry(1, Request(1, 100, max_cpus=2), 60)
    assert decided([modest], [Running(1, 50)]) == [(1, 1)]


class Queue:
    """Counts how many of its entries are looked at."""

    def __init__(self, *entries: Entry) -> None:
        self.entries = entries
        self.looked = 0

    def __iter__(self) -> Iterator[Entry]:
        for item in self.entries:
            self.looked += 1
            yield item


@pytest.mark.parametrize(
    "behind",
    [entry(1, 4), on_gpus(1, 1, pool=("0",)), Entry(1, Request(1, 100), 1, group=7, parallelism=1)],
    ids=["cpus", "gpus", "group"],
)
def test_a_long_queue_is_not_searched_to_its_end(behind: Entry) -> None:
    queue = Queue(*[behind] * 5000)
    assert decide(queue, [Running(1, 50, 7, gpus=("0",))], MACHINE, 0) == []
    assert queue.looked <= BACKFILL_DEPTH + 1


@pytest.mark.parametrize(
    "running", [Running(4, 50), Running(1, 50, alone=True)], ids=["every CPU is in use", "a job runs alone"]
)
def test_where_nothing_is_free_nothing_is_looked_at(running: Running) -> None:
    queue = Queue(*[entry(1)] * 5000)
    assert decide(queue, [running], MACHINE._replace(most_cpus=4), 0) == []
    assert queue.looked == 0


def test_once_nothing_is_free_nothing_more_is_looked_at() -> None:
    queue = Queue(entry(1, waiting=20_000), *[entry(2)] * 5000)
    assert len(decide(queue, [], MACHINE._replace(most_cpus=0), 0)) == 4
    assert queue.looked == 1


# ---- properties

POOLS = [GPUS, ("0", "1"), ("2",), ("GPU-a", "2"), ()]


@st.composite
def requests(draw: st.DrawFn) -> Request:
    pool = draw(st.sampled_from(POOLS))
    return Request(
        cpus=draw(st.integers(1, 6)),
        limit_s=draw(st.floats(0.5, 50)),
        max_cpus=draw(st.none() | st.integers(1, 8)),
        memory=draw(st.just(0) | st.integers(0, 20)),
        gpus=draw(st.integers(0, len(pool) + 1)) if pool else 0,
        pool=pool,
        max_jobs=draw(st.none() | st.integers(1, 4)),
    )


groups = st.sampled_from([(0, None), (1, 1), (2, 2), (3, None)])


@st.composite
def queues(draw: st.DrawFn) -> list[Entry]:
    made = []
    for key in range(draw(st.integers(0, 8))):
        group, parallelism = draw(groups)
        made.append(Entry(key, draw(requests()), draw(st.integers(1, 4)), group, parallelism))
    return made


@st.composite
def machines(draw: st.DrawFn) -> list[Running]:
    """What runs on a machine: jobs that were started one after the other, and GPUs held by others."""
    running = [held_elsewhere(gpu, draw(st.floats(-5, 60))) for gpu in draw(st.sets(st.sampled_from(GPUS)))]
    for group in range(draw(st.integers(0, 4))):
        request = draw(requests())
        for start in decide([Entry(0, request, 1)], running, MACHINE, 0.0):
            gpus, end = start.gpus, draw(st.floats(-5, 60))
            running.append(Running.of(request, MACHINE, end, group % 4, gpus))
    return running


def check_room(item: Entry, gpus: tuple[str, ...], running: list[Running]) -> None:
    """The job may start on these GPUs beside what runs."""
    request = item.request
    assert not any(job.alone for job in running), "nothing starts beside a job that runs alone"
    jobs = [job for job in running if job.jobs]
    held = [gpu for job in running for gpu in job.gpus]
    assert not set(gpus) & set(held), "two jobs have a GPU in common"
    assert len(set(gpus)) == len(gpus) == min(request.gpus, len(request.pool))
    assert set(gpus) <= set(request.pool)
    if excess(request, MACHINE):
        assert not jobs
        return
    assert sum(job.cpus for job in jobs) + request.cpus <= (request.max_cpus or MACHINE.cpus)
    assert MACHINE.memory is not None
    assert sum(job.memory for job in jobs) + request.memory <= MACHINE.memory
    assert request.max_jobs is None or len(jobs) < request.max_jobs
    assert item.parallelism is None or sum(job.group == item.group for job in jobs) < item.parallelism


@given(queues(), machines())
def test_never_over_what_is_allowed(queue: list[Entry], running: list[Running]) -> None:
    by_key = {item.key: item for item in queue}
    started = decide(queue, running, MACHINE, 0.0)
    assert [key for key, _ in started] == sorted(key for key, _ in started)
    assert all(count <= by_key[key].waiting for key, count in Counter(start.key for start in started).items())
    for key, gpus in started:
        item = by_key[key]
        check_room(item, gpus, running)
        running = [*running, Running.of(item.request, MACHINE, item.request.limit_s, item.group, gpus)]


@given(queues())
def test_an_idle_machine_starts_the_first(queue: list[Entry]) -> None:
    assert not queue or decide(queue, [], MACHINE, 0.0)[0].key == 0


@given(queues(), machines())
def test_what_is_behind_the_first_job_does_not_delay_it(queue: list[Entry], running: list[Running]) -> None:
    """It will have room as early as if nothing else had been started."""
    queue = [item._replace(parallelism=None) for item in queue]
    by_key = {item.key: item for item in queue}
    started = decide(queue, running, MACHINE, 0.0)
    counts = Counter(start.key for start in started)
    first = next((item for item in queue if counts[item.key] < item.waiting), None)
    if first is None:
        return
    before = [start for start in started if start.key <= first.key]
    for key, gpus in before:
        item = by_key[key]
        running = [*running, Running.of(item.request, MACHINE, item.request.limit_s, item.group, gpus)]
    reserved = latest_start(first.request, running, MACHINE, 0.0)
    for key, gpus in started[len(before) :]:
        item = by_key[key]
        running = [*running, Running.of(item.request, MACHINE, item.request.limit_s, item.group, gpus)]
    assert latest_start(first.request, running, MACHINE, 0.0) <= reserved


@given(requests(), queues(), machines())
def test_equals_start_in_order(request: Request, queue: list[Entry], running: list[Running]) -> None:
    same = [item._replace(request=request, group=0, parallelism=None) if item.key % 2 else item for item in queue]
    counts = Counter(start.key for start in decide(same, running, MACHINE, 0.0))
    equals = [item for item in same if item.key % 2]
    for earlier, later in pairwise(equals):
        assert not counts[later.key] or counts[earlier.key] == earlier.waiting


@given(queues(), machines(), st.just(0.0) | st.floats(0, 100))
def test_nothing_more_starts_before_something_ends(queue: list[Entry], running: list[Running], later: float) -> None:
    """However much time passes: it need not be decided again."""
    started = decide(queue, running, MACHINE, 0.0)
    counts = Counter(start.key for start in started)
    for key, gpus in started:
        item = queue[key]
        running = [*running, Running.of(item.request, MACHINE, item.request.limit_s, item.group, gpus)]
    left = [item._replace(waiting=item.waiting - counts[item.key]) for item in queue]
    assert decide([item for item in left if item.waiting], running, MACHINE, later) == []


@given(queues(), machines())
def test_how_much_may_ever_be_in_use_changes_nothing(queue: list[Entry], running: list[Running]) -> None:
    most = max((item.request.max_cpus or 0 for item in queue), default=0)
    told = decide(queue, running, MACHINE._replace(most_cpus=most), 0.0)
    assert told == decide(queue, running, MACHINE, 0.0)


@settings(max_examples=60)
@example([(Request(2, 1.0), 1.0), (Request(3, 1.0), 1.0), (Request(4, 1.0), 1.0), (Request(1, 3.0), 1.0)])
@given(st.lists(st.tuples(requests(), st.floats(0.1, 1.0)), min_size=1, max_size=25))
def test_everything_runs_and_nobody_waits_for_ever(jobs: list[tuple[Request, float]]) -> None:
    """A simulation: all arrive at once, each runs for a part of its limit.

    The bound on a job's start: for each one before it the longest limit. Nothing that was started when a job came to be the
    first lasts longer, and nothing that is started then delays it.
    """
    waiting = dict(enumerate(jobs))
    running: list[tuple[float, int, Running]] = []
    now = 0.0
    starts: dict[int, float] = {}
    while waiting or running:
        queue = [Entry(key, request, 1) for key, (request, _) in waiting.items()]
        for key, gpus in decide(queue, [job for _, _, job in running], MACHINE, now):
            request, part = waiting.pop(key)
            starts[key] = now
            job = Running.of(request, MACHINE, now + request.limit_s, 0, gpus)
            running.append((now + part * request.limit_s, key, job))
        assert running, "something always runs"
        running.sort()
        now = running.pop(0)[0]
    for key, start in starts.items():
        assert start <= key * max(request.limit_s for request, _ in jobs) + 1e-6
