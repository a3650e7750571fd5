"""What subclasses of version 1's executors, jobs and watchers override goes on to be called."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

import submitit
from submitit.core import core, utils
from submitit.slurm import slurm
from support import calls
from support.stand_in import StandIn


def test_the_command_is_a_property_that_subclasses_override(stand_in: StandIn, folder: Path) -> None:
    class InContainer:
        @property
        def _submitit_command_str(self) -> str:
            inner: str = super()._submitit_command_str  # type: ignore[misc]  # of the executor that it is mixed into
            return f"echo first\ncontainer run 'my image' {inner} --more"

    class ContainerExecutor(InContainer, submitit.SlurmExecutor):
        pass

    executor = ContainerExecutor(folder, python="mypython")
    own = f"mypython -u -m submitit.core._submit {folder}"
    assert submitit.SlurmExecutor(folder, python="mypython")._submitit_command_str == own
    executor.submit(calls.add, 1, 2)
    executor.map_array(calls.add, [1, 2], [3, 4])
    for script in stand_in.scripts.values():
        assert f"echo first\ncontainer run 'my image' {own} --more\n" in script


def test_the_property_may_be_replaced_on_the_class(
    stand_in: StandIn, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = submitit.SlurmExecutor._submitit_command_str

    def command(executor: submitit.SlurmExecutor) -> str:
        assert isinstance(original, property)
        assert original.fget is not None
        return f"with_mpi {original.fget(executor)}"

    monkeypatch.setattr(submitit.SlurmExecutor, "_submitit_command_str", property(command))
    submitit.AutoExecutor(folder).submit(calls.add, 1, 2)
    assert " with_mpi " in stand_in.scripts["12"]


def test_the_default_command_quotes_the_folder_and_this_interpreter(stand_in: StandIn, tmp_path: Path) -> None:
    executor = submitit.SlurmExecutor(tmp_path / "a b" / "%j")
    assert executor._submitit_command_str.endswith(f" -u -m submitit.core._submit '{tmp_path}/a b/%j'")
    local = submitit.LocalExecutor(tmp_path, python="nice mypython -X dev")
    assert local._submitit_command_str == f"nice mypython -X dev -u -m submitit.core._submit {tmp_path}"


class _Noted(submitit.SlurmExecutor):
    """Calls what it overrides, and notes it."""

    def __init__(self, folder: Path) -> None:
        self.noted: list[str] = []
        super().__init__(folder)

    def _internal_process_submissions(self, delayed_submissions: list[Any]) -> list[core.Job[Any]]:
        assert all(isinstance(call, utils.DelayedSubmission) for call in delayed_submissions)
        self.noted.append(f"process {len(delayed_submissions)}")
        return super()._internal_process_submissions(delayed_submissions)

    def _throttle(self) -> None:
        self.noted.append("throttle")

    def _submit_command(self, command: str) -> core.Job[Any]:
        self.noted.append("submit")
        return super()._submit_command(command)

    def _make_submission_command(self, submission_file_path: Path) -> list[str]:
        self.noted.append(f"command {submission_file_path.exists()}")
        return ["qsub", *super()._make_submission_command(submission_file_path)[1:]]

    def _num_tasks(self) -> int:
        return 3

    def _write_job_id(self, job_id: str, uid: str) -> None:
        self.noted.append(f"id {job_id} {len(uid) > 10}")
        super()._write_job_id(job_id, uid)

    @staticmethod
    def _set_job_permissions(folder: Path) -> None:
        folder.chmod(0o700)


@pytest.mark.parametrize("count", [1, 2])
def test_hooks_of_a_slurm_executor(stand_in: StandIn, folder: Path, count: int) -> None:
    stand_in.answers["qsub"] = stand_in._sbatch
    executor = _Noted(folder)
    jobs: list[Any] = executor.map_array(calls.add, range(count), range(count))
    assert executor.noted == [f"process {count}", "throttle", "submit", "command True", "id 12 True"]
    assert stand_in.names() == ["qsub"]
    assert [job.num_tasks for job in jobs] == [3] * count
    assert folder.stat().st_mode & 0o777 == 0o700
    assert executor._last_job_submitted > 0


def test_an_executor_that_does_all_of_its_submitting_itself(stand_in: StandIn, folder: Path) -> None:
    """The way of 1.x, which its subclasses have copied: a pickle beside, the job, and the pickle moved to its place."""

    class CopyingExecutor(submitit.SlurmExecutor):
        def _internal_process_submissions(self, delayed_submissions: list[Any]) -> list[core.Job[Any]]:
            jobs = []
            for call in delayed_submissions:
                call.set_timeout(7, self.max_num_timeout)
                root = utils.JobPaths.get_first_id_independent_folder(self.folder)
                root.mkdir(parents=True, exist_ok=True)
                pickled = root / f"{uuid.uuid4().hex}.pkl"
                call.dump(pickled)
                self._throttle()
                job = self._submit_command(self._submitit_command_str)
                job.paths.move_temporary_file(pickled, "submitted_pickle")
                jobs.append(job)
            return jobs

    jobs = CopyingExecutor(folder / "%j").map_array(calls.add, [1, 2], [3, 4])
    assert [job.job_id for job in jobs] == ["12", "13"]
    assert jobs[0].submission()._timeout_min == 7
    for job in jobs:
        stand_in.run(folder / "%j", job.job_id)
    assert [job.result() for job in jobs] == [4, 6]


class _Watcher(core.InfoWatcher):
    """As programs write them: they keep the attributes of the base themselves."""

    def __init__(self, delay_s: int = 60) -> None:
        super().__init__(delay_s)
        self.state = "RUNNING"

    def get_state(self, job_id: str, mode: str = "standard") -> str:
        return self.state

    def update(self) -> None:
        self._num_calls += 1
        for job_id in self._registered - self._finished:
            self._info_dict[job_id] = {"JobID": job_id, "State": self.state}
        self._output = b"said"
        self._last_status_check = self._start_time


class _OwnJob(submitit.SlurmJob[Any]):
    watcher = _Watcher()  # type: ignore[assignment]  # programs give any


class _OwnExecutor(submitit.SlurmExecutor):
    job_class = _OwnJob


def test_a_job_class_and_a_watcher_of_ones_own(stand_in: StandIn, folder: Path) -> None:
    watcher: Any = _OwnJob.watcher
    watcher.clear()
    job, *others = _OwnExecutor(folder).map_array(calls.add, [1, 2], [3, 4])
    assert type(job) is _OwnJob
    assert type(others[0]) is _OwnJob
    assert watcher._registered == {"12_0", "12_1"}
    assert submitit.SlurmJob.watcher._registered == set()
    assert job.state == "RUNNING"
    assert not job.done(force_check=True)
    assert watcher.num_calls == 1
    watcher.state = "FAILED"
    job._results_timeout_s = 0
    assert job.done(force_check=True)
    assert type(job.exception()) is utils.UncompletedJobError
    assert "sacct" not in stand_in.names()


def test_a_watcher_of_one_handle(stand_in: StandIn, folder: Path) -> None:
    executor = submitit.SlurmExecutor(folder)
    job, other = executor.submit(calls.add, 1, 2), executor.submit(calls.add, 1, 2)
    job.watcher = _Watcher()
    job.watcher.state = "SUSPENDED"
    assert job.state == "SUSPENDED"
    assert other.state == "RUNNING"


def test_a_slurm_job_that_does_not_call_super(stand_in: StandIn, folder: Path) -> None:
    class BareJob(submitit.SlurmJob[Any]):
        def __init__(self, folder: Path, job_id: str, tasks: Any = (0,)) -> None:
            self._job_id = job_id
            self._tasks = tuple(tasks)
            self._sub_jobs = []
            self._cancel_at_deletion = False
            self._paths = utils.JobPaths(folder, job_id=job_id, task_id=0)
            self._start_time = 0.0
            self._last_status_check = 0.0
            self._register_in_watcher()

    class BareExecutor(submitit.SlurmExecutor):
        job_class: Any = BareJob

    for job in (
        BareExecutor(folder).submit(calls.add, 1, 2),
        BareExecutor(folder).map_array(calls.add, [1, 2], [2, 2])[0],
    ):
        assert job.state == "RUNNING"
        stand_in.run(folder, job.job_id)
        assert job.done()
        assert job.result() == 3
        job.cancel()


def test_the_base_watcher_asks_by_command_and_reads_the_output(stand_in: StandIn) -> None:
    class QueueWatcher(core.InfoWatcher):
        def _make_command(self) -> list[str] | None:
            waiting = sorted(self._registered - self._finished)
            return ["qstat", *waiting] if waiting else None

        def read_info(self, string: bytes | str) -> dict[str, dict[str, str]]:
            text = string.decode() if isinstance(string, bytes) else string
            return {line.split()[0]: {"JobID": line.split()[0], "State": line.split()[1]} for line in text.splitlines()}

    stand_in.answers["qstat"] = lambda command: "1 RUNNING\n2 COMPLETED\n"
    watcher = QueueWatcher(delay_s=1000)
    watcher.update()
    assert stand_in.sent == []
    for number in "12":
        watcher.register_job(number)
    assert watcher.get_state("1") == "RUNNING"
    assert watcher.is_done("2", mode="cache")
    assert watcher.get_info("2", mode="cache") == {"JobID": "2", "State": "COMPLETED"}
    assert watcher.get_state("3", mode="cache") == "UNKNOWN"
    watcher.update()
    assert stand_in.sent == [["qstat", "1", "2"], ["qstat", "1", "3"]]
    assert watcher.num_calls == 2
    watcher.update_if_long_enough("standard")
    assert watcher.num_calls == 2
    watcher.update_if_long_enough("force")
    assert watcher.num_calls == 3
    stand_in.answers["qstat"] = lambda command: 1 // 0 * ""
    assert watcher.get_state("1", mode="force") == "RUNNING"
    watcher.clear()
    assert (watcher._registered, watcher._finished, watcher._info_dict, watcher.num_calls) == (set(), set(), {}, 0)
    with pytest.raises(RuntimeError):
        watcher.get_info(None)  # type: ignore[arg-type]  # what it says of it is the point


def test_the_base_watcher_is_abstract() -> None:
    watcher = core.InfoWatcher()
    for call in (watcher._make_command, watcher.update, lambda: watcher.read_info("")):
        with pytest.raises(NotImplementedError):
            call()


# ---------------------------------------------------------------- the function that makes the script


def test_another_function_may_make_the_script(stand_in: StandIn, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs wrap ours, most of them with nothing but keywords, before anything else."""
    given: list[dict[str, Any]] = []
    original = slurm._make_sbatch_string

    def make(**kwargs: Any) -> str:
        given.append(kwargs)
        return original(**kwargs).replace("--job-name", "--comment=mine --job-name")

    slurm._get_default_parameters.cache_clear()
    monkeypatch.setattr("submitit.slurm.slurm._make_sbatch_string", make)
    executor = submitit.SlurmExecutor(folder)
    executor.update_parameters(time=3, partition="main")
    with pytest.raises(ValueError, match="job_name"):
        executor.update_parameters(unknown=1)
    given.clear()
    executor.submit(calls.add, 1, 2)
    jobs = executor.map_array(calls.add, [1, 2], [3, 4])
    command = executor._submitit_command_str
    common = {"command": command, "folder": executor.folder, "time": 3, "partition": "main"}
    assert given == [common, {**common, "map_count": 2}]
    assert "--comment=mine --job-name" in stand_in.scripts["12"]
    stand_in.run(folder, jobs[1].job_id)
    assert jobs[1].result() == 6
    slurm._get_default_parameters.cache_clear()


def test_a_function_with_parameters_of_its_own(
    stand_in: StandIn, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(command: str, folder: Path, colour: str = "red", map_count: int | None = None) -> str:
        return f"#!/bin/sh\n#SBATCH --comment={colour}\n{command}\n"

    slurm._get_default_parameters.cache_clear()
    monkeypatch.setattr("submitit.slurm.slurm._make_sbatch_string", make)
    executor = submitit.SlurmExecutor(folder)
    assert executor._valid_parameters() == {"colour"}
    executor.update_parameters(colour="blue")
    executor.submit(calls.add, 1, 2)
    assert stand_in.scripts["12"].startswith("#!/bin/sh\n#SBATCH --comment=blue\n")
    assert executor._submitit_command_str in stand_in.scripts["12"]
    slurm._get_default_parameters.cache_clear()


# ---------------------------------------------------------------- jobs of other schedulers


class _PlainJob(core.Job[Any]):
    """A handle that sets by itself what the base would."""

    watcher = _Watcher(delay_s=0)

    def __init__(self, folder: Path, job_id: str) -> None:
        self._job_id = job_id
        self._tasks = (0,)
        self._sub_jobs = []
        self._cancel_at_deletion = False
        self._paths = utils.JobPaths(folder, job_id=job_id, task_id=0)
        self._start_time = self._last_status_check = 0.0
        self._register_in_watcher()


def test_a_job_of_another_scheduler_that_does_not_call_super(tmp_path: Path) -> None:
    job, dead = _PlainJob(tmp_path, "31"), _PlainJob(tmp_path, "32")
    assert job.state == "RUNNING"
    assert not job.done()
    utils.cloudpickle_dump(("success", 7), job.paths.result_pickle)
    assert job.done()
    assert job.result() == 7
    assert list(submitit.helpers.as_completed([job])) == [job]
    dead._results_timeout_s = 0
    dead.watcher = _Watcher(delay_s=0)
    dead.watcher.state = "FAILED"
    assert dead.done()
    assert type(dead.exception()) is utils.UncompletedJobError
