"""The file of one submission, or of an array of them."""

from __future__ import annotations

import errno
import functools
import json
import os
import pickle
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest

from submitit.errors import CorruptFileError
from submitit.storage import payload, sharing
from submitit.storage.submission import DelayedSubmission as Call

LOCK = threading.Lock()


class Model:
    """Large, with a part that others hold as well."""

    def __init__(self, size: int = 10_000) -> None:
        self.weights = list(range(size))
        self.name = "model"

    def fit(self, optimizer: Optimizer, step: int) -> bool:
        return optimizer.weights is self.weights

    def size(self) -> int:
        return len(self.weights)


class Optimizer:
    def __init__(self, model: Model, rate: float) -> None:
        self.weights = model.weights
        self.rate = rate


def written(path: Path, calls: list[Call]) -> list[Call]:
    """The calls after a trip through a file; what each reads is its own."""
    size = payload.write_payload(path, calls)
    assert size == path.stat().st_size
    assert payload.count_submissions(path) == len(calls)
    return [payload.read_submission(path, index) for index in range(len(calls))]


def test_one_call_is_a_plain_pickle(tmp_path: Path) -> None:
    path = tmp_path / "one.pkl"
    call = Call(len, "abc")
    call.set_timeout(5, 2)
    (loaded,) = written(path, [call])
    assert vars(loaded) == vars(call)
    assert vars(pickle.loads(path.read_bytes())) == vars(call)
    assert vars(Call.load(path)) == vars(call)


def test_elements_keep_all_that_they_are(tmp_path: Path) -> None:
    calls = [Call(pow, n, 2, mod=n + 1) for n in range(4)]
    calls[1].set_timeout(60, 3)
    calls[2]._result, calls[2]._done = 4, True
    vars(calls[3])["note"] = "mine"
    for call, loaded in zip(calls, written(tmp_path / "p.pkl", calls), strict=True):
        assert vars(loaded) == vars(call)
        assert type(loaded) is Call


def test_a_submission_of_a_class_of_its_own(tmp_path: Path) -> None:
    class DelayedSubmission(Call):
        def result(self) -> Any:
            return ("special", super().result())

    loaded = written(tmp_path / "p.pkl", [DelayedSubmission(len, "a"), DelayedSubmission(len, "ab")])
    assert [call.result() for call in loaded] == [("special", 1), ("special", 2)]


def test_the_function_is_written_once(tmp_path: Path) -> None:
    ballast = os.urandom(10_000_000)

    def function(n: int) -> int:
        return len(ballast) + n

    calls = [Call(function, n) for n in range(200)]
    size = payload.write_payload(tmp_path / "p.pkl", calls)
    assert size < 10_100_000
    assert payload.read_submission(tmp_path / "p.pkl", 199).result() == 10_000_199


@pytest.mark.parametrize("wrapped", ["partial", "method", "nested partial"])
def test_functions_that_are_made_for_each_call_share_what_they_are_made_around(tmp_path: Path, wrapped: str) -> None:
    model = Model(100_000)

    def function(m: Model, n: int = 0) -> int:
        return m.size()

    make: dict[str, Any] = {
        "partial": lambda: functools.partial(function, model),
        "method": lambda: model.size,
        "nested partial": lambda: functools.partial(model.size),
    }
    alone = payload.write_payload(tmp_path / "one.pkl", [Call(make[wrapped]())])
    calls = [Call(make[wrapped]()) for _ in range(50)]
    assert payload.write_payload(tmp_path / "p.pkl", calls) < alone + 50 * 500
    assert payload.read_submission(tmp_path / "p.pkl", 49).result() == 100_000


def test_several_functions_and_arguments_each_once(tmp_path: Path) -> None:
    data = [os.urandom(100_000) for _ in range(3)]
    array = np.arange(100_000)

    def make(ballast: bytes) -> Any:
        return lambda *args, **kwargs: (len(ballast), len(args), len(kwargs))

    functions = [make(os.urandom(100_000)) for _ in range(2)]
    calls = [Call(functions[n % 2], data[n % 3], data[n // 10 % 3], array=array if n % 5 else None) for n in range(60)]
    size = payload.write_payload(tmp_path / "p.pkl", calls)
    assert size < 5 * 100_000 + array.nbytes + 60 * 200 + 5000
    for index in (0, 1, 59):
        call, loaded = calls[index], payload.read_submission(tmp_path / "p.pkl", index)
        assert loaded.result() == call.result()
        assert loaded.args == call.args
        assert np.array_equal(loaded.kwargs["array"], call.kwargs["array"])


def test_reading_an_element_reads_nothing_that_is_not_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two groups of functions and data that have parts in common: each is read without the other."""
    common = {"settings": list(range(1000))}
    large = [[os.urandom(300_000), common] for _ in range(2)]

    def first(data: list[Any]) -> int:
        return len(data[0]) + len(common)

    def second(data: list[Any]) -> int:
        return len(data[0]) + len(common)

    calls = [Call(function, data) for function, data in ((first, large[0]), (second, large[1])) for _ in range(20)]
    size = payload.write_payload(tmp_path / "p.pkl", calls)
    assert size < 750_000
    read = 0
    preadv = os.preadv

    def counting(descriptor: int, buffers: Any, offset: int) -> int:
        nonlocal read
        count = preadv(descriptor, buffers, offset)
        read += count
        return count

    monkeypatch.setattr(os, "preadv", counting)
    for index in (0, 20):
        read = 0
        loaded: Any = payload.read_submission(tmp_path / "p.pkl", index)
        assert loaded.result() == 300_001
        assert loaded.args[0][1] is loaded.function.__closure__[0].cell_contents
        assert read < 400_000


def test_atoms_and_small_things_make_no_block(tmp_path: Path) -> None:
    config = {"rate": 0.1, "layers": [1, 2, 3]}
    path = Path("/data")
    calls = [Call(len, None, True, 12, 0.5, "short", b"short", (), (1, 2), config, path, n) for n in range(100)]
    payload.write_payload(tmp_path / "p.pkl", calls)
    with open(tmp_path / "p.pkl", "rb") as file:
        footer = payload._read_footer("p.pkl", file)
    assert footer is not None
    assert footer[1] == 1, "the function's alone"
    assert (tmp_path / "p.pkl").read_bytes().count(b"layers") == 100, "what was tried as a block is gone"
    assert payload.read_submission(tmp_path / "p.pkl", 7).args == calls[7].args


# ---------------------------------------------------------------- one object stays one object


def test_an_argument_given_twice_is_one_object(tmp_path: Path) -> None:
    shared = [0] * 1000
    calls = [Call(print, shared, [n], n=shared) for n in range(3)]
    calls.append(Call(print, 0, shared))
    for index, loaded in enumerate(written(tmp_path / "p.pkl", calls)[:3]):
        assert loaded.args == (shared, [index])
        assert loaded.kwargs["n"] is loaded.args[0]


def test_what_one_element_has_points_into_what_all_share(tmp_path: Path) -> None:
    model = Model()
    calls = [Call(model.fit, Optimizer(model, 0.1 * n), n) for n in range(10)]
    for loaded in written(tmp_path / "p.pkl", calls):
        assert loaded.result() is True


def test_two_shared_arguments_that_hold_each_other(tmp_path: Path) -> None:
    model = Model()
    optimizer = Optimizer(model, 0.1)
    vars(model)["optimizer"] = optimizer
    vars(optimizer)["model"] = model
    for order in ((model, optimizer), (optimizer, model)):
        for loaded in written(tmp_path / "p.pkl", [Call(print, *order, n) for n in range(5)]):
            first, second, _ = loaded.args
            assert vars(first)[type(second).__name__.lower()] is second
            assert vars(second)[type(first).__name__.lower()] is first
            assert first.weights is second.weights
    assert (tmp_path / "p.pkl").stat().st_size < 40_000


def test_arguments_of_a_grid_that_have_a_part_in_common(tmp_path: Path) -> None:
    """Each of a and b goes with each of x and y, and all hold one registry: it must be one object in each call."""
    registry: list[Any] = [1] * 1000
    a, b, x, y = ({"name": name, "registry": registry, "ballast": list(range(1000))} for name in "abxy")
    calls = [Call(print, left, right) for left in (a, b) for right in (x, y) for _ in range(3)]
    for call, loaded in zip(calls, written(tmp_path / "p.pkl", calls), strict=True):
        assert loaded.args == call.args
        assert loaded.args[0]["registry"] is loaded.args[1]["registry"]


def test_arrays_of_a_grid_are_shared_although_they_have_one_dtype(tmp_path: Path) -> None:
    left = [np.arange(10_000.0) + n for n in range(3)]
    right = [np.arange(10_000.0) - n for n in range(3)]
    calls = [Call(print, a, b) for a in left for b in right]
    loaded = written(tmp_path / "p.pkl", calls)
    assert (tmp_path / "p.pkl").stat().st_size < 6 * 80_000 + 10_000
    for call, other in zip(calls, loaded, strict=True):
        assert all(np.array_equal(one, two) for one, two in zip(call.args, other.args, strict=True))


SCRIPT = """
import sys
from submitit.storage.payload import write_payload
from submitit.storage.submission import DelayedSubmission as Call

seen = []

class Config:
    values = seen

def helper(x):
    seen.append(x)
    return len(seen)

def first(n, call=None, config=None):
    return helper(n), call(n), seen is config.values, isinstance(config(), Config)

def second(n, call=None, config=None):
    return first(n, call, config)

count = 0

def third(own):
    global count
    count += 1
    return own()

calls = [Call(f, n, call=helper, config=Config) for n in range(4) for f in (first, second)]
write_payload(sys.argv[1], calls + [Call(third, lambda n=n: (n, count)) for n in range(2)])
"""


def test_functions_of_a_script_share_its_variables_within_a_call(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    subprocess.run([sys.executable, tmp_path / "script.py", tmp_path / "p.pkl"], check=True)
    for index in range(8):
        assert payload.read_submission(tmp_path / "p.pkl", index).result() == (1, 2, True, True)
    assert payload.read_submission(tmp_path / "p.pkl", 8).result() == (0, 1)
    assert payload.read_submission(tmp_path / "p.pkl", 9).result() == (1, 1)


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize("count", [1, 3])
def test_a_payload_that_is_too_large_stops_early_and_leaves_nothing(tmp_path: Path, count: int) -> None:
    path = tmp_path / "dir" / "p.pkl"
    path.parent.mkdir()
    reached = []

    class Large:
        def __reduce__(self) -> Any:
            reached.append(self)
            return (bytes, (), [os.urandom(1_000_000)])

    calls = [Call(print, *(os.urandom(600_000) for _ in range(3)), Large()) for _ in range(count)]
    with pytest.raises(RuntimeError) as caught:
        payload.write_payload(path, calls, max_bytes=2**20)
    assert type(caught.value) is RuntimeError
    assert str(caught.value).startswith(
        "Submitting an estimated 1 x 0.00 > 0.000976562GB of objects (function and arguments) through pickle "
    )
    assert "you should update executor.max_pickle_size_gb to a larger value" in str(caught.value)
    assert not reached
    assert os.listdir(path.parent) == []


def test_the_limit_is_that_of_the_file(tmp_path: Path) -> None:
    for calls in ([Call(len, "a" * 1000)], [Call(len, "a" * 1000 + str(n)) for n in range(5)]):
        size = payload.write_payload(tmp_path / "p.pkl", calls)
        assert payload.write_payload(tmp_path / "p.pkl", calls, max_bytes=size) == size
        with pytest.raises(RuntimeError, match="max_pickle_size_gb"):
            payload.write_payload(tmp_path / "p.pkl", calls, max_bytes=size - 1)
        assert payload.count_submissions(tmp_path / "p.pkl") == len(calls)


def test_what_cannot_be_pickled_is_named_and_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "dir" / "p.pkl"
    path.parent.mkdir()
    model = Model()
    vars(model)["_lock"] = LOCK
    with pytest.raises(TypeError) as caught:
        payload.write_payload(path, [Call(len, [model])])
    assert str(caught.value) == (
        "Cannot pickle the call of len for its job: args[0][0]._lock: cannot pickle '_thread.lock' object. "
        "Make this object inside the function, or leave it out of the pickle with __getstate__."
    )
    assert str(caught.value.__cause__) == "cannot pickle '_thread.lock' object"
    with pytest.raises(TypeError, match=r"element 1: kwargs\['a'\]: cannot pickle '_thread.lock' object"):
        payload.write_payload(path, [Call(len, 1), Call(len, a=LOCK)])
    with pytest.raises(TypeError, match=r"call of Model.size for its job: element 0: function.__self__._lock: cannot"):
        payload.write_payload(path, [Call(model.size), Call(model.size)])
    assert os.listdir(path.parent) == []


class PickyError(Exception):
    def __init__(self, one: str, two: str) -> None:
        super().__init__(one, two)


class Picky:
    def __reduce__(self) -> Any:
        raise PickyError("a", "b")


def test_an_error_that_cannot_be_made_anew_becomes_a_pickling_error(tmp_path: Path) -> None:
    with pytest.raises(pickle.PicklingError, match=r"call of len for its job: args\[0\]: \('a', 'b'\)") as caught:
        payload.write_payload(tmp_path / "p.pkl", [Call(len, Picky())])
    assert isinstance(caught.value.__cause__, PickyError)


def test_interrupts_pass(tmp_path: Path) -> None:
    class Slow:
        def __reduce__(self) -> Any:
            raise KeyboardInterrupt

    for count in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            payload.write_payload(tmp_path / "p.pkl", [Call(len, Slow())] * count)
    assert os.listdir(tmp_path) == ["cwd"]


@pytest.mark.parametrize("count", [1, 3])
def test_a_full_disk_names_the_file(tmp_path: Path, count: int) -> None:
    path = tmp_path / "dir" / "p.pkl"
    path.parent.mkdir()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            payload.write_payload(path, [Call(len, os.urandom(200_000)) for _ in range(count)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno == errno.EFBIG
    assert caught.value.filename == str(path)
    assert os.listdir(path.parent) == []


def test_no_submission_at_all(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="No submission"):
        payload.write_payload(tmp_path / "p.pkl", [])


def test_an_index_that_is_not_there(tmp_path: Path) -> None:
    payload.write_payload(tmp_path / "one.pkl", [Call(len, "a")])
    payload.write_payload(tmp_path / "two.pkl", [Call(len, "a")] * 2)
    for name, index in (("one.pkl", 1), ("two.pkl", 2), ("two.pkl", -1)):
        with pytest.raises(IndexError, match=rf"{name}' holds \d submission\(s\), there is none with index {index}"):
            payload.read_submission(tmp_path / name, index)


def test_half_a_payload_of_several_at_any_length(tmp_path: Path) -> None:
    path = tmp_path / "p.pkl"
    payload.write_payload(path, [Call(len, "a" * n) for n in range(3)])
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(CorruptFileError, match=r"p\.pkl"):
            payload.read_submission(path, 0)
    path.write_bytes(whole[:50] + whole[60:])
    with pytest.raises(CorruptFileError, match="not a whole payload"):
        payload.read_submission(path, 0)
    path.write_bytes(whole + b"x")
    with pytest.raises(CorruptFileError, match="not a whole payload"):
        payload.count_submissions(path)


def test_a_payload_of_several_is_no_pickled_submission(tmp_path: Path) -> None:
    payload.write_payload(tmp_path / "p.pkl", [Call(len, "a")] * 2)
    with pytest.raises(CorruptFileError):
        Call.load(tmp_path / "p.pkl")


def test_something_else_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "p.pkl").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(CorruptFileError, match="holds <class 'dict'>, and should hold a submission"):
        payload.read_submission(tmp_path / "p.pkl")
    with pytest.raises(FileNotFoundError):
        payload.read_submission(tmp_path / "missing")


# ---------------------------------------------------------------- references


@pytest.mark.parametrize("path", ["/a/b.pkl", "/a b/c#1.pkl", "/new\nline'\"\\.pkl", "relative#"])
def test_a_reference_is_read_back(path: str) -> None:
    assert payload.parse_reference(payload.reference(Path(path), 12)) == (Path(path), 12)
    assert payload.split_reference(payload.reference(path, 0)) == (path, 0)


@pytest.mark.parametrize("text", ["", "/a/b.pkl", "#1", "/a#", "/a#-1", "/a#x", "/a#²"])
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(ValueError, match="Not a reference to a payload"):
        payload.parse_reference(text)


# ---------------------------------------------------------------- size and speed


def test_a_hundred_thousand_elements(tmp_path: Path) -> None:
    path = tmp_path / "p.pkl"
    calls = [Call(pow, n, 2, rate=0.1 * n, name="adam") for n in range(100_000)]
    start = time.process_time()
    size = payload.write_payload(path, calls, max_bytes=2**30)
    assert time.process_time() - start < 10, "0.8 s on an idle machine"
    assert size < 10_000_000
    start = time.process_time()
    for index in range(0, 100_000, 1000):
        assert payload.read_submission(path, index).args == (index, 2)
    assert time.process_time() - start < 1, "10 ms on an idle machine"


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    program = (
        "import json, resource, sys\n"
        "from submitit.storage.payload import write_payload\n"
        "from submitit.storage.submission import DelayedSubmission as Call\n"
        "class Lazy:\n"
        "    def __reduce__(self):\n"
        "        return (bytes, (bytes(2_000_000),))\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "write_payload(sys.argv[1], [Call(len, Lazy()) for _ in range(3)])\n"
        "before = peak()\n"
        "size = write_payload(sys.argv[1], [Call(len, Lazy()) for _ in range(50)])\n"
        "print(json.dumps([size, (peak() - before) * 1024]))\n"
    )
    size, grown = json.loads(subprocess.check_output([sys.executable, "-c", program, tmp_path / "p.pkl"]))
    assert size > 100_000_000
    assert grown < 20_000_000


def test_version_1_reads_the_file_of_one_call(tmp_path: Path) -> None:
    """By the name of the class and of its attributes: those of 1.5.4."""
    payload.write_payload(tmp_path / "p.pkl", [Call(len, "abc")])
    expected = cloudpickle.dumps(Call(len, "abc"), protocol=5)
    assert (tmp_path / "p.pkl").read_bytes() == expected
    assert sharing.SMALL < 1000


def test_what_elements_share_is_shared_when_they_are_read_together(tmp_path: Path) -> None:
    shared = list(range(10_000))
    calls = [Call(print, shared, number) for number in range(4)]
    payload.write_payload(tmp_path / "calls", calls)
    first, second = payload.read_submissions(tmp_path / "calls", [3, 1])
    assert (first.args, second.args) == ((shared, 3), (shared, 1))
    assert first.args[0] is second.args[0]
    with pytest.raises(IndexError, match="there is none with index 4"):
        payload.read_submissions(tmp_path / "calls", [0, 4])
