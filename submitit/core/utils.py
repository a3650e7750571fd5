"""Historic import path, and the one that pickles of both versions name; so it loads nothing until a name is used."""
# ruff: noqa: PLC0414 - the alias is how a type checker is told that a name is offered here

from submitit.core._view import view

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os as os
    import shutil as shutil
    import sys as sys

    from submitit.commands import CommandFunction as CommandFunction
    from submitit.environ import environment_variables as environment_variables
    from submitit.errors import FailedJobError as FailedJobError
    from submitit.errors import FailedSubmissionError as FailedSubmissionError
    from submitit.errors import UncompletedJobError as UncompletedJobError
    from submitit.helpers.archives import archive_dev_folders as archive_dev_folders
    from submitit.helpers.archives import copy_par_file as copy_par_file
    from submitit.helpers.processes import copy_process_streams as copy_process_streams
    from submitit.storage.atomic import temporary_save_path as temporary_save_path
    from submitit.storage.paths import JobPaths as JobPaths
    from submitit.storage.serialization import cloudpickle_dump as cloudpickle_dump
    from submitit.storage.serialization import pickle_load as pickle_load
    from submitit.storage.submission import DelayedSubmission as DelayedSubmission

view(
    __name__,
    {
        "CommandFunction": "submitit.commands:CommandFunction",
        "DelayedSubmission": "submitit.storage.submission:DelayedSubmission",
        "FailedJobError": "submitit.errors:FailedJobError",
        "FailedSubmissionError": "submitit.errors:FailedSubmissionError",
        "JobPaths": "submitit.storage.paths:JobPaths",
        "UncompletedJobError": "submitit.errors:UncompletedJobError",
        "archive_dev_folders": "submitit.helpers.archives:archive_dev_folders",
        "cloudpickle_dump": "submitit.storage.serialization:cloudpickle_dump",
        "copy_par_file": "submitit.helpers.archives:copy_par_file",
        "copy_process_streams": "submitit.helpers.processes:copy_process_streams",
        "environment_variables": "submitit.environ:environment_variables",
        "pickle_load": "submitit.storage.serialization:pickle_load",
        "temporary_save_path": "submitit.storage.atomic:temporary_save_path",
        # test suites reach through this module for them: submitit.core.utils.subprocess.check_output
        "os": "os",
        "shutil": "shutil",
        "subprocess": "subprocess",
        "sys": "sys",
    },
)
