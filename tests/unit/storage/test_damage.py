"""Files that were damaged, by a disk or by another program: any bytes are read as what they are, or refused by name."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from submitit.errors import CorruptFileError
from submitit.orchestrator import runner
from submitit.orchestrator.environment import JobEnvironment
from submitit.storage import outcome, payload
from submitit.storage.journal import find_client, find_submission, payload_index, read_journal
from submitit.storage.paths import Layout
from submitit.storage.submission import DelayedSubmission

#: What a name that was damaged gives: a module or an attribute that does not exist. Unpickling says which.
MISNAMED = (ImportError, AttributeError)
#: And what a value gives that was: an object is made of something else than it was made of before.
MISMADE = (TypeError, ValueError, LookupError, RecursionError)

in_one_directory = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    """A damaged length may ask for more memory than any machine has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (1 << 30), hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def damaged(whole: bytes, place: int, put: bytes, cut: int) -> bytes:
    place %= len(whole) + 1
    return whole[:place] + put + whole[place + cut :]


DAMAGE = {"place": st.integers(0, 10_000), "put": st.binary(max_size=12), "cut": st.integers(0, 40)}


def read_as_it_is_or_refused(read: Any, path: Path) -> Any:
    problem: Exception | None = None
    try:
        return read(path)
    except (*MISNAMED, *MISMADE):
        return None  # whole as a pickle: names and values in it are wrong
    except CorruptFileError as error:
        problem = error
    assert repr(str(path)) in str(problem)
    return None


@in_one_directory
@given(**DAMAGE)
@example(place=0, put=b"", cut=40)
@example(place=893, put=b"r", cut=0)  # remembers an object under a number of nine digits
@example(place=3, put=b"\0\0\0\0\xff\0\0\0", cut=8)  # a frame of a terabyte, and nothing else
def test_any_damage_to_a_result(tmp_path: Path, place: int, put: bytes, cut: int) -> None:
    path = tmp_path / "1_0_result.pkl"
    footer = outcome.Footer(success=False, host="n1", pid=3, attempt=0, start=1.0, end=2.0)
    outcome.write_result(path, ("error", "a trace\n"), ValueError("x"), footer)
    path.write_bytes(damaged(path.read_bytes(), place, put, cut))
    read_as_it_is_or_refused(outcome.read_result, path)
    outcome.read_footer(path)


@in_one_directory
@given(count=st.integers(1, 3), index=st.integers(0, 2), **DAMAGE)
def test_any_damage_to_a_payload(tmp_path: Path, count: int, index: int, place: int, put: bytes, cut: int) -> None:
    path = tmp_path / "payload.pkl"
    shared = ["shared"] * 300
    payload.write_payload(path, [DelayedSubmission(len, shared, k) for k in range(count)])
    path.write_bytes(damaged(path.read_bytes(), place, put, cut))
    read_as_it_is_or_refused(lambda path: payload.read_submission(path, index), path)


@in_one_directory
@given(st.binary(max_size=200))
@example(b"[" * 100_000)
def test_any_footer(tmp_path: Path, about: bytes) -> None:
    path = tmp_path / "1_0_result.pkl"
    outcome.write_result(path, ("success", 7), None)
    whole = path.read_bytes()
    tail = whole[-16:]
    path.write_bytes(
        whole[: -16 - int.from_bytes(tail[:8], "little")] + about + len(about).to_bytes(8, "little") + tail[8:]
    )
    assert outcome.read_result(path).value == 7
    outcome.read_footer(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@in_one_directory
@given(fields=st.fixed_dictionaries({}, optional=dict.fromkeys(outcome.Footer._fields, JSON)))
def test_a_footer_of_any_values_says_what_it_can(tmp_path: Path, fields: dict[str, Any]) -> None:
    import json

    about = json.dumps(fields).encode()
    path = tmp_path / "1_0_result.pkl"
    path.write_bytes(about + len(about).to_bytes(8, "little") + b"SBMTRES1")
    footer = outcome.read_footer(path)
    assert footer is not None
    assert footer.success in (None, True, False)
    assert footer.host is None or isinstance(footer.host, str)
    for number in (footer.pid, footer.attempt, footer.start, footer.end, footer.cpu_s, footer.max_rss_mb):
        assert (number or 0) * 1 is not None
        assert not isinstance(number, str)


SUBMITTED = st.fixed_dictionaries(
    {"event": st.just("submitted") | JSON},
    optional={
        "jobs": st.lists(st.just("7") | JSON, max_size=3)
        | st.fixed_dictionaries(
            {}, optional={"array": st.just("7") | JSON, "count": st.integers(0, 9) | JSON, "first": JSON}
        )
        | JSON,
        "first": st.integers(0, 9) | JSON,
        "payload": st.just("a.pkl") | st.just("../../a.pkl") | JSON,
        "tasks": JSON,
    },
)


@in_one_directory
@given(st.lists(SUBMITTED | JSON, max_size=5), st.binary(max_size=20), st.integers(0, 10**6))
@example([], b"[" * 100_000 + b'"submitted"', 0)
@example([{"event": "submitted", "jobs": ["7"], "payload": "../../other.pkl"}], b"", 0)
@example([{"event": "submitted", "jobs": [["7"], {}]}, {"event": "submitted", "jobs": 7}], b"", 0)
@example([{"event": "submitted", "jobs": {"array": "7", "count": "many"}}], b"", 0)
def test_any_journal(tmp_path: Path, lines: list[Any], noise: bytes, number: int) -> None:
    """A job is found in what this library writes; everything else is passed over."""
    import json

    from submitit.storage import journal

    journal._indexes.clear()
    layout = Layout(tmp_path)
    layout.make()
    path = layout.journals / "20200101-000000-n1-1-aa.jsonl"
    text = b"\n".join(json.dumps(line).encode() for line in lines)
    path.write_bytes(text + b"\n" + noise + b"\n" + b'{"event":"submitted","jobs":["12"],"payload":"b.pkl"}\n')
    read_journal(path)
    assert find_client(layout, "12") == path.stem
    for job_id in ("7", "7_1", "7_x", "7_" + "9" * 5000, "a", ""):
        found = find_submission(layout, job_id)
        if found is not None:
            assert "/" not in found.get("payload", "")
            try:
                assert isinstance(payload_index(found, job_id), int)
            except ValueError:
                continue


def test_a_requeued_job_bears_a_strange_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier attempt left is no reason for this one not to start."""
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    monkeypatch.setenv("SUBMITIT_FOLDER", str(tmp_path))
    path = tmp_path / "1_0_result.pkl"
    about = b'{"success": true, "attempt": "one"}'
    path.write_bytes(about + len(about).to_bytes(8, "little") + b"SBMTRES1")
    env = JobEnvironment()
    assert not runner._results_stand(env, env.paths)
