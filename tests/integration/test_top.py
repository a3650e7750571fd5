"""`submitit top` in a real terminal."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import submitit
from submitit.local import local
from submitit.storage import names, registry
from submitit.storage.journal import Journal
from submitit.storage.paths import Layout
from support import calls
from support.slurm_cluster import SlurmCluster
from support.tmux import AS_IT_WAS, Terminal, needs_tmux, terminal

pytestmark = needs_tmux


def say(path: str) -> str:
    """Print each line of a file as it comes, up to ``end``."""
    seen = 0
    while True:
        lines = Path(path).read_text().splitlines() if Path(path).exists() else []
        for line in lines[seen:]:
            if line == "end":
                return "ended"
            print(line, flush=True)
        seen = len(lines)
        time.sleep(0.02)


def fail(message: str) -> None:
    raise ValueError(message)


for function in (say, fail):
    function.__module__ = "__main__"


def executor(folder: Path, name: str, cluster: str = "local") -> submitit.AutoExecutor:
    made = submitit.AutoExecutor(folder / "%j", cluster=cluster)
    made.update_parameters(name=name, timeout_min=5)
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "jobs"


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Path]:
    """What the jobs that run print; they end when the test does."""
    path = tmp_path / "script"
    path.touch()
    yield path
    write(path, "end")


def write(script: Path, line: str) -> None:
    with script.open("a") as file:
        file.write(f"{line}\n")


def leave(shown: Terminal) -> None:
    shown.type("q")
    assert shown.left() == (0, AS_IT_WAS)


def test_jobs_are_filtered_sorted_unfolded_and_looked_at(tmp_path: Path, folder: Path, script: Path) -> None:
    failed = executor(folder, "[red]x[/]").submit(fail, "bad luck")
    ended = executor(folder, "good").submit(abs, -1)
    submitit.wait([failed, ended])
    running = executor(folder, "sweep").map_array(say, [str(script)] * 2)
    with terminal("top", folder, cwd=tmp_path) as shown:
        shown.shows("4 jobs", "1 FAILED 1", "2 RUNNING 2", "5 COMPLETED 1")
        assert "exit code 1" in shown.line(failed.job_id, "[red]x[/]", "FAILED")
        shown.line(f"▸ {running[0].job_id}-{running[-1].job_id}", "sweep", "2 RUNNING")
        assert max(map(len, shown.lines)) <= 80

        shown.type("Enter")
        for job in running:
            shown.line(f"  {job.job_id} ", "sweep", "RUNNING")
        shown.type("z")
        shown.line("▸", "2 RUNNING")

        shown.type("1")
        shown.shows("1 of 4 jobs")
        shown.lacks("good")
        shown.type("1", "s")
        shown.line("ID▲")
        shown.shows("4 jobs", "good")
        assert shown.lines[3].split()[0] == failed.job_id
        shown.type("S")
        shown.line("ID▼")
        assert shown.lines[3].split()[1] == f"{running[0].job_id}-{running[-1].job_id}"

        shown.type("/")
        shown.write("goo qz")
        shown.shows("0 of 4 jobs", "None of 4 jobs is like that")
        shown.type("BSpace", "BSpace", "BSpace", "Enter")
        shown.shows("1 of 4 jobs", "filter: goo")
        shown.type("Escape")
        shown.shows("4 jobs", "[red]x[/]")
        shown.lacks("filter:")

        shown.type("End", "Enter")
        shown.shows(f"Job {failed.job_id}", "Asked for", "exit code 1")
        shown.line("Error", "ValueError: bad luck")
        shown.resize(150, 40)
        shown.line("Function", "__main__.fail")
        shown.type("e")
        shown.line("ValueError: bad luck")
        shown.type("q")
        shown.line("submitit top", "4 jobs")
        calls.wait_for(lambda: len(shown.line("submitit top")) == 150)
        shown.resize(80, 24)
        shown.type("?")
        shown.shows("Keys", "Cancel and retry ask first")
        shown.type("q")
        leave(shown)


def test_a_log_is_followed_as_it_grows(tmp_path: Path, folder: Path, script: Path) -> None:
    job = executor(folder, "train").submit(say, str(script))
    for number in range(100):
        write(script, f"step {number}")
    with terminal("top", folder, cwd=tmp_path, rows=12) as shown:
        shown.line("train", "RUNNING")
        shown.type("o")
        shown.shows("following", "step 99")
        write(script, "\x1b[31mand one more\x1b[2J")
        assert shown.line("and one more") == "and one more"
        shown.type("Up")
        shown.shows("not following")
        write(script, "nobody sees this yet")
        calls.wait_for(lambda: "nobody sees this yet" in (job.stdout() or ""))
        shown.type("Home")
        shown.line("step 0")
        shown.type("End")
        shown.shows("nobody sees this yet")
        write(script, "end")
        shown.line("Job", "COMPLETED")
        shown.type("C-c")
        assert shown.left() == (130, AS_IT_WAS)


def test_jobs_are_cancelled_and_submitted_again(tmp_path: Path, folder: Path, script: Path) -> None:
    jobs = executor(folder, "sweep").map_array(say, [str(script)] * 2)
    with terminal("top", folder, cwd=tmp_path) as shown:
        shown.line("2 RUNNING", "sweep")
        shown.type("c")
        shown.line("Cancel 2 jobs (2 RUNNING)?")
        shown.type("n")
        shown.lacks("Cancel 2 jobs")
        shown.type("c")
        shown.line("Cancel 2 jobs (2 RUNNING)?")
        shown.type("y")
        shown.line("2 CANCELLED", "sweep")
        shown.line("2 jobs cancelled")
        submitit.wait(jobs)
        shown.type("c")
        shown.line("Nothing to cancel: all of these jobs are over, or were cancelled.")
        shown.type("Enter", "Down")
        shown.line(f"  {jobs[0].job_id} ", "CANCELLED", "cancelled from another process")
        shown.type("r")
        shown.line(f"Retry 1 job, {jobs[0].job_id} sweep (CANCELLED)?")
        shown.type("y")
        shown.line("1 job submitted again")
        shown.shows("3 jobs", "RUNNING 1")
        leave(shown)
    write(script, "end")
    again: submitit.Job[str] = local.LocalJob(folder / "%j", str(int(jobs[-1].job_id) + 1))
    assert again.result() == "ended"


def test_a_folder_may_appear_later_and_the_terminal_is_restored_when_killed(tmp_path: Path, folder: Path) -> None:
    with terminal("top", folder, cwd=tmp_path) as shown:
        shown.line("There is no such folder yet")
        job = executor(folder, "first").submit(abs, -1)
        shown.line(job.job_id, "first", "COMPLETED")
        os.kill(shown.pid, signal.SIGTERM)
        assert shown.left() == (128 + signal.SIGTERM, AS_IT_WAS)


def test_it_ends_with_its_terminal(tmp_path: Path, folder: Path) -> None:
    with terminal("top", folder, cwd=tmp_path) as shown:
        shown.line("There is no such folder yet")
        process = Path(f"/proc/{shown.pid}/stat")
        assert "submitit" in process.with_name("cmdline").read_text()
    calls.wait_for(lambda: not process.exists() or process.read_text().rpartition(")")[2].split()[0] == "Z")


def record(folder: Path, count: int) -> None:
    """A call of so many jobs is written down, of which nothing was heard since."""
    Layout(str(folder)).make()
    Journal(Layout(str(folder)).locate(f"journal/{names.client_name()}-test.jsonl")).append(
        {
            "event": "submitted",
            "time": time.time() - 7200,
            "backend": "local",
            "name": "many",
            "function": "m.f",
            "folder": str(folder / "%j"),
            "jobs": [str(number) for number in range(1, count + 1)],
            "tasks": 1,
            "parameters": {},
        }
    )
    registry.note(str(folder))


def test_ten_thousand_jobs_of_all_folders_without_colours(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    record(folder, 10_000)
    record(tmp_path / "others", 7)
    with terminal("top", cwd=tmp_path, columns=120, NO_COLOR="1") as shown:
        shown.shows("2 folders", "10,007 jobs", "6 UNKNOWN 10007")
        shown.line("1-10000", "many", "10,000 UNKNOWN")
        shown.type("z", "End")
        shown.line("  10000 ", "no controller has it", "jobs/%j")
        shown.type("/")
        shown.write("9999")
        shown.shows("1 of 10,007 jobs")
        assert not re.search("\x1b\\[[0-9;]*(3[0-7]|4[0-7]|[34]8;)", shown.coloured)
        shown.type("Enter")
        leave(shown)


def test_states_have_colours(tmp_path: Path, folder: Path) -> None:
    job = executor(folder, "bad").submit(fail, "bad luck")
    submitit.wait([job])
    with terminal("top", folder, cwd=tmp_path, rows=8) as shown:
        shown.line("bad", "FAILED")
        assert "\x1b[31m" in shown.coloured
        leave(shown)


@pytest.mark.slurm
def test_a_job_of_slurm_is_seen_and_cancelled(slurm: SlurmCluster, tmp_path: Path, folder: Path, script: Path) -> None:
    submitter = executor(folder, "array", "slurm")
    submitter.map_array(say, [str(script)] * 2)
    submitter.update_parameters(name="later", slurm_additional_parameters={"begin": "now+1hour"})
    later = submitter.submit(say, str(script))
    with terminal("top", folder, cwd=tmp_path) as shown:
        shown.line("_[0-1]", "array", "2 RUNNING")
        shown.line(f"  {later.job_id} ", "later", "PENDING")
        shown.type("c")
        shown.line(f"Cancel 1 job, {later.job_id} later (PENDING)?")
        shown.type("y")
        shown.line(f"  {later.job_id} ", "later", "CANCELLED")
        write(script, "end")
        shown.line("_[0-1]", "array", "2 COMPLETED")
        leave(shown)


def run(**streams: Any) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "submitit", "top"], capture_output=not streams, text=True, check=False, **streams
    )
    return done.returncode, " ".join(str(done.stderr).split())


def test_without_a_terminal_it_says_so(tmp_path: Path) -> None:
    code, said = run(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert code == 2
    assert said == (
        "submitit: top needs a terminal, and its input is none. submitit ls lists the jobs once, with --json for programs."
    )
    terminal_of_it, its = pty.openpty()
    try:
        code, said = run(stdin=its, stdout=its, stderr=subprocess.PIPE)
        assert (code, "its standard error is none" in said) == (2, True)
    finally:
        os.close(terminal_of_it)
        os.close(its)
