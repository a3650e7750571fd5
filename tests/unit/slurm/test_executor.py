"""Parameters of a Slurm executor, from the call to the script."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import submitit
from submitit import commands
from submitit.client import throttling
from submitit.slurm import queries, slurm
from support import calls
from support.shims import Shims

UNSET = submitit.UNSET
HELP = "      --container-image=[USER@]IMAGE   the image to use\n      --no-mount\n"


@pytest.fixture(autouse=True)
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A PATH with an srun, and an sbatch that has options of a plugin; its calls are noted in the file."""
    noted = tmp_path / "sbatch.calls"
    (tmp_path / "bin").mkdir()
    for name, text in (("srun", ""), ("sbatch", f'echo "$@" >> {noted}\ncat << "END"\n{HELP}END')):
        program = tmp_path / "bin" / name
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    slurm._options_of_sbatch.cache_clear()
    yield noted
    slurm._options_of_sbatch.cache_clear()


@pytest.fixture
def executor(tmp_path: Path) -> submitit.AutoExecutor:
    return submitit.AutoExecutor(tmp_path / "jobs" / "%j", cluster="slurm")


def lines(executor: submitit.Executor) -> dict[str, str | bool]:
    """The options in the script, as sbatch would read them."""
    found: dict[str, str | bool] = {}
    for line in executor.dry_run(len, [1]).script.splitlines():
        if line.startswith("#SBATCH --"):
            (word,) = shlex.split(line.removeprefix("#SBATCH --"))
            name, equals, value = word.partition("=")
            assert name not in found
            found[name] = value if equals else True
    return found


BASE = {
    "job-name": "submitit",
    "nodes": "1",
    "open-mode": "append",
    "signal": "USR2@90",
    "time": "5",
    "wckey": "submitit",
}


def further(executor: submitit.Executor) -> dict[str, str | bool]:
    found = lines(executor)
    found.pop("output")
    return {name: value for name, value in found.items() if BASE.get(name) != value}


# ---------------------------------------------------------------- options of sbatch


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"slurm_requeue": True}, {"requeue": True}),
        ({"slurm_requeue": False}, {"no-requeue": True}),
        ({"slurm_no_requeue": True}, {"no-requeue": True}),
        ({"slurm_requeue": "expedite"}, {"requeue": "expedite"}),
        ({"slurm_hold": True, "slurm_contiguous": False, "slurm_reboot": None, "slurm_spread_job": UNSET}, {"hold": True}),
        ({"slurm_mail_type": ["END", "FAIL"], "slurm_mail_user": "a@b"}, {"mail-type": "END,FAIL", "mail-user": "a@b"}),
        ({"slurm_exclude": ("n1", "n[2-4]"), "slurm_partition": ["a", "b"]}, {"exclude": "n1,n[2-4]", "partition": "a,b"}),
        ({"slurm_exclude": [], "slurm_licenses": []}, {}),
        ({"slurm_licenses": ["x:2", "y"], "slurm_reservation": "r"}, {"licenses": "x:2,y", "reservation": "r"}),
        ({"slurm_nice": np.int64(7), "slurm_begin": "now+1hour"}, {"nice": "7", "begin": "now+1hour"}),
        ({"slurm_export": "NONE"}, {"export": "NONE"}),
        ({"slurm_export": ["ALL", "A=it's"]}, {"export": "ALL,A=it's"}),
        ({"slurm_kill_on_invalid_dep": True, "slurm_dependency": ["afterok:1", "afterok:2"]}, {"kill-on-invalid-dep": "yes", "dependency": "afterok:1,afterok:2"}),
        ({"slurm_hold": True, "slurm_additional_parameters": {"hold": "no", "nice": 3}}, {"hold": "no", "nice": "3"}),
        ({"slurm_nice": 5, "slurm_additional_parameters": {"nice": 3}}, {"nice": "3"}),
        ({"slurm_container_image": "a b#c"}, {"container-image": "a b#c"}),
        ({"slurm_time": "1-02:00:00", "slurm_mem": 0}, {"time": "1-02:00:00", "mem": "0"}),
        ({"slurm_time": "UNLIMITED", "slurm_mem": "4G"}, {"time": "UNLIMITED", "mem": "4G"}),
    ],
    ids=repr,
)  # fmt: skip
def test_options_reach_the_script(
    executor: submitit.AutoExecutor, given: dict[str, Any], expected: dict[str, Any]
) -> None:
    executor.update_parameters(**given)
    assert further(executor) == expected


def test_the_last_of_two_opposites_stands(executor: submitit.AutoExecutor) -> None:
    executor.update_parameters(slurm_requeue=True)
    executor.update_parameters(slurm_no_requeue=True)
    assert further(executor) == {"no-requeue": True}
    executor.update_parameters(slurm_requeue=True)
    assert further(executor) == {"requeue": True}
    executor.update_parameters(slurm_requeue=UNSET)
    assert further(executor) == {}


def test_on_the_backends_executor_they_have_their_own_names(tmp_path: Path) -> None:
    executor = submitit.SlurmExecutor(tmp_path)
    executor.update_parameters(hold=True, reservation="r", wckey=UNSET, mail_type=["END"])
    assert further(executor) == {"hold": True, "reservation": "r", "mail-type": "END"}
    assert "wckey" not in lines(executor)


@pytest.mark.parametrize(
    ("given", "expected"),
    [({"mem_gb": 2}, "2GB"), ({"mem_gb": 3.5}, "3584MB"), ({"mem": 4000}, "4000"), ({"mem_gb": 2, "mem": "3G"}, "3G")],
)
def test_gigabytes_are_not_megabytes(tmp_path: Path, given: dict[str, Any], expected: str) -> None:
    executor = submitit.SlurmExecutor(tmp_path)
    if "mem" in given and "mem_gb" in given:
        with pytest.raises(ValueError, match=r"Unavailable parameter\(s\): \['mem_gb'\]"):
            executor.update_parameters(**given)
        return
    executor.update_parameters(**given)
    assert further(executor) == {"mem": expected}


def test_sbatch_is_asked_once_and_only_about_names_that_nobody_knows(
    executor: submitit.AutoExecutor, programs: Path
) -> None:
    executor.update_parameters(timeout_min=3, slurm_partition="x", slurm_hold=True, slurm_nice=3)
    executor.dry_run(len, [1])
    assert not programs.exists()
    for _ in range(2):
        executor.update_parameters(slurm_container_image="x", slurm_no_mount=True)
        with pytest.raises(NameError):
            executor.update_parameters(slurm_blublu=3)
    assert programs.read_text() == "--help\n"


def test_a_submission_without_such_options_does_not_load_the_table(tmp_path: Path) -> None:
    program = f"""
import sys, submitit
executor = submitit.AutoExecutor({str(tmp_path / "%j")!r}, cluster="slurm")
executor.update_parameters(timeout_min=3, slurm_partition="x", slurm_mem="4G")
executor.dry_run(len, [1])
loaded = "submitit.slurm.options" in sys.modules
executor.update_parameters(slurm_hold=True)
print(loaded, "submitit.slurm.options" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "True"]


@pytest.mark.parametrize(
    ("name", "near"),
    [("slurm_reqeue", "slurm_requeue"), ("slurm_licences", "slurm_licenses"), ("slurm_containr_image", "slurm_container_image"), ("slurm_partitoin", "slurm_partition"), ("slurm_gpu_as_gres", "slurm_gpus_as_gres")],
)  # fmt: skip
@pytest.mark.parametrize("cluster", ["slurm", "local"])
def test_an_unknown_option_is_told_with_the_nearest(tmp_path: Path, cluster: str, name: str, near: str) -> None:
    executor = submitit.AutoExecutor(tmp_path, cluster=cluster)
    with pytest.raises(NameError, match=f"Unknown argument .* Did you mean '{near}'"):
        executor.update_parameters(**{name: "x"})
    if cluster == "slurm":
        with pytest.raises(ValueError, match="Unavailable parameter") as raised:
            executor._executor.update_parameters(**{name.removeprefix("slurm_"): "x"})
        assert f"Did you mean {near.removeprefix('slurm_')!r} instead" in str(raised.value)
        assert str(raised.value).endswith("and every other long option of sbatch, with _ for -")
    assert executor.parameters == {}


@pytest.mark.parametrize("name", ["output", "array", "wait", "test_only", "signal"])
@pytest.mark.parametrize("cluster", ["slurm", "local"])
def test_some_options_are_refused_with_the_reason(tmp_path: Path, cluster: str, name: str) -> None:
    executor = submitit.AutoExecutor(tmp_path, cluster=cluster)
    with pytest.raises(ValueError, match=f"'{name}' is no parameter: .*additional_parameters"):
        executor.update_parameters(**{f"slurm_{name}": "x"})
    if cluster == "slurm":
        with pytest.raises(ValueError, match=f"'{name}' is no parameter"):
            executor._executor.update_parameters(**{name: "x"})
        executor.update_parameters(slurm_additional_parameters={name: "x"})
        assert lines(executor)[name.replace("_", "-")] == "x"


def test_without_prefix_they_are_unknown(executor: submitit.AutoExecutor) -> None:
    with pytest.raises(NameError, match="Did you mean 'slurm_hold'"):
        executor.update_parameters(hold=True)


def test_wrong_values_change_nothing(executor: submitit.AutoExecutor) -> None:
    for wrong in ({"slurm_ntasks": "abc"}, {"slurm_hold": 3}, {"slurm_time": "soon"}, {"slurm_mem": "4 GB"}):
        with pytest.raises((TypeError, ValueError), match="Parameter '"):
            executor.update_parameters(slurm_partition="x", **wrong)
    assert executor.parameters == {}


# ---------------------------------------------------------------- a function in the place of ours


def test_options_reach_a_function_with_the_signature_of_version_1(
    executor: submitit.AutoExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of_version_1(
        command: str, folder: str, time: Any = 5, partition: Any = None, gres: Any = None, gpus_per_node: Any = None,
        map_count: Any = None, additional_parameters: Any = None,
    ) -> str:  # fmt: skip
        return f"{gres} {gpus_per_node} {additional_parameters}"

    monkeypatch.setattr(slurm, "_make_sbatch_string", of_version_1)
    slurm._get_default_parameters.cache_clear()
    try:
        executor.update_parameters(
            slurm_hold=True,
            slurm_nice=3,
            slurm_additional_parameters={"nice": 4},
            slurm_gpus_as_gres=True,
            gpus_per_node=2,
        )
        assert executor.dry_run(len, [1]).script.endswith("\ngpu:2 None {'hold': True, 'nice': 4}")
    finally:
        monkeypatch.undo()
        slurm._get_default_parameters.cache_clear()


def test_a_function_that_passes_nothing_on_takes_no_further_options(
    executor: submitit.AutoExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def narrow(command: str, folder: str, time: Any = 5, map_count: Any = None) -> str:
        return ""

    monkeypatch.setattr(slurm, "_make_sbatch_string", narrow)
    slurm._get_default_parameters.cache_clear()
    try:
        with pytest.raises(ValueError, match=r"Unavailable parameter\(s\): \['hold'\]"):
            executor._executor.update_parameters(hold=True)
    finally:
        monkeypatch.undo()
        slurm._get_default_parameters.cache_clear()


# ---------------------------------------------------------------- the number of tasks


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, 1),
        ({"nodes": 2, "tasks_per_node": 3}, 6),
        ({"nodes": 2, "slurm_use_srun": False}, 1),
        ({"nodes": 2, "slurm_use_srun": UNSET}, 2),
        ({"slurm_ntasks": 5}, 5),
        ({"slurm_ntasks": "5", "nodes": 2, "tasks_per_node": 3}, 5),
        ({"slurm_nodes": "2-4", "slurm_ntasks": 4}, 4),
        ({"slurm_nodes": UNSET, "tasks_per_node": 2}, 2),
        ({"slurm_nodes": np.int64(2)}, 2),
        ({"slurm_ntasks_per_gpu": 1, "slurm_gpus": 2, "slurm_ntasks": 2}, 2),
    ],
)
def test_the_number_of_tasks(executor: submitit.AutoExecutor, given: dict[str, Any], expected: int) -> None:
    executor.update_parameters(**given)
    assert executor._executor._num_tasks() == expected  # type: ignore[attr-defined]
    executor.dry_run(len, [1])


@pytest.mark.parametrize("given", [{"slurm_nodes": "2-4"}, {"slurm_ntasks_per_gpu": 2, "gpus_per_node": 2}])
def test_a_job_of_an_unknown_number_of_tasks_is_not_sent(
    executor: submitit.AutoExecutor, tmp_path: Path, programs: Path, given: dict[str, Any]
) -> None:
    executor.update_parameters(**given)
    for call in (executor.dry_run, executor.submit):
        with pytest.raises(ValueError, match="not known how many tasks .*slurm_ntasks"):
            call(len, [1])
    assert not programs.exists()
    assert [path for path in (tmp_path / "jobs").rglob("*") if path.is_file()] == []


# ---------------------------------------------------------------- GPUs


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"gpus_per_node": 2}, {"gres": "gpu:2"}),
        ({"slurm_gpus_per_node": "v100:2"}, {"gres": "gpu:v100:2"}),
        ({"slurm_gpus_per_node": "v100:2,k80:1"}, {"gres": "gpu:v100:2,gpu:k80:1"}),
        ({"gpus_per_node": 1, "slurm_gres": "lustre:1"}, {"gres": "lustre:1,gpu:1"}),
        ({"gpus_per_node": 0, "slurm_gres": "lustre:1"}, {"gres": "lustre:1"}),
        ({"gpus_per_node": 0}, {}),
        ({"slurm_num_gpus": 3, "gpus_per_node": 1}, {"gres": "gpu:3"}),
        ({"gpus_per_node": UNSET}, {}),
        ({"slurm_gres": "gpu:1"}, {"gres": "gpu:1"}),
        ({"gpus_per_node": 1, "slurm_gpus_as_gres": False}, {"gpus-per-node": "1"}),
        ({"gpus_per_node": 1, "slurm_gpus_as_gres": UNSET}, {"gpus-per-node": "1"}),
    ],
    ids=repr,
)
def test_gpus_as_gres(executor: submitit.AutoExecutor, given: dict[str, Any], expected: dict[str, str]) -> None:
    executor.update_parameters(**{"slurm_gpus_as_gres": True, **given})
    assert further(executor) == expected


@pytest.mark.parametrize("gres", ["gpu:1", "lustre:1,gpu", "gres/gpu:v100:1", "gpu=2"])
def test_gpus_are_asked_for_once(executor: submitit.AutoExecutor, gres: str) -> None:
    executor.update_parameters(slurm_gpus_as_gres=True, gpus_per_node=2, slurm_gres=gres)
    with pytest.raises(ValueError, match="GPUs are asked for twice"):
        executor.dry_run(len, [1])


def test_whether_gpus_are_gres_is_yes_or_no(executor: submitit.AutoExecutor) -> None:
    with pytest.raises(TypeError, match="'gpus_as_gres' takes True or False, not 'yes'"):
        executor.update_parameters(slurm_gpus_as_gres="yes")


# ---------------------------------------------------------------- what the job knows of its time


@pytest.mark.parametrize(
    ("given", "minutes"),
    [
        ({}, 5),
        ({"timeout_min": 7}, 7),
        ({"slurm_time": np.int64(7)}, 7),
        ({"slurm_time": "1-02:00:00"}, 26 * 60),
        ({"slurm_time": "7:30"}, 8),
        ({"slurm_time": "UNLIMITED"}, float("inf")),
        ({"timeout_min": UNSET}, 5),  # the partition's own limit, which nobody here knows
        ({"timeout_min": 3, "slurm_additional_parameters": {"time": "1:00:00"}}, 60),
    ],
)
def test_the_job_knows_its_limit(executor: submitit.AutoExecutor, given: dict[str, Any], minutes: float) -> None:
    executor.update_parameters(**given)
    assert executor._executor._timeout_min() == minutes  # type: ignore[attr-defined]


# ---------------------------------------------------------------- throttling


def test_arrays_share_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[list[str]] = []
    monkeypatch.setattr(commands, "query", lambda command, env: sent.append(list(command)))
    jobs: list[submitit.Job[Any]] = [submitit.SlurmJob(tmp_path, job_id) for job_id in ("12_0", "12_7", "13_1", "12_2")]
    monkeypatch.setattr(submitit.SlurmJob, "done", lambda job: job.job_id in ended)
    ended: set[str] = {"12_0"}
    submitit.throttle(jobs, np.int64(3))
    submitit.throttle(iter(jobs[2:3]), 0)
    submitit.throttle([], 1)
    ended |= {"12_7", "12_2"}
    submitit.throttle(jobs, 5)
    ended |= {"13_1"}
    submitit.throttle(jobs, 1)
    assert [(command[2], command[3]) for command in sent] == [
        ("jobid=12", "ArrayTaskThrottle=2"), ("jobid=13", "ArrayTaskThrottle=1"),
        ("jobid=13", "ArrayTaskThrottle=0"),
        ("jobid=13", "ArrayTaskThrottle=5"),
        ("jobid=12", "ArrayTaskThrottle=1"), ("jobid=13", "ArrayTaskThrottle=1"),
    ]  # fmt: skip


@given(st.integers(1, 1000), st.integers(1, 20))
def test_what_arrays_share(number: int, count: int) -> None:
    found = throttling.shares(number, count)
    assert len(found) == count
    assert sum(found) == max(number, count)
    assert max(found) - min(found) <= 1
    assert throttling.shares(0, count) == [0] * count


@pytest.mark.parametrize(("number", "error"), [(-1, ValueError), (True, TypeError), ("2", TypeError), (2.5, TypeError), (None, TypeError)])  # fmt: skip
def test_throttle_takes_a_number(tmp_path: Path, number: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="throttle"):
        submitit.throttle([submitit.SlurmJob(tmp_path, "12_0")], number)


def test_throttle_takes_elements_of_arrays_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "query", lambda command, env: pytest.fail("nothing is to be changed"))
    element: submitit.Job[Any] = submitit.SlurmJob(tmp_path, "12_0")
    others: list[submitit.Job[Any]] = [submitit.SlurmJob(tmp_path, "13"), submitit.LocalJob(tmp_path, "14")]
    for job in [*others, submitit.DebugExecutor(tmp_path).submit(len, [1])]:
        with pytest.raises(ValueError, match=f"Job {job.job_id} .{type(job).__name__}. is in no array"):
            submitit.throttle([element, job], 1)


def test_what_slurm_says_of_ended_elements_is_no_refusal() -> None:
    ended = "25_0-1: Job has already finished\n25_2: No error\n"
    assert queries.throttle_refusal(ended) == ""
    assert queries.throttle_refusal(f"{ended}slurm_update error: no\n") == "slurm_update error: no"


# ---------------------------------------------------------------- dry runs


def test_a_dry_run_is_what_is_sent(
    executor: submitit.AutoExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = tmp_path / "sent"
    (tmp_path / "bin" / "sbatch").write_text(f'#!/bin/sh\ncp "$1" {sent}\necho "$0 $1" > {sent}.command\necho 12\n')
    monkeypatch.setenv("SUBMITIT_PREEMPT_SIGNAL", "USR1")
    executor.update_parameters(slurm_setup=["echo a"], slurm_hold=True)
    before = {path for path in tmp_path.rglob("*") if "cwd" not in path.parts}
    script, command = executor.dry_run(calls.add, 1, b=2)
    assert {path for path in tmp_path.rglob("*") if "cwd" not in path.parts} == before
    job = executor.submit(calls.add, 1, 2)
    path = Path(sent.with_suffix(".command").read_text().split()[1])
    uid, real = Path(command[1]).stem.rpartition("_")[2], path.stem.rpartition("_")[2]
    assert uid != real
    assert script.replace(uid, real) == sent.read_text()
    assert command[1].replace(uid, real) == str(path)
    for name in ("SUBMITIT_PAYLOAD", "SUBMITIT_EVENTS", "SUBMITIT_PREEMPT_SIGNAL", "SUBMITIT_IMPORT_PATH"):
        assert f"export {name}=" in script
    assert job.job_id == "12"


def test_thousands_are_cancelled_by_one_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scancel = Shims(tmp_path / "shims", monkeypatch).put("scancel", "exit 0")
    ids = [f"12_{index}" for index in range(3000)] + ["7", "13_5", "13_1"]
    jobs = [submitit.SlurmJob[Any](tmp_path, job_id) for job_id in ids]
    submitit.cancel([*jobs, jobs[0]])
    assert scancel.calls == ["12_[0-2999] 7 13_[1,5]"]
    assert all(job.cancelled() for job in jobs)
    submitit.cancel(jobs)  # all are over
    assert len(scancel.calls) == 1


def test_a_refused_cancellation_leaves_the_others_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm, "_MOST_CANCELLED", 2)
    scancel = Shims(tmp_path / "shims", monkeypatch).put("scancel", '[ "$call" -ne 1 ]')
    jobs = [submitit.SlurmJob[Any](tmp_path, str(number)) for number in range(5)]
    with pytest.raises(subprocess.CalledProcessError):
        submitit.cancel(jobs)
    assert scancel.calls == ["0 1", "2 3", "4"]
    assert [job._cancelled for job in jobs] == [False, False, True, True, True]
    submitit.cancel(jobs[:2], check=False)
    assert all(job._cancelled for job in jobs)


def test_who_cancels_in_another_way_is_asked_job_by_job(tmp_path: Path) -> None:
    ended: list[str] = []

    class Mine(submitit.SlurmJob[Any]):
        def cancel(self, check: bool = True) -> None:
            ended.append(self.job_id)

    submitit.cancel([Mine(tmp_path, "1"), Mine(tmp_path, "2")])
    assert ended == ["1", "2"]
