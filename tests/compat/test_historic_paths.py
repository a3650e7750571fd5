"""The import paths of version 1: the same objects, and what is assigned to them takes effect."""

from __future__ import annotations

import copy
import importlib
import operator
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import cloudpickle
import pytest

import submitit
from submitit import commands
from submitit.core import utils
from submitit.storage import serialization
from support import calls

#: What each historic name is, by where it is defined now.
SAME = {
    "core.core.Job": "client.job.Job",
    "core.core.R": "client.job.R",
    "core.core.Executor": "client.executor.Executor",
    "core.core.PicklingExecutor": "executors.pickling.PicklingExecutor",
    "core.core.InfoWatcher": "orchestrator.watcher.InfoWatcher",
    "core.core.DelayedJob": "client.batch.DelayedJob",
    "core.core.AsyncJobProxy": "client.awaitable.AsyncJobProxy",
    "core.core.EquivalenceDict": "client.parameters.EquivalenceDict",
    "core.core.utils": "core.utils",
    "core.utils.JobPaths": "storage.paths.JobPaths",
    "core.utils.DelayedSubmission": "storage.submission.DelayedSubmission",
    "core.utils.FailedJobError": "errors.FailedJobError",
    "core.utils.UncompletedJobError": "errors.UncompletedJobError",
    "core.utils.FailedSubmissionError": "errors.FailedSubmissionError",
    "core.utils.cloudpickle_dump": "storage.serialization.cloudpickle_dump",
    "core.utils.pickle_load": "storage.serialization.pickle_load",
    "core.utils.temporary_save_path": "storage.atomic.temporary_save_path",
    "core.utils.CommandFunction": "commands.CommandFunction",
    "core.utils.environment_variables": "environ.environment_variables",
    "core.utils.archive_dev_folders": "helpers.archives.archive_dev_folders",
    "core.utils.copy_par_file": "helpers.archives.copy_par_file",
    "core.utils.copy_process_streams": "helpers.processes.copy_process_streams",
    "core.plugins.get_executors": "plugins.get_executors",
    "core.plugins.get_job_environment": "plugins.get_job_environment",
    "core.plugins.get_job_environments": "plugins.get_job_environments",
    "core.plugins._get_plugins": "plugins._get_plugins",
    "core.job_environment.JobEnvironment": "orchestrator.environment.JobEnvironment",
    "core.job_environment.SignalHandler": "orchestrator.signals.SignalHandler",
    "core.submission.process_job": "orchestrator.runner.process_job",
    "core.submission.submitit_main": "orchestrator.runner.submitit_main",
    "core._submit.submitit_main": "orchestrator.runner.submitit_main",
    "core.logger.get_logger": "log.get_logger",
    "auto.auto.AutoExecutor": "client.auto.AutoExecutor",
    "auto.auto.flexible_init": "client.auto.flexible_init",
    "slurm.slurm.SlurmExecutor": "slurm.slurm.SlurmExecutor",
    "slurm.slurm.SlurmJobEnvironment": "slurm.environment.SlurmJobEnvironment",
    "slurm.slurm.SlurmInfoWatcher": "slurm.watcher.SlurmInfoWatcher",
    "slurm.slurm.read_job_id": "slurm.job_ids.read_job_id",
    "slurm.slurm._parse_node_list": "slurm.nodelist._parse_node_list",
    "local.local.LocalJobEnvironment": "local.environment.LocalJobEnvironment",
    "helpers.DelayedSubmission": "storage.submission.DelayedSubmission",
    "helpers.CommandFunction": "commands.CommandFunction",
    "helpers.environment_variables": "environ.environment_variables",
    "helpers.JobEnvironment": "orchestrator.environment.JobEnvironment",
    "JobEnvironment": "orchestrator.environment.JobEnvironment",
    "Job": "client.job.Job",
}


@pytest.mark.parametrize(("historic", "home"), SAME.items())
def test_historic_names_are_the_same_objects(historic: str, home: str) -> None:
    module, _, name = f"submitit.{historic}".rpartition(".")
    found = getattr(importlib.import_module(module), name)
    home_module, _, home_name = f"submitit.{home}".rpartition(".")
    assert found is getattr(importlib.import_module(home_module), home_name)
    assert found is operator.attrgetter(historic)(submitit)
    namespace: dict[str, Any] = {}
    exec(f"from {module} import {name}", namespace)
    assert namespace[name] is found


VIEWS = ["core.core", "core.utils", "core.plugins", "core.job_environment", "core.submission", "auto.auto"]


@pytest.mark.parametrize("path", VIEWS)
def test_every_name_of_a_view_resolves_and_is_listed(path: str) -> None:
    module = importlib.import_module(f"submitit.{path}")
    assert set(module._homes) <= set(dir(module))
    for name, home in module._homes.items():
        assert getattr(module, name) is not None
        assert not home.startswith("submitit.core") or home == "submitit.core.utils"
    namespace: dict[str, Any] = {}
    exec(f"from submitit.{path} import *", namespace)
    assert set(module._homes) <= set(namespace)


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'submitit.core.utils' has no attribute 'blublu'"):
        _ = utils.blublu  # type: ignore[attr-defined]
    with pytest.raises(ImportError):
        from submitit.core.utils import blublu  # type: ignore[attr-defined]  # noqa: F401
    patch = mock.patch("submitit.core.utils.blublu")
    with pytest.raises(AttributeError, match="does not have the attribute 'blublu'"):
        patch.start()


# ---------------------------------------------------------------- assignments


class Replacement:
    """What programs put in the place of a name."""

    def __init__(self, command: list[str], **_: Any) -> None:
        self.command = command

    def __call__(self, *_: Any) -> str:
        return "replaced"


def in_force() -> Any:
    """What this library would call now."""
    return commands.CommandFunction


@pytest.fixture(autouse=True)
def _unchanged() -> Iterator[None]:
    before = (commands.CommandFunction, serialization.cloudpickle_dump)
    yield
    assert (commands.CommandFunction, serialization.cloudpickle_dump) == before
    assert (utils.CommandFunction, utils.cloudpickle_dump) == before
    # what is assigned is not kept in the view: it would hide later changes
    assert not {"CommandFunction", "cloudpickle_dump"} & set(vars(utils))


def test_monkeypatch_takes_effect_and_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    original = in_force()
    with monkeypatch.context() as patch:
        patch.setattr(utils, "CommandFunction", Replacement)
        assert in_force() is Replacement
        assert utils.CommandFunction is in_force()
        patch.setattr("submitit.core.utils.CommandFunction", print)
        assert in_force() is print
    assert in_force() is original


@pytest.mark.parametrize("style", ["path", "object", "decorator", "multiple"])
def test_mock_patch_takes_effect_and_is_undone(style: str) -> None:
    original = in_force()
    if style == "path":
        with mock.patch("submitit.core.utils.CommandFunction", Replacement):
            assert in_force() is Replacement
            assert utils.CommandFunction is in_force()
    elif style == "object":
        with mock.patch.object(utils, "CommandFunction", autospec=True) as made:
            assert in_force() is made
    elif style == "multiple":
        with mock.patch.multiple("submitit.core.utils", CommandFunction=Replacement, cloudpickle_dump=print):
            dump: Any = serialization.cloudpickle_dump
            assert (in_force(), dump) == (Replacement, print)
    else:

        @mock.patch("submitit.core.utils.CommandFunction")
        def decorated(made: mock.Mock) -> None:
            assert in_force() is made

        decorated()
    assert in_force() is original


def test_patches_nest() -> None:
    other = type("Other", (Replacement,), {})
    original = in_force()
    with mock.patch("submitit.core.utils.CommandFunction", Replacement):
        with mock.patch("submitit.core.utils.CommandFunction", other):
            assert in_force() is other
        assert in_force() is Replacement
    assert in_force() is original


def test_plain_assignment_and_deletion() -> None:
    original = utils.CommandFunction
    utils.CommandFunction = Replacement  # type: ignore[misc, assignment]
    assert in_force() is Replacement
    utils.CommandFunction = original  # type: ignore[misc]
    assert in_force() is original
    utils.CommandFunction = Replacement  # type: ignore[misc, assignment]
    del utils.CommandFunction
    assert in_force() is original
    with pytest.raises(AttributeError, match="lives in submitit.storage.paths: assign to it instead"):
        del utils.JobPaths


def test_a_change_where_a_name_lives_is_seen_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "CommandFunction", Replacement)
    assert utils.CommandFunction is in_force()
    assert in_force() is Replacement
    monkeypatch.undo()


def test_other_attributes_belong_to_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(utils, "note", 3, raising=False)
    assert vars(utils)["note"] == 3
    monkeypatch.undo()
    assert not hasattr(utils, "note")


def test_standard_modules_are_reached_through_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("submitit.core.utils.subprocess.check_output", lambda *_, **__: b"12")
    assert subprocess.check_output(["nothing"]) == b"12"
    assert submitit.core.core.subprocess is subprocess  # type: ignore[attr-defined]


def test_a_replaced_pickler_writes_submissions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def dump(obj: Any, filename: Any) -> None:
        seen.append(type(obj).__name__)
        Path(filename).write_bytes(cloudpickle.dumps(obj))

    monkeypatch.setattr(utils, "cloudpickle_dump", dump)
    executor = submitit.LocalExecutor(tmp_path / "%j")
    job = executor.submit(calls.add, 1, 2)
    assert seen == ["DelayedSubmission"]
    assert job.result() == 3
    monkeypatch.undo()


def test_a_replaced_scan_finds_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    from submitit.core import plugins

    monkeypatch.setattr(plugins, "_iter_submitit_entrypoints", list)
    plugins._get_plugins.cache_clear()
    plugins.get_executors.cache_clear()
    assert list(plugins.get_executors()) == ["slurm", "local", "debug"]
    monkeypatch.undo()
    plugins._get_plugins.cache_clear()
    plugins.get_executors.cache_clear()


# ---------------------------------------------------------------- pickles


def test_pickles_name_historic_places() -> None:
    submission = utils.DelayedSubmission(calls.add, 1, b=2)
    for dumps in (pickle.dumps, cloudpickle.dumps):
        data = dumps(submission, 4)
        assert b"submitit.core.utils" in data
        assert b"submitit.storage" not in data
        assert pickle.loads(data).result() == 3
    assert copy.deepcopy(submission).result() == 3


def test_a_pickle_is_read_by_a_process_that_knows_nothing(tmp_path: Path) -> None:
    path = tmp_path / "call.pkl"
    path.write_bytes(cloudpickle.dumps(utils.DelayedSubmission(divmod, 7, 2)))
    program = f"import pickle; print(pickle.load(open({str(path)!r}, 'rb')).result())"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "(3, 1)\n"
