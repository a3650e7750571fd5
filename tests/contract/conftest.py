"""One suite, every executor: a test that takes ``backend`` runs once for each that can do what it needs."""

from __future__ import annotations

from pathlib import Path

import pytest

import submitit
from support.backends import ALL, Backend


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" not in metafunc.fixturenames:
        return
    needs = [need for marker in metafunc.definition.iter_markers("needs") for need in marker.args]
    able = [backend for backend in ALL if all(getattr(backend, need) for need in needs)]
    cases = [
        pytest.param(
            backend, id=backend.label or backend.name, marks=pytest.mark.slurm if backend.name == "slurm" else ()
        )
        for backend in able
    ]
    metafunc.parametrize("backend", cases, indirect=True)


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> Backend:
    found: Backend = request.param
    if found.name == "slurm":
        request.getfixturevalue("slurm")
    if found.name == "queue":
        request.getfixturevalue("queue_plugin")
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "jobs" / "%j"


@pytest.fixture
def executor(backend: Backend, folder: Path) -> submitit.AutoExecutor:
    return backend.executor(folder)
