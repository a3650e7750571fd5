"""The joblib backend over jobs that the tests end by hand; how joblib comes to know of it."""

from __future__ import annotations

import subprocess
import sys
import threading
from itertools import chain
from pathlib import Path
from typing import Any

import joblib
import pytest
from joblib import Parallel, delayed

from submitit.client import joblib as backend
from submitit.client import packed
from support import calls
from support.fakes import FakeExecutor, FakeJob


class Kept(FakeExecutor):
    """An executor that keeps the jobs that it has made, and ends them when it is told to."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.jobs: list[FakeJob[Any]] = []

    def _internal_process_submissions(self, delayed_submissions: Any) -> Any:
        jobs: Any = super()._internal_process_submissions(delayed_submissions)
        self.jobs += jobs
        return jobs

    def end(self, count: int) -> None:
        for submission, job in list(zip(chain(*self.sent), self.jobs, strict=True))[:count]:
            if not job.done():
                job.finish(submission.result())


def test_what_joblib_hands_over_is_one_array_and_no_more_than_n_jobs_are_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "GATHERING_S", 3600)
    executor = Kept(tmp_path)
    values: list[Any] = []
    submit = backend._Call.submit

    def submit_slowly(call: Any, batch: Any, callback: Any) -> None:
        """The thread of the call has seen all that came before."""
        if threading.current_thread() is using:
            calls.wait_for(call._news.empty)
        submit(call, batch, callback)

    monkeypatch.setattr(backend._Call, "submit", submit_slowly)

    def use() -> None:
        with joblib.parallel_config(backend="submitit", executor=executor, n_jobs=4):
            values.extend(Parallel(batch_size=1)(delayed(calls.add)(number, 1) for number in range(9)))

    using = threading.Thread(target=use, daemon=True)
    using.start()
    calls.wait_for(lambda: executor.jobs)
    assert len(executor.sent[0]) == 4
    executor.end(2)
    calls.wait_for(lambda: len(executor.jobs) == 6)
    while using.is_alive():
        executor.end(len(executor.jobs))
        using.join(0.01)
    assert values == list(range(1, 10))


def test_calls_in_a_row_are_made_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    made: list[Any] = [(max, (1, 2), {}), (dict, (), {}), (dict, ([("a", 1)],), {"b": 2, "fn": 3}), (abs, (-4,), {})]
    shapes, values = packed.flat(made)
    seconds, results = packed.call_flat(shapes, 1, *values)
    assert results == [2, {}, {"a": 1, "b": 2, "fn": 3}, 4]
    assert seconds >= 0


def test_joblib_knows_the_backend_of_an_executor_that_is_made_after_its_import(tmp_path: Path) -> None:
    program = """
        import sys, submitit
        executor = submitit.DebugExecutor(sys.argv[1])
        assert "joblib" not in sys.modules
        import joblib
        assert "submitit" not in joblib.parallel.BACKENDS
        submitit.DebugExecutor(sys.argv[1])
        with joblib.parallel_config(backend="submitit", executor=executor):
            print(joblib.Parallel()(joblib.delayed(abs)(number) for number in (-1, 2)))
    """
    code = "\n".join(line.strip() if "print" not in line else "    " + line.strip() for line in program.splitlines())
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[1, 2]\n", "")


@pytest.mark.parametrize("given", [{}, {"executor": "slurm"}])
def test_without_an_executor_it_says_what_it_takes(given: dict[str, Any]) -> None:
    with joblib.parallel_config(backend="submitit", **given), pytest.raises(TypeError, match="executor=executor"):
        Parallel(n_jobs=2)([delayed(abs)(1)])
