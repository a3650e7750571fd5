"""What type checkers must accept and reject of `submit`, `dry_run` and `batch`; see `api.py` for how it is said."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypeVar

from typing_extensions import assert_type

import submitit

P = ParamSpec("P")
T = TypeVar("T")


def train(model: str, lr: float, *, epochs: int = 1) -> list[float]:
    return [lr] * epochs if model else []


def identity(value: T) -> T:
    return value


def launch(executor: submitit.Executor, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> submitit.Job[T]:
    """What wraps it keeps the types."""
    return executor.submit(fn, *args, **kwargs)


def nothing() -> None: ...


@dataclass
class Trainer:
    rate: float

    def __call__(self, steps: int) -> bool:
        return steps > self.rate

    def checkpoint(self, steps: int) -> submitit.helpers.DelayedSubmission:
        return submitit.helpers.DelayedSubmission(self, steps)

    def fit(self, steps: int = 3) -> bytes:
        return bytes(steps)


class Box(Generic[T]):
    def __init__(self, value: T) -> None:
        self.value = value

    def get(self) -> T:
        return self.value


def every_executor(
    auto: submitit.AutoExecutor,
    slurm: submitit.SlurmExecutor,
    local: submitit.LocalExecutor,
    debug: submitit.DebugExecutor,
    base: submitit.Executor,
) -> None:
    for executor in (auto, slurm, local, debug, base):
        assert_type(executor.submit(train, "mlp", 0.1, epochs=2), submitit.Job[list[float]])
        executor.submit(train, "mlp", "0.1")  # type: ignore[arg-type]
    auto.submit(train, "mlp", "0.1")  # type: ignore[arg-type]
    slurm.submit(train, "mlp", "0.1")  # type: ignore[arg-type]
    local.submit(train, "mlp", "0.1")  # type: ignore[arg-type]
    debug.submit(train, "mlp", "0.1")  # type: ignore[arg-type]
    base.submit(train, "mlp", "0.1")  # type: ignore[arg-type]


def arguments(executor: submitit.AutoExecutor) -> None:
    executor.submit(train, "mlp", lr=1)
    executor.submit(train, lr=0.1, model="mlp")
    executor.submit(train, "mlp")  # type: ignore[call-arg]
    executor.submit(train, "mlp", 0.1, 3)  # type: ignore[call-arg]
    executor.submit(train, "mlp", 0.1, epochs="3")  # type: ignore[arg-type]
    executor.submit(train, "mlp", 0.1, epoch=3)  # type: ignore[call-arg]
    executor.submit(train, "mlp", 0.1, lr=0.1)  # type: ignore[misc]
    executor.submit(train, None, 0.1)  # type: ignore[arg-type]
    executor.submit(train("mlp", 0.1))  # type: ignore[arg-type]
    executor.submit()  # type: ignore[call-arg]
    executor.submit("train")  # type: ignore[arg-type]


def callables(executor: submitit.AutoExecutor, anything: Any) -> None:
    """Whatever can be called can be submitted, and keeps its types."""
    trainer = Trainer(0.1)
    assert_type(executor.submit(trainer, 3), submitit.Job[bool])
    assert_type(executor.submit(trainer.fit), submitit.Job[bytes])
    assert_type(executor.submit(Trainer, rate=0.1), submitit.Job[Trainer])
    assert_type(executor.submit(Box(3).get), submitit.Job[int])
    assert_type(executor.submit(identity, 3), submitit.Job[int])
    assert_type(executor.submit(lambda: "text"), submitit.Job[str])
    assert_type(executor.submit(nothing).result(), None)
    assert_type(executor.submit(functools.partial(train, "mlp"), 0.1), submitit.Job[list[float]])
    assert_type(executor.submit(anything, 1, b=2).result(), Any)
    assert_type(launch(executor, train, "mlp", lr=0.1), submitit.Job[list[float]])
    launch(executor, train, "mlp", lr="0.1")  # type: ignore[arg-type]
    executor.submit(trainer, "3")  # type: ignore[arg-type]
    executor.submit(trainer.fit, steps="3")  # type: ignore[arg-type]
    executor.submit(Trainer, "0.1")  # type: ignore[arg-type]
    executor.submit(Trainer)  # type: ignore[call-arg]
    executor.submit(lambda: "text", 3)  # type: ignore[arg-type, misc]


def dry_runs(executor: submitit.AutoExecutor) -> None:
    assert_type(executor.dry_run(train, "mlp", lr=0.1).script, str)
    assert_type(executor.dry_run(train, "mlp", lr=0.1).command, list[str])
    executor.dry_run(train, "mlp", "0.1")  # type: ignore[arg-type]
    executor.dry_run(train, "mlp")  # type: ignore[call-arg]
    executor.dry_run(train("mlp", 0.1))  # type: ignore[arg-type]


def batches(executor: submitit.AutoExecutor) -> None:
    with executor.batch(allow_implicit_submissions=True):
        jobs = [executor.submit(identity, text) for text in ("a", "b")]
        executor.submit(identity)  # type: ignore[arg-type]
    assert_type(jobs, list[submitit.Job[str]])
    with executor.batch("yes"):  # type: ignore[arg-type]
        pass
    with executor.batch() as block:
        block.submit(nothing)  # type: ignore[attr-defined]
    with executor.submit(nothing):  # type: ignore[attr-defined]
        pass


def parameters(executor: submitit.AutoExecutor) -> None:
    submitit.AutoExecutor("logs", "slurm", slurm_max_num_timeout=2)
    submitit.AutoExecutor()  # type: ignore[call-arg]
    submitit.AutoExecutor(3)  # type: ignore[arg-type]
    executor.update_parameters({"timeout_min": 3})  # type: ignore[call-arg]
