"""What type checkers must accept and reject of standard futures; see `api.py` for how it is said."""

from __future__ import annotations

import asyncio
import concurrent.futures

from typing_extensions import assert_type

import submitit


def train(model: str, lr: float = 0.1) -> list[float]:
    return [lr] if model else []


def standard(executor: concurrent.futures.Executor) -> concurrent.futures.Future[list[float]]:
    """What takes any executor takes ours."""
    return executor.submit(train, "mlp")


def futures(auto: submitit.AutoExecutor, local: submitit.LocalExecutor) -> None:
    standard(auto.as_futures())
    standard(auto)  # type: ignore[arg-type]
    with local.as_futures() as executor:
        future = executor.submit(train, "mlp", lr=0.1)
        same: concurrent.futures.Future[list[float]] = future
        assert_type(future.result(timeout=3), list[float])
        assert_type(future.job, submitit.Job[list[float]])
        assert_type(concurrent.futures.wait([future]).done.pop().result(), list[float])
        assert_type([each.result() for each in concurrent.futures.as_completed([future])], list[list[float]])
        assert_type(list(executor.map(train, ["mlp"], [0.1], timeout=3, chunksize=10)), list[list[float]])
        executor.shutdown(wait=False, cancel_futures=True)
        executor.submit(train, 3)  # type: ignore[arg-type]
        executor.submit(train)  # type: ignore[call-arg]
        executor.submit(train, "mlp", rate=0.1)  # type: ignore[call-arg]
        executor.submit(train("mlp"))  # type: ignore[arg-type]
        executor.shutdown(cancel=True)  # type: ignore[call-arg]
        number: int = future.result()  # type: ignore[assignment]
        print(same, number)


async def asynchronous(auto: submitit.AutoExecutor) -> None:
    executor = auto.as_futures()
    assert_type(await asyncio.wrap_future(executor.submit(train, "mlp")), list[float])
    assert_type(await asyncio.get_running_loop().run_in_executor(executor, train, "mlp"), list[float])
