"""The decision what to start: never too much, nobody starved, nobody idle for nothing."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from submitit.local.scheduler import BACKFILL_DEPTH, Entry, Request, Running, decide, never_fits

CPUS = 4


def entry(key: int, cpus: int = 1, waiting: int = 1, limit_s: float = 100, **more: int) -> Entry:
    return Entry(key, Request(cpus, limit_s), waiting, **more)


def test_what_fits_starts_in_order() -> None:
    assert decide([entry(1, 2), entry(2, 1), entry(3, 2)], [], CPUS, 0) == [(1, 1), (2, 1)]


def test_jobs_of_one_entry_start_as_many_as_fit() -> None:
    assert decide([entry(1, 1, waiting=10)], [Running(1, 50)], CPUS, 0) == [(1, 3)]


def test_what_can_never_fit_runs_alone() -> None:
    big = entry(1, 9)
    assert never_fits(big.request, CPUS)
    assert decide([big, entry(2)], [Running(1, 50)], CPUS, 0) == []
    assert decide([big, entry(2)], [], CPUS, 0) == [(1, 1)]
    assert decide([entry(2)], [Running(9, 50)], CPUS, 0) == []


def test_a_small_job_passes_a_big_one_if_it_is_over_in_time() -> None:
    running = [Running(3, end=100)]
    assert decide([entry(1, 4), entry(2, 1, limit_s=100)], running, CPUS, 0) == [(2, 1)]
    assert decide([entry(1, 4), entry(2, 1, limit_s=101)], running, CPUS, 0) == []


def test_a_small_job_passes_a_big_one_if_it_leaves_enough_for_it() -> None:
    running = [Running(3, end=100)]
    assert decide([entry(1, 3), entry(2, 1, limit_s=1000)], running, CPUS, 0) == [(2, 1)]
    assert decide([entry(1, 3), entry(2, 1, waiting=5, limit_s=1000)], [Running(2, 100)], CPUS, 0) == [(2, 1)]


def test_what_is_overdue_counts_as_over_soon() -> None:
    assert decide([entry(1, 4), entry(2, 1, limit_s=1)], [Running(3, end=-50)], CPUS, 0) == []


def test_a_group_has_a_limit_of_its_own() -> None:
    limited = Entry(1, Request(1, 100), 5, group=7, parallelism=2)
    assert decide([limited, entry(2)], [Running(1, 50, group=7)], CPUS, 0) == [(1, 1), (2, 1)]
    again = limited._replace(key=3, waiting=1)
    assert decide([again, limited], [], CPUS, 0) == [(3, 1), (1, 1)], "a requeued job counts for its group"


def test_a_limit_of_its_own_may_exceed_the_machine() -> None:
    sleepy = Entry(1, Request(1, 100, max_cpus=100), 60)
    assert decide([sleepy], [Running(4, 50)], CPUS, 0) == [(1, 60)]
    modest = Entry(1, Request(1, 100, max_cpus=2), 60)
    assert decide([modest], [Running(1, 50)], CPUS, 0) == [(1, 1)]


def test_a_long_queue_is_not_searched_to_its_end() -> None:
    looked = 0

    def queue() -> object:
        nonlocal looked
        yield entry(0, 4)
        for key in range(1, 100_000):
            looked += 1
            yield entry(key, 4)

    assert decide(queue(), [Running(1, 50)], CPUS, 0) == []  # type: ignore[arg-type]
    assert looked <= BACKFILL_DEPTH + 1


requests = st.builds(
    Request,
    cpus=st.integers(1, 6),
    limit_s=st.floats(0.5, 50),
    max_cpus=st.none() | st.integers(1, 8),
)
groups = st.sampled_from([(0, None), (1, 1), (2, 2), (3, None)])


@st.composite
def queues(draw: st.DrawFn) -> list[Entry]:
    made = []
    for key in range(draw(st.integers(0, 8))):
        group, parallelism = draw(groups)
        made.append(Entry(key, draw(requests), draw(st.integers(1, 4)), group, parallelism))
    return made


@given(queues(), st.lists(st.builds(Running, st.integers(1, 4), st.floats(-5, 60), st.integers(0, 3)), max_size=4))
def test_never_over_what_is_allowed(queue: list[Entry], running: list[Running]) -> None:
    started = decide(queue, running, CPUS, 0.0)
    by_key = {item.key: item for item in queue}
    assert [key for key, _ in started] == sorted(key for key, _ in started)
    used = sum(job.cpus for job in running)
    in_group = {group: sum(job.group == group for job in running) for group in range(4)}
    for key, count in started:
        item = by_key[key]
        assert 0 < count <= item.waiting
        for _ in range(count):
            assert not used or used + item.request.cpus <= (item.request.max_cpus or CPUS)
            used += item.request.cpus
            in_group[item.group] += 1
            assert item.parallelism is None or in_group[item.group] <= item.parallelism


@given(queues())
def test_an_idle_machine_starts_the_first(queue: list[Entry]) -> None:
    started = dict(decide(queue, [], CPUS, 0.0))
    assert not queue or 0 in started


@settings(max_examples=60)
@example([(2, 1.0, 1.0), (3, 1.0, 1.0), (4, 1.0, 1.0), (1, 3.0, 1.0)])
@given(st.lists(st.tuples(st.integers(1, 6), st.floats(0.5, 30), st.floats(0.1, 1.0)), min_size=1, max_size=25))
def test_everything_runs_and_nobody_waits_for_ever(jobs: list[tuple[int, float, float]]) -> None:
    """A simulation: all arrive at once, each runs for a part of its limit.

    The bound on a job's start: for each one before it the longest limit. Nothing that was started when a job came to be the
    first lasts longer, and nothing that is started then delays it.
    """
    waiting = dict(enumerate(jobs))
    running: list[tuple[float, Running]] = []
    now = 0.0
    starts: dict[int, float] = {}
    while waiting or running:
        queue = [entry(key, cpus, limit_s=limit) for key, (cpus, limit, _) in waiting.items()]
        for key, _ in decide(queue, [job for _, job in running], CPUS, now):
            cpus, limit, part = waiting.pop(key)
            starts[key] = now
            running.append((now + part * limit, Running(cpus, now + limit)))
        assert running, "something always runs"
        running.sort()
        now = running.pop(0)[0]
    for key, start in starts.items():
        assert start <= key * max(limit for _, limit, _ in jobs) + 1e-6


@pytest.mark.parametrize("count", [20_000])
def test_a_decision_about_a_large_array_is_quick(count: int) -> None:
    """One entry, whatever its size: the decision does not look at every job."""
    import time

    begin = time.perf_counter()
    for _ in range(200):
        decide([entry(1, waiting=count)], [Running(1, 50)] * 3, CPUS, 0)
    assert time.perf_counter() - begin < 2
