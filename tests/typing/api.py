"""What type checkers see of the public names. Nothing here is run: `make lint` has mypy and pyright check it, both strict.

A line that they must reject says so by `type: ignore`, with mypy's word for the reason; one that either of them accepts all the
same is an error there, as is any other line that either rejects. So the two agree, line by line.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any

import submitit
from submitit import helpers
from submitit.core import core, utils


def add(a: int, b: int = 0) -> int:
    return a + b


def name(number: int) -> str:
    return str(number)


def executors(executor: submitit.AutoExecutor) -> None:
    job: submitit.Job[int] = executor.submit(add, 1, b=2)
    value: int = job.result()
    values: list[int] = job.results()
    text: str = job.result()  # type: ignore[assignment]
    executor.submit(add, "1")  # type: ignore[arg-type]
    executor.submit(add, 1, c=2)  # type: ignore[call-arg]
    executor.submit(add(1, 2))  # type: ignore[arg-type]
    executor.submit(add)  # type: ignore[call-arg]
    later: submitit.Job[int] = executor.submit(add, submitit.result_of(job))
    executor.submit(len, submitit.result_of(job))  # type: ignore[arg-type]
    all_later: list[submitit.Job[int]] = executor.map_array(add, [submitit.result_of(later)])

    jobs: list[submitit.Job[str]] = executor.map_array(name, [1, 2])
    print((submitit.usage(jobs)[0]["max_rss_mb"] or 0.0) + 1.0)
    print(submitit.usage("logs")[0]["memory"])  # type: ignore[typeddict-item]
    executor.map_array(name, 3)  # type: ignore[call-overload]
    others: list[submitit.Job[int]] = executor.submit_array([lambda: 1, lambda: 2])
    with executor.batch(allow_implicit_submissions=True):
        print(job, value, values, text, jobs, others, all_later)
    executor.update_parameters(timeout_min=3, slurm_partition="x", slurm_wckey=submitit.UNSET)
    script: str = executor.dry_run(add, 1, b=2).script
    command: list[str] = submitit.LocalExecutor("x").dry_run(add, 1).command
    executor.dry_run(add, "1")  # type: ignore[arg-type]
    submitit.throttle(jobs, 3)
    submitit.throttle(jobs, "3")  # type: ignore[arg-type]
    retry = submitit.Retry(submitit.MoreMemory(3, up_to_gb=64), 1, exception=(OSError, "a.B"), killed=1, delay_s=30)
    limit: float = retry.out_of_memory.up_to_gb
    submitit.Retry(exception=OSError, timeout="1")  # type: ignore[arg-type]
    executor.update_parameters(retry=retry)
    again: list[submitit.Job[str]] = executor.retry_failed(jobs, timeout_min=2)
    resubmitted: submitit.Job[str] = again[0].resubmit(timeout_min=limit)
    reason: str = resubmitted.attempts[-1].again
    print(reason)
    print(script, command)
    executor.no_such_method()  # type: ignore[attr-defined]


def jobs(job: submitit.Job[float]) -> None:
    task: submitit.Job[float] = job.task(0)
    same: submitit.Job[float] = job.cancel_at_deletion()
    error: submitit.UncompletedJobError | None = job.exception()
    identity: tuple[str, int | None, int, str] = (job.job_id, job.task_id, job.num_tasks, job.state)
    logs: str | None = job.stdout()
    paths: utils.JobPaths = job.paths
    result: Path = paths.result_pickle
    call: utils.DelayedSubmission = job.submission()
    wider: submitit.Job[object] = job  # covariant
    print(task, same, error, identity, logs, result, call, wider)


async def asynchronous(job: submitit.Job[bytes]) -> bytes:
    proxy: core.AsyncJobProxy[bytes] = job.awaitable()
    await proxy.wait()
    many: list[bytes] = await proxy.results()
    futures: Iterator[Awaitable[bytes]] = proxy.results_as_completed()
    print(many, futures)
    return await proxy.result()


def helping(jobs: list[submitit.Job[int]]) -> None:
    for job in helpers.as_completed(jobs, timeout=3):
        value: int = job.result()
        print(value)
    helpers.monitor_jobs(jobs)
    sequence = helpers.FunctionSequence(verbose=True)
    sequence.add(add, 1)
    resumed: helpers.DelayedSubmission = sequence.checkpoint()
    environment: submitit.JobEnvironment = submitit.JobEnvironment()
    torch: helpers.TorchDistributedEnvironment = helpers.TorchDistributedEnvironment().export()
    port: int = torch.master_port
    print(resumed, environment.global_rank, port)
    helpers.no_such_helper()  # type: ignore[attr-defined]
    submitit.no_such_name()  # type: ignore[attr-defined]
    utils.no_such_name()  # type: ignore[attr-defined]


class MyJob(submitit.SlurmJob[core.R]):
    """Subclasses stay generic."""


class MyExecutor(submitit.SlurmExecutor):
    """Subclasses override hooks with their types."""

    job_class = MyJob

    @property
    def _submitit_command_str(self) -> str:
        return "time " + super()._submitit_command_str

    def _internal_process_submissions(
        self, delayed_submissions: list[utils.DelayedSubmission]
    ) -> list[submitit.Job[Any]]:
        return super()._internal_process_submissions(delayed_submissions)
