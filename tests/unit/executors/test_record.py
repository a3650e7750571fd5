"""What is written down of a submission."""

from __future__ import annotations

import functools
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from submitit.executors import record
from submitit.storage import journal, names
from submitit.storage.paths import layout_of
from submitit.storage.submission import DelayedSubmission
from support import calls
from support.fakes import FakeExecutor, FakeJob


class Callable:
    def __call__(self) -> None: ...

    def method(self) -> None: ...


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (calls.add, "support.calls.add"),
        (functools.partial(functools.partial(calls.add, 1), 2), "support.calls.add"),
        (len, "builtins.len"),
        (dict, "builtins.dict"),
        (Callable(), f"{__name__}.Callable"),
        (Callable().method, f"{__name__}.Callable.method"),
        ([].append, "builtins.list.append"),
    ],
)
def test_function_names(function: Any, name: str) -> None:
    assert record.function_name(function) == name


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (None, None),
        (3, 3),
        ("x", "x"),
        (1.5, 1.5),
        (True, True),
        ((1, "a"), [1, "a"]),
        ({"a": [1, {2: 3}]}, {"a": [1, {"2": 3}]}),
        (Path("/x"), "/x"),
    ],
)
def test_values_as_json(value: object, plain: object) -> None:
    assert record.plain(value) == plain
    json.dumps(record.plain(value))


def made(tmp_path: Path, ids: list[str], tasks: int = 1, **parameters: Any) -> list[dict[str, Any]]:
    executor = FakeExecutor(tmp_path / "%j")
    executor.update_parameters(**parameters)
    jobs = [FakeJob[Any](executor.folder, job_id, list(range(tasks))) for job_id in ids]
    submissions = [DelayedSubmission(calls.add, number, 1) for number, _ in enumerate(ids)]
    return record.records(executor, jobs, submissions, tmp_path / "payloads/some.pkl")


def test_a_record_says_who_what_and_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "ada")
    (found,) = made(tmp_path, ["12"], tasks=2, name="mine", minutes=3, colour=None)
    assert found.pop("time") > 1.7e9
    assert found == {
        "event": "submitted",
        "client": names.client_name(),
        "user": "ada",
        "host": os.uname().nodename,
        "cwd": os.getcwd(),
        "git": None,
        "python": sys.executable,
        "backend": "fake",
        "name": "mine",
        "function": "support.calls.add",
        "parameters": {"name": "mine", "minutes": 3, "colour": None},
        "jobs": ["12"],
        "tasks": 2,
        "payload": "some.pkl",
        "folder": str(tmp_path / "%j"),
    }


def test_an_array_is_one_record_whatever_its_size(tmp_path: Path) -> None:
    found = made(tmp_path, [f"12_{k}" for k in range(1000)])
    assert [entry["jobs"] for entry in found] == [{"array": "12", "count": 1000, "first": 0}]
    assert len(json.dumps(found)) < 1000


def test_several_arrays_of_one_payload_say_where_each_begins(tmp_path: Path) -> None:
    ids = ["12_0", "12_1", "13_0", "13_1", "13_2", "14", "15"]
    found = made(tmp_path, ids)
    assert [entry["jobs"] for entry in found] == [
        {"array": "12", "count": 2, "first": 0},
        {"array": "13", "count": 3, "first": 2},
        ["14", "15"],
    ]
    assert found[2]["first"] == 5


def test_what_is_appended_is_found_again(tmp_path: Path) -> None:
    executor = FakeExecutor(tmp_path / "%j")
    jobs = executor.map_array(calls.add, [1, 2, 3], [4, 5, 6])
    record.append(layout_of(executor.folder), executor, jobs, executor.sent[0], None)
    found = journal.find_submission(layout_of(executor.folder), jobs[2].job_id)
    assert found is not None
    assert "payload" not in found
    assert journal.payload_index(found, jobs[2].job_id) == 2
    assert journal.find_client(layout_of(executor.folder), jobs[2].job_id) == names.client_name()


def test_a_journal_that_cannot_be_written_is_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    executor = FakeExecutor(tmp_path / "%j")
    job = executor.submit(calls.add, 1, 2)
    (tmp_path / ".submitit").mkdir()
    (tmp_path / ".submitit/journal").touch()
    with caplog.at_level(logging.WARNING, "submitit"):
        record.append(layout_of(executor.folder), executor, [job], executor.sent[0], None)
    assert f"Could not write the journal of {tmp_path}" in caplog.text


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    done = subprocess.run(["git", "-C", folder, *identity, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    (folder / "deep/er").mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", "first")
    return folder


def test_the_commit_is_read_from_the_repository(repository: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    assert len(commit) == 40
    assert record.git_commit(str(repository)) == commit
    assert record.git_commit(str(repository / "deep/er")) == commit
    git(repository, "commit", "--quiet", "--allow-empty", "-m", "second")
    assert record.git_commit(str(repository)) == git(repository, "rev-parse", "HEAD") != commit


def test_a_detached_head_and_packed_references(repository: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    git(repository, "pack-refs", "--all")
    assert record.git_commit(str(repository)) == commit
    git(repository, "checkout", "--quiet", "--detach")
    assert record.git_commit(str(repository)) == commit


@pytest.mark.parametrize("packed", [False, True])
def test_a_work_tree_of_its_own(repository: Path, tmp_path: Path, packed: bool) -> None:
    git(repository, "worktree", "add", "--quiet", str(tmp_path / "tree"), "-b", "other")
    if packed:
        git(repository, "pack-refs", "--all")
    assert record.git_commit(str(tmp_path / "tree")) == git(repository, "rev-parse", "HEAD")


def test_no_commit_without_a_repository_or_in_a_new_or_broken_one(tmp_path: Path) -> None:
    assert record.git_commit(str(tmp_path)) is None
    git(tmp_path, "init", "--quiet", "fresh")
    assert record.git_commit(str(tmp_path / "fresh")) is None
    (tmp_path / "broken/.git").mkdir(parents=True)
    assert record.git_commit(str(tmp_path / "broken")) is None


def test_a_working_directory_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    os.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert record.working_directory() == ""
    assert record.git_commit("") is None
