"""What people see while jobs are waited for: in a real terminal, in a log, and in a notebook."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.screens import in_terminal

#: Two jobs that end well, one that fails, and one that waits for a file.
SUBMIT = """
import sys
from pathlib import Path
import submitit
from submitit import helpers
from support import calls

folder, go = sys.argv[1:]
executor = submitit.AutoExecutor(folder + "/%j", cluster="local")
executor.update_parameters(name="sweep", local_max_jobs=4)
jobs = executor.map_array(calls.add, [1, 2], [3, 4])
jobs += [executor.submit(calls.fail, "as asked\\nand more"), executor.submit(calls.wait_for_file, go)]
"""
LOOP = """
for job in submitit.progress(jobs, title="mine"):
    print("over:", job.job_id)
"""


def is_waiting(lines: list[str]) -> bool:
    """Whether all is shown that can be before the file is there."""
    text = "\n".join(lines)
    return all(words in text for words in ("3/4 over", "1 RUNNING", "as asked"))


def test_a_terminal_shows_how_they_are_below_what_is_printed(tmp_path: Path) -> None:
    with in_terminal(SUBMIT + LOOP, tmp_path, tmp_path / "go") as program:
        lines = program.wait_for(is_waiting)
        assert sorted(lines[:3]) == ["over: 1", "over: 2", "over: 3"]
        assert re.match(r"mine  ━+╌+  3/4 over  \d", lines[3])
        assert lines[4:] == ["2 COMPLETED   1 FAILED   1 RUNNING", "FAILED 3 sweep  ValueError: as asked"]
        assert b"\x1b[32m" in program.written
        assert not program.screen.cursor.hidden, "whatever ends this program"
        (tmp_path / "go").write_text("now")
        assert program.end() == 0
        lines = program.lines
        assert "over: 4" in lines
        assert re.match(r"mine  ━+  4/4 over  \d", lines[-3])
        assert lines[-2:] == ["3 COMPLETED   1 FAILED", "FAILED 3 sweep  ValueError: as asked"]
        assert sum("over  " in line for line in lines) == 1
        assert not program.screen.cursor.hidden
        assert program.screen.cursor.x == 0


def test_a_narrow_terminal_without_colours(tmp_path: Path) -> None:
    (tmp_path / "go").write_text("now")
    with in_terminal(SUBMIT + LOOP, tmp_path, tmp_path / "go", columns=40, NO_COLOR="1") as program:
        assert program.end() == 0
        assert any(re.match(r"mine  .*4/4 over", line) for line in program.lines)
        assert "FAILED 3 sweep  ValueError: as asked" in program.lines
        assert not re.search(rb"\x1b\[[0-9;]*3[0-9][;m]", program.written)


def test_ctrl_c_leaves_the_display_and_the_jobs(tmp_path: Path) -> None:
    after = """
try:
    submitit.progress(jobs).wait()
except KeyboardInterrupt:
    print("interrupted:", jobs[3].done())
    Path(go).write_text("now")
    print("result:", jobs[3].result())
"""
    with in_terminal(SUBMIT + after, tmp_path, tmp_path / "go") as program:
        program.wait_for(is_waiting)
        program.type(b"\x03")
        assert program.end() == 0
        assert program.lines[-3:] == ["No longer watched: 1 job goes on.", "interrupted: False", "result: now"]
        assert not program.screen.cursor.hidden


def test_an_exception_in_the_loop_leaves_the_terminal_whole(tmp_path: Path) -> None:
    (tmp_path / "go").write_text("now")
    loop = """
calls.kept = submitit.progress(jobs)  # which goes when half of the interpreter has
for job in calls.kept:
    raise LookupError("in the loop")
"""
    with in_terminal(SUBMIT + loop, tmp_path, tmp_path / "go") as program:
        assert program.end() == 1
        assert "LookupError: in the loop" in program.lines
        assert not program.screen.cursor.hidden
        assert program.screen.cursor.x == 0


def test_what_goes_elsewhere_goes_there_still(tmp_path: Path) -> None:
    (tmp_path / "go").write_text("now")
    loop = """
sys.stderr = open(folder + "/errors", "w")
for job in submitit.progress(jobs):
    print("a warning", file=sys.stderr)
"""
    with in_terminal(SUBMIT + loop, tmp_path, tmp_path / "go") as program:
        assert program.end() == 0
        assert "a warning" not in "\n".join(program.lines)
    assert (tmp_path / "errors").read_text() == "a warning\n" * 4


def test_without_rich_there_are_lines_and_one_hint(tmp_path: Path) -> None:
    (tmp_path / "go").write_text("now")
    missing = "import sys\nsys.modules['rich'] = None\n"
    with in_terminal(missing + SUBMIT + LOOP + LOOP, tmp_path, tmp_path / "go", columns=200) as program:
        assert program.end() == 0
        text = "\n".join(program.lines)
        assert text.count("pip install 'submitit[cli]'") == 1
        assert text.count("mine: 4 of 4 jobs over after") == 2
        assert b"\x1b" not in program.written


def test_debug_jobs_have_the_terminal_for_themselves(tmp_path: Path) -> None:
    code = """
import sys, submitit
from support import calls
jobs = submitit.DebugExecutor(sys.argv[1]).map_array(calls.add, [1, 2], [3, 4])
submitit.progress(jobs).wait()
"""
    with in_terminal(code, tmp_path) as program:
        assert program.end() == 0
        assert "2 of 2 jobs over" in program.lines[-1]
        assert b"\x1b" not in program.written


def test_monitor_jobs_shows_the_same_in_a_terminal(tmp_path: Path) -> None:
    with in_terminal(SUBMIT + "helpers.monitor_jobs(jobs)", tmp_path, tmp_path / "go") as program:
        program.wait_for(is_waiting)
        (tmp_path / "go").write_text("now")
        assert program.end() == 0
        lines = program.lines
        assert lines[0] == "Monitoring 4 jobs from job arrays 1, 2, 3, 4"
        assert any("4/4 over" in line for line in lines)
        assert "All jobs finished, jobs with indices [2] failed" in lines


def test_monitor_jobs_leaves_the_saying_to_who_wants_it(tmp_path: Path) -> None:
    code = "helpers.monitor_jobs(jobs, custom_logging=lambda start, number, states: print(number, Path(go).write_text('now')))"
    with in_terminal(SUBMIT + code, tmp_path, tmp_path / "go") as program:
        assert program.end() == 0
        assert "4 3" in program.lines
        assert b"\x1b" not in program.written


def test_a_log_has_lines(tmp_path: Path) -> None:
    (tmp_path / "go").write_text("now")
    command = [sys.executable, "-c", SUBMIT + LOOP, str(tmp_path), str(tmp_path / "go")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=environment)
    lines = done.stdout.splitlines()
    time_ = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] "
    assert re.fullmatch(time_ + r"mine: \d of 4 jobs over: .*", lines[0])
    told = [line for line in lines if not line.startswith("over: ")]
    assert re.fullmatch(time_ + r"mine: 4 of 4 jobs over after [\d.]+ s: 3 COMPLETED, 1 FAILED", told[-2])
    assert re.fullmatch(time_ + "mine: Job 3 sweep FAILED: ValueError: as asked", told[-1])
    assert "\x1b" not in done.stdout
    assert done.stderr == ""


# ---------------------------------------------------------------- notebooks

UNSENT = """
with executor.batch(allow_implicit_submissions=True):
    waiting = [executor.submit(calls.add, 1, 2)]
    display(waiting)
    display(waiting[0])
    print(len(executor._delayed_batch))
"""


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each cell of a notebook has put out, by its media types."""
    folder = tmp_path_factory.mktemp("notebook")
    setup = SUBMIT.replace("sys.argv[1:]", "('logs', 'go')").replace(
        "import sys", "import sys\nsys.path.insert(0, TESTS)"
    )
    sources = [
        f"TESTS = {str(Path(__file__).parents[1])!r}{setup}",
        "Path(go).write_text('now')\nfor job in submitit.progress(jobs, title='<mine>'): print('over')",
        "jobs",
        "jobs[2]",
        "jobs[:2]",
        "[1, 2]",
        "[jobs[0], 2]",
        "class Own(list):\n    def _repr_html_(self): return 'own'\nOwn(jobs)",
        UNSENT,
        "jobs = jobs * 10\njobs",
        "helpers.monitor_jobs(jobs[:2])",
    ]
    program = """
import json, sys
import nbformat
from nbclient import NotebookClient
notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in json.load(sys.stdin)])
NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
json.dump([cell["outputs"] for cell in notebook.cells], sys.stdout)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        input=json.dumps(sources),
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=150,
        env={**os.environ, "HOME": str(folder), "IPYTHONDIR": str(folder / "ipython")},
    )
    assert done.returncode == 0, done.stderr
    return [_by_type(outputs) for outputs in json.loads(done.stdout)]


def _by_type(outputs: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {"stream": "".join(output.get("text", "") for output in outputs), "displays": []}
    for output in outputs:
        if "data" in output:
            found["displays"].append(output["data"])
            found.update(output["data"])
    return found


def test_a_notebook_shows_progress_in_one_output(cells: list[dict[str, Any]]) -> None:
    shown = cells[1]
    assert shown["stream"] == "over\n" * 4
    assert len(shown["displays"]) == 1
    assert "<b>4</b> of <b>4 jobs</b> over" in shown["text/html"]
    assert "&lt;mine&gt;" in shown["text/html"]
    assert "ValueError: as asked" in shown["text/html"]
    assert re.fullmatch("<mine>: 4 of 4 jobs over after .*: 3 COMPLETED, 1 FAILED", shown["text/plain"])
    assert "<b>2</b> of <b>2 jobs</b> over" in cells[10]["text/html"]
    assert "All jobs finished" in cells[10]["stream"]


def test_a_notebook_shows_a_job(cells: list[dict[str, Any]]) -> None:
    html = cells[3]["text/html"]
    for words in ("<b>sweep</b> job&nbsp;3", "FAILED", "ValueError: as asked", "ran ", 'href="logs/3/3_0_log.out"'):
        assert words in html
    assert "and more" not in html
    assert cells[3]["text/plain"] == 'LocalJob<job_id=3, task_id=0, state="FAILED">'


def test_a_notebook_shows_lists_of_jobs(cells: list[dict[str, Any]]) -> None:
    assert "<b>4 jobs</b>" in cells[2]["text/html"]
    assert cells[2]["text/html"].count("<tr") == 5
    assert "<b>2 jobs</b>" in cells[4]["text/html"]
    many = cells[9]["text/html"]
    assert "<b>40 jobs</b>" in many
    assert many.index("ValueError: as asked") < many.index("<details")
    assert many.count("<tr") == 11 + 21


def test_other_lists_are_shown_as_before(cells: list[dict[str, Any]]) -> None:
    assert "text/html" not in cells[5]
    assert "text/html" not in cells[6]
    assert cells[7]["text/html"] == "own"


def test_what_is_not_submitted_is_not_submitted_by_being_shown(cells: list[dict[str, Any]]) -> None:
    assert "text/html" not in cells[8]
    assert cells[8]["stream"] == "1\n"
