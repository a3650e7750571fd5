"""Who watches processes is told of their ends, once, and holds no more descriptors than it must."""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Callable, Iterator

import pytest

from submitit.local import ends, processes
from submitit.local.ends import Ends
from submitit.local.processes import Identity

Start = Callable[[], tuple["subprocess.Popen[bytes]", Identity]]


@pytest.fixture
def start() -> Iterator[Start]:
    started = []

    def _start() -> tuple[subprocess.Popen[bytes], Identity]:
        process = subprocess.Popen(["sleep", "600"])
        started.append(process)
        return process, processes.identify(process.pid)

    yield _start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def watched() -> Iterator[Ends]:
    before = os.listdir("/proc/self/fd")
    made = Ends()
    yield made
    made.close()
    assert os.listdir("/proc/self/fd") == before


def readable(watched: Ends, timeout: float = 0) -> bool:
    descriptor = watched.fileno()
    assert descriptor is not None
    return bool(select.select([descriptor], [], [], timeout)[0])


def test_an_end_is_told_once(watched: Ends, start: Start) -> None:
    (first, one), (_, two) = start(), start()
    watched.watch([one, two])
    assert not readable(watched)
    assert not watched.take()
    first.kill()
    assert readable(watched, 60)
    assert watched.take()
    assert not readable(watched)
    watched.watch([one, two])
    assert not watched.take(), "told already"
    assert not watched.watches(one)
    assert watched.watches(two)


def test_what_has_ended_before_is_told_as_well(watched: Ends, start: Start) -> None:
    """Whether it was reaped, waits for that, or its number is another's now."""
    (reaped, one), (zombie, two), (_, three) = start(), start(), start()
    reaped.kill()
    reaped.wait()
    zombie.kill()
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    for who in (one, two, three._replace(started="1")):
        watched.watch([who])
        assert watched.fileno() is None
        assert watched.take()
        assert not watched.take()


def test_what_is_not_wanted_any_more_is_let_go(watched: Ends, start: Start) -> None:
    (first, one), (_, two) = start(), start()
    watched.watch([one, two])
    before = len(os.listdir("/proc/self/fd"))
    watched.watch([two])
    assert len(os.listdir("/proc/self/fd")) == before - 1
    first.kill()
    first.wait()
    assert not watched.take()


def test_there_is_a_limit(watched: Ends, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """For all together."""
    monkeypatch.setattr(ends, "MOST", 2)
    identities = [start()[1] for _ in range(3)]
    other = Ends()
    other.watch(identities[:1])
    watched.watch(identities)
    assert [watched.watches(who) for who in identities] == [True, False, False]
    other.close()
    watched.watch(identities)
    assert sum(watched.watches(who) for who in identities) == 2


def test_where_there_are_no_such_descriptors(watched: Ends, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    watched.watch([start()[1]])
    assert watched.fileno() is None
    assert not watched.take()


def test_no_descriptors_left(watched: Ends, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> int:
        raise OSError(24, "Too many open files")

    identity = start()[1]
    with monkeypatch.context() as patch:
        patch.setattr("selectors.DefaultSelector", none_left)
        watched.watch([identity])
    assert not watched.watches(identity)
    watched.watch([identity])
    assert watched.watches(identity)


def test_a_forked_copy_takes_nothing_away(watched: Ends, start: Start) -> None:
    first, one = start()
    watched.watch([one])
    pid = os.fork()
    if not pid:
        quiet = watched.fileno() is None and not watched.take()
        watched.watch([])
        watched.close()
        os._exit(0 if quiet else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    first.kill()
    assert readable(watched, 60)
