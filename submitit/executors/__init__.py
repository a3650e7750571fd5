r"""What a backend is, for those who write one.

A backend is two or three classes. ``Executor`` sends calls away, ``Job`` is the handle of one, ``JobEnvironment`` tells a running
job about itself. A scheduler with a command that takes a script is served by ``PicklingExecutor``, which writes the pickles and
the scripts; the rest derives from ``submitit.Executor`` itself and implements ``_internal_process_submissions``.

::

    class BananaExecutor(PicklingExecutor):            # its name is "banana": parameters are banana_…, cluster="banana"
        job_class = BananaJob

        @classmethod
        def affinity(cls):                             # 2 or more wins over the local machine where no cluster is named;
            return -1 if shutil.which("peel") is None else 2          # negative: not on this machine

        @classmethod
        def _valid_parameters(cls):                    # beside the generic ones
            return {"colour", "minutes"}

        @classmethod
        def _equivalence_dict(cls):                    # the backend's names of generic parameters; None: they have the same names
            return EquivalenceDict(timeout_min="minutes", …)

        def _make_submission_file_text(self, command, uid):
            return f"#!/bin/sh\nexport SUBMITIT_EXECUTOR=banana\n{command}\n"

        def _make_submission_command(self, submission_file_path):
            return ["peel", str(submission_file_path)]

        @staticmethod
        def _get_job_id_from_submission_command(string):
            …                                          # FailedSubmissionError where there is none in it

        def _num_tasks(self):
            return 1

    class BananaJob(Job):
        _cancel_command = "unpeel"                     # `unpeel JOB_ID`, or override cancel()
        watcher = BananaWatcher()                      # one per class: an InfoWatcher that knows the states

    class BananaJobEnvironment(JobEnvironment):
        _env = {"job_id": "BANANA_JOB_ID", "num_tasks": …}        # the variables that the scheduler sets in a job

A distribution offers the executor and the environment as entry points, see ``submitit.plugins``. The environment has to have the
executor's name. ``tests/contract`` holds the behaviour that every executor has, as a suite to subclass.

What a backend may rely on: a submission is on disk before the script is sent; the script's command runs it, given nothing but
``SUBMITIT_EXECUTOR`` and the environment's variables; a hook that raises ends the submission and leaves no file.
"""

from __future__ import annotations

from submitit import lazy

TYPE_CHECKING = False
if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy.attributes(__name__, ("arrays", "foreign_python", "pickling", "record"))
