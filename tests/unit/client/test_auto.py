"""The executor for every place: which backend, whose parameters."""

from __future__ import annotations

import os
import pickle
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import submitit
from submitit import plugins
from submitit.client.auto import AutoExecutor
from support.distributions import forget_plugins
from support.fakes import FakeExecutor

Update = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def _slurm_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A PATH with an srun in it."""
    srun = tmp_path / "bin/srun"
    srun.parent.mkdir()
    srun.write_text("#!/bin/sh\n")
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", f"{srun.parent}:{os.environ['PATH']}")


@pytest.fixture
def no_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")


@pytest.fixture
def fake_backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The backend ``fake``, as if a plugin had it."""

    class EntryPoint:
        name, value, dist = "executor", "support.fakes:FakeExecutor", None

    monkeypatch.setattr(plugins, "_iter_submitit_entrypoints", lambda: [EntryPoint()])
    forget_plugins()
    yield
    forget_plugins()


def updated(tmp_path: Path, cluster: str, **parameters: Any) -> dict[str, Any]:
    executor = AutoExecutor(tmp_path, cluster=cluster)
    executor.update_parameters(**parameters)
    assert executor.parameters is executor._executor.parameters
    return executor._executor.parameters


# ---------------------------------------------------------------- which backend


def test_slurm_is_chosen_where_there_is_an_srun(tmp_path: Path) -> None:
    assert AutoExecutor.which() == "slurm"
    executor = AutoExecutor(tmp_path)
    assert executor.cluster == "slurm"
    assert type(executor._executor) is submitit.SlurmExecutor


@pytest.mark.usefixtures("no_slurm")
def test_else_the_local_machine(tmp_path: Path) -> None:
    assert AutoExecutor.which() == "local"
    executor = AutoExecutor(tmp_path)
    assert executor.cluster == "local"
    assert type(executor._executor) is submitit.LocalExecutor


@pytest.mark.usefixtures("fake_backend", "no_slurm")
def test_a_plugin_of_higher_affinity_is_preferred(monkeypatch: pytest.MonkeyPatch) -> None:
    assert AutoExecutor.which() == "local"
    monkeypatch.setattr(FakeExecutor, "affinity", lambda: 2)
    assert AutoExecutor.which() == "fake"


@pytest.mark.usefixtures("no_slurm")
def test_slurm_by_name_needs_an_srun(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="srun"):
        AutoExecutor(tmp_path, cluster="slurm")


def test_an_unknown_cluster_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="^AutoExecutor doesn't know any executor named Locla") as raised:
        AutoExecutor(tmp_path, cluster="Locla")
    assert "Did you mean 'local'?" in str(raised.value)
    assert "Known executors: slurm, local, debug" in str(raised.value)


def test_the_folder_is_that_of_the_backend(tmp_path: Path) -> None:
    executor = AutoExecutor(tmp_path / "%j", cluster="local")
    assert executor.folder == executor._executor.folder == tmp_path / "%j"


# ---------------------------------------------------------------- constructor arguments


def test_constructor_arguments_go_to_their_backend(tmp_path: Path) -> None:
    arguments = {
        "slurm_max_num_timeout": 7,
        "local_python": "py",
        "local_max_num_timeout": 5,
        "slurm_python": "python9",
    }
    slurm: Any = AutoExecutor(tmp_path, cluster="slurm", **arguments)._executor
    local: Any = AutoExecutor(tmp_path, cluster="local", **arguments)._executor
    assert (slurm.max_num_timeout, slurm.python) == (7, "python9")
    assert (local.max_num_timeout, local.python) == (5, "py")


@pytest.mark.parametrize("cluster", ["slurm", "local", "debug"])
@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("blublu", ""),
        ("blublu_x", ", and 'blublu' executor is also unknown"),
    ],
)
def test_arguments_of_no_backend_are_refused(tmp_path: Path, cluster: str, name: str, more: str) -> None:
    with pytest.raises(AssertionError) as raised:
        AutoExecutor(tmp_path, cluster=cluster, **{name: 3})
    assert str(raised.value) == (
        f"Extra arguments must be prefixed by executor named, received unknown arg '{name}'{more}. "
        "Known executors: slurm, local, debug."
    )


def test_an_argument_that_the_backend_does_not_take(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="blublu"):
        AutoExecutor(tmp_path, cluster="slurm", slurm_blublu=3)
    with pytest.raises(TypeError, match="folder"):
        AutoExecutor(tmp_path, cluster="slurm", slurm_folder="x")
    # another backend's are not looked at
    AutoExecutor(tmp_path, cluster="local", slurm_blublu=3)


def test_the_old_unprefixed_argument_warns(tmp_path: Path) -> None:
    expected = "^Setting 'max_num_timeout' is deprecated. Use 'slurm_max_num_timeout' instead.$"
    with pytest.warns(UserWarning, match=expected) as caught:
        executor: Any = AutoExecutor(tmp_path, cluster="slurm", max_num_timeout=9)
    assert executor._executor.max_num_timeout == 9
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.usefixtures("fake_backend")
def test_arguments_of_a_plugin(tmp_path: Path) -> None:
    assert AutoExecutor(tmp_path, cluster="fake", fake_tasks=3)._executor.tasks == 3  # type: ignore[attr-defined]
    AutoExecutor(tmp_path, cluster="local", fake_tasks=3)


# ---------------------------------------------------------------- parameters


@pytest.mark.parametrize(
    ("given", "slurm", "local"),
    [
        ({"timeout_min": 5}, {"time": 5}, {"timeout_min": 5}),
        ({"mem_gb": 2}, {"mem": "2GB"}, {"mem_gb": 2}),
        ({"mem_gb": 3.5}, {"mem": "3584MB"}, {"mem_gb": 3.5}),
        ({"name": "x"}, {"job_name": "x"}, {"name": "x"}),
        ({"cpus_per_task": 3}, {"cpus_per_task": 3}, {"cpus_per_task": 3}),
        ({"gpus_per_node": 2}, {"gpus_per_node": 2}, {"gpus_per_node": 2}),
        ({"tasks_per_node": 4}, {"ntasks_per_node": 4}, {"tasks_per_node": 4}),
        ({"stderr_to_stdout": True}, {"stderr_to_stdout": True}, {"stderr_to_stdout": True}),
        ({"slurm_partition": "dev"}, {"partition": "dev"}, {}),
        ({"slurm_time": 12}, {"time": 12}, {}),
        ({"slurm_time": "00:10", "timeout_min": 3}, {"time": "00:10"}, {"timeout_min": 3}),
        ({"timeout_min": 3, "slurm_timeout_min": 9}, {"time": 9}, {"timeout_min": 3}),
        ({"slurm_timeout_min": 9, "timeout_min": 3}, {"time": 9}, {"timeout_min": 3}),
        ({"slurm_time": 12, "slurm_timeout_min": 9}, {"time": 12}, {}),
        ({"local_timeout_min": 0.1, "timeout_min": 3}, {"time": 3}, {"timeout_min": 0.1}),
        ({"slurm_mem_gb": 4}, {"mem": "4GB"}, {}),
        ({"slurm_mem": "4GB", "mem_gb": 2}, {"mem": "4GB"}, {"mem_gb": 2}),
        ({"slurm_job_name": "n", "name": "m"}, {"job_name": "n"}, {"name": "m"}),
        ({"slurm_gpus_per_node": "v100:2", "gpus_per_node": 1}, {"gpus_per_node": "v100:2"}, {"gpus_per_node": 1}),
        ({"slurm_setup": ["a"]}, {"setup": ["a"]}, {}),
        ({"local_setup": ["a"]}, {}, {"setup": ["a"]}),
        ({"slurm_additional_parameters": {"a": 1}}, {"additional_parameters": {"a": 1}}, {}),
        ({"slurm_ntasks_per_node": 3, "tasks_per_node": 2}, {"ntasks_per_node": 3}, {"tasks_per_node": 2}),
        ({"slurm_use_srun": False}, {"use_srun": False}, {}),
        ({"timeout_min": None, "slurm_partition": None, "blublu": None}, {}, {}),
        ({}, {}, {}),
        ({"timeout_min": submitit.UNSET}, {"time": None}, {"timeout_min": None}),
        ({"mem_gb": submitit.UNSET}, {"mem": None}, {"mem_gb": None}),
        ({"slurm_wckey": submitit.UNSET}, {"wckey": None}, {}),
        ({"timeout_min": submitit.UNSET, "slurm_time": 3}, {"time": 3}, {"timeout_min": None}),
        ({"timeout_min": 4, "slurm_timeout_min": submitit.UNSET}, {"time": None}, {"timeout_min": 4}),
    ],
    ids=repr,
)
def test_parameters_are_translated(
    tmp_path: Path, given: dict[str, Any], slurm: dict[str, Any], local: dict[str, Any]
) -> None:
    assert updated(tmp_path, "slurm", **given) == slurm
    assert updated(tmp_path, "local", **given) == local


def test_parameters_accumulate(tmp_path: Path) -> None:
    executor = AutoExecutor(tmp_path, cluster="slurm")
    executor.update_parameters(timeout_min=3, mem_gb=3)
    executor.update_parameters(timeout_min=4, mem_gb=None)
    assert executor._executor.parameters == {"time": 4, "mem": "3GB"}


def test_an_update_that_is_refused_changes_nothing(tmp_path: Path) -> None:
    executor = AutoExecutor(tmp_path, cluster="slurm")
    executor.update_parameters(timeout_min=3)
    with pytest.raises(NameError):
        executor.update_parameters(timeout_min=4, slurm_blublu=3)
    assert executor._executor.parameters == {"time": 3}


@pytest.mark.parametrize("cluster", ["slurm", "local", "debug"])
def test_types_are_checked_everywhere(tmp_path: Path, cluster: str) -> None:
    with pytest.raises(AssertionError, match="timeout_min"):
        updated(tmp_path, cluster, timeout_min="5")
    # what is given for one backend is its own business
    updated(tmp_path, cluster, debug_timeout_min="5")


PARTITON = "Unknown argument 'partiton' for executor 'slurm' in parameter 'slurm_partiton'."
REMINDER = (
    "\nKnown executors: slurm, local, debug\nAs a reminder, shared/generic (non-prefixed) parameters are: "
    "{'name': <class 'str'>, 'timeout_min': <class 'int'>, 'mem_gb': <class 'float'>, 'nodes': <class 'int'>, "
    "'cpus_per_task': <class 'int'>, 'gpus_per_node': <class 'int'>, 'tasks_per_node': <class 'int'>, "
    "'stderr_to_stdout': <class 'bool'>}."
)


@pytest.mark.parametrize("cluster", ["slurm", "local", "debug"])
@pytest.mark.parametrize(
    ("name", "beginning"),
    [
        ("blublu", "Parameter 'blublu' need to be prefixed by an executor name."),
        ("timeout", "Parameter 'timeout' need to be prefixed by an executor name. Did you mean 'timeout_min'?"),
        ("unknowncluster_x", "Unknown executor 'unknowncluster' in parameter 'unknowncluster_x'."),
        ("slrm_partition", "Unknown executor 'slrm' in parameter 'slrm_partition'. Did you mean 'slurm_partition'?"),
        ("debug_x", "Unknown argument 'x' for executor 'debug' in parameter 'debug_x'."),
        ("local_", "Unknown argument '' for executor 'local' in parameter 'local_'."),
        ("slurm_partiton", f"{PARTITON} Did you mean 'slurm_partition'? Valid arguments: account, "),
    ],
)
def test_unknown_names_are_explained(tmp_path: Path, cluster: str, name: str, beginning: str) -> None:
    with pytest.raises(NameError) as raised:
        updated(tmp_path, cluster, **{name: 3})
    assert str(raised.value).startswith(beginning)
    assert str(raised.value).endswith(REMINDER)


def test_an_unprefixed_name_of_a_backend_works_with_a_warning(tmp_path: Path) -> None:
    with pytest.warns(
        UserWarning, match="^Setting 'partition' is deprecated. Use 'slurm_partition' instead.$"
    ) as caught:
        assert updated(tmp_path, "slurm", partition="dev") == {"partition": "dev"}
    assert [warning.filename for warning in caught] == [__file__]
    with pytest.warns(UserWarning, match="slurm_partition"):
        assert updated(tmp_path, "local", partition="dev") == {}


@pytest.mark.parametrize("cluster", ["slurm", "local"])
@pytest.mark.parametrize(("name", "value"), [("setup", ["a"]), ("signal_delay_s", 3)])
def test_an_unprefixed_name_of_several_backends_is_the_chosen_ones(
    tmp_path: Path, cluster: str, name: str, value: object
) -> None:
    with pytest.warns(UserWarning, match=f"Use '{cluster}_{name}'"):
        assert updated(tmp_path, cluster, **{name: value}) == {name: value}


@pytest.mark.usefixtures("fake_backend")
def test_parameters_of_a_plugin(tmp_path: Path) -> None:
    assert updated(tmp_path, "fake", fake_colour="red", timeout_min=3) == {"colour": "red", "timeout_min": 3}
    assert updated(tmp_path, "local", fake_colour="red") == {}
    with pytest.warns(UserWarning, match="fake_colour"):
        assert updated(tmp_path, "fake", colour="blue") == {"colour": "blue"}
    with pytest.raises(NameError, match="Did you mean 'fake_colour'.*Valid arguments: colour, minutes"):
        updated(tmp_path, "local", fake_color="red")


def test_conversion_goes_through_the_hooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    convert = submitit.LocalExecutor._convert_parameters

    def noted(self: submitit.LocalExecutor, params: dict[str, Any]) -> dict[str, Any]:
        seen.append(dict(params))
        return convert(self, params)

    monkeypatch.setattr(submitit.LocalExecutor, "_convert_parameters", noted)
    updated(tmp_path, "local", timeout_min=3, name="n", local_setup=["x"])
    assert seen == [{"timeout_min": 3, "name": "n"}]


def test_a_dry_run_is_the_backends(tmp_path: Path) -> None:
    slurm, local, debug = (AutoExecutor(tmp_path, cluster=name) for name in ("slurm", "local", "debug"))
    slurm.update_parameters(slurm_partition="dev")
    sent = slurm.dry_run(len, [1])
    assert "#SBATCH --partition=dev\n" in sent.script
    assert sent.command[0] == "sbatch"
    assert str(sent) == f"$ {shlex.join(sent.command)}\n{sent.script}"
    command = [sys.executable, "-u", "-m", "submitit.core._submit", str(tmp_path)]
    assert local.dry_run(len, [1]) == ("", command)
    assert str(local.dry_run(len, [1])) == f"$ {shlex.join(command)}"
    local.update_parameters(local_setup=["export A=1"])
    script, words = local.dry_run(len, [1])
    assert script == f"export A=1\nexec {shlex.join(command)}"
    assert words == ["bash", "-c", script]
    assert str(local.dry_run(len, [1])) == f"$ {shlex.join(words)}"
    assert debug.dry_run(len, [1]) == ("", [])
    assert "in this process" in str(debug.dry_run(len, [1]))
    assert {path.name for path in tmp_path.iterdir()} == {"bin", "cwd"}  # which were there before


@pytest.mark.parametrize("cluster", ["slurm", "local", "debug"])
def test_every_parameter_can_be_unset(tmp_path: Path, cluster: str) -> None:
    executor = AutoExecutor(tmp_path, cluster=cluster)
    executor.update_parameters(timeout_min=3, mem_gb=2, name="x", nodes=1, local_visible_gpus=[1], slurm_hold=True)
    prefixed = {
        f"{backend}_{name}"
        for backend in ("slurm", "local")
        for name in plugins.executor_class(backend)._valid_parameters()
    }
    names = {*executor._typed_parameters(), *prefixed, "slurm_hold", "slurm_requeue", "slurm_gpus_as_gres"}
    executor.update_parameters(**dict.fromkeys(names, submitit.UNSET))
    assert set(executor._executor.parameters.values()) <= {None}
    executor.update_parameters(timeout_min=4, **dict.fromkeys(names - {"timeout_min", "slurm_time"}))
    assert set(executor._executor.parameters.values()) == {None, 4}
    if cluster == "slurm":
        lines = executor.dry_run(len, [1]).script.splitlines()
        options = [line.removeprefix("#SBATCH --") for line in lines if line.startswith("#SBATCH")]
        assert {line for line in options if not line.startswith("output=")} == {
            "open-mode=append",
            "signal=USR2",
            "time=4",
        }
        assert any(line.startswith("srun ") for line in lines)


def test_register_dev_folders_does_nothing(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="^Ignoring dev folder registration"):
        AutoExecutor(tmp_path, cluster="local").register_dev_folders([tmp_path])


@pytest.mark.parametrize("cluster", ["slurm", "local", "debug"])
def test_it_is_picklable(tmp_path: Path, cluster: str) -> None:
    executor = AutoExecutor(tmp_path / "%j", cluster=cluster)
    executor.update_parameters(timeout_min=3)
    copy = pickle.loads(pickle.dumps(executor))
    assert copy.cluster == cluster
    assert vars(copy._executor) == vars(executor._executor)
    copy.update_parameters(timeout_min=4)
    assert copy.parameters is copy._executor.parameters


def test_a_subclass_may_know_more_generic_parameters(tmp_path: Path) -> None:
    class Mine(AutoExecutor):
        @classmethod
        def _typed_parameters(cls) -> dict[str, type]:
            return {**super()._typed_parameters(), "colour": str}

    executor = Mine(tmp_path, cluster="local")
    executor.update_parameters(colour="red")
    assert executor._executor.parameters == {"colour": "red"}


def test_no_warning_for_right_use(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        updated(tmp_path, "slurm", timeout_min=1, slurm_partition="x", local_setup=["a"])
