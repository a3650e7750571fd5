"""A command as a job, by the real command on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import submitit
from support import calls
from support.command import Command
from support.local_processes import put


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory to run jobs in."""
    made = tmp_path / "here"
    made.mkdir()
    return made


def job_of(place: Path, job_id: str) -> submitit.LocalJob[int]:
    return submitit.LocalJob(place / "logs" / "%j", job_id)


def test_it_prints_the_id_alone(place: Path) -> None:
    done = Command()("run", "--cluster", "local", "--name", "hello", "sh", "-c", "echo $0 -1 $1", "a", "--b", cwd=place)
    assert done.out == "1\n"
    job = job_of(place, "1")
    assert job.result() == 0
    assert job.stdout() == "a -1 --b\n"
    (listed,) = Command().answer("ls", place / "logs")
    assert listed["name"] == "hello"


@pytest.mark.parametrize(
    "words, code, said",
    [
        (["true"], 0, ""),
        (["--", "sh", "-c", "exit 3"], 3, "exit code 3"),
        (["exit 4"], 4, "exit code 4"),
        (["no-such-program"], 127, "exit code 127"),
        (["no-such-program", "word"], 127, "No such file or directory"),
        (["sh", "-c", "kill -KILL $$"], 137, "exit code 137"),
        (["."], 126, "exit code"),
    ],
)
def test_it_exits_as_the_command_does(place: Path, words: list[str], code: int, said: str) -> None:
    if words == ["."]:
        words = ["/", "x"]
        said = "Permission denied"
    done = Command()("run", "-c", "local", "--wait", *words, cwd=place, code=code)
    assert done.out == ""
    assert said in done.err


def test_json_for_scripts(place: Path) -> None:
    words = ("run", "-c", "local", "--json")
    done = Command()(*words, "--wait", "sh", "-c", "echo words; exit 3", cwd=place, code=3)
    about = {"folder": f"{place}/logs/%j", "job_id": "1"}
    assert done.json == {**about, "exit_code": 3}
    assert Command()(*words, "true", cwd=place).json == {**about, "job_id": "2"}
    log = Command().answer("logs", "1", "-F", "logs", cwd=place)
    assert log["path"] == f"{place}/logs/1/1_0_log.out"
    assert log["text"].startswith("words\n")
    for mixed in (["logs", "1", "-f", "--json"], [*words, "-f", "true"]):
        assert "--json" in Command()(*mixed, cwd=place, code=2).err


def test_it_shows_what_the_command_prints(place: Path) -> None:
    words = ["run", "-c", "local", "-f", "-P", "tasks_per_node=2", "-t", "1h"]
    done = Command()(*words, "echo out $SUBMITIT_LOCAL_GLOBALID; echo err >&2", cwd=place)
    assert sorted(done.out.split("\n")) == ["", "out 0", "out 1"]
    assert done.err.count("err\n") == 2


def test_what_is_printed_is_shown_while_it_runs(place: Path) -> None:
    words = [
        sys.executable,
        "-m",
        "submitit",
        "run",
        "-c",
        "local",
        "-f",
        "echo begun; until [ -e go ]; do sleep 0.02; done",
    ]
    with subprocess.Popen(words, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        assert following.stdout.readline() == "begun\n"
        following.send_signal(signal.SIGINT)
        _, said = following.communicate(timeout=60)
    assert following.returncode == 130
    assert "Stopped following job 1, which goes on" in said
    assert "Traceback" not in said
    put(place / "go", "on")
    assert job_of(place, "1").result() == 0


def test_nobody_reads(place: Path) -> None:
    line = f"{sys.executable} -m submitit run -c local -f 'yes | head -n 200000; touch done' | head -n 1"
    done = subprocess.run(["sh", "-c", line], cwd=place, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "y\n"
    assert "Traceback" not in done.stderr
    calls.wait_for(lambda: (place / "done").exists())


def test_a_job_that_leaves_no_result(place: Path) -> None:
    done = Command()("run", "-c", "local", "--wait", "kill -KILL $PPID; sleep 60", cwd=place, code=1)
    assert "job 1 failed" in done.err
    assert "SIGKILL" in done.err


@pytest.mark.parametrize(
    "words, said",
    [
        ([], "Missing argument"),
        ([""], "there is no command to run"),
        (["-t", "0", "true"], "--time takes minutes (90), a duration (2h30m) or Slurm's form (1-12:00:00), not '0'"),
        (["-t", "soon", "true"], "not 'soon'"),
        (["-P", "qos", "true"], "-P takes KEY=VALUE, such as -P slurm_qos=high, not 'qos'"),
        (["-P", "mme_gb=3", "true"], "mem_gb"),
        (["-P", "nodes=x", "true"], 'Parameter "nodes" expected type'),
        (["-c", "moon", "true"], "Known executors: slurm, local"),
        (["--cpus", "0", "true"], "--cpus"),
    ],
)
def test_wrong_use(place: Path, words: list[str], said: str) -> None:
    given = words if "-c" in words else ["-c", "local", *words]
    done = Command()("run", *given, cwd=place, code=2)
    assert said in " ".join(done.err.split())
    assert "Traceback" not in done.err
    assert os.listdir(place) == []


def test_a_folder_that_cannot_be_written(place: Path) -> None:
    (place / "file").touch()
    done = Command()("run", "-c", "local", "-F", "file/jobs", "true", cwd=place, code=1)
    assert "the job was not submitted" in done.err
    assert "Traceback" not in done.err
