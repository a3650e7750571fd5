"""States and usage, as the client and another process see them; kills for memory in a control group with a limit."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import submitit
from submitit.local import requests
from submitit.storage.outcome import Footer, read_footer
from support import appetites, calls, cgroups
from support.local_processes import Clients, import_path, put


def _over(job: submitit.Job[object]) -> dict[str, str]:
    calls.wait_for(lambda: job.get_info().get("End"))
    return job.get_info()


def _footer(job: submitit.Job[object]) -> Footer:
    footer = read_footer(job.paths.result_pickle)
    assert footer is not None
    return footer


def _mb(info: dict[str, str]) -> float:
    return int(info["MaxRSS"].removesuffix("K")) / 1024


# ---------------------------------------------------------------- usage


def test_a_short_job_has_figures(executor: submitit.LocalExecutor) -> None:
    job = executor.submit(calls.add, 1, 2)
    assert job.result() == 3
    footer, info = _footer(job), _over(job)
    assert footer.cpu_s is not None
    assert footer.max_rss_mb is not None
    assert 0 < footer.cpu_s <= float(info["TotalCPU"]) < 5
    assert 5 < footer.max_rss_mb <= _mb(info) + 0.1
    assert _mb(info) < 100
    assert info["Start"] <= info["End"]
    assert float(info["Elapsed"]) > 0


def test_memory_and_cpu_of_a_child_count(executor: submitit.LocalExecutor, tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    fat = executor.submit(appetites.hold_in_children, [200], str(tmp_path))
    busy = executor.submit(appetites.burn_in_child, 0.5)
    fat.result()
    busy.result()
    footer = _footer(fat)
    assert footer.max_rss_mb is not None
    assert 200 < footer.max_rss_mb < 300
    assert 200 < _mb(_over(fat)) < 300
    assert 0.5 <= float(_over(busy)["TotalCPU"]) < 5
    assert (_footer(busy).cpu_s or 0) >= 0.5


def test_the_peak_is_that_of_all_processes_together(executor: submitit.LocalExecutor, tmp_path: Path) -> None:
    """None of them is so large, and nobody but the controller has seen them at one time."""
    executor.update_parameters(max_cpus=1)
    job = executor.submit(appetites.hold_in_children, [100, 100], str(tmp_path))
    queued = executor.submit(calls.add, 1, 2)
    calls.wait_for(lambda: (tmp_path / "held0").exists() and (tmp_path / "held1").exists())
    _after_a_look(queued, executor)
    (tmp_path / "go").touch()
    job.result()
    assert 200 < _mb(_over(job)) < 300


def _after_a_look(queued: submitit.Job[object], executor: submitit.LocalExecutor) -> None:
    """Return when the controller has looked at what runs: it sees files that cancel jobs in the same look, just before."""
    root = str(executor.folder)
    # Two of them: the first look may come too early in the life of what runs.
    ids = [queued.job_id, executor.submit(calls.add, 3, 4).job_id]
    for job_id in ids:
        job: submitit.Job[object] = submitit.LocalJob(executor.folder, job_id)
        requests.ask(root, job_id, "cancel")
        calls.wait_for(functools.partial(_is_cancelled, job))


def test_a_child_that_lives_when_the_function_returns_counts(executor: submitit.LocalExecutor, tmp_path: Path) -> None:
    job = executor.submit(appetites.leave_a_child, 100, str(tmp_path))
    job.result()
    size_mb = _footer(job).max_rss_mb
    assert size_mb is not None
    assert 100 < size_mb < 200


def _is_cancelled(job: submitit.Job[object]) -> bool:
    return job.state == "CANCELLED"


# ---------------------------------------------------------------- states

_ASK = """
import json, sys, submitit
for job_id in sys.argv[2:]:
    job = submitit.LocalJob(sys.argv[1], job_id)
    print(json.dumps([job.state, job.get_info()]))
"""


def _seen_elsewhere(folder: Path, job_ids: list[str]) -> list[tuple[str, dict[str, str]]]:
    """State and information of jobs, as another process sees them."""
    printed = subprocess.run(
        [sys.executable, "-c", _ASK, str(folder), *job_ids],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(import_path())},
        capture_output=True,
        check=True,
    ).stdout
    return [tuple(json.loads(line)) for line in printed.splitlines()]


def test_states_as_the_client_and_another_process_see_them(executor: submitit.LocalExecutor, tmp_path: Path) -> None:
    go = str(tmp_path / "go")
    over = {
        "COMPLETED": executor.submit(calls.add, 1, 2),
        "FAILED": executor.submit(calls.out_of_memory_error),
        "CANCELLED": executor.submit(calls.wait_for_file, "/never"),
    }
    executor.update_parameters(timeout_min=0.2 / 60, signal_delay_s=0)
    over["TIMEOUT"] = executor.submit(calls.wait_for_file, "/never")
    executor.update_parameters(timeout_min=10, max_cpus=1)
    calls.wait_for(lambda: over["CANCELLED"].state == "RUNNING")
    over["CANCELLED"].cancel()
    for job in over.values():
        _over(job)
    alive = {
        "RUNNING": executor.submit(calls.touch_and_wait, str(tmp_path / "started"), go),
        "PENDING": executor.submit(calls.add, 1, 2),
    }
    calls.wait_for((tmp_path / "started").exists)
    jobs = {**over, **alive}
    calls.wait_for(lambda: jobs["RUNNING"].state == "RUNNING")
    assert [job.state for job in jobs.values()] == list(jobs)
    infos = [job.get_info() for job in jobs.values()]
    assert [info["State"] for info in infos] == list(jobs)
    assert _seen_elsewhere(executor.folder, [job.job_id for job in jobs.values()]) == [
        *zip(jobs, infos, strict=True),
    ]
    for state, info in zip(jobs, infos, strict=True):
        assert {"Start", "End", "Elapsed", "MaxRSS", "TotalCPU"} & info.keys() == (
            {"Start", "End", "Elapsed", "MaxRSS", "TotalCPU"}
            if state in over
            else {"Start"}
            if state == "RUNNING"
            else set()
        ), state
    assert isinstance(getattr(over["FAILED"].exception(), "__cause__", None), MemoryError)
    put(Path(go), "went")


# ---------------------------------------------------------------- killed for memory


@pytest.fixture
def group() -> Iterator[Path]:
    """A memory control group that is limited to 200 MB."""
    try:
        with cgroups.memory_group(f"submitit-test-{os.getpid()}", 200) as made:
            yield made
    except OSError as error:
        pytest.skip(f"no memory control group can be made here: {error}")


IN_THE_GROUP = """
Path({group!r}, "cgroup.procs").write_text(str(os.getpid()))
from support import appetites
"""


def test_a_job_killed_for_memory(group: Path, clients: Clients) -> None:
    output = clients.run(
        IN_THE_GROUP.format(group=str(group))
        + """
executor.update_parameters(mem_gb=0.125)
job = executor.submit(appetites.take, 400)
error = job.exception()
calls.wait_for(lambda: job.get_info().get("End"))
say(type(error).__name__, job.state, job.get_info()["State"], job.get_info()["MaxRSS"])
say(str(error).replace(chr(10), "|"))
job = executor.submit(calls.touch_and_wait, "started", "never")
os.kill(int(calls.wait_for_file("started")), signal.SIGKILL)
say(type(job.exception()).__name__, job.state)
"""
    )
    first, text, by_hand = output.splitlines()
    name, state, told, size = first.split()
    assert (name, state, told) == ("JobOutOfMemoryError", "OUT_OF_MEMORY", "OUT_OF_MEMORY"), text
    assert 100 * 1024 < int(size.removesuffix("K")) <= 200 * 1024
    for words in (
        "state: OUT_OF_MEMORY",
        "was killed by SIGKILL(-9)",
        f"killed by the kernel for memory, in the control group {group}, which is limited to 200 MB",
        "The job had used 1",
        "MB, and had asked for 0.125 GB (mem_gb)",
        "ReqMem=128M",
    ):
        assert words in text
    assert by_hand == "UncompletedJobError FAILED", "nothing was counted for this one"
    job = clients.job("1")
    assert (job.state, job.get_info()["State"]) == ("OUT_OF_MEMORY", "OUT_OF_MEMORY")
    assert isinstance(job.exception(), submitit.JobOutOfMemoryError)


def test_a_rank_killed_for_memory_while_the_others_run(group: Path, clients: Clients) -> None:
    output = clients.run(
        IN_THE_GROUP.format(group=str(group))
        + """
executor.update_parameters(tasks_per_node=2)
job = executor.submit(appetites.one_rank_takes, 1, 400, "go")
error = job.exception()
say(type(error).__name__, "task 1 was killed by the kernel for memory" in str(error), job.state)
Path("go").write_text("went")
say(job.task(0).result())
calls.wait_for(lambda: job.get_info().get("End"))
say(job.state)
"""
    )
    assert output.splitlines() == ["JobOutOfMemoryError True RUNNING", "went", "OUT_OF_MEMORY"]
