from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from submitit.local import journals, processes, protocol, records
from submitit.local.records import Header, Record
from submitit.orchestrator import exits as ends
from submitit.orchestrator.wake import Wake
from submitit.storage.paths import Layout


def test_a_record_survives_the_journal() -> None:
    record = Record(
        "7", "FAILED", True, 12.5, 2, 3, 10.0, 12.0, "node", [(5, "x"), (6, "y")], [0, -9, None], "why", True
    )
    assert Record.read(json.loads(json.dumps(record.write()))) == record


def test_usage_is_told_as_slurm_does() -> None:
    record = Record(
        "7",
        "OUT_OF_MEMORY",
        True,
        start=10.0,
        end=12.0,
        peak_mb=1.5,
        cpu_s=1.25,
        memory_kill="what shows it",
        mem_gb=0.5,
    )
    assert Record.read(json.loads(json.dumps(record.write()))) == record
    info = record.info()
    assert (info["MaxRSS"], info["ReqMem"], info["TotalCPU"]) == ("1536K", "512M", "1.250")
    assert info["OutOfMemory"] == "what shows it"
    never_started = Record("7", "CANCELLED", True, end=12.0).info()
    assert not {"MaxRSS", "TotalCPU", "OutOfMemory"} & never_started.keys()


def test_what_has_its_default_is_left_out() -> None:
    assert Record("7", "PENDING").write() == {"event": "state", "job": "7", "state": "PENDING"}


def test_keys_of_later_versions_are_no_obstacle() -> None:
    assert Record.read({"event": "state", "job": "7", "state": "RUNNING", "colour": "red"}) == Record("7", "RUNNING")


def test_info_speaks_as_slurm_does() -> None:
    info = Record("7", "FAILED", True, 0, 1, 3, 10.0, 12.25, "node", [], [0, 3, -9], "why").info()
    assert (
        info.items()
        >= {
            "JobID": "7",
            "State": "FAILED",
            "NodeList": "node",
            "ExitCode": "0:9",
            "TaskExitCodes": "0:0,3:0,0:9",
            "Reason": "why",
            "Elapsed": "2.250",
            "Restarts": "1",
        }.items()
    )
    assert all(isinstance(value, str) for value in info.values())
    assert info["Start"].startswith("1970-01-01T")


@pytest.mark.parametrize(
    "exits, expected", [([0, 0], 0), ([0, 3], 3), ([-15, 3, 0], -15), ([None, 0], 0), ([None], None), ([], None)]
)
def test_the_worst_exit_code(exits: list[int | None], expected: int | None) -> None:
    assert records.worst(exits) == expected


@given(st.lists(st.integers(1, 60), unique=True, min_size=1))
def test_jobs_that_begin_to_wait_share_a_line(numbers: list[int]) -> None:
    line = json.loads(json.dumps(records.waiting(map(str, numbers), 2, 5.0)))
    assert [record.job for record in records.read_line(line)] == [str(number) for number in numbers]
    assert {(r.state, r.tasks, r.time, r.over) for r in records.read_line(line)} == {("PENDING", 2, 5.0, False)}


def test_a_large_array_is_a_short_line() -> None:
    assert len(json.dumps(records.waiting(map(str, range(1, 20_001)), 1, 5.0))) < 100


def test_other_lines_hold_no_record() -> None:
    header = Header("name", "/dir", processes.identify(1), processes.identify(2))
    assert list(records.read_line(header.write())) == []
    assert list(records.read_line({"event": "closed"})) == []
    assert Header.read(json.loads(json.dumps(header.write()))) == header


def test_the_longest_record_fits_a_line() -> None:
    """A client looks at whole lines before it takes them off its socket."""
    tasks = 1000
    record = Record(
        "1",
        "FAILED",
        True,
        1e10,
        9,
        tasks,
        1e10,
        1e10,
        "n" * 64,
        [(4_000_000, "9" * 12)] * tasks,
        [-15] * tasks,
        "é" * 1000,
    )
    line = protocol.encode({"seq": 10**9, "root": "/" + "r" * 4000, "record": record.write()})
    assert len(line) <= protocol.LONGEST_LINE


@given(st.dictionaries(st.text(), st.text()))
def test_messages_survive(message: dict[str, str]) -> None:
    line = protocol.encode(message)
    assert line.count(b"\n") == 1
    assert protocol.decode(line) == message
    for cut in range(1, len(line) - 2):
        assert protocol.decode(line[:cut]) is None, "a torn line is never taken for a message"


# ---------------------------------------------------------------- journals of anybody

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
STATE = st.fixed_dictionaries(
    {"event": st.just("state"), "state": st.sampled_from(["PENDING", "RUNNING", "FAILED", "ASTRAY"]) | JSON},
    optional={
        **dict.fromkeys(set(Record._fields) - {"state", "job", "over"}, JSON),
        "job": st.just("7") | JSON,
        "jobs": st.lists(st.tuples(st.integers(0, 9), st.integers(0, 10**14)) | JSON, max_size=2),
        "over": st.booleans(),
        "pids": st.lists(st.tuples(st.integers(), st.just("1")) | JSON, max_size=2),
        "exits": st.lists(st.none() | st.integers(), max_size=3),
        "end": st.floats(),
    },
)
HEADER = st.fixed_dictionaries(
    {"event": st.just("controller"), "controller": st.just("c") | JSON, "directory": st.just("/nowhere") | JSON},
    optional={
        name: st.tuples(st.just(processes.machine()) | JSON, st.integers() | JSON, st.just("1") | JSON) | JSON
        for name in ("who", "client")
    },
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(header=HEADER, lines=st.lists(STATE | JSON, max_size=4), noise=st.binary(max_size=20))
@example(
    header=Header("c", "/d", processes.identify(1), processes.identify(1)).write(),
    lines=[{"event": "state", "state": "RUNNING", "jobs": 7}, {"event": "state", "state": 3, "job": "7"}],
    noise=b"[" * 100_000,
)
@example(
    header=Header("c", "/d", processes.identify(1), processes.identify(1)).write(),
    lines=[{"event": "state", "state": "RUNNING", "job": "7", "time": moment} for moment in (1.0, "2", 1e300)],
    noise=b"",
)
def test_any_journal_is_read(tmp_path: Path, header: dict[str, Any], lines: list[Any], noise: bytes) -> None:
    """What a controller would not write says nothing; a state that nobody knows is told as it is, and ends nothing."""
    layout = Layout(tmp_path)
    layout.make()
    good = Header("good", "/d", processes.identify(1), processes.identify(1)).write()
    ended = Record("12", "COMPLETED", True, time=1.0).write()
    texts = [[header, *lines], [good, *lines, ended]]
    for number, book in enumerate(texts):
        path = layout.journals / f"{number}.jsonl"
        path.write_bytes(b"".join(json.dumps(line).encode() + b"\n" for line in book) + noise)
    journals._SOURCES.clear()
    source = journals.JournalSource(str(tmp_path))
    source.refresh()
    assert source.record("12") == Record("12", "COMPLETED", True, time=1.0)
    with contextlib.closing(Wake()) as wake, source.attended(wake):
        source.fileno()
        source.look_within()
    for job_id in list(source._records):
        found = source.record(job_id)
        assert found is not None
        assert all(isinstance(value, str) for value in found.info().values())
        exits = [code for code in found.exits if code is not None]
        assert all(map(ends.in_words, exits))


def test_a_line_of_more_jobs_than_there_can_be_says_nothing() -> None:
    for spans in ([[1, 10**15]], [[1, 10**10]], [[1, 3_000_000], [1, 3_000_000]], [[1, 2, 3]], [["1", "2"]]):
        assert next(records.read_line({"event": "state", "state": "PENDING", "jobs": spans}), None) is None


def test_what_happens_at_once_comes_after_the_wait() -> None:
    """The newest record counts, by its time: the one that several jobs share is never ahead of what was next."""
    now = 1795295151.1529
    assert records.waiting(["1", "2"], 1, now)["time"] <= now
