"""What is to be done about a job that fails: whether it runs again, how often, and with what.

A policy is made by the user, written down as plain values (in the job's environment, the controller's launch, the journal) and
read where a failed attempt ends: nobody has to be there who made it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

#: Holds the policy of a job that has one, for its script and its runner.
VARIABLE: Final = "SUBMITIT_RETRY"

OUT_OF_MEMORY, TIMEOUT, NODE_FAIL = "out_of_memory", "timeout", "node_fail"
PREEMPTED, EXCEPTION, KILLED = "preempted", "exception", "killed"
#: Why an attempt may have failed, by the names of the policy's fields.
REASONS: Final = (OUT_OF_MEMORY, TIMEOUT, NODE_FAIL, PREEMPTED, EXCEPTION, KILLED)
#: Classes of exceptions, or their names.
ExceptionTypes = type[BaseException] | str | Sequence[type[BaseException] | str]

#: How often, where only it is said that.
_TIMES: Final = 2


@dataclass(frozen=True)
class MoreMemory:
    """Again with more memory, up to ``times`` times: ``factor`` times as much as before, never more than ``up_to_gb``.

    A job that has failed with as much as that does not run again.
    """

    times: int = _TIMES
    factor: float = 2.0
    up_to_gb: float = math.inf

    def __post_init__(self) -> None:
        _check_growth(self, "up_to_gb", "gigabytes")

    def after(self, gb: float) -> float | None:
        """How many gigabytes to ask for after so many were not enough; ``None``: it has had all that it may have."""
        return _grown(gb, self.factor, self.up_to_gb)


@dataclass(frozen=True)
class MoreTime:
    """Again with more time, up to ``times`` times: ``factor`` times as much as before, never more than ``up_to_min`` minutes.

    A job that has failed with as much as that does not run again.
    """

    times: int = _TIMES
    factor: float = 2.0
    up_to_min: float = math.inf

    def __post_init__(self) -> None:
        _check_growth(self, "up_to_min", "minutes")

    def after(self, minutes: float) -> float | None:
        """How many minutes to ask for after so many were not enough; ``None``: it has had all that it may have."""
        return _grown(minutes, self.factor, self.up_to_min)


@dataclass(frozen=True, init=False)
class OnException:
    """Again, up to ``times`` times, after an exception of one of these ``types`` or of a class derived from one.

    A type is a class, or its name: ``"requests.exceptions.ConnectionError"``, ``"OSError"``. It is kept as the name.
    """

    types: tuple[str, ...]
    times: int

    def __init__(self, types: ExceptionTypes = Exception, times: int = _TIMES) -> None:
        given = types if isinstance(types, (tuple, list)) else (types,)
        if not given:
            raise ValueError("OnException(types=…) takes at least one class of exceptions, and found none")
        _check_times("OnException(times=…)", times)
        object.__setattr__(self, "types", tuple(map(_type_name, given)))
        object.__setattr__(self, "times", times)

    def covers(self, error: BaseException) -> bool:
        """Whether the exception is of one of the types."""
        return any(_class_name(kind) in self.types for kind in type(error).__mro__)


@dataclass(frozen=True, init=False, repr=False)
class Retry:
    """When a job that failed runs again, by the reason for which it failed, under the same id and with the same files.

    Each reason has its own count, and what is not named here fails for good. ``update_parameters(retry=Retry(…))``.

    A job runs again as a whole, all its tasks, and only where not all of them have succeeded: what has succeeded does not run
    again. Raises ``TypeError`` and ``ValueError`` for what makes no sense.

    Parameters
    ----------
    out_of_memory: MoreMemory or int
        killed by the kernel for its memory; a number is how often, with twice the memory each time
    timeout: MoreTime or int
        its time was up; a number is how often, with twice the time each time. A function that saves its state
        (``checkpoint``) has its own way (``max_num_timeout``), which comes first
    node_fail: int
        its node failed; on Slurm that node is excluded from then on
    preempted: int
        it was taken away. What Slurm requeues by itself (``PreemptMode=REQUEUE``) is not counted here, and not limited
    exception: OnException, a class of exceptions, several of them in a tuple, or int
        the function raised; a number is how often after an ``Exception`` of any type
    killed: int
        a process of it died and nobody knows why: a signal from outside, a crash of the interpreter, ``os._exit``
    delay_s: float
        how long after the end of one attempt the next may start, in seconds; on Slurm it takes five at least
    """

    out_of_memory: MoreMemory
    timeout: MoreTime
    node_fail: int
    preempted: int
    exception: OnException
    killed: int
    delay_s: float

    def __init__(
        self,
        out_of_memory: MoreMemory | int = 0,
        timeout: MoreTime | int = 0,
        node_fail: int = _TIMES,
        preempted: int = _TIMES,
        exception: OnException | ExceptionTypes | int = 0,
        killed: int = 0,
        delay_s: float = 0.0,
    ) -> None:
        if not isinstance(out_of_memory, MoreMemory):
            _check_times("Retry(out_of_memory=…)", out_of_memory, " or submitit.MoreMemory(…)")
            out_of_memory = MoreMemory(out_of_memory)
        if not isinstance(timeout, MoreTime):
            _check_times("Retry(timeout=…)", timeout, " or submitit.MoreTime(…)")
            timeout = MoreTime(timeout)
        if isinstance(exception, int):
            _check_times("Retry(exception=…)", exception, ", classes of exceptions or submitit.OnException(…)")
            exception = OnException(times=exception)
        elif not isinstance(exception, OnException):
            exception = OnException(exception)
        counts = {NODE_FAIL: node_fail, PREEMPTED: preempted, KILLED: killed}
        for name, count in counts.items():
            _check_times(f"Retry({name}=…)", count)
        if not _is_number(delay_s) or not 0 <= delay_s < math.inf:
            raise ValueError(f"Retry(delay_s=…) takes a number of seconds, 0 or more, not {delay_s!r}")
        policies = {OUT_OF_MEMORY: out_of_memory, TIMEOUT: timeout, EXCEPTION: exception}
        for name, value in {**policies, **counts, "delay_s": delay_s}.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        return f"Retry({', '.join(f'{name}={getattr(self, name)!r}' for name in self.plain())})"

    def times(self, reason: str) -> int:
        """How often a job may run again for this reason."""
        policy = getattr(self, reason)
        return int(getattr(policy, "times", policy))

    def plain(self) -> dict[str, Any]:
        """The policy as values that JSON can hold, what has its default left out; see ``read``."""
        return _without_defaults(self)

    @classmethod
    def read(cls, plain: dict[str, Any]) -> Retry:
        """The policy that ``plain`` was made of."""
        kinds = {OUT_OF_MEMORY: MoreMemory, TIMEOUT: MoreTime, EXCEPTION: OnException}
        return cls(**{name: kinds[name](**value) if name in kinds else value for name, value in plain.items()})


def check(value: object) -> None:
    """Raise ``TypeError`` for a parameter ``retry`` that is no policy; ``None`` is as good as one."""
    if value is not None and not isinstance(value, Retry):
        raise TypeError(
            f"Parameter 'retry' takes a submitit.Retry, such as submitit.Retry(out_of_memory=2), not {value!r:.100}"
        )


def _without_defaults(policy: Any) -> dict[str, Any]:
    default = type(policy)()
    given = {field.name: getattr(policy, field.name) for field in fields(policy)}
    return {
        name: _without_defaults(value) if hasattr(value, "times") else value
        for name, value in given.items()
        if value != getattr(default, name)
    }


def _grown(now: float, factor: float, most: float) -> float | None:
    return min(now * factor, most) if 0 < now < most else None


def _check_growth(policy: MoreMemory | MoreTime, cap: str, unit: str) -> None:
    name = type(policy).__name__
    _check_times(f"{name}(times=…)", policy.times)
    if not _is_number(policy.factor) or not 1 < policy.factor < math.inf:
        raise ValueError(f"{name}(factor=…) takes a number above 1, not {policy.factor!r}")
    most = getattr(policy, cap)
    if not _is_number(most) or not most > 0:
        raise ValueError(f"{name}({cap}=…) takes a number of {unit} above 0, not {most!r}")


def _check_times(name: str, value: object, others: str = "") -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} takes a whole number{others}, not {value!r}")
    if value < 0:
        raise ValueError(f"{name} takes 0 or more, not {value!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value)


def _type_name(given: object) -> str:
    if isinstance(given, type) and issubclass(given, BaseException):
        return _class_name(given)
    if isinstance(given, str) and given and all(map(str.isidentifier, given.split("."))):
        return given.removeprefix("builtins.")
    raise TypeError(f"OnException(types=…) takes classes of exceptions, or their names, not {given!r:.100}")


def _class_name(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
