"""Callables that a preempted job goes on with."""

from __future__ import annotations

import pickle
from typing import Any

import cloudpickle
import pytest

from submitit import helpers
from submitit.storage.submission import DelayedSubmission
from support import calls


class Adder(helpers.Checkpointable):
    def __call__(self, a: int, b: int = 0) -> int:
        return a + b


def test_the_default_checkpoint_is_the_same_call() -> None:
    adder = Adder()
    resumed = adder.checkpoint(1, b=2)
    assert type(resumed) is DelayedSubmission
    assert resumed.function is adder
    assert (resumed.args, resumed.kwargs) == ((1,), {"b": 2})
    assert resumed.result() == 3


def test_a_class_without_call_is_refused() -> None:
    class Forgotten(helpers.Checkpointable):
        pass

    for kind in (Forgotten, helpers.Checkpointable):
        with pytest.raises(
            AssertionError, match=f"^Class {kind.__name__} is marked as Checkpointable but doesn't have a"
        ):
            kind()


def test_a_constructor_with_arguments_is_no_obstacle() -> None:
    class Model(helpers.Checkpointable):
        def __init__(self, size: int, *, depth: int) -> None:
            self.shape = (size, depth)

        def __call__(self) -> tuple[int, int]:
            return self.shape

    assert Model(3, depth=4)() == (3, 4)


def test_a_sequence_makes_its_calls_in_order() -> None:
    sequence = helpers.FunctionSequence()
    assert sequence() == []
    sequence.add(calls.add, 1, 2)
    sequence.add(calls.add, 3, b=4)
    assert len(sequence) == 2
    assert [type(call) for call in sequence] == [DelayedSubmission] * 2
    assert sequence() == [3, 7]


def test_a_sequence_says_where_it_starts(capsys: pytest.CaptureFixture[str]) -> None:
    sequence = helpers.FunctionSequence(verbose=True)
    done: list[int] = []

    def step(number: int) -> int:
        if number == 2 and len(done) == 2:
            done.append(number)
            raise KeyError("interrupted")
        done.append(number)
        return number

    for number in range(4):
        sequence.add(step, number)
    with pytest.raises(KeyError):
        sequence()
    assert sequence() == [0, 1, 2, 3]
    assert done == [0, 1, 2, 2, 3]
    assert capsys.readouterr().out == "Starting from 0/4\nStarting from 2/4\n"


@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps])
def test_results_survive_a_checkpoint(dumps: Any) -> None:
    sequence = helpers.FunctionSequence()
    sequence.add(calls.add, 1, 2)
    sequence()
    sequence.add(calls.add, 3, 4)
    resumed = pickle.loads(dumps(sequence.checkpoint())).function
    assert [call.done() for call in resumed] == [True, False]
    assert resumed() == [3, 7]


@pytest.mark.parametrize("kind", [helpers.Checkpointable, helpers.FunctionSequence])
def test_pickles_name_the_public_place(kind: type) -> None:
    assert kind.__module__ == "submitit.helpers"
    for dumps in (pickle.dumps, cloudpickle.dumps):
        assert b"submitit.helpers\x94\x8c" in dumps(kind, 4)
        assert b"checkpointing" not in dumps(kind, 4)
        assert pickle.loads(dumps(kind)) is kind
