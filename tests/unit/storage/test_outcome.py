"""The result file of a task."""

from __future__ import annotations

import json
import os
import pickle
import resource
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from submitit.errors import CorruptFileError
from submitit.storage import outcome
from submitit.storage.outcome import Footer, Result

FOOTER = Footer(
    success=True,
    host="node1",
    pid=12,
    attempt=1,
    start=1.5,
    end=2.5,
    cpu_s=0.25,
    max_rss_mb=100.5,
    python="3.11.1",
    submitit="2.0.0",
    covered=True,
)


class LosesAnArgumentError(Exception):
    """Pickles, and does not unpickle: the constructor wants more than the base class keeps."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one + two)


class HoldsALockError(Exception):
    """Does not pickle."""

    def __init__(self) -> None:
        super().__init__("locked")
        self.lock = threading.Lock()


class ExitsError(Exception):
    """Ends the process that unpickles it."""

    def __reduce__(self) -> Any:
        return (sys.exit, (3,))


class NoExceptionError(Exception):
    """Unpickles as something else."""

    def __reduce__(self) -> Any:
        return (int, (3,))


def raised(*errors: BaseException, link: str = "cause") -> BaseException:
    """The first, raised because of the second, because of the third …"""
    try:
        if len(errors) == 1:
            raise errors[0]
        try:
            raise raised(*errors[1:], link=link)
        except BaseException as inner:
            if link == "cause":
                raise errors[0] from inner
            raise errors[0]  # noqa: B904
    except BaseException as error:
        return error


def test_a_value(tmp_path: Path) -> None:
    path = tmp_path / "r.pkl"
    outcome.write_result(path, ("success", {"a": [1, 2]}), None, FOOTER)
    assert outcome.read_result(path) == Result("success", {"a": [1, 2]}, None, FOOTER)
    assert outcome.read_footer(path) == FOOTER
    assert None not in FOOTER, "no field is forgotten on the way"


def test_version_1_reads_the_file(tmp_path: Path) -> None:
    path = tmp_path / "r.pkl"
    for result in (("success", {"a": 1}), ("error", "Traceback …")):
        outcome.write_result(path, result, raised(ValueError("x")) if result[0] == "error" else None, FOOTER)
        with open(path, "rb") as file:
            assert pickle.load(file) == result


def test_an_exception_with_its_causes(tmp_path: Path) -> None:
    path = tmp_path / "r.pkl"
    error = raised(ValueError("a"), KeyError("b"), OSError(2, "c"))
    outcome.write_result(path, ("error", "the traceback"), error, FOOTER._replace(success=False))
    result = outcome.read_result(path)
    assert (result.status, result.value) == ("error", "the traceback")
    assert repr(result.exception) == "ValueError('a')"
    assert result.exception is not None
    cause = result.exception.__cause__
    assert repr(cause) == "KeyError('b')"
    assert cause is not None
    assert isinstance(cause.__cause__, FileNotFoundError)
    assert result.footer is not None
    assert result.footer.success is False


def test_an_exception_raised_while_another_was_handled(tmp_path: Path) -> None:
    outcome.write_result(tmp_path / "r.pkl", ("error", ""), raised(ValueError("a"), KeyError("b"), link="context"))
    error = outcome.read_result(tmp_path / "r.pkl").exception
    assert error is not None
    assert error.__cause__ is None
    assert repr(error.__context__) == "KeyError('b')"


def test_a_suppressed_context_stays_behind(tmp_path: Path) -> None:
    try:
        try:
            raise KeyError("b")
        except KeyError:
            raise ValueError("a") from None
    except ValueError as error:
        outcome.write_result(tmp_path / "r.pkl", ("error", ""), error)
    error_read = outcome.read_result(tmp_path / "r.pkl").exception
    assert error_read is not None
    assert error_read.__context__ is None


def test_a_circle_of_causes_ends(tmp_path: Path) -> None:
    one, two = ValueError("a"), ValueError("b")
    one.__cause__, two.__cause__ = two, one
    outcome.write_result(tmp_path / "r.pkl", ("error", ""), one)
    error = outcome.read_result(tmp_path / "r.pkl").exception
    assert error is not None
    assert repr(error.__cause__) == "ValueError('b')"
    assert error.__cause__ is not None
    assert error.__cause__.__cause__ is None


@pytest.mark.parametrize("error", [LosesAnArgumentError("a", "b"), HoldsALockError(), ExitsError(), NoExceptionError()])
def test_an_exception_that_does_not_travel_costs_nothing_else(tmp_path: Path, error: Exception) -> None:
    outcome.write_result(tmp_path / "r.pkl", ("error", "the traceback"), error, FOOTER)
    assert outcome.read_result(tmp_path / "r.pkl") == Result("error", "the traceback", None, FOOTER)


@pytest.mark.parametrize("error", [LosesAnArgumentError("a", "b"), HoldsALockError()])
def test_a_cause_that_does_not_travel_leaves_what_it_caused(tmp_path: Path, error: Exception) -> None:
    outcome.write_result(tmp_path / "r.pkl", ("error", ""), raised(ValueError("a"), error))
    read = outcome.read_result(tmp_path / "r.pkl").exception
    assert repr(read) == "ValueError('a')"
    assert read is not None
    assert read.__cause__ is None


def test_an_exception_of_a_module_that_is_not_here(tmp_path: Path) -> None:
    path = tmp_path / "r.pkl"
    (tmp_path / "elsewhere.py").write_text("class ElsewhereError(Exception): pass")
    program = (
        "import sys\nsys.path.insert(0, sys.argv[2])\nfrom elsewhere import ElsewhereError\n"
        "from submitit.storage import outcome\n"
        "outcome.write_result(sys.argv[1], ('error', 'the traceback'), ElsewhereError('a'))"
    )
    subprocess.run([sys.executable, "-c", program, path, tmp_path], check=True)
    assert outcome.read_result(path) == Result("error", "the traceback", None, Footer())


def test_exceptions_that_are_no_errors(tmp_path: Path) -> None:
    for error in (SystemExit(3), KeyboardInterrupt(), MemoryError()):
        outcome.write_result(tmp_path / "r.pkl", ("error", ""), error)
        assert repr(outcome.read_result(tmp_path / "r.pkl").exception) == repr(error)


def test_a_value_that_cannot_be_pickled_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "dir" / "r.pkl"
    path.parent.mkdir()
    outcome.write_result(path, ("success", 1))
    with pytest.raises(TypeError, match="cannot pickle '_thread.lock' object"):
        outcome.write_result(path, ("success", [bytes(1_000_000), threading.Lock()]))
    assert outcome.read_result(path).value == 1
    assert os.listdir(path.parent) == ["r.pkl"]


def test_a_full_disk_names_the_file_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "dir" / "r.pkl"
    path.parent.mkdir()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            outcome.write_result(path, ("success", os.urandom(200_000)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.filename == str(path)
    assert os.listdir(path.parent) == []


def test_it_is_on_disk_when_write_result_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.readlink(f"/proc/self/fd/{descriptor}")))
    outcome.write_result(tmp_path / "r.pkl", ("success", 1))
    assert len(synced) == 2
    assert synced[0].startswith(f"{tmp_path}/.submitit-")
    assert synced[1] == str(tmp_path)


class Evil:
    def __reduce__(self) -> Any:
        return (os.mkdir, ("loaded",))


def test_the_footer_is_read_without_unpickling(tmp_path: Path) -> None:
    path = tmp_path / "r.pkl"
    outcome.write_result(path, ("success", Evil()), None, FOOTER)
    assert outcome.read_footer(path) == FOOTER
    assert not os.path.exists("loaded")
    outcome.read_result(path)
    assert os.path.exists("loaded")


def test_a_result_of_version_1_has_no_footer(tmp_path: Path) -> None:
    path = tmp_path / "r.pkl"
    path.write_bytes(cloudpickle.dumps(("error", "the traceback")))
    assert outcome.read_footer(path) is None
    assert outcome.read_result(path) == Result("error", "the traceback", None, None)


@pytest.mark.parametrize(
    "tail",
    [
        b"",
        b"x",
        b"\xff\xff\xff\xff\xff\xff\xff\xffSBMTRES1",
        b"\xff\x00\x00\x00\x00\x00\x00\x00SBMTRES1",
        b"[]\x02\x00\x00\x00\x00\x00\x00\x00SBMTRES1",
        b"{\x01\x00\x00\x00\x00\x00\x00\x00SBMTRES1",
    ],
)
def test_anything_odd_is_no_footer(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "r.pkl"
    path.write_bytes(tail)
    assert outcome.read_footer(path) is None
    assert outcome.read_footer(tmp_path / "missing") is None
    assert outcome.read_footer(tmp_path) is None


def test_a_footer_of_another_version(tmp_path: Path) -> None:
    """Keys that are not known are left out, those that are missing are None."""
    about = json.dumps({"host": "a", "weather": "fine"}).encode()
    path = tmp_path / "r.pkl"
    path.write_bytes(
        pickle.dumps(("success", 1)) + pickle.dumps(None) + about + len(about).to_bytes(8, "little") + b"SBMTRES1"
    )
    assert outcome.read_result(path) == Result("success", 1, None, Footer(host="a"))


def test_half_a_file_at_any_length_is_named_or_whole(tmp_path: Path) -> None:
    path = tmp_path / "r.pkl"
    outcome.write_result(path, ("success", "x" * 100), None, FOOTER)
    whole = path.read_bytes()
    value = len(pickle.dumps(("success", "x" * 100), 5))
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert outcome.read_footer(path) is None
        if length < value:
            with pytest.raises(CorruptFileError, match=r"r\.pkl"):
                outcome.read_result(path)
        else:
            assert outcome.read_result(path).value == "x" * 100


@pytest.mark.parametrize("value", [12, ("success",), ("maybe", 1), ["success", 1]])
def test_something_else_in_the_file(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "r.pkl"
    path.write_bytes(pickle.dumps(value))
    with pytest.raises(CorruptFileError, match="does not hold a result"):
        outcome.read_result(path)


def test_a_missing_module_is_told_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "r.pkl"
    path.write_bytes(b"(Vsuccess\ncno_such_module\nthing\nt.")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        outcome.read_result(path)
    with pytest.raises(FileNotFoundError):
        outcome.read_result(tmp_path / "missing")


def test_a_footer_is_a_value() -> None:
    assert Footer() == Footer(*[None] * 10)
    assert Footer._fields[0] == "success"
    assert repr(Result("success", 1)) == "Result(status='success', value=1, exception=None, footer=None)"
    assert pickle.loads(pickle.dumps(FOOTER)) == FOOTER
    assert not hasattr(FOOTER, "__dict__")
