"""What can go wrong, classed by what the caller can do about it.

``UncompletedJobError`` is the root of everything that keeps a job from giving its value, as in version 1. Its direct
subclasses say which cause the scheduler named; where none is known, the root itself is raised.
"""

from __future__ import annotations


class UncompletedJobError(RuntimeError):
    """The job ended, or cannot be found, without having produced its result."""


class FailedJobError(UncompletedJobError):
    """The function raised: the message holds its traceback, ``__cause__`` the exception where it could be carried over."""


class FailedSubmissionError(RuntimeError):
    """The scheduler did not take the job. No job exists and no file is left."""


class SubmissionRefusedError(FailedSubmissionError, FailedJobError):
    """The scheduler refused the submission for good: the message holds its own words and the script.

    Also a ``FailedJobError``, because that is what version 1 raised for it.
    """


class JobTimeoutError(UncompletedJobError):
    """The job ran out of time (``timeout_min``) before its function returned."""


class JobOutOfMemoryError(UncompletedJobError):
    """The job, or one of its tasks, was killed for exceeding its memory."""


class JobCancelledError(UncompletedJobError):
    """The job was cancelled, by this program or by somebody else."""


class JobNodeFailError(UncompletedJobError):
    """A node failed under the job and the scheduler does not run it again."""


class JobDependencyError(UncompletedJobError):
    """A job that this one depends on did not succeed, or its result is gone; ``__cause__`` is its error where there is one."""


class JobVanishedError(UncompletedJobError):
    """Neither the scheduler nor the job's folder knows the job any more."""


class UntrustedPickleError(RuntimeError):
    """A pickle was not loaded because another user could have written it."""


class CorruptFileError(RuntimeError):
    """A file of a job is not what this library writes: cut short, overwritten, or of another program."""
