"""The ``submitit`` command about jobs of the real Slurm."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import submitit
from support.calls import print_until
from support.command import DEADLINE_S, Command
from support.slurm_jobs import Client

pytestmark = pytest.mark.slurm


def go_wrong_at(number: int) -> int:
    print(f"this is number {number}", flush=True)
    if number == 1:
        raise ValueError("one is wrong")
    return number


go_wrong_at.__module__ = "__main__"


@pytest.fixture
def command(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Command(tmp_path / "state")


@pytest.fixture
def submit(client: Client, command: Command) -> Callable[..., list[submitit.Job[Any]]]:
    executor = submitit.SlurmExecutor(client.directory / "jobs" / "%j")
    executor.update_parameters(time=5, mem="100MB")

    def submitted(
        name: str, function: Callable[..., Any], arguments: list[Any], **parameters: Any
    ) -> list[submitit.Job[Any]]:
        executor.update_parameters(job_name=name, **parameters)
        if len(arguments) > 1:
            return executor.map_array(function, arguments)
        return [executor.submit(function, *arguments)]

    return submitted


def test_an_array_that_went_wrong_and_its_retry(
    command: Command, submit: Callable[..., list[submitit.Job[Any]]], client: Client
) -> None:
    jobs = submit("sweep", go_wrong_at, [0, 1, 2])
    array = jobs[0].job_id.partition("_")[0]
    said = command("wait", array, code=1)
    assert said.lines == ["3 jobs: 1 FAILED, 2 COMPLETED", f"{array}_1 FAILED exit code 1"]
    assert re.search(rf"^{array} +sweep +1 FAILED, 2 COMPLETED +\S+ \S+ +\d\S* +{array}_1 ", command("ls").lines[1])
    assert [job["state"] for job in command("ls", "--json").json] == ["COMPLETED", "FAILED", "COMPLETED"]
    out = command("show", f"{array}_1").out
    for words in ("1 node, 1 task, 100 MB of memory, up to 5:00", "ValueError: one is wrong", "Files\n"):
        assert words in out
    (failed,) = command("show", f"{array}_1", "--json").json
    assert failed["node"]
    assert failed["submitted"] <= failed["start"] <= failed["end"]
    assert "this is number 2" in command("logs", f"{array}_2").out
    assert command("result", f"{array}_2").out == "2\n"
    said = command("retry", array)
    again = said.out.split(" -> ")[1].strip()
    assert said.out == f"{array}_1 -> {again}\n"
    assert again != f"{array}_1"
    assert "one is wrong" in command("result", again, "--wait", code=1).err


def test_a_job_is_followed_and_another_cancelled(
    command: Command, submit: Callable[..., list[submitit.Job[Any]]], tmp_path: Path
) -> None:
    (held,) = submit("held", go_wrong_at, [0], additional_parameters={"hold": True})
    assert re.search(r" PENDING .* JobHeldUser ", command("ls", "--name", "held").lines[1])
    out = command("show", "held").out
    assert "  why         JobHeldUser\n" in out
    assert "  ran " not in out
    assert "has not begun (PENDING): -f waits for it" in command("logs", "held", code=1).err
    (job,) = submit("talks", print_until, [str(tmp_path / "go")], additional_parameters={})
    follower = command.start("logs", "-f", "-1")
    assert follower.stdout is not None
    assert any("first line" in line for line in follower.stdout)
    assert command("ls", "--state", "running", "--json").json[0]["job_id"] == job.job_id
    (tmp_path / "go").touch()
    out, err = follower.communicate(timeout=DEADLINE_S)
    assert "last line" in out
    assert f"job {job.job_id} is over: COMPLETED" in err
    assert command("cancel", "held").out == f"Cancelled job {held.job_id}.\n"
    assert "CANCELLED" in command("wait", "held", code=1).out
