"""Rows of jobs, from a folder's files."""

from __future__ import annotations

import csv
import io
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import submitit
from submitit.client.attempt import Attempt
from submitit.views.entry import JobEntry
from submitit.views.folder import Folder
from submitit.views.usage import Row, Seen, usage, write_csv
from support import sweep
from support.local_processes import import_path


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("swept")
    sweep.make(root, 400)
    return root


def made(attempts: list[Attempt], state: str = "COMPLETED", *, over: bool = True, **fields: Any) -> Row:
    submission: Any = {"folder": "/logs/%j", "time": 1e9, **fields}
    return Seen.of(JobEntry(submission, "1", state, over, attempts[-1].number if attempts else 0), attempts).row()


def test_every_job_of_a_folder_has_a_row(swept: Path) -> None:
    found = usage(swept)
    assert [row["job_id"] for row in found] == [str(number + 1) for number in range(400)]
    assert all(list(row) == list(Row.__annotations__) for row in found)
    assert usage(str(swept / "%j")) == found == usage(Folder(swept)) == usage([swept, swept])
    assert submitit.usage is usage


def test_what_a_row_says(swept: Path) -> None:
    row = next(row for row in usage(swept) if row["attempts"] == 2 and row["state"] == "COMPLETED")
    assert (row["asked_cpus"], row["asked_mem_mb"], row["asked_time_s"]) == (4, 16 * 1024, 7200)
    assert row["start"]
    assert row["end"]
    assert row["run_s"]
    assert row["earlier_s"]
    assert row["run_s"] == pytest.approx(row["end"] - row["start"], abs=0.001)
    # generated so: a third of its time before it was lost, a minute, and then all of it
    assert row["earlier_s"] == pytest.approx(row["run_s"] / 3, abs=0.01)
    assert row["queued_s"] == pytest.approx(row["start"] - 60 - row["earlier_s"] - sweep.BEGIN, abs=0.01)
    assert (row["name"], row["function"], row["exit_code"]) == ("sweep", "train.fit", 0)


def test_a_job_that_waits_has_not_run_for_no_time() -> None:
    row = made([], "PENDING", over=False)
    assert (row["attempts"], row["submitted"]) == (0, 1e9)
    unknown = ("start", "end", "queued_s", "run_s", "cpu_s", "max_rss_mb", "exit_code", "node")
    assert [row[name] for name in unknown] == [None] * len(unknown)  # type: ignore[literal-required]


def test_a_job_that_runs_has_no_end_yet() -> None:
    row = made([Attempt(0, "RUNNING", start=1e9 + 5)], "RUNNING", over=False)
    assert (row["queued_s"], row["run_s"], row["end"], row["attempts"]) == (5.0, None, None, 1)


def test_a_job_that_was_cancelled_in_the_queue_was_never_started() -> None:
    row = made([Attempt(0, "CANCELLED")], "CANCELLED")
    assert (row["attempts"], row["queued_s"], row["run_s"]) == (0, None, None)


def test_where_earlier_attempts_left_no_trace_the_queue_is_not_known() -> None:
    row = made([Attempt(2, "COMPLETED", start=1e9 + 500, end=1e9 + 600)])
    assert (row["attempts"], row["queued_s"], row["earlier_s"], row["run_s"]) == (3, None, None, 100.0)


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf, -5.0, 1e300])
def test_what_a_damaged_file_says_is_not_known(odd: float) -> None:
    row = made([Attempt(0, "COMPLETED", start=odd, end=1e9 + 9, cpu_s=odd, max_rss_mb=odd)])
    assert [row["start"], row["run_s"], row["cpu_s"], row["max_rss_mb"]] == [None] * 4
    row = made([Attempt(0, "COMPLETED", start=1e9 + 9, end=odd)])
    assert (row["end"], row["run_s"]) == (None, None)


def test_clocks_of_two_machines_may_differ() -> None:
    row = made([Attempt(0, "COMPLETED", start=1e9 - 2, end=1e9 - 3)])
    assert (row["queued_s"], row["run_s"]) == (0.0, 0.0)


def test_jobs_of_several_folders_in_their_order(swept: Path, tmp_path: Path) -> None:
    sweep.make(tmp_path / "other", 3, seed=1)
    jobs: list[submitit.LocalJob[Any]] = [
        submitit.LocalJob(root / "%j", "2", [0]) for root in (tmp_path / "other", swept)
    ]
    here, there = jobs
    found = usage([there, here, there])
    assert [row["folder"] for row in found] == [str(swept / "%j"), str(tmp_path / "other" / "%j")]
    assert found == [usage(there)[0], usage(here)[0]]


def test_a_job_that_no_journal_knows_has_a_row_too(tmp_path: Path) -> None:
    ran, waits = (submitit.DebugExecutor(tmp_path).submit(abs, -2) for _ in range(2))
    ran.result()
    first, second = usage([ran, waits])
    assert (first["job_id"], first["state"], first["over"], first["submitted"]) == (ran.job_id, "DONE", True, None)
    assert (second["state"], second["over"], second["attempts"]) == ("QUEUED", False, 0), "looking has run it"


def test_what_is_neither_jobs_nor_a_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="No such folder of jobs"):
        usage(tmp_path / "nowhere")
    with pytest.raises(TypeError, match=r"takes jobs, a folder of jobs, or a list of them, not 5"):
        usage(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="not 5"):
        usage([5])  # type: ignore[list-item]
    assert usage(tmp_path) == []


def test_csv(swept: Path) -> None:
    found = usage(swept)
    odd: Any = {"name": "=HYPERLINK(1)", "reason": 'a "quoted",\nline', "node": None, "exit_code": -9}
    found[0].update(odd)
    file = io.StringIO()
    write_csv(found, file)
    read = list(csv.DictReader(io.StringIO(file.getvalue())))
    assert list(read[0]) == list(Row.__annotations__)
    assert [row["job_id"] for row in read] == [row["job_id"] for row in found]
    assert [read[0][name] for name in ("name", "reason", "node", "exit_code")] == [
        "'=HYPERLINK(1)", 'a "quoted",\nline', "", "-9"
    ]  # fmt: skip
    assert json.loads(json.dumps(found)) == found


def test_rows_load_no_pickles(swept: Path) -> None:
    program = f"""
import sys
from submitit.views.report import page
from submitit.views.usage import seen
assert len(page.render(seen({str(swept)!r}), ["x"])) > 50000
assert "cloudpickle" not in sys.modules and "pickle" not in sys.modules, sorted(sys.modules)
"""
    path = f"import sys; sys.path[:0] = {import_path()!r}\n"
    subprocess.run([sys.executable, "-I", "-c", path + program], check=True)
