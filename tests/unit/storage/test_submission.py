"""The pickled call."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from submitit.errors import CorruptFileError
from submitit.storage import payload, serialization
from submitit.storage.submission import DelayedSubmission


class Counter:
    """Counts its calls; raises when told to."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, value: int = 0, fail: bool = False) -> int:
        self.calls += 1
        if fail:
            raise ValueError(value)
        return value + self.calls


def test_it_calls_once() -> None:
    counter = Counter()
    call = DelayedSubmission(counter, 10)
    assert not call.done()
    assert call.result() == call.result() == 11
    assert call.done()
    assert counter.calls == 1


def test_a_call_that_raises_is_not_done() -> None:
    counter = Counter()
    call = DelayedSubmission(counter, 1, fail=True)
    for _ in range(2):
        with pytest.raises(ValueError, match="1"):
            call.result()
    assert not call.done()
    assert counter.calls == 2


def test_its_attributes_are_those_of_version_1() -> None:
    call = DelayedSubmission(len, "abc", key=1)
    assert vars(call) == {
        "function": len,
        "args": ("abc",),
        "kwargs": {"key": 1},
        "_result": None,
        "_done": False,
        "_timeout_min": 0,
        "_timeout_countdown": 0,
    }
    call.set_timeout(60, 3)
    assert (call._timeout_min, call._timeout_countdown) == (60, 3)


def test_dump_and_load(tmp_path: Path) -> None:
    call = DelayedSubmission(len, "abc")
    call.set_timeout(7, 2)
    call.result()
    call.dump(tmp_path / "call.pkl")
    loaded = DelayedSubmission.load(str(tmp_path / "call.pkl"))
    assert type(loaded) is DelayedSubmission
    assert vars(loaded) == vars(call)


def test_the_class_is_pickled_by_its_historic_name() -> None:
    """By a process that has not loaded that module, too: else cloudpickle stores the class itself."""
    program = (
        "import sys, cloudpickle\n"
        "from submitit.storage.submission import DelayedSubmission\n"
        "assert 'submitit.core.utils' not in sys.modules\n"
        "sys.stdout.buffer.write(cloudpickle.dumps(DelayedSubmission(len, 'abc')))"
    )
    for data in (
        subprocess.check_output([sys.executable, "-c", program]),
        cloudpickle.dumps(DelayedSubmission(len, "abc")),
    ):
        assert b"submitit.core.utils" in data
        assert len(data) < 300
        assert type(pickle.loads(data)) is DelayedSubmission
        assert pickle.loads(data).result() == 3


def test_plain_pickle_and_copies() -> None:
    call = DelayedSubmission(len, "abc")
    for other in (pickle.loads(pickle.dumps(call)), copy.copy(call), copy.deepcopy(call)):
        assert vars(other) == vars(call)


def test_load_checks_the_name_of_the_class(tmp_path: Path) -> None:
    class Other(DelayedSubmission):
        pass

    path = tmp_path / "call.pkl"
    DelayedSubmission(len, "abc").dump(path)
    with pytest.raises(
        AssertionError, match=r"Loaded object is <class 'submitit.core.utils.DelayedSubmission'> but should be"
    ):
        Other.load(path)
    serialization.cloudpickle_dump(12, path)
    with pytest.raises(AssertionError, match=r"Loaded object is <class 'int'> but should be"):
        DelayedSubmission.load(path)
    lookalike = type("DelayedSubmission", (), {"answer": 42})
    serialization.cloudpickle_dump(lookalike(), path)
    loaded: Any = DelayedSubmission.load(path)
    assert loaded.answer == 42


@pytest.mark.parametrize(
    "content", [b"", b"\x80\x05", b"\x80\x05\x95\xff\x00\x00\x00\x00\x00\x00\x00}", b"#!/bin/bash\n"]
)
def test_what_is_no_pickle_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "call.pkl"
    path.write_bytes(content)
    with pytest.raises(CorruptFileError, match="is not a whole pickle") as caught:
        DelayedSubmission.load(path)
    assert repr(str(path)) in str(caught.value)
    with pytest.raises(FileNotFoundError):
        DelayedSubmission.load(tmp_path / "missing")


def test_half_a_file_at_any_length_is_named(tmp_path: Path) -> None:
    path = tmp_path / "call.pkl"
    DelayedSubmission(len, "abc", key="x" * 300).dump(path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(CorruptFileError):
            payload.read_submission(path)


def test_a_failing_dump_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "call.pkl"
    path.parent.mkdir()
    DelayedSubmission(len, "abc").dump(path)
    with pytest.raises(TypeError, match=r"call of len for its job: args\[0\]: cannot pickle '_thread.lock' object"):
        DelayedSubmission(len, threading.Lock()).dump(path)
    assert DelayedSubmission.load(path).args == ("abc",)
    assert os.listdir(path.parent) == ["call.pkl"]


def test_a_checkpoint_may_edit_the_file(tmp_path: Path) -> None:
    path = tmp_path / "call.pkl"
    payload.write_payload(path, [DelayedSubmission(len, "abc")])
    call = DelayedSubmission.load(path)
    call.args = ("abcd",)
    call.dump(path)
    assert payload.read_submission(path).result() == 4


class Resumable:
    """Every way to be checkpointed."""

    def __call__(self, step: int = 0) -> int:
        return step

    def checkpoint(self, step: int = 0) -> DelayedSubmission:
        return DelayedSubmission(self, step=step + 1)


class Modern(Resumable):
    def __submitit_checkpoint__(self, step: int = 0) -> DelayedSubmission:
        return DelayedSubmission(self, step=step + 100)


class NotAgain(Resumable):
    def checkpoint(self, step: int = 0) -> Any:
        return None


@pytest.mark.parametrize(("function", "step"), [(Resumable(), 6), (Modern(), 105)])
def test_the_checkpoint_of_a_function(function: Any, step: int) -> None:
    resumed = DelayedSubmission(function, step=5)._checkpoint_function()
    assert resumed is not None
    assert resumed.function is function
    assert resumed.kwargs == {"step": step}


@pytest.mark.parametrize("function", [NotAgain(), len])
def test_no_checkpoint(function: Any) -> None:
    assert DelayedSubmission(function)._checkpoint_function() is None
