"""Signatures and defaults that code written for version 1 relies on. New optional parameters may follow; nothing else differs."""

from __future__ import annotations

import inspect
import operator
from typing import Any

import pytest

import submitit
from submitit.core import core, job_environment, plugins, utils

#: Path below ``submitit``, and the parameters without ``self``.
SIGNATURES = """
AutoExecutor                                 folder, cluster=None, **kwargs
SlurmExecutor                                folder, max_num_timeout=3, max_pickle_size_gb=1.0, python=None
LocalExecutor                                folder, max_num_timeout=3, max_pickle_size_gb=1.0, python=None
DebugExecutor                                folder
core.core.Executor                           folder, parameters=None
core.core.PicklingExecutor                   folder, max_num_timeout=3, max_pickle_size_gb=1.0
Executor.name
Executor.affinity
Executor.submit                              fn, *args, **kwargs
Executor.map_array                           fn, *iterable
Executor.submit_array                        fns
Executor.batch                               allow_implicit_submissions=False
Executor.update_parameters                   **kwargs
Executor._submit_delayed_batch
Executor._internal_process_submissions       delayed_submissions
Executor._internal_update_parameters         **kwargs
Executor._equivalence_dict
Executor._valid_parameters
Executor._convert_parameters                 params
AutoExecutor.which
AutoExecutor.register_dev_folders            folders
AutoExecutor._typed_parameters
core.core.PicklingExecutor._throttle
core.core.PicklingExecutor._submit_command   command
core.core.PicklingExecutor._write_job_id     job_id, uid
core.core.PicklingExecutor._num_tasks
core.core.PicklingExecutor._make_submission_file_text                    command, uid
core.core.PicklingExecutor._make_submission_command                      submission_file_path
core.core.PicklingExecutor._get_job_id_from_submission_command           string
core.core.PicklingExecutor._set_job_permissions                          folder
Job                                          folder, job_id, tasks=(0,)
SlurmJob                                     folder, job_id, tasks=(0,)
LocalJob                                     folder, job_id, tasks=(0,), process=None
DebugJob                                     folder, submission
Job.cancel                                   check=True
Job.done                                     force_check=False
Job.wait
Job.result
Job.results
Job.exception
Job.submission
Job.stdout
Job.stderr
Job.awaitable
Job._get_outcome_and_result
Job._register_in_watcher
Job.cancel_at_deletion                       value=True
Job.get_info                                 mode="force"
Job.task                                     task_id
SlurmJob._interrupt                          timeout=False
core.core.DelayedJob                         ex
core.core.DelayedJob._promote                new_job
core.core.AsyncJobProxy                      job
core.core.AsyncJobProxy.wait                 poll_interval=1
core.core.AsyncJobProxy.result               poll_interval=1
core.core.AsyncJobProxy.results              poll_interval=1
core.core.AsyncJobProxy.results_as_completed poll_interval=1
core.core.InfoWatcher                        delay_s=60
core.core.InfoWatcher.get_info               job_id, mode="standard"
core.core.InfoWatcher.get_state              job_id, mode="standard"
core.core.InfoWatcher.is_done                job_id, mode="standard"
core.core.InfoWatcher.update
core.core.InfoWatcher.update_if_long_enough  mode
core.core.InfoWatcher.register_job           job_id
core.core.InfoWatcher.clear
core.core.InfoWatcher.read_info              string
core.core.InfoWatcher._make_command
core.utils.JobPaths                          folder, job_id=None, task_id=None
core.utils.JobPaths.get_first_id_independent_folder                      folder
core.utils.JobPaths.move_temporary_file      tmp_path, name, keep_as_symlink=False
core.utils.DelayedSubmission                 function, *args, **kwargs
core.utils.DelayedSubmission.result
core.utils.DelayedSubmission.done
core.utils.DelayedSubmission.dump            filepath
core.utils.DelayedSubmission.load            filepath
core.utils.DelayedSubmission.set_timeout     timeout_min, max_num_timeout
core.utils.DelayedSubmission._checkpoint_function
core.utils.environment_variables             **kwargs
core.utils.temporary_save_path               filepath
core.utils.pickle_load                       filename
core.utils.cloudpickle_dump                  obj, filename
core.utils.archive_dev_folders               folders, outfile=None
core.utils.copy_par_file                     par_file, folder
core.utils.copy_process_streams              process, stdout, stderr, verbose=False
core.utils.CommandFunction                   command, verbose=True, cwd=None, env=None
core.utils.CommandFunction.__call__          *args, **kwargs
core.job_environment.JobEnvironment          *args
core.job_environment.JobEnvironment.name
core.job_environment.JobEnvironment.activated
core.job_environment.JobEnvironment._handle_signals                      paths, submission
core.job_environment.JobEnvironment._requeue countdown
core.job_environment.SignalHandler           env, job_paths, delayed
core.job_environment.SignalHandler.has_timed_out
core.job_environment.SignalHandler.bypass    signum, frame=None
core.job_environment.SignalHandler.checkpoint_and_try_requeue            signum, frame=None
core.job_environment.SignalHandler.checkpoint_and_exit                   signum, frame=None
core.submission.process_job                  folder
core.submission.submitit_main
helpers.as_completed                         jobs, timeout=None, poll_frequency=10
helpers.clean_env                            extra_names=()
helpers.run_cmd                              str_args, **kwargs
helpers.FunctionSequence                     verbose=False
helpers.FunctionSequence.add                 func, *args, **kwargs
helpers.Checkpointable.checkpoint            *args, **kwargs
helpers.RsyncSnapshot                        snapshot_dir, root_dir=None, with_submodules=False, exclude=(), include=()
helpers.RsyncSnapshot.available              throw=False
helpers.TorchDistributedEnvironment
helpers.TorchDistributedEnvironment.export   set_cuda_visible_devices=True, overwrite=False
auto.auto.flexible_init                      cls, folder, **kwargs
slurm.slurm.read_job_id                      job_id
slurm.slurm._expand_id_suffix                suffix_parts
slurm.slurm._parse_node_list                 node_list
local.local.start_controller folder, command, tasks_per_node=1, cuda_devices="", timeout_min=5.0, signal_delay_s=30, stderr_to_stdout=False, setup=()
"""
LINES = [line.split(None, 1) for line in SIGNATURES.strip().splitlines()]


def parameters(signature: inspect.Signature) -> list[tuple[str, Any, Any]]:
    """Name, kind and default of each; what ``*`` and ``**`` collect has no name that matters."""
    collect = {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}
    found = [each for each in signature.parameters.values() if each.name != "self"]
    return [("" if each.kind in collect else each.name, each.kind, each.default) for each in found]


@pytest.mark.parametrize(("path", "text"), [(line[0], line[1] if len(line) > 1 else "") for line in LINES])
def test_signature(path: str, text: str) -> None:
    expected = parameters(inspect.signature(eval(f"lambda {text}: None")))
    found = parameters(inspect.signature(operator.attrgetter(path)(submitit)))
    fixed = [each for each in expected if each[1] is not inspect.Parameter.VAR_KEYWORD]
    assert found[: len(fixed)] == fixed
    open_ended = {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}
    assert all(kind in open_ended or default is not inspect.Parameter.empty for _, kind, default in found[len(fixed) :])
    if fixed != expected:
        assert inspect.Parameter.VAR_KEYWORD in {kind for _, kind, _ in found}


def test_monitor_jobs() -> None:
    found = parameters(inspect.signature(submitit.helpers.monitor_jobs))
    assert [(name, default) for name, _, default in found] == [
        ("jobs", inspect.Parameter.empty),
        ("poll_frequency", 30),
        ("test_mode", False),
        ("custom_logging", submitit.helpers._default_custom_logging),
    ]


def test_the_sbatch_function_is_a_plain_function_with_all_parameters() -> None:
    from submitit.slurm import slurm

    assert inspect.isfunction(slurm._make_sbatch_string)
    found = {name: default for name, _, default in parameters(inspect.signature(slurm._make_sbatch_string))}
    assert list(found)[:3] == ["command", "folder", "job_name"]
    not_none = {
        "job_name": "submitit",
        "time": 5,
        "nodes": 1,
        "signal_delay_s": 90,
        "array_parallelism": 256,
        "wckey": "submitit",
        "stderr_to_stdout": False,
        "use_srun": True,
    }
    none = [
        "partition",
        "ntasks_per_node",
        "cpus_per_task",
        "cpus_per_gpu",
        "num_gpus",
        "gpus_per_node",
        "gpus_per_task",
        "qos",
        "setup",
        "teardown",
        "mem",
        "mem_per_gpu",
        "mem_per_cpu",
        "comment",
        "constraint",
        "exclude",
        "account",
        "gres",
        "mail_type",
        "mail_user",
        "nodelist",
        "dependency",
        "exclusive",
        "map_count",
        "additional_parameters",
        "srun_args",
    ]
    expected = {**not_none, **dict.fromkeys(none)}
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(
    "kind", [submitit.SlurmExecutor, submitit.LocalExecutor, core.PicklingExecutor, submitit.DebugExecutor]
)
def test_executor_properties_and_bases(kind: type[core.Executor]) -> None:
    assert issubclass(kind, core.Executor)
    if kind is not submitit.DebugExecutor:
        assert issubclass(kind, core.PicklingExecutor)
        assert isinstance(inspect.getattr_static(kind, "_submitit_command_str"), property)


def test_abstract_hooks_are_those_of_version_1() -> None:
    assert core.Executor.__abstractmethods__ == {"_internal_process_submissions"}
    assert core.PicklingExecutor.__abstractmethods__ == {
        "_get_job_id_from_submission_command",
        "_make_submission_command",
        "_make_submission_file_text",
        "_num_tasks",
    }


def test_static_and_class_methods_stay_that() -> None:
    for path, kind in {
        "core.core.PicklingExecutor._get_job_id_from_submission_command": staticmethod,
        "core.core.PicklingExecutor._set_job_permissions": staticmethod,
        "AutoExecutor.which": staticmethod,
        "core.utils.JobPaths.get_first_id_independent_folder": staticmethod,
        "helpers.RsyncSnapshot.available": staticmethod,
        "core.utils.DelayedSubmission.load": classmethod,
        "Executor._equivalence_dict": classmethod,
        "Executor._valid_parameters": classmethod,
        "Executor.name": classmethod,
        "Executor.affinity": classmethod,
        "AutoExecutor._typed_parameters": classmethod,
        "JobEnvironment.name": classmethod,
        "JobEnvironment._usr_sig": classmethod,
    }.items():
        owner, _, name = path.rpartition(".")
        assert isinstance(inspect.getattr_static(operator.attrgetter(owner)(submitit), name), kind), path


@pytest.mark.parametrize("name", ["job_id", "paths", "num_tasks", "task_id", "state"])
def test_properties_of_jobs(name: str) -> None:
    assert isinstance(inspect.getattr_static(submitit.Job, name), property)


def test_attributes_of_classes() -> None:
    assert submitit.Job._results_timeout_s == 15
    assert submitit.Job._cancel_command == "dummy"
    assert submitit.SlurmJob._cancel_command == "scancel"
    assert isinstance(submitit.SlurmJob.watcher, core.InfoWatcher)
    assert submitit.SlurmJob.watcher is not submitit.Job.watcher
    assert job_environment.JobEnvironment.USR_SIG == submitit.slurm.slurm.SlurmJobEnvironment.USR_SIG
    for executor, job in ((submitit.SlurmExecutor, submitit.SlurmJob), (submitit.LocalExecutor, submitit.LocalJob)):
        assert executor.job_class is job


def test_names_of_backends_and_environments() -> None:
    assert {name: kind.name() for name, kind in plugins.get_executors().items()} == {
        name: name for name in plugins.get_executors()
    }
    assert {name: env.name() for name, env in plugins.get_job_environments().items()} == {
        name: name for name in plugins.get_job_environments()
    }


def test_errors_form_the_tree_of_version_1() -> None:
    assert issubclass(utils.UncompletedJobError, RuntimeError)
    assert issubclass(utils.FailedJobError, utils.UncompletedJobError)
    assert issubclass(utils.FailedSubmissionError, RuntimeError)
    assert submitit.FailedJobError is utils.FailedJobError


def test_attributes_of_executors(tmp_path: Any) -> None:
    local = submitit.LocalExecutor(tmp_path / "%j")
    expected = {
        "folder": tmp_path / "%j",
        "parameters": {},
        "_delayed_batch": None,
        "_allow_implicit_submissions": False,
        "max_num_timeout": 3,
        "max_pickle_size_gb": 1.0,
        "_last_job_submitted": 0.0,
    }
    assert {name: getattr(local, name) for name in expected} == expected
    assert isinstance(local.python, str)
