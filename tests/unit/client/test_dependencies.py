"""Executors whose jobs wait for nobody, and calls in which nothing is looked for."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

import submitit
from submitit import result_of
from submitit.orchestrator import dependencies
from submitit.storage.journal import Journal
from support import calls, dependents
from support.backends import DEBUG, LOCAL, PLUGIN

#: JSON, much of it nearly what a journal holds.
ODD = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["1", "2", "", "/x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=6,
)


@pytest.mark.usefixtures("queue_plugin")
def test_an_executor_that_knows_nothing_of_it(tmp_path: Path) -> None:
    executor = PLUGIN.executor(tmp_path / "jobs")
    job = DEBUG.executor(tmp_path / "debug").submit(calls.add, 1, 2)
    words = f"A job of the 'queue' executor cannot wait for others \\({job.job_id}\\): wait for them first"
    with pytest.raises(ValueError, match=words):
        executor.update_parameters(after=job)
    with pytest.raises(ValueError, match=words):
        executor.submit(calls.add, result_of(job), 1)
    assert job.result() == 3
    executor.update_parameters(after=None, after_any=[])


def test_a_misspelt_parameter(tmp_path: Path) -> None:
    with pytest.raises(NameError, match="Did you mean 'after_any'"):
        LOCAL.executor(tmp_path / "jobs", after_ayn=[])


def test_debug_jobs_in_a_long_chain(tmp_path: Path) -> None:
    executor = DEBUG.executor(tmp_path / "jobs")
    job = executor.submit(calls.add, 0, 1)
    for _ in range(1500):  # nobody else holds what each of them waits for
        job = executor.submit(calls.add, result_of(job), 1)
    assert job.result() == 1501
    cancelled = executor.submit(calls.add, 1, 2)
    after = executor.submit(calls.add, result_of(cancelled), 2)
    cancelled.cancel()
    assert type(dependents.first_failure(after.exception())) is submitit.JobCancelledError


def test_nothing_is_loaded_for_a_call_that_waits_for_nobody(tmp_path: Path) -> None:
    program = f"""
import sys, submitit
executor = submitit.AutoExecutor({str(tmp_path / "jobs")!r}, cluster="local")
executor.update_parameters(timeout_min=1)
assert executor.submit(sum, [1, 2]).result() == 3
assert executor.submit(eval, "'submitit.orchestrator.dependencies' in __import__('sys').modules").result() is False
print(*(name for name in sys.modules if "dependencies" in name))
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, text=True)
    assert done.stdout.strip() == ""


@hypothesis.given(st.fixed_dictionaries({}, optional=dict.fromkeys(("after", "after_any", "after_own", "tasks"), ODD)))
def test_what_a_journal_says_of_others_may_be_anything(fields: dict[str, Any]) -> None:
    """It may be damaged, or be anybody's in a shared folder: who asks why a job failed is told of what can be read."""
    with tempfile.TemporaryDirectory() as folder:
        line = {"event": "submitted", "folder": folder, "jobs": ["1", "2"], "payload": "p", **fields}
        Journal(f"{folder}/.submitit/journal/client.jsonl").append(line)
        job: submitit.LocalJob[Any] = submitit.LocalJob(folder, "2")
        found = dependencies.upstream_jobs(job)
        assert set(found) == {"after", "after_any"}
        assert all(isinstance(one.job_id, str) for one in found["after"])
