"""Third-party backends: really installed, and what happens when they are broken or there are two of them."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

import submitit
from submitit import plugins
from submitit.core import core, utils
from submitit.storage import journal
from submitit.storage.paths import layout_of
from support import calls
from support.distributions import install, on_path


def queue_executor(folder: Path, **arguments: object) -> submitit.AutoExecutor:
    executor = submitit.AutoExecutor(folder=folder, cluster="queue", **arguments)
    executor.update_parameters(name="sums", timeout_min=7, queue_nice=1, slurm_partition="ignored")
    return executor


@pytest.mark.usefixtures("queue_plugin")
def test_a_job_runs_through_a_third_party_executor(tmp_path: Path) -> None:
    executor = queue_executor(tmp_path / "jobs/%j", queue_greeting="hello from the queue", local_python="ignored")
    assert executor._executor.parameters == {"title": "sums", "minutes": 7, "nice": 1}
    job = executor.submit(calls.add, 1, 2)
    assert type(job).__name__ == "QueueJob"
    assert job.result() == 3
    assert job.state in {"RUNNING", "COMPLETED"}
    calls.wait_for_output(job, "hello from the queue")
    assert job.submission()._timeout_min == 7
    assert job.submission()._timeout_countdown == 3
    files = {str(path.relative_to(tmp_path / "jobs")) for path in (tmp_path / "jobs").rglob("*") if path.is_file()}
    mine = {
        f"{job.job_id}/{job.job_id}{end}"
        for end in ("_submission.sh", "_submitted.pkl", "_0_log.out", "_0_log.err", "_0_result.pkl")
    }
    assert {name for name in files if not name.startswith(".sub")} == mine
    assert not list(layout_of(tmp_path / "jobs").payloads.iterdir())


@pytest.mark.usefixtures("queue_plugin")
def test_a_job_of_a_plugin_knows_its_environment(tmp_path: Path) -> None:
    job = queue_executor(tmp_path / "%j").submit(calls.describe)
    seen = job.result()
    assert seen["job_id"] == job.job_id
    assert seen["num_tasks"] == 1


@pytest.mark.usefixtures("queue_plugin")
def test_a_job_of_a_plugin_has_a_standard_future(tmp_path: Path) -> None:
    with queue_executor(tmp_path / "%j").as_futures() as futures:
        good, bad = futures.submit(calls.add, 1, 2), futures.submit(calls.fail, "as asked")
    assert good.result(0) == 3
    assert isinstance(bad.exception(0), ValueError)


@pytest.mark.usefixtures("queue_plugin")
def test_failures_arrive(tmp_path: Path) -> None:
    executor = queue_executor(tmp_path / "%j")
    failing, killed = executor.map_array(calls.fail, ["as asked"])[0], executor.submit(calls.exit_at_once, 3)
    assert "as asked" in str(failing.exception())
    killed_error = killed.exception()
    assert isinstance(killed_error, utils.UncompletedJobError)
    assert "FAILED" in str(killed_error)


@pytest.mark.usefixtures("queue_plugin")
def test_a_cancelled_job_is_over(tmp_path: Path) -> None:
    started = tmp_path / "started"
    job = queue_executor(tmp_path / "%j").submit(calls.touch_and_wait, str(started), str(tmp_path / "never"))
    calls.wait_for(started.exists)
    job.cancel()
    assert isinstance(job.exception(), utils.UncompletedJobError)
    pid = int(started.read_text())
    calls.wait_for(lambda: not Path(f"/proc/{pid}/stat").exists() or " Z " in Path(f"/proc/{pid}/stat").read_text())


@pytest.mark.usefixtures("queue_plugin")
def test_a_submission_is_noted_in_the_journal(tmp_path: Path) -> None:
    jobs = queue_executor(tmp_path / "%j").map_array(calls.add, [1, 2], [3, 4])
    layout = layout_of(tmp_path)
    record = journal.find_submission(layout, jobs[1].job_id)
    assert record is not None
    assert record["jobs"] == [job.job_id for job in jobs]
    assert record["function"] == "support.calls.add"
    assert record["backend"] == "queue"
    assert record["name"] == "sums"
    assert record["parameters"] == {"title": "sums", "minutes": 7, "nice": 1}
    assert [job.result() for job in jobs] == [4, 6]


@pytest.mark.usefixtures("queue_plugin")
def test_a_refused_submission_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # undone at once: the fixture that set it ends before `monkeypatch` does
    with monkeypatch.context() as patch:
        patch.delenv("SUBMITIT_TEST_QUEUE")
        with pytest.raises(utils.FailedSubmissionError, match="names the directory of the queue") as raised:
            queue_executor(tmp_path / "%j").submit(calls.add, 1, 2)
    assert isinstance(raised.value, utils.FailedJobError)
    assert [path for path in tmp_path.rglob("*") if path.is_file() and "queue_plugin" not in path.parts] == []


def test_the_plugin_is_unknown_without_its_distribution(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="doesn't know any executor named queue"):
        submitit.AutoExecutor(folder=tmp_path, cluster="queue")


BROKEN = "raise ImportError('a library is missing')\n"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_broken_plugin_is_reported_and_survived(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    module = write(tmp_path / "source/broken_backend.py", BROKEN)
    install(tmp_path / "site", "broken-backend", [module], {"executor": "broken_backend:BrokenExecutor"})
    with on_path(tmp_path / "site"), caplog.at_level(logging.WARNING, "submitit"):
        assert set(plugins.get_executors()) >= {"slurm", "local", "debug"}
        (error,) = plugins.load_errors()
        assert error.source == "broken-backend 1.0"
        assert error.entry_point == "executor = broken_backend:BrokenExecutor"
        assert isinstance(error.error, ImportError)
        assert submitit.AutoExecutor(folder=tmp_path).cluster in {"slurm", "local"}
        with pytest.raises(ValueError, match="broken-backend 1.0, because of ImportError: a library is missing"):
            submitit.AutoExecutor(folder=tmp_path, cluster="broken")
    reports = [record.getMessage() for record in caplog.records]
    assert [
        report for report in reports if "broken-backend 1.0" in report and "a library is missing" in report
    ] == reports[:1]


TWIN = """
import submitit
class {name}Executor(submitit.Executor):
    @classmethod
    def name(cls): return "twin"
    @classmethod
    def affinity(cls): return -1
    def _internal_process_submissions(self, delayed_submissions): return []
"""


def test_two_plugins_of_one_name_are_both_named(tmp_path: Path) -> None:
    for name in ("One", "Other"):
        module = write(tmp_path / f"source/{name.lower()}_twin.py", TWIN.format(name=name))
        offers = {"executor": f"{module.stem}:{name}Executor"}
        install(tmp_path / "site", f"{name.lower()}-twin", [module], offers)
    with on_path(tmp_path / "site"):
        expected = r"one_twin.OneExecutor \(of one-twin 1.0\).*other_twin.OtherExecutor \(of other-twin 1.0\)"
        # the one that the installation lists first may be either
        swapped = r"other_twin.OtherExecutor \(of other-twin 1.0\).*one_twin.OneExecutor \(of one-twin 1.0\)"
        for ask in (lambda: submitit.AutoExecutor(folder=tmp_path, cluster="twin"), plugins.get_executors):
            with pytest.raises(RuntimeError, match=f"{expected}|{swapped}"):
                ask()
        # what is named and built in does not care
        assert submitit.AutoExecutor(folder=tmp_path, cluster="local")._executor.name() == "local"


def test_a_plugin_cannot_take_the_place_of_a_built_in(tmp_path: Path) -> None:
    module = write(tmp_path / "source/false_local.py", TWIN.format(name="False").replace('"twin"', '"local"'))
    install(tmp_path / "site", "false-local", [module], {"executor": "false_local:FalseExecutor"})
    with on_path(tmp_path / "site"):
        assert plugins.executor_class("local") is submitit.LocalExecutor
        with pytest.raises(
            RuntimeError, match=r"LocalExecutor \(of submitit itself\).*FalseExecutor \(of false-local 1.0\)"
        ):
            plugins.get_executors()


def test_an_entry_point_of_another_kind_is_reported(tmp_path: Path) -> None:
    module = write(tmp_path / "source/odd_backend.py", TWIN.format(name="Odd"))
    install(tmp_path / "site", "odd-backend", [module], {"backend": "odd_backend:OddExecutor"})
    with on_path(tmp_path / "site"):
        assert "twin" not in plugins.get_executors()
        assert "must be named executor or job_environment" in str(plugins.load_errors()[0].error)


SENTINEL = """
import pathlib
pathlib.Path({path!r}).touch()
import submitit
class SentinelExecutor(submitit.Executor):
    def _internal_process_submissions(self, delayed_submissions): return []
"""


@pytest.mark.parametrize("cluster", ["local", "debug"])
def test_no_plugin_is_loaded_for_a_built_in_cluster_nor_in_its_jobs(tmp_path: Path, cluster: str) -> None:
    loaded = tmp_path / "loaded"
    module = write(tmp_path / "source/sentinel.py", SENTINEL.format(path=str(loaded)))
    install(tmp_path / "site", "sentinel", [module], {"executor": "sentinel:SentinelExecutor"})
    program = f"""
import sys, submitit
executor = submitit.AutoExecutor(folder={str(tmp_path / "jobs")!r}, cluster={cluster!r}, slurm_max_num_timeout=2)
executor.update_parameters(timeout_min=2, slurm_time=3, local_setup=None)
def job():
    return submitit.JobEnvironment().name(), "importlib.metadata" in sys.modules
print(executor.submit(job).result(), "importlib.metadata" in sys.modules)
"""
    with on_path(tmp_path / "site"):
        done = subprocess.run(
            [sys.executable, "-c", program], check=True, capture_output=True, text=True, env=dict(os.environ)
        )
        assert done.stdout.split("\n")[-2] == f"('{cluster}', False) False"
        assert not loaded.exists()
        assert "sentinel" in plugins.get_executors()
        assert loaded.exists()


def test_hooks_are_called_in_the_order_of_version_1(queue_plugin: Path, tmp_path: Path) -> None:
    made = plugins.executor_class("queue")
    log: list[str] = []

    def logged(name: str) -> object:
        original = getattr(made, name)

        def hook(self: core.PicklingExecutor, *arguments: object) -> object:
            log.append(name)
            return original(self, *arguments)

        return hook

    names = [
        "_internal_process_submissions",
        "_throttle",
        "_submit_command",
        "_make_submission_file_text",
        "_make_submission_command",
        "_num_tasks",
        "_write_job_id",
    ]
    body = {name: logged(name) for name in names}

    def command(self: core.PicklingExecutor) -> str:
        log.append("_submitit_command_str")
        text: str = made._submitit_command_str.fget(self)
        return text

    def job_id(string: bytes | str) -> str:
        log.append("_get_job_id_from_submission_command")
        assert isinstance(string, str)
        found: str = made._get_job_id_from_submission_command(string)
        return found

    def permissions(folder: Path) -> None:
        log.append("_set_job_permissions")
        assert folder.is_dir()

    body["_submitit_command_str"] = property(command)
    body["_get_job_id_from_submission_command"] = staticmethod(job_id)
    body["_set_job_permissions"] = staticmethod(permissions)
    executor = type("LoggedExecutor", (made,), body)(tmp_path / "jobs/%j")
    job = executor.submit(calls.add, 1, 2)
    assert log == [
        "_internal_process_submissions",
        "_throttle",
        "_submitit_command_str",
        "_submit_command",
        "_make_submission_file_text",
        "_make_submission_command",
        "_get_job_id_from_submission_command",
        "_num_tasks",
        "_write_job_id",
        "_set_job_permissions",
    ]
    assert job.result() == 3
