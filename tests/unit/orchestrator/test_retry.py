"""The policy for failures: what makes sense, and how it is written down."""

from __future__ import annotations

import json
import math
import pickle
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import submitit
from submitit.orchestrator import retry
from submitit.orchestrator.retry import MoreMemory, MoreTime, OnException, Retry
from support import failing


class HomeMadeError(LookupError): ...


TIMES = st.integers(0, 9)
FACTORS = st.floats(1.001, 100)
POLICIES = st.builds(
    Retry,
    out_of_memory=TIMES | st.builds(MoreMemory, TIMES, FACTORS, st.floats(0.1, 1e6) | st.just(math.inf)),
    timeout=TIMES | st.builds(MoreTime, TIMES, FACTORS, st.floats(0.1, 1e6) | st.just(math.inf)),
    node_fail=TIMES,
    preempted=TIMES,
    exception=TIMES | st.builds(OnException, st.sampled_from([OSError, (HomeMadeError, "a.B"), "KeyError"]), TIMES),
    killed=TIMES,
    delay_s=st.floats(0, 1e6),
)


@given(POLICIES)
def test_what_is_written_is_read_back(policy: Retry) -> None:
    assert Retry.read(json.loads(json.dumps(policy.plain(), allow_nan=False))) == policy
    assert pickle.loads(pickle.dumps(policy)) == policy
    assert hash(policy) == hash(Retry.read(policy.plain()))
    # as somebody would write it: what has its default is not there
    names = {
        "MoreMemory": MoreMemory,
        "MoreTime": MoreTime,
        "OnException": OnException,
        "Retry": Retry,
        "inf": math.inf,
    }
    assert eval(repr(policy), names) == policy
    assert repr(Retry(killed=1)) == "Retry(killed=1)"


def test_defaults() -> None:
    policy = submitit.Retry()
    assert policy.plain() == {}
    assert {reason: policy.times(reason) for reason in retry.REASONS} == {
        "out_of_memory": 0,
        "timeout": 0,
        "node_fail": 2,
        "preempted": 2,
        "exception": 0,
        "killed": 0,
    }
    assert submitit.Retry(out_of_memory=3).out_of_memory == submitit.MoreMemory(3, 2.0, math.inf)
    assert submitit.Retry(timeout=3).timeout == submitit.MoreTime(3, 2.0, math.inf)
    assert submitit.Retry(exception=3).exception == submitit.OnException(Exception, 3)
    assert submitit.Retry(exception=(OSError, KeyError)).exception == submitit.OnException(("OSError", "KeyError"), 2)


@pytest.mark.parametrize(
    ("types", "error", "covered"),
    [
        (Exception, KeyError(), True),
        (Exception, KeyboardInterrupt(), False),
        (OSError, FileNotFoundError(), True),
        (FileNotFoundError, OSError(), False),
        ((OSError, LookupError), HomeMadeError(), True),
        (HomeMadeError, HomeMadeError(), True),
        (f"{__name__}.HomeMadeError", HomeMadeError(), True),
        ("builtins.OSError", OSError(), True),
        ("SystemExit", SystemExit(1), True),
        ("elsewhere.HomeMadeError", HomeMadeError(), False),
    ],
)
def test_types_of_exceptions(types: Any, error: BaseException, covered: bool) -> None:
    assert OnException(types).covers(error) is covered


@pytest.mark.parametrize(
    ("policy", "now", "then"),
    [
        (MoreMemory(), 2, 4),
        (MoreMemory(factor=1.5, up_to_gb=8), 2, 3),
        (MoreMemory(up_to_gb=3), 2, 3),
        (MoreMemory(up_to_gb=2), 2, None),
        (MoreMemory(up_to_gb=1), 2, None),
        (MoreMemory(), 0, None),
        (MoreTime(factor=3, up_to_min=100), 60, 100),
        (MoreTime(), math.inf, None),
    ],
)
def test_more(policy: MoreMemory | MoreTime, now: float, then: float | None) -> None:
    assert policy.after(now) == then


def make(kind: Any, *args: Any, **kwargs: Any) -> Any:
    """What a program without types writes."""
    return kind(*args, **kwargs)


@pytest.mark.parametrize(
    ("making", "error", "words"),
    [
        (lambda: Retry(killed=-1), ValueError, "Retry(killed=…) takes 0 or more, not -1"),
        (lambda: Retry(node_fail=True), TypeError, "Retry(node_fail=…) takes a whole number, not True"),
        (
            lambda: make(Retry, out_of_memory="2"),
            TypeError,
            "Retry(out_of_memory=…) takes a whole number or submitit.MoreMemory(…), not '2'",
        ),
        (lambda: make(Retry, timeout=MoreMemory()), TypeError, "or submitit.MoreTime(…), not MoreMemory("),
        (lambda: Retry(delay_s=-1), ValueError, "takes a number of seconds, 0 or more, not -1"),
        (lambda: Retry(delay_s=math.nan), ValueError, "takes a number of seconds"),
        (
            lambda: make(Retry, exception=int),
            TypeError,
            "takes classes of exceptions, or their names, not <class 'int'>",
        ),
        (lambda: Retry(exception="no name"), TypeError, "takes classes of exceptions, or their names, not 'no name'"),
        (lambda: make(OnException, ()), ValueError, "at least one class"),
        (lambda: MoreMemory(factor=1), ValueError, "MoreMemory(factor=…) takes a number above 1, not 1"),
        (
            lambda: MoreMemory(up_to_gb=0),
            ValueError,
            "MoreMemory(up_to_gb=…) takes a number of gigabytes above 0, not 0",
        ),
        (lambda: make(MoreTime, up_to_min="9"), ValueError, "takes a number of minutes above 0, not '9'"),
        (lambda: make(MoreTime, times=1.5), TypeError, "MoreTime(times=…) takes a whole number, not 1.5"),
    ],
)
def test_what_makes_no_sense(making: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=re.escape(words)):
        making()


@pytest.mark.parametrize("cluster", ["slurm", "local"])
def test_as_a_parameter(cluster: str, tmp_path: Any) -> None:
    executor = submitit.AutoExecutor(tmp_path, cluster=cluster)
    policy = submitit.Retry(killed=1)
    executor.update_parameters(retry=policy)
    assert executor.parameters["retry"] == policy
    executor.update_parameters(**{f"{cluster}_retry": submitit.Retry(killed=2)})
    assert executor.parameters["retry"].killed == 2
    executor.update_parameters(retry=None)
    assert executor.parameters["retry"].killed == 2
    executor.update_parameters(retry=policy, **{f"{cluster}_retry": submitit.Retry(killed=3)})
    assert executor.parameters["retry"].killed == 3
    executor.update_parameters(retry=submitit.UNSET)
    assert executor.parameters["retry"] is None
    with pytest.raises(TypeError, match=r"takes a submitit.Retry, such as submitit.Retry\(out_of_memory=2\), not 3"):
        executor.update_parameters(retry=3)


def test_the_debug_executor_passes_it_by(tmp_path: Any) -> None:
    executor = submitit.AutoExecutor(tmp_path, cluster="debug")
    executor.update_parameters(retry=submitit.Retry(exception=3))
    calls: list[int] = []

    def fail() -> None:
        calls.append(1)
        raise failing.FlakyError

    with pytest.raises(failing.FlakyError):
        executor.submit(fail).result()
    assert calls == [1]
