"""What is loaded when: told by modules, since times depend on the machine."""

from __future__ import annotations

import ast
import importlib
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import submitit

#: Each costs milliseconds, and nothing on these paths needs it.
HEAVY = {
    "_posixsubprocess",
    "asyncio",
    "cloudpickle",
    "concurrent.futures",
    "dataclasses",
    "difflib",
    "email",
    "importlib.metadata",
    "inspect",
    "json",
    "multiprocessing",
    "numpy",
    "random",
    "select",
    "shutil",
    "socket",
    "subprocess",
    "tarfile",
    "tempfile",
    "traceback",
    "unittest",
    "uuid",
    "zipfile",
}


def loaded_by(program: str) -> set[str]:
    """The modules that a program loads beyond those that every interpreter has."""
    code = f"import sys; before = set(sys.modules)\n{program}\nprint(*sorted(set(sys.modules) - before))"
    # -I: a site-packages with .pth files of its own must not count
    path = f"import sys; sys.path.insert(0, {str(Path(submitit.__file__).parents[1])!r})\n"
    done = subprocess.run([sys.executable, "-I", "-c", path + code], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def own(modules: set[str]) -> set[str]:
    return {name for name in modules if name.partition(".")[0] == "submitit"}


def test_the_package_loads_nothing() -> None:
    assert loaded_by("import submitit") - {"__future__"} == {"submitit", "submitit.lazy"}


def test_an_executor_for_the_local_machine_loads_little(tmp_path: Path) -> None:
    modules = loaded_by(
        f"""
import submitit
executor = submitit.AutoExecutor({str(tmp_path / "%j")!r}, cluster="local", slurm_max_num_timeout=4)
executor.update_parameters(timeout_min=3, name="x", cpus_per_task=1)
"""
    )
    assert modules & HEAVY == set()
    assert "logging" not in modules
    assert [name for name in own(modules) if ".slurm" in name or ".core" in name or ".helpers" in name] == []
    assert "submitit.local.debug" not in modules
    assert modules.isdisjoint({"submitit.client.dry_run", "submitit.client.throttling"})
    assert "submitit.storage.payload" not in modules


def test_the_runner_loads_little() -> None:
    modules = loaded_by("import submitit.core._submit")
    assert modules & (HEAVY | {"logging", "pathlib", "re", "threading", "typing"}) == set()
    layers = {name.split(".")[1] for name in own(modules) if "." in name}
    assert layers & {"client", "executors", "helpers", "slurm", "local", "cli", "plugins"} == set()


@pytest.mark.parametrize(("name", "other"), [("slurm", "local"), ("local", "slurm")])
def test_a_job_loads_its_own_backends_environment_alone(name: str, other: str) -> None:
    program = f"""
import os
os.environ["SUBMITIT_EXECUTOR"] = {name!r}
from submitit.orchestrator.environment import JobEnvironment
assert JobEnvironment().name() == {name!r}
"""
    modules = own(loaded_by(program))
    assert f"submitit.{name}.environment" in modules
    assert f"submitit.{other}" not in modules
    assert f"submitit.{name}.{name}" not in modules


def test_the_module_that_pickles_name_loads_little() -> None:
    assert own(loaded_by("import submitit.core.utils")) == {
        "submitit",
        "submitit.core",
        "submitit.core._view",
        "submitit.core.utils",
        "submitit.lazy",
    }


@pytest.mark.parametrize(
    "package",
    ["auto", "client", "core", "executors", "helpers", "local", "orchestrator", "slurm", "storage", "upkeep", "views"],
)
def test_packages_are_lazy(package: str) -> None:
    modules = own(loaded_by(f"import submitit.{package}"))
    assert {name for name in modules if name.count(".") > 1} == set()


@pytest.mark.parametrize(
    "path",
    [
        "core.utils.DelayedSubmission",
        "core.utils.CommandFunction",
        "core.utils.FailedJobError",
        "core.core.Job",
        "core.core.InfoWatcher",
        "core.core.PicklingExecutor",
        "core.core.utils.JobPaths",
        "core.plugins.get_executors",
        "core.job_environment.JobEnvironment",
        "core.submission.process_job",
        "core.logger.get_logger",
        "core._submit.submitit_main",
        "helpers.as_completed",
        "helpers.FunctionSequence",
        "slurm.slurm.SlurmExecutor",
        "slurm.slurm._make_sbatch_string",
        "local.local.LocalExecutor",
        "local.debug.DebugExecutor",
        "auto.auto.AutoExecutor",
        "commands.CommandFunction",
        "errors.JobTimeoutError",
    ],
)
def test_everything_is_an_attribute_after_a_bare_import(path: str) -> None:
    program = f"import submitit\nassert submitit.{path} is not None"
    assert "submitit" in loaded_by(program)


def test_top_level_names() -> None:
    assert set(submitit.__all__) <= set(dir(submitit))
    for name in submitit.__all__:
        assert getattr(submitit, name) is not None
    with pytest.raises(AttributeError, match="module 'submitit' has no attribute 'blublu'"):
        _ = submitit.blublu  # type: ignore[attr-defined]
    assert all(part.isdecimal() for part in submitit.__version__.split("."))


def test_the_names_for_type_checkers_are_the_names_that_exist() -> None:
    for package in (submitit, submitit.helpers):
        tree = ast.parse(Path(str(package.__file__)).read_text())
        for node in ast.walk(tree):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("submitit"):
                continue
            assert node.module is not None
            for alias in node.names:
                expected = getattr(importlib.import_module(node.module), alias.name)
                assert getattr(package, alias.asname or alias.name) is expected, alias.name


@pytest.mark.parametrize("package", ["", "auto", "client", "core", "executors", "helpers"])
def test_every_module_of_a_package_is_reachable(package: str) -> None:
    module = importlib.import_module(f"submitit.{package}".rstrip("."))
    for found in pkgutil.iter_modules(module.__path__):
        if found.name.startswith("_") or found.name == "cli":
            continue
        program = f"import {module.__name__}\nassert {module.__name__}.{found.name}.__name__ == '{module.__name__}.{found.name}'"
        loaded_by(program)


def test_an_environment_variable_does_not_matter_at_import() -> None:
    assert "SUBMITIT_EXECUTOR" not in os.environ
    code = "import submitit, submitit.core.utils, submitit.core._submit"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "SUBMITIT_EXECUTOR": "blublu"})
