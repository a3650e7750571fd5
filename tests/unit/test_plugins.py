"""The registry of backends, without installing any: see tests/integration/test_plugins.py for that."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import submitit
from submitit import plugins
from submitit.orchestrator.environment import JobEnvironment
from support.distributions import forget_plugins
from support.fakes import FakeExecutor


class FakeJobEnvironment(JobEnvironment):
    """The environment of jobs of ``FakeExecutor``."""

    _env = {"job_id": "FAKE_JOB_ID"}  # noqa: RUF012 - as plugins write it


class BrokenJobEnvironment(JobEnvironment):
    def __init__(self) -> None:
        raise OSError("cannot be made")


class EntryPoint:
    dist = None

    def __init__(self, name: str, value: str) -> None:
        self.name = name
        self.value = value


Offer = Callable[..., None]


@pytest.fixture
def scans() -> list[int]:
    return []


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch, scans: list[int]) -> Iterator[Offer]:
    """Pretend that these entry points are installed."""

    def pretend(*pairs: tuple[str, str]) -> None:
        def listing() -> list[EntryPoint]:
            scans.append(1)
            return [EntryPoint(name, value) for name, value in pairs]

        monkeypatch.setattr(plugins, "_iter_submitit_entrypoints", listing)
        forget_plugins()

    for name in (
        "SUBMITIT_EXECUTOR",
        "_TEST_CLUSTER_",
        "SLURM_JOB_ID",
        "SUBMITIT_LOCAL_JOB_ID",
        "SUBMITIT_DEBUG_JOB_ID",
    ):
        monkeypatch.delenv(name, raising=False)
    pretend()
    yield pretend
    forget_plugins()


FAKE = ("executor", "support.fakes:FakeExecutor")


def test_built_ins_come_first(offer: Offer) -> None:
    offer(FAKE)
    assert list(plugins.get_executors()) == plugins.executor_names() == ["slurm", "local", "debug", "fake"]
    assert plugins.get_executors()["slurm"] is submitit.SlurmExecutor
    assert plugins.executor_class("fake") is FakeExecutor


def test_built_in_classes_need_no_scan(offer: Offer, scans: list[int]) -> None:
    assert plugins.executor_class("slurm") is submitit.SlurmExecutor
    assert plugins.executor_class("local") is submitit.LocalExecutor
    assert plugins.executor_class("debug") is submitit.DebugExecutor
    assert scans == []
    plugins.get_executors()
    plugins.get_job_environments()
    plugins.executor_names()
    assert scans == [1]


def test_caches_can_be_cleared(offer: Offer) -> None:
    assert "fake" not in plugins.get_executors()
    offer(FAKE)
    assert "fake" in plugins.get_executors()
    plugins._get_plugins.cache_clear()
    plugins.get_executors.cache_clear()


def test_plugins_come_as_classes_and_instances(offer: Offer) -> None:
    offer(FAKE, ("job_environment", f"{__name__}:FakeJobEnvironment"))
    executors, environments = plugins._get_plugins()
    assert executors[-1] is FakeExecutor
    assert type(environments[-1]).__name__ == "FakeJobEnvironment"
    assert {name: type(environment).__name__ for name, environment in plugins.get_job_environments().items()} == {
        "slurm": "SlurmJobEnvironment",
        "local": "LocalJobEnvironment",
        "debug": "DebugJobEnvironment",
        "fake": "FakeJobEnvironment",
    }


def test_one_class_offered_twice_is_one_backend(offer: Offer) -> None:
    environment = ("job_environment", f"{__name__}:FakeJobEnvironment")
    offer(FAKE, FAKE, environment, environment)
    assert plugins.get_executors()["fake"] is FakeExecutor
    assert len(plugins._get_plugins()[1]) == 4


def test_values_with_extras_and_nested_names_are_read(offer: Offer) -> None:
    offer(("executor", "support.fakes : FakeExecutor [some, extras]"))
    assert plugins.executor_class("fake") is FakeExecutor


@pytest.mark.parametrize(
    ("entry_point", "words"),
    [
        (("executor", "no_such_module:X"), "ModuleNotFoundError: No module named 'no_such_module'"),
        (("executor", "support.fakes:NoSuchExecutor"), "AttributeError"),
        (("executor", "support.fakes:files_below"), "AttributeError"),
        (("job_environment", f"{__name__}:BrokenJobEnvironment"), "OSError: cannot be made"),
        (("executer", "support.fakes:FakeExecutor"), "must be named executor or job_environment"),
    ],
)
def test_what_fails_is_kept_as_data_and_said_once(
    offer: Offer, caplog: pytest.LogCaptureFixture, entry_point: tuple[str, str], words: str
) -> None:
    offer(entry_point, FAKE)
    with caplog.at_level(logging.WARNING, "submitit"):
        assert "fake" in plugins.get_executors()
        plugins.get_job_environments()
    (error,) = plugins.load_errors()
    assert error.entry_point == f"{entry_point[0]} = {entry_point[1]}"
    assert len(caplog.records) == 1
    assert words in caplog.records[0].getMessage()


# ---------------------------------------------------------------- in a job


@pytest.mark.parametrize("name", ["slurm", "local"])
def test_the_named_environment_is_found_without_a_scan(
    offer: Offer, scans: list[int], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("SUBMITIT_EXECUTOR", name)
    assert plugins.get_job_environment().name() == name
    assert submitit.JobEnvironment().name() == name
    assert scans == []


def test_an_active_environment_is_found_without_its_name(
    offer: Offer, scans: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUBMITIT_DEBUG_JOB_ID", "DEBUG_1")
    assert plugins.get_job_environment().name() == "debug"
    assert scans == []


def test_a_debug_job_inside_a_slurm_job_has_that_ones_environment(
    offer: Offer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUBMITIT_DEBUG_JOB_ID", "DEBUG_1")
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    assert plugins.get_job_environment().name() == "slurm"


def test_a_plugins_environment_is_found(offer: Offer, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(("job_environment", f"{__name__}:FakeJobEnvironment"), ("executor", "no_such_module:X"))
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "fake")
    monkeypatch.setenv("FAKE_JOB_ID", "12")
    assert submitit.JobEnvironment().job_id == "12"


@pytest.mark.parametrize("named", [None, "blublu"])
def test_outside_of_a_job(offer: Offer, monkeypatch: pytest.MonkeyPatch, named: str | None) -> None:
    if named:
        monkeypatch.setenv("SUBMITIT_EXECUTOR", named)
    offer(("job_environment", f"{__name__}:FakeJobEnvironment"))
    message = "^Could not figure out which environment the job is runnning in. Known environments: slurm, local, debug, fake.$"
    with pytest.raises(RuntimeError, match=message):
        submitit.JobEnvironment()


def test_a_backend_can_be_forced(offer: Offer, scans: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    monkeypatch.setenv("_TEST_CLUSTER_", "local")
    assert submitit.JobEnvironment().name() == "local"
    assert scans == []
    monkeypatch.setenv("_TEST_CLUSTER_", "zz")
    with pytest.raises(AssertionError, match="Unknown \\$_TEST_CLUSTER_='zz', available: slurm, local, debug"):
        submitit.JobEnvironment()


def test_no_scan_of_an_unrelated_distribution_is_needed_for_a_name_with_a_known_prefix(
    offer: Offer, scans: list[int], tmp_path: Any
) -> None:
    executor = submitit.AutoExecutor(tmp_path, cluster="local", slurm_max_num_timeout=2)
    executor.update_parameters(timeout_min=3, slurm_partition="x", local_setup=["a"])
    assert scans == []
