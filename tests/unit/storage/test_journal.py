"""Append-only records, and who submitted what."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submitit.storage import journal, names
from submitit.storage.journal import Journal, find_client, find_submission, payload_index, read_journal
from submitit.storage.paths import Layout, layout_of


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return layout_of(tmp_path / "logs" / "%j")


def submitted(layout: Layout, client: str, jobs: Any, **more: Any) -> None:
    Journal(layout.journals / f"{client}.jsonl").append({"event": "submitted", "client": client, "jobs": jobs, **more})


def test_records_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "client.jsonl"
    assert read_journal(path) == ([], 0)
    book = Journal(path)
    book.append({"a": 1, "b": [1, 2], "c": "line\nbreak \u2028 \udc80 é"})
    records, offset = read_journal(path)
    assert records == [{"a": 1, "b": [1, 2], "c": "line\nbreak \u2028 \udc80 é"}]
    assert offset == path.stat().st_size
    assert read_journal(path, offset) == ([], offset)
    book.append({"a": 2, "path": tmp_path})
    assert read_journal(str(path), offset) == ([{"a": 2, "path": str(tmp_path)}], path.stat().st_size)
    assert path.stat().st_mode & 0o7777 == 0o664


def test_a_torn_last_line_is_left_for_later(tmp_path: Path) -> None:
    path = tmp_path / "client.jsonl"
    path.write_bytes(b'{"a": 1}\n{"b": ')
    assert read_journal(path) == ([{"a": 1}], 9)
    with open(path, "ab") as file:
        file.write(b"2}\n")
    assert read_journal(path, 9) == ([{"b": 2}], 18)


def test_bad_lines_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "client.jsonl"
    content = b'{"a": 1}\nnot json\n[1]\n\n\xff\xfe\n\0\0\0\0\n{"b": 2}\n'
    path.write_bytes(content)
    assert read_journal(path) == ([{"a": 1}, {"b": 2}], len(content))


def test_a_killed_predecessor_does_not_spoil_the_next_line(tmp_path: Path) -> None:
    path = tmp_path / "controller.jsonl"
    path.write_bytes(b'{"a": 1}\n{"torn": ')
    Journal(path).append({"b": 2})
    assert read_journal(path)[0] == [{"a": 1}, {"b": 2}]


@given(st.lists(st.dictionaries(st.text(), st.integers() | st.text()), max_size=5), st.integers(0, 300))
def test_any_cut_keeps_what_is_whole(records: list[dict[str, Any]], cut: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.jsonl")
        book = Journal(path)
        for record in records:
            book.append(record)
        whole = path.read_bytes() if records else b""
        path.write_bytes(whole[:cut])
        first, offset = read_journal(path)
        path.write_bytes(whole)
        second, end = read_journal(path, offset)
        assert first + second == records
        assert end == len(whole)


def test_threads_of_one_process_write_whole_lines(tmp_path: Path) -> None:
    book = Journal(tmp_path / "client.jsonl")

    def write(name: int) -> None:
        for index in range(50):
            book.append({"name": name, "index": index, "ballast": "x" * 5000})

    threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    records, _ = read_journal(tmp_path / "client.jsonl")
    assert sorted((record["name"], record["index"]) for record in records) == [
        (n, i) for n in range(4) for i in range(50)
    ]


def test_a_full_disk_leaves_the_journal_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "client.jsonl"
    book = Journal(path)
    book.append({"a": 1})
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50, hard))
    try:
        with pytest.raises(OSError, match=r".") as caught:
            book.append({"b": "x" * 100})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.filename == str(path)
    assert path.read_bytes() == before
    book.append({"c": 3})
    assert read_journal(path)[0] == [{"a": 1}, {"c": 3}]


def test_a_folder_that_was_cleaned_in_between(tmp_path: Path) -> None:
    book = Journal(tmp_path / "d" / "client.jsonl")
    book.append({"a": 1})
    os.unlink(book.path)
    os.rmdir(tmp_path / "d")
    book.append({"b": 2})
    assert read_journal(book.path)[0] == [{"b": 2}]


def test_one_write_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = Journal(tmp_path / "client.jsonl")
    written = []
    write = os.write

    def counting(descriptor: int, data: bytes) -> int:
        written.append(data)
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", counting)
    book.append({"a": "x" * 100_000})
    assert len(written) == 1
    assert json.loads(written[0]) == {"a": "x" * 100_000}


# ---------------------------------------------------------------- who submitted what


def test_the_client_of_a_job(layout: Layout) -> None:
    assert find_client(layout, "12") is None
    submitted(layout, "20260101-a", ["12", "13"], payload="p.pkl")
    submitted(layout, "20260102-b", {"array": "20", "count": 3, "first": 0}, payload="q.pkl")
    assert [find_client(layout, job) for job in ("12", "13", "20_0", "20_2")] == ["20260101-a"] * 2 + ["20260102-b"] * 2
    assert find_client(layout, "20") == "20260102-b"
    assert find_client(layout, "1") is None
    assert find_client(layout, "2_0") is None


def test_what_is_submitted_later_is_found_later(layout: Layout) -> None:
    assert find_client(layout, "1") is None
    for number in range(1, 6):
        submitted(layout, "client", [str(number)])
        submitted(layout, f"other-{number}", [f"1{number}"])
        deadline = time.monotonic() + 10
        while find_client(layout, f"1{number}") is None and time.monotonic() < deadline:
            pass
        assert find_client(layout, str(number)) == "client"
        assert find_client(layout, f"1{number}") == f"other-{number}"


def test_the_own_submission_is_found_at_once(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it takes to read the journals of others, which are not read again soon."""
    for number in range(20):
        submitted(layout, f"other-{number}", [str(number)])
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 10
        return now

    monkeypatch.setattr(time, "monotonic", clock)
    assert find_client(layout, "100") is None
    monkeypatch.setattr(time, "monotonic", lambda: now)
    submitted(layout, "other-20", ["101"])
    submitted(layout, names.client_name(), ["100"])
    assert find_client(layout, "100") == names.client_name()
    assert find_client(layout, "101") is None, "a tenth of the time goes into looking"
    now += 1000
    assert find_client(layout, "101") == "other-20"


def test_every_line_is_read_once(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    for client in range(20):
        for number in range(20):
            submitted(layout, f"c{client:02}", [f"{client}{number:02}"])
    loaded = 0
    loads = json.loads

    def counting(text: Any) -> Any:
        nonlocal loaded
        loaded += 1
        return loads(text)

    monkeypatch.setattr(json, "loads", counting)
    assert find_client(layout, "1919") == "c19"
    assert loaded == 20, "the newest first, and no further"
    for client in range(20):
        for number in range(20):
            assert find_client(layout, f"{client}{number:02}") == f"c{client:02}"
    assert loaded == 400
    assert find_client(layout, "none") is None
    assert loaded == 400


def test_an_id_that_has_come_round_again_means_the_newer(layout: Layout) -> None:
    submitted(layout, "20260101-a", ["12"], name="old")
    submitted(layout, "20270101-b", ["12"], name="new")
    assert find_client(layout, "12") == "20270101-b"
    journal._indexes.clear()
    assert find_client(layout, "12") == "20270101-b"
    assert find_client(layout, "none") is None, "which reads the older as well"
    assert find_client(layout, "12") == "20270101-b"
    submitted(layout, "20270101-b", ["12"], name="newest")
    journal._indexes.clear()
    found = find_submission(layout, "12")
    assert found is not None
    assert found["name"] == "newest"


def test_other_events_name_no_client(layout: Layout) -> None:
    Journal(layout.journals / "controller.jsonl").append({"event": "started", "jobs": ["12"], "was": "submitted"})
    (layout.journals / "notes.txt").write_text('{"event":"submitted","jobs":["12"]}\n')
    assert find_client(layout, "12") is None


def test_the_record_of_a_job_and_its_place_in_the_payload(layout: Layout) -> None:
    submitted(layout, "a", ["12", "13"], payload="p.pkl")
    submitted(layout, "a", {"array": "20", "count": 3, "first": 0}, payload="q.pkl")
    submitted(layout, "a", {"array": "21", "count": 2, "first": 3}, payload="q.pkl")
    submitted(layout, "a", ["22"], payload="q.pkl", first=5)
    places = {}
    for job in ("12", "13", "20_0", "20_2", "21_0", "21_1", "22"):
        found = find_submission(layout, job)
        assert found is not None
        places[job] = (found["payload"], payload_index(found, job))
    assert places == {
        "12": ("p.pkl", 0),
        "13": ("p.pkl", 1),
        "20_0": ("q.pkl", 0),
        "20_2": ("q.pkl", 2),
        "21_0": ("q.pkl", 3),
        "21_1": ("q.pkl", 4),
        "22": ("q.pkl", 5),
    }
    found = find_submission(layout, "21_1")
    assert found is not None
    for job in ("21_2", "21", "20_0", "21_x"):
        with pytest.raises(ValueError, match="is not a job of array 21"):
            payload_index(found, job)
    assert find_submission(layout, "none") is None


def test_a_fork_has_a_journal_of_its_own(layout: Layout) -> None:
    program = (
        "import os, sys\n"
        "from submitit.storage import journal, names, paths\n"
        "layout = paths.layout_of(sys.argv[1])\n"
        "def submit(job):\n"
        "    journal.Journal(layout.journals / f'{names.client_name()}.jsonl').append({'event': 'submitted', 'jobs': [job]})\n"
        "submit('1')\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    submit('2')\n"
        "    os._exit(0)\n"
        "os.waitpid(child, 0)\n"
        "submit('3')\n"
    )
    subprocess.run([sys.executable, "-c", program, layout.root], check=True)
    clients = [find_client(layout, job) for job in "123"]
    assert clients[0] == clients[2] != clients[1]
    assert None not in clients
    assert len(os.listdir(layout.journals)) == 2
