"""Generic parameters: their types, their absence, near names."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import cloudpickle
import pytest

import submitit
from submitit.client import parameters
from submitit.client.parameters import UNSET


def test_there_is_one_unset() -> None:
    assert submitit.UNSET is UNSET
    assert type(UNSET)() is UNSET
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(UNSET, protocol)) is UNSET
    assert cloudpickle.loads(cloudpickle.dumps(UNSET)) is UNSET
    assert copy.deepcopy(UNSET) is UNSET
    assert copy.copy({"time": UNSET})["time"] is copy.copy(UNSET) is UNSET
    assert repr(UNSET) == "UNSET"
    assert not UNSET


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", "x"),
        ("timeout_min", 3),
        ("mem_gb", 2),
        ("mem_gb", 2.5),
        ("nodes", 1),
        ("cpus_per_task", 1),
        ("gpus_per_node", 0),
        ("tasks_per_node", 8),
        ("stderr_to_stdout", False),
    ],
)
def test_right_types_pass(name: str, value: Any) -> None:
    parameters.check_type(name, value, parameters.GENERIC[name])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "timeout_min",
            "5",
            'Parameter "timeout_min" expected type <class \'int\'> (but value: "5"), and this is of type str',
        ),
        (
            "timeout_min",
            5.5,
            'Parameter "timeout_min" expected type <class \'int\'> (but value: "5.5"), and this is of type float',
        ),
        (
            "mem_gb",
            "4GB",
            "Parameter \"mem_gb\" expected type (<class 'int'>, <class 'float'>) (but value: \"4GB\"), and this is of type str",
        ),
        ("name", 3, 'Parameter "name" expected type <class \'str\'> (but value: "3"), and this is of type int'),
        (
            "stderr_to_stdout",
            1,
            'Parameter "stderr_to_stdout" expected type <class \'bool\'> (but value: "1"), and this is of type int',
        ),
    ],
)
def test_wrong_types_are_explained(name: str, value: Any, message: str) -> None:
    with pytest.raises(AssertionError) as raised:
        parameters.check_type(name, value, parameters.GENERIC[name])
    assert str(raised.value) == message


def test_near_names_are_suggested() -> None:
    assert parameters.suggestion("timout_min", ["timeout_min", "name"]) == " Did you mean 'timeout_min'?"
    assert parameters.suggestion("zzz", ["timeout_min", "name"]) == ""
