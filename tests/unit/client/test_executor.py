"""Submitting one by one and as arrays; names, folders and parameters."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

import submitit
from submitit.client.executor import Executor
from submitit.client.job import Job
from submitit.storage.submission import DelayedSubmission
from support import calls
from support.fakes import FakeExecutor, FakeJob


def described(submissions: list[DelayedSubmission]) -> list[tuple[Any, tuple[Any, ...], dict[str, Any]]]:
    return [(each.function, each.args, each.kwargs) for each in submissions]


def test_submit_hands_on_the_call(tmp_path: Path) -> None:
    executor = FakeExecutor(tmp_path)
    job = executor.submit(calls.add, 1, b=2)
    assert isinstance(job, FakeJob)
    assert [described(sent) for sent in executor.sent] == [[(calls.add, (1,), {"b": 2})]]


def test_map_array_is_one_submission_and_the_shortest_iterable_wins(tmp_path: Path) -> None:
    executor = FakeExecutor(tmp_path)
    jobs = executor.map_array(calls.add, iter([1, 2, 3]), [10, 20])
    assert [job.job_id.split("_")[1] for job in jobs] == ["0", "1"]
    assert [described(sent) for sent in executor.sent] == [[(calls.add, (1, 10), {}), (calls.add, (2, 20), {})]]


def test_submit_array_is_one_submission(tmp_path: Path) -> None:
    executor = FakeExecutor(tmp_path)
    executor.submit_array([list, dict])
    assert [described(sent) for sent in executor.sent] == [[(list, (), {}), (dict, (), {})]]


@pytest.mark.parametrize("empty", ["map_array(len, [])", "map_array(len)", "submit_array([])"])
def test_an_empty_array_warns_where_the_user_called(tmp_path: Path, empty: str) -> None:
    executor = FakeExecutor(tmp_path)
    with pytest.warns(UserWarning, match="^Received an empty job array$") as caught:
        jobs = eval(f"executor.{empty}")
    assert jobs == []
    assert executor.sent == []
    assert [warning.filename for warning in caught] == ["<string>"]


@pytest.mark.parametrize(
    ("submit", "found"),
    [
        (lambda executor: executor.submit(calls.add(1, 2)), "3 is of type int"),
        (lambda executor: executor.map_array(calls.add(1, 2), [1]), "3 is of type int"),
        (lambda executor: executor.submit_array([calls.add, None]), "None is of type NoneType"),
    ],
)
def test_a_value_in_the_place_of_the_function_is_explained(tmp_path: Path, submit: Any, found: str) -> None:
    executor = FakeExecutor(tmp_path)
    with pytest.raises(TypeError, match=f"takes the function itself.*{found}.*not executor.submit"):
        submit(executor)
    assert executor.sent == []


def test_an_executor_never_returns_a_bare_job(tmp_path: Path) -> None:
    class Careless(FakeExecutor):
        def _internal_process_submissions(self, delayed_submissions: list[DelayedSubmission]) -> list[Job[Any]]:
            return [Job(self.folder, "1")]

    with pytest.raises(RuntimeError, match="should never return a base Job class"):
        Careless(tmp_path).submit(calls.add, 1, 2)


def test_the_folder_is_absolute_and_keeps_its_tags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/people/me")
    assert FakeExecutor("logs/%j").folder == tmp_path / "logs/%j"
    assert FakeExecutor("~/logs").folder == Path("/people/me/logs")
    # a symbolic link in the place of `up` would mean another folder
    assert FakeExecutor("up/../logs").folder == tmp_path / "up/../logs"


def test_names_come_from_the_class() -> None:
    assert FakeExecutor.name() == "fake"
    assert submitit.SlurmExecutor.name() == "slurm"
    assert submitit.DebugExecutor.name() == "debug"
    assert submitit.AutoExecutor.name() == "auto"
    assert Executor.name() == ""


def test_parameters_accumulate(tmp_path: Path) -> None:
    executor = FakeExecutor(tmp_path)
    executor.update_parameters(colour="red", minutes=3)
    executor.update_parameters(minutes=4)
    assert executor.parameters == {"colour": "red", "minutes": 4}
    executor.update_parameters(minutes=submitit.UNSET)
    assert executor.parameters == {"colour": "red", "minutes": None}


def test_parameters_given_at_construction_are_the_executors_own() -> None:
    given = {"a": 1}

    class Given(FakeExecutor):
        def __init__(self) -> None:
            Executor.__init__(self, "/tmp", given)

    assert Given().parameters is given


def test_without_an_equivalence_the_generic_names_stay(tmp_path: Path) -> None:
    executor = FakeExecutor(tmp_path)
    assert executor._convert_parameters({"timeout_min": 1}) == {"timeout_min": 1}
    assert executor._equivalence_dict() is None


def test_executors_are_picklable(tmp_path: Path) -> None:
    executor = FakeExecutor(tmp_path / "%j")
    executor.update_parameters(minutes=4)
    copy = pickle.loads(pickle.dumps(executor))
    assert vars(copy) == vars(executor)


def test_executor_is_abstract(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="_internal_process_submissions"):
        Executor(tmp_path)  # type: ignore[abstract]
