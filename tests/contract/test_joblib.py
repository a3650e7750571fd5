"""``joblib.Parallel`` over every executor: its calls are jobs."""

from __future__ import annotations

import operator
import os
from pathlib import Path
from typing import Any

import joblib
import pytest
from joblib import Parallel, delayed

import submitit
from support import calls
from support.backends import Backend

pytestmark = pytest.mark.needs("distinct")


def _job_of(number: int) -> tuple[int, str, int]:
    """The number, the job that this is, and on how many CPUs joblib would run what is called in it."""
    return number, submitit.JobEnvironment().job_id, joblib.effective_n_jobs(-1)


def _fail_when(started: str) -> None:
    calls.wait_for_file(started)
    raise ValueError("as asked")


for function in (_job_of, _fail_when):
    function.__module__ = "__main__"


@pytest.mark.needs("separate")
def test_calls_are_jobs_and_their_values_come_in_order(executor: submitit.AutoExecutor) -> None:
    with joblib.parallel_config(backend="submitit", executor=executor):
        values = Parallel(n_jobs=3)(delayed(_job_of)(number) for number in range(5))
    assert [number for number, *_ in values] == list(range(5))
    assert len({job for _, job, _ in values}) == 5
    assert {cpus for *_, cpus in values} == {1}


def test_a_call_that_raises_ends_the_others(
    backend: Backend, folder: Path, executor: submitit.AutoExecutor, tmp_path: Path
) -> None:
    started, never = str(tmp_path / "started"), str(tmp_path / "never")
    several = [delayed(calls.touch_and_wait)(started, never), delayed(_fail_when)(started)]
    if not backend.separate:
        several = [delayed(calls.add)(1, 2), delayed(calls.fail)("as asked")]
    with joblib.parallel_config(backend="submitit", executor=executor), pytest.raises(ValueError, match="as asked"):
        Parallel(n_jobs=2)(several)
    if backend.separate and backend.prompt:
        calls.wait_for(lambda: _states(backend, folder) == ["CANCELLED", "FAILED"])
    Path(never).write_text("it ends the sooner")


def _states(backend: Backend, folder: Path) -> list[str]:
    """What became of the jobs below ``folder``."""
    ids = sorted(path.name for path in folder.parent.iterdir() if path.name.isdigit())
    return [backend.find(folder, job_id).state for job_id in ids]


def _wait_for_the_end_of(pid: int) -> None:
    calls.wait_for(lambda: not Path(f"/proc/{pid}").exists())


@pytest.mark.needs("separate")
def test_a_grid_search_of_scikit_learn(executor: submitit.AutoExecutor, folder: Path) -> None:
    from sklearn.datasets import load_iris
    from sklearn.model_selection import GridSearchCV
    from sklearn.svm import SVC

    measures, kinds = load_iris(return_X_y=True)
    with joblib.parallel_config(backend="submitit", executor=executor):
        search = GridSearchCV(SVC(), {"C": [0.001, 1.0]}, cv=2, n_jobs=2).fit(measures, kinds)
    assert search.best_params_ == {"C": 1.0}
    here = GridSearchCV(SVC(), {"C": [0.001, 1.0]}, cv=2).fit(measures, kinds)
    assert list(search.cv_results_["mean_test_score"]) == list(here.cv_results_["mean_test_score"])
    assert len(list(folder.parent.glob("*/*_result.pkl"))) == 4


# ---------------------------------------------------------------- where a job begins within milliseconds


@pytest.mark.needs("prompt", "separate")
@pytest.mark.parametrize("how", ["generator", "generator_unordered"])
def test_results_come_as_a_generator_which_may_be_given_up(
    backend: Backend, folder: Path, executor: submitit.AutoExecutor, tmp_path: Path, how: str
) -> None:
    go = tmp_path / "go"
    several = [delayed(calls.add)(1, 2), delayed(calls.touch_and_wait)(str(tmp_path / "started"), str(go))]
    with joblib.parallel_config(backend="submitit", executor=executor):
        values = Parallel(n_jobs=2, return_as=how)(several)
    assert next(values) == 3
    calls.wait_for((tmp_path / "started").exists)
    with pytest.warns(UserWarning, match="have been cancelled"):
        values.close()
    calls.wait_for(lambda: _states(backend, folder) == ["COMPLETED", "CANCELLED"])
    go.write_text("it ends the sooner")


@pytest.mark.needs("prompt", "separate")
def test_a_time_out_cancels_the_jobs(
    backend: Backend, folder: Path, executor: submitit.AutoExecutor, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    waits = delayed(calls.touch_and_wait)(str(tmp_path / "started"), str(go))
    with joblib.parallel_config(backend="submitit", executor=executor), pytest.raises(joblib.parallel.TimeoutError):
        Parallel(n_jobs=2, timeout=0.2)([waits])
    calls.wait_for(lambda: _states(backend, folder) == ["CANCELLED"])
    go.write_text("it ends the sooner")


def _nested(number: int) -> tuple[int, set[int]]:
    pids = joblib.Parallel(n_jobs=-1)(joblib.delayed(os.getpid)() for _ in range(4))
    return joblib.effective_n_jobs(-1), {number, os.getpid(), *pids}


_nested.__module__ = "__main__"


@pytest.mark.needs("prompt", "separate")
def test_a_job_uses_as_many_cpus_as_it_has_asked_for(backend: Backend, folder: Path) -> None:
    executor = backend.executor(folder, cpus_per_task=2)
    with joblib.parallel_config(backend="submitit", executor=executor):
        ((cpus, pids),) = Parallel(n_jobs=2)([delayed(_nested)(os.getpid())])
    assert cpus == min(2, len(os.sched_getaffinity(0)))
    for pid in pids - {os.getpid()}:
        _wait_for_the_end_of(pid)


@pytest.mark.needs("prompt", "separate")
def test_cheap_calls_are_made_several_in_a_job(executor: submitit.AutoExecutor, folder: Path) -> None:
    with joblib.parallel_config(backend="submitit", executor=executor, n_jobs=2):
        assert Parallel()(delayed(operator.neg)(number) for number in range(400)) == [-n for n in range(400)]
    assert len(list(folder.parent.glob("*/*_result.pkl"))) < 100


@pytest.mark.needs("prompt", "separate")
def test_what_many_calls_are_about_is_written_once(executor: submitit.AutoExecutor, tmp_path: Path) -> None:
    large = os.urandom(1 << 20)
    with joblib.parallel_config(backend="submitit", executor=executor):
        assert Parallel(n_jobs=8)(delayed(_length)(large, n) for n in range(8)) == [1 << 20] * 8
    payloads = list((tmp_path / "jobs" / ".submitit" / "payloads").iterdir())
    assert sum(path.stat().st_size for path in payloads) < 3 << 20


def _length(value: bytes, number: int) -> int:
    return len(value)


_length.__module__ = "__main__"


# ---------------------------------------------------------------- where it cannot be


@pytest.mark.needs("prompt")
def test_one_job_is_none(executor: submitit.AutoExecutor) -> None:
    with joblib.parallel_config(backend="submitit", executor=executor):
        assert Parallel(n_jobs=1)([delayed(os.getpid)()]) == [os.getpid()]


@pytest.mark.needs("prompt", "separate")
def test_what_cannot_be_submitted_is_raised(backend: Backend, folder: Path) -> None:
    import threading

    with joblib.parallel_config(backend="submitit", executor=backend.executor(folder)):
        parallel = Parallel(n_jobs=2)
    with pytest.raises(TypeError, match="lock"):
        parallel([delayed(calls.add)(1, threading.Lock())])
    with joblib.parallel_config(backend="submitit", executor=backend.executor(folder, tasks_per_node=2)):
        parallel = Parallel(n_jobs=2)
    with pytest.raises(ValueError, match="tasks_per_node=1"):
        parallel([delayed(calls.add)(1, 2)])


def test_n_jobs(backend: Backend, folder: Path) -> None:
    number = f"{backend.name}_array_parallelism"
    executor = backend.executor(folder, **({number: 5} if backend.waiting else {}))
    if backend.name == "local":
        executor.update_parameters(local_max_cpus=8)

    def effective(n_jobs: Any) -> int:
        with joblib.parallel_config(backend="submitit", executor=executor, n_jobs=n_jobs):
            return int(joblib.effective_n_jobs(None))

    expected = [1, 1, 1, 1, 1] if backend.name == "debug" else [1, 3, 5, 4, 20]
    assert [effective(n_jobs) for n_jobs in (1, 3, -1, -2, 20)] == expected
    with pytest.raises(ValueError, match="n_jobs == 0"):
        effective(0)
