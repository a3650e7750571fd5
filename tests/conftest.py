"""Fixtures of all tiers: the real Slurm, started once a session, and what every test leaves behind: nothing."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from support import calls
from support.distributions import queue_plugin_installed
from support.reliability import fault, only_faults
from support.slurm_cluster import SlurmCluster, missing_programs

__all__ = ["fault"]


# How long an example takes is this machine's affair.
hypothesis.settings.register_profile("submitit", deadline=None)
hypothesis.settings.load_profile("submitit")


def pytest_configure() -> None:
    """What a shell or nohup starts in the background ignores Ctrl-C and its kind, and so would all that the tests start."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    only_faults(config, items)
    _only_part(config, items)


def _only_part(config: pytest.Config, items: list[pytest.Item]) -> None:
    """``TESTS_PART`` is ``slurm`` for the tests that need Slurm, or ``others``: the two can run beside each other."""
    part = os.environ.get("TESTS_PART")
    if part:
        parts: dict[bool, list[pytest.Item]] = {True: [], False: []}
        for item in items:
            parts[(item.get_closest_marker("slurm") is not None) == (part == "slurm")].append(item)
        items[:] = parts[True]
        config.hook.pytest_deselected(items=parts[False])


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    """A running throwaway cluster of two nodes, with accounting.

    ``TESTS_ON_CLUSTER`` names the directory of one that runs already (``make slurm-up``), which is then used instead.
    """
    if missing := missing_programs():
        pytest.skip(f"no Slurm here: {os.environ.get('TESTS_WITHOUT_SLURM') or ', '.join(missing)}")
    if running := os.environ.get("TESTS_ON_CLUSTER"):
        yield SlurmCluster.attach(running)
        return
    with SlurmCluster(tmp_path_factory.mktemp("slurm")) as started:
        yield started


@pytest.fixture
def slurm(cluster: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> SlurmCluster:
    """The cluster, and this process's environment such that Slurm's commands reach it."""
    for name, value in cluster.env.items():
        if os.environ.get(name) != value:
            monkeypatch.setenv(name, value)
    from submitit.slurm.slurm import SlurmJob

    SlurmJob.watcher.clear()
    return cluster


@pytest.fixture
def queue_plugin(tmp_path: Path) -> Iterator[Path]:
    """The third-party backend ``queue`` is installed; the directory is its scheduler's."""
    with queue_plugin_installed(tmp_path / "queue_plugin") as queue:
        yield queue


@pytest.fixture(scope="session", autouse=True)
def _the_controller_ends_first(_leases_of_its_own: None, _folders_of_its_own: None) -> Iterator[None]:
    """This process's own, which otherwise ends a moment after it."""
    yield
    from submitit.local import connection

    known = connection.current()
    if known is not None and known._line is not None:
        known._line.socket.close()
        with contextlib.suppress(ChildProcessError):
            calls.wait_for(lambda: os.waitpid(known.controller, os.WNOHANG)[0])


@pytest.fixture(scope="session", autouse=True)
def _leases_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The user's other jobs, and those of other runs of the tests, have their GPUs, and these have theirs."""
    directory = tmp_path_factory.mktemp("leases")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUBMITIT_LOCAL_LEASES", str(directory))
        yield
    left = os.listdir(directory)
    assert not left, left


@pytest.fixture(scope="session", autouse=True)
def _folders_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What the user submitted from is listed in the user's home; not what tests did."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True)
def _environment_as_it_was(_leases_of_its_own: None, _folders_of_its_own: None) -> Iterator[None]:
    """What a test changes without `monkeypatch` is nobody else's: jobs see it, and what their processes are forked from."""
    before = dict(os.environ)
    yield
    now = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    for name in now.keys() - before.keys():
        del os.environ[name]
    os.environ.update({name: value for name, value in before.items() if now.get(name) != value})


@pytest.fixture(autouse=True)
def _in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs look in the working directory first for what they import; here there is nothing."""
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
