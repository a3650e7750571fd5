"""Where tasks are forked from: what it has loaded for them, what it has not, and what becomes of jobs when it dies."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import submitit
from submitit.local import connection, forked, processes, tasks
from support import calls
from support.local_processes import Clients

HEAVY = """
import os
with open({log!r}, "a") as file:
    file.write(f"{{os.getpid()}}\\n")
VALUE = 7
"""


def nurseries() -> list[int]:
    current = connection.current()
    assert current is not None
    found = processes.children(current.controller)
    return [pid for pid in found if "submitit-local-nursery" in processes.command_line(pid)]


def where() -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "heavy": getattr(sys.modules.get("heavy"), "VALUE", None),
        "variables": dict(os.environ),
    }


def level() -> int:
    return logging.getLogger("submitit").level


def own_command_line() -> list[str]:
    return processes.command_line(os.getpid())


def leave_a_file_in_a_module(path: str, how: str) -> None:
    """Things that the end of an interpreter takes in its stride."""
    import atexit
    import gc
    import types

    class Unhashable(type):
        def __eq__(cls, other: object) -> bool:
            return cls is other

        __hash__ = None  # type: ignore[assignment]

    keeper: Any = types.ModuleType("keeper")
    sys.modules["keeper"] = keeper
    keeper.file = open(path, "w")  # noqa: SIM115 - it stays open
    keeper.file.write("written")
    if how == "types without a hash":
        keeper.thing = Unhashable("Thing", (), {})()
    elif how == "frozen objects":
        gc.freeze()
    elif how == "an exit function that raises":
        atexit.register(fail_at_exit)
    else:
        sys.excepthook = fail_at_exit
        raise ValueError(how)


def fail_at_exit(*_: object) -> None:
    raise RuntimeError("on purpose")


for _function in (where, level, own_command_line, leave_a_file_in_a_module, fail_at_exit):
    _function.__module__ = "__main__"  # sent by value: jobs do not have this directory


@pytest.fixture
def heavy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module that is seen to be loaded; the file in which it says so."""
    library = tmp_path / "library"
    library.mkdir()
    log = tmp_path / "loaded"
    (library / "heavy.py").write_text(HEAVY.format(log=str(log)))
    monkeypatch.syspath_prepend(str(library))
    yield log
    sys.modules.pop("heavy", None)


def test_modules_are_loaded_once_for_all_tasks(tmp_path: Path, heavy: Path) -> None:
    executor = submitit.AutoExecutor(tmp_path / "jobs", cluster="local")
    assert executor.submit(where).result()["heavy"] is None
    executor.update_parameters(local_preload=["heavy"])
    seen = [job.result() for job in executor.map_array(lambda _: where(), range(4))]
    assert [task["heavy"] for task in seen] == [7] * 4
    assert len({task["pid"] for task in seen}) == 4
    (loaded_by,) = heavy.read_text().split()
    assert {task["parent"] for task in seen} == {int(loaded_by)}
    assert int(loaded_by) in nurseries()


def test_what_modules_look_at_when_they_are_loaded_is_right(
    tmp_path: Path, heavy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = submitit.AutoExecutor(tmp_path / "jobs", cluster="local")
    executor.update_parameters(local_preload=["heavy"])
    parents: list[int] = []
    for threads in ("3", "5", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        monkeypatch.setenv("WHATEVER", str(len(parents)))
        task = executor.submit(where).result()
        assert task["variables"]["OMP_NUM_THREADS"] == threads
        assert task["variables"]["WHATEVER"] == str(len(parents))
        parents.append(task["parent"])
        assert processes.environment(task["parent"])["OMP_NUM_THREADS"] == threads
    assert parents[0] == parents[2] != parents[1]


def test_what_cannot_be_loaded_is_said_and_does_no_harm(tmp_path: Path, heavy: Path) -> None:
    executor = submitit.AutoExecutor(tmp_path / "jobs", cluster="local")
    executor.update_parameters(local_preload=["no_such_module", "heavy"])
    job = executor.submit(where)
    assert job.result()["heavy"] == 7
    stderr = job.stderr()
    assert stderr is not None
    assert "could not preload no_such_module: ModuleNotFoundError: No module named 'no_such_module'" in stderr


def test_a_module_that_kills_whoever_loads_it_fails_the_jobs_that_asked_for_it(tmp_path: Path, heavy: Path) -> None:
    Path(heavy.parent, "library", "deadly.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    executor = submitit.AutoExecutor(tmp_path / "jobs", cluster="local")
    executor.update_parameters(local_preload=["deadly"])
    with executor.batch():
        jobs = [executor.submit(where) for _ in range(2)]
    for job in jobs:
        error = job.exception()
        assert isinstance(error, submitit.core.utils.UncompletedJobError)
        assert "was killed by SIGSEGV(-11), loading deadly" in str(error)
        assert job.state == "FAILED"
    executor.update_parameters(local_preload=["heavy"])
    assert executor.submit(where).result()["heavy"] == 7


def test_preload_has_to_name_modules(tmp_path: Path) -> None:
    executor = submitit.AutoExecutor(tmp_path / "jobs", cluster="local")
    for wrong in ("numpy", [1]):
        with pytest.raises(ValueError, match="preload has to be a list of names of modules"):
            executor.update_parameters(local_preload=wrong)


def test_no_more_than_a_few_are_kept(tmp_path: Path, heavy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executor = submitit.AutoExecutor(tmp_path / "jobs", cluster="local")
    executor.update_parameters(local_preload=["heavy"])
    for threads in range(7):
        monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
        assert executor.submit(where).result()["heavy"] == 7
    calls.wait_for(lambda: len(nurseries()) <= 4)


def test_jobs_of_a_nursery_that_is_killed_are_lost_and_the_others_run(tmp_path: Path) -> None:
    executor = submitit.AutoExecutor(tmp_path / "jobs", cluster="local")
    executor.update_parameters(local_max_cpus=1)
    started = tmp_path / "started"
    with executor.batch():
        running = executor.submit(calls.touch_and_wait, str(started), str(tmp_path / "never"))
        waiting = executor.submit(calls.add, 1, 2)
    calls.wait_for(started.exists)
    (killed,) = [pid for pid in nurseries() if not processes.environment(pid).get("OMP_NUM_THREADS")][:1]
    os.kill(killed, signal.SIGKILL)
    error = running.exception()
    assert isinstance(error, submitit.core.utils.UncompletedJobError)
    assert f"({killed}) was killed by SIGKILL(-9)" in str(error)
    assert running.state == "NODE_FAIL"
    assert waiting.result() == 3
    calls.wait_for(lambda: killed not in nurseries())


@pytest.mark.parametrize("name, value", [("PYTHONHASHSEED", "7"), ("LC_ALL", "C"), ("MALLOC_ARENA_MAX", "1")])
def test_what_an_interpreter_reads_at_its_start_is_obeyed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    executor = submitit.AutoExecutor(tmp_path / "jobs", cluster="local")
    command = executor.submit(own_command_line)
    assert "submitit-local-nursery" in command.result()
    monkeypatch.setenv(name, value)
    assert executor.submit(own_command_line).result()[-2:-1] == ["submitit.core._submit"]


def test_an_interpreter_may_be_called_by_a_roundabout_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is where a program was started as ``../env/bin/python``."""
    program = Path(sys.executable)
    monkeypatch.setattr(sys, "executable", f"{program.parent}/../{program.parent.name}/{program.name}")
    executor = submitit.AutoExecutor(tmp_path / "jobs", cluster="local")
    assert "submitit-local-nursery" in executor.submit(own_command_line).result()


def test_the_level_of_the_log_is_that_of_the_submission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though tasks have their log's handlers from the nursery, which may have begun with another level."""
    executor = submitit.AutoExecutor(tmp_path / "jobs", cluster="local")
    monkeypatch.delenv("SUBMITIT_LOG_LEVEL", raising=False)
    assert executor.submit(level).result() == logging.INFO
    monkeypatch.setenv("SUBMITIT_LOG_LEVEL", "ERROR")
    assert executor.submit(level).result() == logging.ERROR


@pytest.mark.parametrize(
    "how", ["types without a hash", "frozen objects", "an exit function that raises", "a hook that raises"]
)
def test_what_a_module_holds_open_is_written_whatever_else_is_wrong(tmp_path: Path, how: str) -> None:
    executor = submitit.AutoExecutor(tmp_path / "jobs", cluster="local")
    job = executor.submit(leave_a_file_in_a_module, str(tmp_path / "kept"), how)
    calls.wait_for(lambda: job.get_info().get("End"))
    assert (tmp_path / "kept").read_text() == "written"


@pytest.mark.parametrize("end", ["cancel", "time-out"])
def test_a_module_that_takes_for_ever_does_not_keep_the_job(tmp_path: Path, heavy: Path, end: str) -> None:
    Path(heavy.parent, "library", "endless.py").write_text(
        f"open({str(heavy)!r}, 'a').close()\nimport time\ntime.sleep(3600)\n"
    )
    executor = submitit.AutoExecutor(tmp_path / "jobs", cluster="local")
    executor.update_parameters(
        local_preload=["endless"], local_max_jobs=1, local_timeout_min=0.03 if end == "time-out" else 5
    )
    job = executor.submit(where)
    calls.wait_for(heavy.exists)
    if end == "cancel":
        job.cancel()
    calls.wait_for(lambda: job.get_info().get("End"))
    assert job.state == ("CANCELLED" if end == "cancel" else "TIMEOUT")
    executor.update_parameters(local_preload=["heavy"], local_timeout_min=5)
    assert executor.submit(where).result()["heavy"] == 7
    for pid in nurseries():
        if "endless" in processes.command_line(pid):
            os.kill(pid, signal.SIGKILL)


def test_a_variable_that_a_module_removes_is_gone_for_all(
    tmp_path: Path, heavy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(heavy.parent, "library", "tidy.py").write_text("import os\nos.environ.pop('UNTIDY', None)\n")
    executor = submitit.AutoExecutor(tmp_path / "jobs", cluster="local")
    executor.update_parameters(local_preload=["tidy"])
    monkeypatch.setenv("UNTIDY", "1")
    assert executor.submit(where).result()["parent"]
    monkeypatch.delenv("UNTIDY")
    assert "UNTIDY" not in executor.submit(where).result()["variables"]


def test_a_process_that_never_became_a_task_has_not_succeeded() -> None:
    child = tasks.Child(forked.World(), ())
    child.dismiss()
    assert os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1]) == tasks.NOT_RUNNABLE


def test_an_exit_code_of_a_multiple_of_256_is_no_success(tmp_path: Path) -> None:
    job = submitit.AutoExecutor(tmp_path / "jobs", cluster="local").submit(calls.exit_with, 256)
    calls.wait_for(lambda: job.get_info().get("End"))
    assert job.get_info()["State"] == "FAILED"


FEW_DESCRIPTORS = """
import resource
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
executor.update_parameters(tasks_per_node=60)
say(set(executor.submit(resource.getrlimit, resource.RLIMIT_NOFILE).results()) == {(128, hard)})
"""


def test_a_job_of_many_tasks_is_started_where_few_descriptors_are_allowed(clients: Clients) -> None:
    assert clients.run(FEW_DESCRIPTORS) == "True\n"


@pytest.mark.long
def test_hundreds_of_jobs_start_at_once(tmp_path: Path) -> None:
    """More than a line between two processes holds messages."""
    executor = submitit.AutoExecutor(tmp_path / "jobs", cluster="local")
    executor.update_parameters(local_max_cpus=5000)
    jobs = executor.map_array(calls.add, range(500), range(500))
    assert [job.result() for job in jobs] == [2 * number for number in range(500)]
