"""Objects to bytes and back."""

from __future__ import annotations

import functools
import io
import json
import math
import os
import pickle
import subprocess
import sys
import threading
import types
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import submitit
from submitit.errors import CorruptFileError
from submitit.storage import outcome, payload, serialization
from submitit.storage.submission import DelayedSubmission

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(PLAIN)
def test_plain_values(value: Any) -> None:
    assert serialization.is_plain(value)
    file = io.BytesIO()
    serialization.dump(value, file)
    file.seek(0)
    assert (
        serialization.load(file)
        == serialization.loads(serialization.dumps(value))
        == pickle.loads(file.getvalue())
        == value
    )


class Text(str):
    __slots__ = ()


def nested(depth: int) -> list[Any]:
    inner: list[Any] = []
    for _ in range(depth):
        inner = [inner]
    return inner


@pytest.mark.parametrize(
    "value",
    [math.sqrt, Text("a"), [1, (2, {3: lambda: 4})], {1, Text("b")}, range(3), nested(2000), list(range(100_000))],
)
def test_values_that_are_not_plain(value: Any) -> None:
    assert not serialization.is_plain(value)


def test_a_list_that_holds_itself() -> None:
    value: list[Any] = []
    value.append(value)
    assert not serialization.is_plain(value)
    loaded = serialization.loads(serialization.dumps(value))
    assert loaded[0] is loaded


def test_large_plain_values_are_not_copied() -> None:
    value = ["a", bytes(1_000_000)]
    written = []

    class Sink:
        def write(self, data: Any) -> int:
            written.append(data)
            return len(data)

    serialization.dump(value, Sink())
    assert any(data is value[1] for data in written)


def test_functions_of_a_closure_by_value() -> None:
    offset = 10
    assert serialization.loads(serialization.dumps(lambda x: x + offset))(1) == 11


def test_a_job_of_plain_values_imports_no_pickler(tmp_path: Path) -> None:
    """What a simple job needs is loaded from the standard library in C: cloudpickle takes 30 ms to import."""
    payload.write_payload(tmp_path / "p.pkl", [DelayedSubmission(math.sqrt, x) for x in range(5)])
    program = (
        "import sys\n"
        "from submitit.storage import events, outcome, payload\n"
        "folder = sys.argv[1]\n"
        "value = payload.read_submission(*payload.split_reference(folder + '/p.pkl#4')).result()\n"
        "outcome.write_result(folder + '/r.pkl', ('success', {'root': value}), None, outcome.Footer(host='a', pid=1))\n"
        "events.EventDirectory(folder).mark('1_4', 0, 0, 'done', 'host')\n"
        "heavy = ('cloudpickle', 'pickle', 're', 'typing', 'pathlib', 'json', 'tempfile', 'shutil', 'inspect')\n"
        "print(*[name for name in heavy if name in sys.modules])\n"
    )
    assert subprocess.check_output([sys.executable, "-c", program, tmp_path], text=True) == "\n"
    assert outcome.read_result(tmp_path / "r.pkl").value == {"root": 2.0}
    footer = outcome.read_footer(tmp_path / "r.pkl")
    assert footer is not None
    assert (footer.host, footer.pid) == ("a", 1)


def test_pickle_load(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    serialization.cloudpickle_dump({"a": 1}, path)
    assert serialization.pickle_load(path) == serialization.pickle_load(str(path)) == {"a": 1}
    path.write_bytes(path.read_bytes()[:5])
    with pytest.raises(CorruptFileError, match="cut short"):
        serialization.pickle_load(path)


def test_a_missing_module_is_told_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(b"cno_such_module\nthing\n.")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        serialization.pickle_load(path)


class TestReplaced:
    """Programs put a ``cloudpickle_dump`` of their own in place, to pickle what cloudpickle does not."""

    @pytest.fixture
    def dumped(self, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
        seen: list[Any] = []

        def mine(obj: Any, filename: str | os.PathLike[str]) -> None:
            seen.append(obj)
            with submitit.core.utils.temporary_save_path(filename) as path:
                path.write_bytes(pickle.dumps(obj))

        monkeypatch.setattr(submitit.core.utils, "cloudpickle_dump", mine)
        return seen

    def test_single(self, dumped: list[Any], tmp_path: Path) -> None:
        call = DelayedSubmission(len, "abc")
        payload.write_payload(tmp_path / "p.pkl", [call])
        call.dump(tmp_path / "q.pkl")
        assert dumped == [call, call]
        for name in ("p.pkl", "q.pkl"):
            assert payload.read_submission(tmp_path / name).result() == 3

    def test_array(self, dumped: list[Any], tmp_path: Path) -> None:
        calls = [DelayedSubmission(len, "a" * n) for n in range(3)]
        payload.write_payload(tmp_path / "p.pkl", calls)
        assert dumped == calls
        assert [payload.read_submission(tmp_path / "p.pkl", n).result() for n in range(3)] == [0, 1, 2]

    def test_result(self, dumped: list[Any], tmp_path: Path) -> None:
        outcome.write_result(tmp_path / "r.pkl", ("success", [1]), None, outcome.Footer(host="a"))
        assert dumped == [("success", [1])]
        assert outcome.read_result(tmp_path / "r.pkl") == outcome.Result("success", [1], None, outcome.Footer(host="a"))
        assert set(os.listdir(tmp_path)) == {"cwd", "r.pkl"}

    def test_failing(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        def failing(obj: Any, filename: str | os.PathLike[str]) -> None:
            Path(filename).write_bytes(b"half")
            raise ValueError("not mine")

        monkeypatch.setattr(submitit.core.utils, "cloudpickle_dump", failing)
        for count in (1, 2):
            with pytest.raises(ValueError, match="not mine"):
                payload.write_payload(tmp_path / "p.pkl", [DelayedSubmission(len, "abc")] * count)
        assert os.listdir(tmp_path) == ["cwd"]

    def test_describing(self, dumped: list[Any]) -> None:
        assert serialization.describe_unpicklable([LOCK], ValueError("not\nthis")) == "not this"

    def test_undone(self, dumped: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
        assert serialization.dump_is_replaced()
        monkeypatch.undo()
        assert not serialization.dump_is_replaced()


# ---------------------------------------------------------------- what cannot be pickled, and where it is


class Holder:
    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)

    def method(self) -> None:
        pass


class Slotted:
    __slots__ = ("lock",)

    def __init__(self, lock: Any) -> None:
        self.lock = lock


class Stubborn:
    def __reduce__(self) -> Any:
        raise RuntimeError("I stay here")


class Mapping(dict[str, Any]):
    pass


LOCK = threading.Lock()


def module_of_its_own(source: str) -> Any:
    """Functions that are pickled by value, as those of a script are."""
    module = types.ModuleType("a_script")
    exec(source, vars(module))
    return module


SCRIPT = module_of_its_own(
    """
import threading
lock = threading.Lock()
class Config:
    lock = lock
    size = 3
def uses_global(): return lock
def nested():
    def inner(): return lock
    return inner
def default(a=lock): pass
def keyword(*, a=lock): pass
def calls(): return uses_global()
"""
)


def closure() -> Any:
    data = {"model": Holder(lock=LOCK)}
    return lambda: data


def recursive() -> Any:
    holder = Holder(first=1)
    vars(holder).update(me=holder, items=[holder, {"k": LOCK}])
    return holder


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (LOCK, ""),
        ([1, LOCK], "[1]"),
        ((1, [2, LOCK]), "[1][1]"),
        ({"a": {"b": LOCK}}, "['a']['b']"),
        (Mapping(a=LOCK), "['a']"),
        ({Slotted(LOCK)}, "{"),
        (Holder(model=Holder(_lock=LOCK)), "model._lock"),
        (Slotted(LOCK), "lock"),
        (recursive(), "items[1]['k']"),
        (Holder(m=LOCK).method, "__self__.m"),
        (functools.partial(print, LOCK), "args[0]"),
        (functools.partial(print, a=LOCK), "keywords['a']"),
        (closure(), "closure variable data of <lambda>['model'].lock"),
        (SCRIPT.uses_global, "global variable lock of uses_global"),
        (SCRIPT.nested, "global variable lock of nested"),
        (SCRIPT.calls, "global variable uses_global of calls global variable lock of uses_global"),
        (SCRIPT.default, "default argument 0 of default"),
        (SCRIPT.keyword, "default of a of keyword"),
        (SCRIPT.Config, "lock"),
        (DelayedSubmission(len, 1, Holder(model=Holder(_lock=LOCK))), "args[1].model._lock"),
        (DelayedSubmission(len, a=[LOCK]), "kwargs['a'][0]"),
        (DelayedSubmission(Holder(x=LOCK).method), "function.__self__.x"),
    ],
)
def test_the_part_that_cannot_be_pickled_is_named(value: Any, path: str) -> None:
    with pytest.raises(TypeError) as caught:
        serialization.dumps(value)
    said = serialization.describe_unpicklable(value, caught.value)
    assert said.endswith("cannot pickle '_thread.lock' object")
    if path == "{":
        assert said.startswith("{<")
        assert "}.lock: " in said
    else:
        assert said == f"{path}: cannot pickle '_thread.lock' object".removeprefix(": ")


def test_the_reason_is_that_of_the_part() -> None:
    value = {"a": [Stubborn()]}
    with pytest.raises(RuntimeError) as caught:
        serialization.dumps(value)
    assert serialization.describe_unpicklable(value, caught.value) == "['a'][0]: I stay here"


def test_a_generator_in_a_large_argument_is_found_in_time() -> None:
    value = Holder(table=[bytes(1000)] * 100_000, more={n: [n] for n in range(10_000)}, rows=(n for n in range(3)))
    with pytest.raises(TypeError) as caught:
        serialization.dumps(value)
    assert serialization.describe_unpicklable(value, caught.value) == "rows: cannot pickle 'generator' object"


def test_the_search_ends_when_its_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    from submitit.storage import unpicklable

    monkeypatch.setattr(unpicklable, "SECONDS", -1.0)
    assert serialization.describe_unpicklable([[LOCK]], TypeError("cannot pickle it")) == "cannot pickle it"


def test_a_deep_structure_is_described_as_far_as_it_goes() -> None:
    value: Any = LOCK
    for _ in range(100):
        value = [value]
    with pytest.raises(TypeError) as caught:
        serialization.dumps(value)
    assert serialization.describe_unpicklable(value, caught.value).startswith("[0][0][0]")


def test_an_error_without_words_has_its_name() -> None:
    assert serialization.describe_unpicklable(LOCK, ZeroDivisionError()) == "ZeroDivisionError"


def test_too_deep_a_recursion_says_so() -> None:
    with pytest.raises(Exception, match="recursion") as caught:
        serialization.dumps(nested(100_000))
    assert "recursion" in serialization.describe_unpicklable(nested(100_000), caught.value)


def test_json_is_not_needed() -> None:
    assert json.loads(outcome._footer_line(outcome.Footer(host='h"\\\n\udc80é', success=False, cpu_s=1e-9))) == {
        "success": False,
        "host": 'h"\\\n\udc80é',
        "cpu_s": 1e-9,
    }
