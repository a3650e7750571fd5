"""The ``submitit`` command, called as users call it, about jobs that have really run on this machine."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

import submitit
from submitit.cli import app
from support import users
from support.calls import print_until, wait_for
from support.command import DEADLINE_S, Command, Said, seen

HOSTILE = "evil\x1b[2J\x1b]0;title\x07 日本語の名前\u202e\n"
COMMANDS = ["ls", "show", "logs", "wait", "cancel", "retry", "result"]
JOB_FIELDS = [
    *("job_id", "array", "name", "function", "backend", "folder", "state", "over", "succeeded", "failed", "reason"),
    *("exit_code", "attempt", "tasks", "node", "submitted", "start", "end", "cpu_s", "max_rss_mb"),
]


def triple(number: int) -> int:
    print(f"tripling {number}")
    return 3 * number


def fail_at(number: int) -> int:
    print("about to fail \x1b[31mred\x1b[0m")
    if number != 1:
        return number
    raise ValueError(f"cannot take {number}")


def fail_once(note: str) -> str:
    if os.path.exists(note):
        return "went well"
    open(note, "w").close()
    raise RuntimeError("the first time")


def in_the_job(*functions: Callable[..., Any]) -> None:
    for function in functions:
        function.__module__ = "__main__"


in_the_job(triple, fail_at, fail_once)


class Jobs:
    """A folder of jobs, and an executor for more of them."""

    def __init__(self, command: Command, root: Path) -> None:
        self.command = command
        self.root = root
        self.executor = submitit.LocalExecutor(root / "%j")

    def submit(self, name: str, function: Callable[..., Any], *args: Any, **parameters: Any) -> submitit.Job[Any]:
        with self.noted():
            self.executor.update_parameters(**{"tasks_per_node": 1, "name": name, "timeout_min": 10, **parameters})
            return self.executor.submit(function, *args)

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """What is submitted in the block is noted where the command looks."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_STATE_HOME", str(self.command.state))
            yield


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Jobs:
    """Jobs that are over: 1 fine, 2 hostile, 3 to 5 an array of which 4 failed, 6 of two tasks."""
    directory = tmp_path_factory.mktemp("command")
    (directory / "cwd").mkdir()
    before = os.getcwd()
    os.chdir(directory / "cwd")  # where a job was submitted from, a retry goes
    try:
        jobs = Jobs(Command(directory / "state"), directory / "ended")
        submitted = [jobs.submit("fine", triple, 7), jobs.submit(HOSTILE, triple, 8)]
        with jobs.noted():
            jobs.executor.update_parameters(name="sweep")
            submitted += jobs.executor.map_array(fail_at, range(3))
        submitted.append(jobs.submit("pair", triple, 9, tasks_per_node=2))
        assert not submitit.wait(submitted, timeout=DEADLINE_S).not_done
        assert [job.job_id for job in submitted] == list("123456")
    finally:
        os.chdir(before)
    return jobs


@pytest.fixture
def command(ended: Jobs) -> Command:
    return ended.command


@pytest.fixture
def living(tmp_path: Path) -> Iterator[Jobs]:
    """A folder for jobs that are not over yet; those that are not at the end of the test are cancelled."""
    jobs = Jobs(Command(tmp_path / "state"), tmp_path / "living")
    yield jobs
    if jobs.command("ls", jobs.root, "--json").json:
        ids = [job["job_id"] for job in jobs.command("ls", jobs.root, "--json").json]
        jobs.command("cancel", *ids, "--yes", "-F", jobs.root)
        jobs.command("wait", *ids, "-F", jobs.root, code=None)


def ids(said: Said) -> list[str]:
    return [job["job_id"] for job in said.json]


# ---------------------------------------------------------------- ls


def test_ls_is_a_line_a_call_the_newest_last(ended: Jobs, command: Command) -> None:
    title, *lines = command("ls").lines
    assert title.split() == ["ID", "NAME", "STATE", "SUBMITTED", "TIME", "WHY", "FOLDER"]
    assert [line.split()[0] for line in lines] == ["1", "2", "3-5", "6"]
    assert re.search(r"sweep +1 FAILED, 2 COMPLETED +[\d-]+ [\d:]+ +\S+ +4 ", lines[2])
    assert all(line.endswith(str(ended.root)) for line in lines)
    assert "\x1b" not in "".join(lines)
    assert command("ls", ended.root).lines == [title, *lines]
    assert command("ls", "--reverse").lines == [title, *reversed(lines)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--all"], "1 2 3 4 5 6"),
        (["--failed"], "4"),
        (["--state", "completed,running", "--name", "s*"], "3 5"),
        (["-s", "FAILED", "-s", "COMPLETED", "--since", "1h"], "1 2 3 4 5 6"),
        (["--since", "2000-01-01", "--last", "1"], "6"),
        (["--all", "--last", "2", "--reverse"], "6 5"),
        (["--backend", "slurm"], ""),
        (["--backend", "local", "--name", "[fp]*", "--no-ask"], "1 6"),
    ],
)
def test_ls_filters_jobs(command: Command, words: list[str], expected: str) -> None:
    assert ids(command("ls", "--json", *words)) == expected.split()


def test_ls_counts_the_jobs_that_it_was_asked_for(command: Command) -> None:
    assert re.search(r"^3-5 +sweep +FAILED +.* exit code 1 ", command("ls", "--failed").lines[1])
    assert [line.split()[0] for line in command("ls", "--all").lines[1:]] == list("123456")


def test_json_has_the_documented_fields(ended: Jobs, command: Command) -> None:
    jobs = command("ls", "--json").json
    assert [list(job) for job in jobs] == [JOB_FIELDS] * 6
    failed = jobs[3]
    assert (failed["name"], failed["state"], failed["exit_code"]) == ("sweep", "FAILED", 1)
    assert (failed["over"], failed["failed"], failed["succeeded"]) == (True, True, False)
    assert (failed["array"], failed["attempt"], failed["folder"]) == (None, 1, str(ended.root / "%j"))
    assert jobs[1]["name"] == HOSTILE
    help_text = " ".join(command("show", "--help").out.split())
    assert all(re.search(rf"\b{field}\b", help_text) for field in JOB_FIELDS)


@pytest.mark.parametrize("columns", [80, 60, 140])
def test_in_a_terminal_columns_fit_and_are_aligned(ended: Jobs, command: Command, columns: int) -> None:
    said = command.in_terminal("ls", columns=columns)
    assert said.code == 0
    shown = seen(said.out).splitlines()
    assert shown[0] == str(ended.root)
    assert len(shown) == 6
    assert max(map(cell_len, shown[1:])) <= columns
    assert len({cell_len(line[: re.search(r"STATE|COMPLETED|1 FAILED", line).start()]) for line in shown[1:]}) == 1  # type: ignore[union-attr]
    assert "evil" in shown[3]
    assert "title" not in said.out


def test_colours_are_left_out_on_request(command: Command) -> None:
    assert "\x1b[31m1 FAILED\x1b[0m" in command.in_terminal("ls").out
    assert "\x1b" not in command.in_terminal("ls", env={"NO_COLOR": "1"}).out
    assert "FOLDER" in command.in_terminal("ls", env={"TERM": "dumb"}).out


def test_ls_opens_no_file_of_a_job(ended: Jobs, command: Command) -> None:
    program = f"""
import sys
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
sys.argv[1:] = ["ls", {str(ended.root)!r}, "--all"]
from submitit.cli.main import main
try:
    main()
finally:
    print(*sorted(set(path for path in opened if path.startswith({str(ended.root)!r}))), sep="\\n", file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], env=command.env, capture_output=True, text=True, check=True)
    journals = ended.root / ".submitit" / "journal"
    assert {Path(path).parent for path in done.stderr.splitlines()} == {journals}
    assert len(done.stdout.splitlines()) == 7


@pytest.mark.parametrize("words", [["ls"], ["show", "4"], ["logs", "4"], ["ls", "--json"]])
def test_what_lists_loads_no_pickler(command: Command, words: list[str]) -> None:
    argv = [sys.executable, "-X", "importtime", "-m", "submitit", *words]
    done = subprocess.run(argv, env=command.env, capture_output=True, text=True, check=True)
    loaded = set(re.findall(r"\| +(\S+)$", done.stderr, re.MULTILINE))
    assert {"submitit.cli.main", "typer"} <= loaded
    assert loaded.isdisjoint({"cloudpickle", "textual", "rich.table", "submitit.client.job"})


def test_an_empty_folder_has_no_jobs(command: Command, tmp_path: Path) -> None:
    assert command("ls", tmp_path) == Said("", f"submitit: no job was submitted to {tmp_path}\n", 0)
    assert command("ls", tmp_path, "--json").json == []
    assert "no job matches" in command("ls", "--name", "none").err
    assert "; ls FOLDER looks into a folder of jobs" in Command(tmp_path / "state")("ls").err


@pytest.mark.parametrize("tags", ["", "12"])
def test_a_folder_of_version_1_is_said_to_be_one(command: Command, tmp_path: Path, tags: str) -> None:
    folder = tmp_path / "jobs"
    (folder / tags).mkdir(parents=True)
    (folder / tags / "12_submitted.pkl").touch()
    said = f"the jobs in {folder} are of submitit 1"
    assert said in command("ls", folder).err
    assert said in command("show", "12", "--folder", folder, code=1).err
    assert said in command("clean", folder, code=1).err
    assert said in command("report", folder, code=1).err
    if tags:  # files of jobs that lie in the folder itself are counted
        assert said in command("du", folder, code=1).err


@pytest.mark.skipif(not users.can_make_users(), reason="takes root, to be somebody else for once")
def test_a_folder_that_is_closed_to_the_user_is_no_empty_one(command: Command) -> None:
    with users.ordinary_user() as user:
        closed = user.new_directory()
        closed.chmod(0o700)
        for words in "ls", "show 1 --folder", "du", "report":
            said = user.run(command.argv(*words.split(), closed), env={"XDG_STATE_HOME": str(user.home)}, check=False)
            assert (said.returncode, said.stdout) == (2, "")
            assert said.stderr.startswith(f"submitit: you may not look into the folder {closed};")


# ---------------------------------------------------------------- which job


@pytest.mark.parametrize(
    ("word", "expected"),
    [("4", "4"), ("fine", "1"), ("sweep", "3 4 5"), ("-1", "6"), ("-2", "3 4 5"), ("2-4", "2 3 4"), (HOSTILE, "2")],
)
def test_jobs_are_named(command: Command, word: str, expected: str) -> None:
    assert ids(command("show", "--json", word)) == expected.split()


def test_what_names_several_jobs_or_none_is_answered_with_candidates(ended: Jobs, command: Command) -> None:
    said = command("logs", "sweep", code=2)
    assert "sweep is 3 jobs; name one. Of these failed: 4." in said.err
    said = command("show", "fime", code=1)
    assert f"no job in {ended.root} is called fime. Did you mean fine?" in said.err
    said = command("show", "zzzzzz", code=1)
    assert "The last submissions are:\n  6  pair  COMPLETED  in " in said.err
    assert "\x1b" not in said.err
    assert "counts from the last of 4 submissions: give -1 to -4" in command("show", "-5", code=1).err
    assert "there is no folder" in command("show", "1", "-F", ended.root / "none", code=2).err


def test_a_job_of_one_id_in_two_folders_is_ambiguous(living: Jobs, tmp_path: Path) -> None:
    command = living.command
    other = Jobs(command, tmp_path / "other")
    submitit.wait([living.submit("one", triple, 1), other.submit("unique", triple, 1)], timeout=DEADLINE_S)
    said = command("show", "1", code=2)
    assert "1 may be any of 2; say which with --folder:" in said.err
    assert f"1  unique  COMPLETED  in {other.root}" in said.err
    assert f"1  one  COMPLETED  in {living.root}" in said.err
    assert ids(command("show", "1", "--json", "--folder", living.root)) == ["1"]
    assert ids(command("show", "unique", "--json")) == ["1"]


# ---------------------------------------------------------------- show and logs


def test_show_says_what_became_of_a_job(ended: Jobs, command: Command) -> None:
    out = command("show", "4").out
    assert out.startswith("4  sweep  FAILED\n")
    for words in (
        "exit code 1",
        "__main__.fail_at",
        "1 node, 1 task",
        f"on {os.uname().nodename}",
        "of CPU time",
        sys.executable,
    ):
        assert words in out
    assert str(ended.root / "4" / "4_0_log.out") in out
    assert "The end of stderr\n" in out
    assert "ValueError: cannot take 1" in out
    assert "Attempts" not in out
    assert "ValueError" not in command("show", "4", "--lines", "0").out
    array = command("show", "sweep").out
    assert array.startswith("3-5  sweep  1 FAILED, 2 COMPLETED\n")
    assert re.search(r"^4 +FAILED .* exit code 1$", array, re.MULTILINE)
    assert "\x1b" not in seen(command.in_terminal("show", "2").out)


def test_show_has_more_fields_in_json(ended: Jobs, command: Command) -> None:
    (job,) = command("show", "6", "--json").json
    assert list(job)[: len(JOB_FIELDS)] == JOB_FIELDS
    more = list(job)[len(JOB_FIELDS) :]
    assert more == [
        *("asked", "attempts", "after", "files", "user", "host", "cwd", "python", "git", "snapshot", "parameters")
    ]
    assert job["asked"]["tasks"] == job["tasks"] == 2
    assert [(attempt["number"], attempt["state"]) for attempt in job["attempts"]] == [(1, "COMPLETED")]
    assert job["files"]["stdout"] == str(ended.root / "6" / "6_0_log.out")


def test_logs_are_those_of_the_job(ended: Jobs, command: Command) -> None:
    whole = (ended.root / "4" / "4_0_log.out").read_text()
    assert command("logs", "4").out == whole
    assert command("logs", "4", "-n", "2").out == "".join(whole.splitlines(keepends=True)[-2:])
    assert command("logs", "4", "--attempt", "1").out == whole
    assert "ValueError: cannot take 1" in command("logs", "4", "--err").out
    assert "global_rank=1(2)" in command("logs", "6", "--task", "1").out
    assert "red" in seen(command.in_terminal("logs", "4").out)
    assert "\x1b[31m" in command("logs", "4").out
    assert "nothing of attempt 2" in command("logs", "4", "--attempt", "2", code=1).err
    assert "job 6 has tasks 0 to 1, and no task 2" in command("logs", "6", "-t", "2", code=2).err


def test_logs_follow_until_the_job_is_over(living: Jobs, tmp_path: Path) -> None:
    living.submit("talks", print_until, str(tmp_path / "go"))
    follower = living.command.start("logs", "-f", "talks")
    assert follower.stdout is not None
    assert any("first line" in line for line in follower.stdout)
    (tmp_path / "go").touch()
    out, err = follower.communicate(timeout=DEADLINE_S)
    assert "last line" in out
    assert "job 1 is over: COMPLETED" in err
    assert follower.returncode == 0


# ---------------------------------------------------------------- wait, cancel, retry, result


def test_wait_tells_how_jobs_ended(command: Command) -> None:
    assert command("wait", "1", "2").out == "2 jobs: 2 COMPLETED\n"
    said = command("wait", "sweep", code=1)
    assert said.lines == ["3 jobs: 1 FAILED, 2 COMPLETED", "4 FAILED exit code 1"]
    assert ids(command("wait", "4", "--json", code=1)) == ["4"]


def test_sentences_are_broken_between_words(command: Command) -> None:
    lines = command.in_terminal("result", "2-4", columns=40).out.splitlines()
    assert " ".join(lines) == command("result", "2-4", code=2).err.rstrip()
    assert len(lines) > 1
    assert max(map(len, lines)) <= 40


def test_a_wait_has_an_end(living: Jobs, tmp_path: Path) -> None:
    living.submit("talks", print_until, str(tmp_path / "go"))
    said = living.command("wait", "talks", "--timeout", "0.2s", code=1)
    assert "1 of 1 jobs are not over in time" in said.err
    waiter = living.command.start("wait", "talks")
    wait_for(lambda: _is_waiting(waiter.pid), DEADLINE_S)
    waiter.send_signal(signal.SIGINT)
    _, err = waiter.communicate(timeout=DEADLINE_S)
    assert waiter.returncode == 130
    assert "the jobs go on" in err
    assert "Waiting for" not in err  # which only who looks on is told
    shown = living.command.in_terminal("wait", "talks", "--timeout", "0.2s").out
    assert shown.startswith("Waiting for job 1; Ctrl-C ends the wait")
    (tmp_path / "go").touch()
    assert living.command("wait", "-1").out == "job 1: COMPLETED\n"


def _is_waiting(pid: int) -> bool:
    """Whether a process sleeps until something happens to what it watches: a wait has begun."""
    with contextlib.suppress(OSError):  # one may be closed before it is read
        names = [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
        return any("pidfd" in name or "eventpoll" in name for name in names)
    return False


def test_cancel_asks_before_it_cancels_several(living: Jobs, tmp_path: Path) -> None:
    living.submit("over", triple, 2).result(DEADLINE_S)
    for name in ("one", "two"):
        living.submit(name, print_until, str(tmp_path / "go"))
    command = living.command
    said = command("cancel", "1-3", code=2)
    assert "Cancel 2 jobs" in said.err
    assert "--yes" in said.err
    said = command.in_terminal("cancel", "1-3", answers=[("[y/N]", "n")])
    assert (said.code, "nothing was done" in said.out) == (1, True)
    assert {job["state"] for job in command("ls", "--json").json} <= {"PENDING", "RUNNING", "COMPLETED"}
    said = command.in_terminal("cancel", "1-3", answers=[("[y/N]", "\x03")])
    assert (said.code, said.out.splitlines()[-1]) == (130, "submitit: nothing was done")
    said = command.in_terminal("cancel", "1-3", answers=[("[y/N]", "y")])
    assert said.code == 0
    assert "Cancelled 2 jobs: 2, 3." in said.out
    assert "Over already: job 1" in said.out
    command("wait", "2", "3", code=1)
    assert [job["state"] for job in command("ls", "--json").json] == ["COMPLETED", "CANCELLED", "CANCELLED"]
    assert command("cancel", "1").out == "Over already: job 1 (COMPLETED).\n"


def test_a_name_means_what_lives_to_who_cancels(living: Jobs, tmp_path: Path) -> None:
    """The same script, once more: its jobs have the same names."""
    living.submit("sweep", triple, 2).result(DEADLINE_S)
    living.submit("sweep", print_until, str(tmp_path / "go"))
    assert living.command("cancel", "sweep").out == "Cancelled job 2.\n"
    living.command("wait", "2", code=1)
    assert "sweep may be any of 2" in living.command("cancel", "sweep", code=2).err, "none lives"


def test_retry_submits_what_failed_once_more(living: Jobs, tmp_path: Path) -> None:
    for name in ("flaky", "flakier"):
        living.submit(name, fail_once, str(tmp_path / name)).wait(DEADLINE_S)
    living.submit("fine", triple, 2).wait(DEADLINE_S)
    command = living.command
    assert command("retry", "flaky", cwd=tmp_path).out == "1 -> 4\n"
    assert command("wait", "4").out == "job 4: COMPLETED\n"
    assert command("result", "4").out == "'went well'\n"
    said = command("retry", "--failed", living.root, "--yes", "--json")
    assert [(row["job_id"], row["new_job_id"]) for row in said.json] == [("1", "5"), ("2", "6")]
    assert command("wait", "5", "6").code == 0
    (again,) = command("show", "4", "--json").json
    assert (again["name"], again["cwd"]) == ("flaky", os.getcwd())
    assert "none of these jobs has failed: COMPLETED" in command("retry", "fine", code=1).err
    assert command("retry", "fine", "--all").out == "3 -> 7\n"
    assert "--failed FOLDER" in command("retry", code=2).err
    assert "--yes" in command("retry", "--failed", living.root, code=2).err
    command("wait", "7")


def test_retry_is_for_the_python_of_the_job(living: Jobs, tmp_path: Path) -> None:
    living.submit("fails", fail_at, 1).wait(DEADLINE_S)
    (journal,) = [path for path in (living.root / ".submitit/journal").iterdir() if '"submitted"' in path.read_text()]
    other = tmp_path / "bin" / "python"
    other.parent.mkdir()
    other.symlink_to(sys.executable)
    journal.write_text(journal.read_text().replace(f'"python":"{sys.executable}"', f'"python":"{other}"'))
    assert f"use {other} -m submitit" in living.command("retry", "1", code=2).err


def test_result_is_the_value_or_the_error(ended: Jobs, command: Command) -> None:
    assert command("result", "fine").out == "21\n"
    assert command("result", "pair", "--json").json == [27, 27]
    said = command("result", "4", code=1)
    assert said.out == ""
    assert "ValueError: cannot take 1" in said.err


def test_what_others_could_have_written_is_loaded_on_request(living: Jobs) -> None:
    living.submit("fine", triple, 2).wait(DEADLINE_S)
    (living.root / "1" / "1_0_result.pkl").chmod(0o666)
    said = living.command("result", "1", code=2)
    assert "every user can write it" in said.err
    assert "--trust" in said.err
    assert living.command("result", "1", "--trust").out == "6\n"
    said = living.command.in_terminal("result", "1", answers=[("[y/N]", "n")])
    assert (said.code, said.out.rstrip().endswith("nothing was done")) == (1, True)
    said = living.command.in_terminal("result", "1", answers=[("[y/N]", "y")])
    assert (said.code, said.out.rstrip().endswith("6")) == (0, True)


# ---------------------------------------------------------------- the command itself


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["blub"], "No such command 'blub'"),
        (["lss"], "Did you mean 'ls'"),
        (["ls", "--state", "runing"], "--state takes a job's state, not RUNING; did you mean RUNNING?"),
        (["ls", "--since", "yesterday"], "--since takes a time such as 30m, 2h, 3d or 2026-11-20, not 'yesterday'"),
        (["ls", "--last", "0"], "--last"),
        (["ls", "--jsn"], "No such option: --jsn"),
        (["ls", "nowhere"], "there is no folder"),
        (["show"], "Missing argument 'JOB'"),
        (["logs", "1", "-f", "--attempt", "1"], "leave out --attempt"),
        (["logs", "1", "-n", "-3"], "'--lines' / '-n'"),
        (["wait", "1", "--timeout", "soon"], "--timeout takes seconds, or a time such as 30s, 10m or 2h, not 'soon'"),
        (["retry", "1", "--failed", "."], "name the jobs to retry, or give --failed FOLDER"),
    ],
)
def test_wrong_use_is_answered_with_a_sentence(command: Command, words: list[str], expected: str) -> None:
    said = command(*words, code=2)
    assert expected in said.err
    assert said.out == ""


@pytest.mark.parametrize("name", COMMANDS)
def test_help_tells_the_exit_codes(command: Command, name: str) -> None:
    assert "Exit code" in command(name, "--help").out


def test_help_and_version(command: Command) -> None:
    lines = command("--help").lines
    listed = lines[lines.index("Commands:") + 1 :]
    assert [line.split()[0] for line in listed] == list(app.COMMANDS)  # each in one line, and whole
    assert all(line.endswith(".") and not line.endswith("..") for line in listed)
    assert command("--version").out == f"submitit {submitit.__version__}\n"


def test_without_what_it_needs_the_command_says_what_to_install() -> None:
    program = "import sys; sys.modules['typer'] = None; from submitit.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'submitit[cli]'" in done.stderr


def test_the_shell_completes_jobs(command: Command) -> None:
    env = {**command.env, "_SUBMITIT_COMPLETE": "complete_bash", "COMP_WORDS": "submitit show ", "COMP_CWORD": "2"}
    argv = [sys.executable, "-c", "from submitit.cli.main import main; main()"]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    assert {"1", "4", "6"} <= set(done.stdout.split())
