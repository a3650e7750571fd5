"""What is common to all executors: submitting calls one by one, as arrays and in batches."""

from __future__ import annotations

import abc
import contextlib
import copy
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from submitit.client.job import Job
from submitit.client.parameters import EquivalenceDict, without_markers
from submitit.storage.submission import DelayedSubmission

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from submitit.client.dry_run import DryRun

P = ParamSpec("P")
R = TypeVar("R", covariant=True)

_NO_CHANGES = 'Changing parameters within batch context "with executor.batch():" is not allowed'


class Executor(abc.ABC):
    """Submits functions as jobs, all with the parameters that it has at that moment.

    ``folder`` is where the jobs' files are written: ``%j`` in it stands for the job's id, ``%t`` for the task, ``%A`` and ``%a``
    for an array's id and the index in it. A backend gives ``job_class`` and ``_internal_process_submissions``.
    """

    job_class: type[Job[Any]] = Job

    def __init__(self, folder: str | os.PathLike[str], parameters: dict[str, Any] | None = None) -> None:
        self.folder = Path(folder).expanduser().absolute()
        self.parameters: dict[str, Any] = {} if parameters is None else parameters
        #: The jobs of the batch block that is open, each with its call.
        self._delayed_batch: list[tuple[Job[Any], DelayedSubmission]] | None = None
        self._allow_implicit_submissions = False

    @classmethod
    def name(cls) -> str:
        """The backend's name: the class's without "Executor", in lower case."""
        return cls.__name__.removesuffix("Executor").lower()

    @classmethod
    def affinity(cls) -> int:
        """How well this machine suits the backend: the highest is chosen where no cluster is named, a negative one never is."""
        return 1

    # ------------------------------------------------------------------ submitting

    def submit(self, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """Submit the call ``fn(*args, **kwargs)`` and return its job.

        Raises ``FailedSubmissionError`` if the backend does not take it, and what pickling raises if the call cannot be pickled;
        no file is left then.
        """
        _check_callable(fn, "submit(fn, …)")
        submission = DelayedSubmission(fn, *args, **kwargs)
        if self._delayed_batch is None:
            return self._process([submission])[0]
        from submitit.client.batch import DelayedJob

        job = DelayedJob(self)
        self._delayed_batch.append((job, submission))
        return job

    def map_array(self, fn: Callable[..., R], *iterable: Iterable[Any]) -> list[Job[R]]:
        """Submit ``fn`` once for each tuple of ``zip(*iterable)``, as a job array where the backend has such.

        The jobs come in the order of the arguments. No arguments: ``[]`` with a ``UserWarning``. In a batch block the array is
        submitted at once, by itself.
        """
        _check_callable(fn, "map_array(fn, …)")
        submissions = [DelayedSubmission(fn, *args) for args in zip(*iterable)]  # noqa: B905 - the shortest wins, as in zip
        return self._submit_array(submissions)

    def submit_array(self, fns: Sequence[Callable[[], R]]) -> list[Job[R]]:
        """Submit functions that take no arguments, as ``map_array`` does."""
        for fn in fns:
            _check_callable(fn, "submit_array([fn, …])")
        return self._submit_array([DelayedSubmission(fn) for fn in fns])

    def _submit_array(self, submissions: list[DelayedSubmission]) -> list[Job[Any]]:
        if not submissions:
            warnings.warn("Received an empty job array", UserWarning, stacklevel=3)
            return []
        return self._process(submissions)

    def retry_failed(self, jobs: Iterable[Job[R]], **overrides: Any) -> list[Job[R]]:
        """Submit the calls of those ``jobs`` once more that have failed, as one array; the others are left alone.

        Returns a list as long as ``jobs``, with the new jobs in the places of the failed ones, and every other handle as it is: of
        jobs that have succeeded, and of those that are not over. Failed is what is over and has no value to give, for whatever
        reason, a cancellation included. What is submitted has this executor's parameters, with the ``overrides`` for it alone; a
        function that has saved its state goes on from there.
        """
        from submitit.client import resubmission

        kept = list(jobs)
        places = resubmission.failed(kept)
        if not places:
            return kept
        executor = self._copy()
        executor.update_parameters(**overrides)
        for place, job in zip(
            places, executor._process(resubmission.calls([kept[place] for place in places])), strict=True
        ):
            kept[place] = job
        return kept

    def _copy(self) -> Executor:
        """An executor like this one, whose parameters are its own."""
        made = copy.copy(self)
        made.parameters = dict(self.parameters)
        made._delayed_batch = None
        return made

    def _process(self, submissions: list[DelayedSubmission]) -> list[Job[Any]]:
        jobs = self._internal_process_submissions(submissions)
        if any(type(job) is Job for job in jobs):
            raise RuntimeError("Executors should never return a base Job class (implementation issue)")
        return jobs

    def dry_run(self, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> DryRun:
        """The script and the command that ``submit`` would send for this call. Nothing is sent, and no file is left.

        What names a submission, its files' names, is another one each time. Raises what ``submit`` raises for a call that cannot
        be pickled or is too large, and ``NotImplementedError`` where the backend cannot tell.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot tell what it would send")

    @abc.abstractmethod
    def _internal_process_submissions(self, delayed_submissions: list[DelayedSubmission]) -> list[Job[Any]]:
        """Submit the calls, as one array if there are several, and return their jobs in the same order."""

    # ------------------------------------------------------------------ batches

    @contextlib.contextmanager
    def batch(self, allow_implicit_submissions: bool = False) -> Iterator[None]:
        """Within the block calls of ``submit`` are only collected; they are sent as one array at its end.

        The jobs handed out in it are usable afterwards, not before: unless ``allow_implicit_submissions``, with which asking one
        for anything sends all that is collected so far. An exception in the block drops the batch.
        """
        if self._delayed_batch is not None:
            raise RuntimeError('Nesting "with executor.batch()" contexts is not allowed.')
        self._delayed_batch = []
        self._allow_implicit_submissions = allow_implicit_submissions
        try:
            yield
            self._submit_delayed_batch()
        except BaseException:
            if self._delayed_batch:
                from submitit import log

                log.get_logger().error(
                    'Caught error within "with executor.batch()" context, submissions are dropped (%d jobs).',
                    len(self._delayed_batch),
                )
            raise
        finally:
            self._delayed_batch = None
            self._allow_implicit_submissions = False

    def _submit_delayed_batch(self) -> None:
        """Submit what the open batch block has collected; the jobs handed out for it become real ones."""
        assert self._delayed_batch is not None
        if not self._delayed_batch:
            if not self._allow_implicit_submissions:
                # from here over batch() and contextlib's __exit__ to the user's `with`
                warnings.warn(
                    'No submission happened during "with executor.batch()" context.', RuntimeWarning, stacklevel=4
                )
            return
        jobs = [job for job, _ in self._delayed_batch]
        submitted = self._process([submission for _, submission in self._delayed_batch])
        self._delayed_batch = []
        for job, new in zip(jobs, submitted, strict=True):
            job._promote(new)  # type: ignore[attr-defined]  # they are DelayedJobs, whose import waits for the first batch

    # ------------------------------------------------------------------ parameters

    def update_parameters(self, **kwargs: Any) -> None:
        """Set parameters for the submissions that follow; those not named stay as they are.

        ``submitit.UNSET`` as a value removes a parameter together with the backend's default. Raises ``RuntimeError`` in a batch
        block, whose calls all have the same parameters.
        """
        if self._delayed_batch is not None:
            raise RuntimeError(_NO_CHANGES)
        self._internal_update_parameters(**kwargs)

    def _internal_update_parameters(self, **kwargs: Any) -> None:
        """Check parameters named as the backend names them, and keep them in ``self.parameters``."""
        self.parameters.update(without_markers(kwargs))

    @classmethod
    def _equivalence_dict(cls) -> EquivalenceDict | None:
        """The backend's names of the generic parameters, or ``None`` if they are the generic ones."""
        return None

    @classmethod
    def _valid_parameters(cls) -> set[str]:
        """The names of the backend's own parameters, beside the generic ones."""
        return set()

    @classmethod
    def _takes_parameter(cls, name: str) -> bool:
        """Whether the backend has this parameter of its own. It may have more than ``_valid_parameters`` lists.

        Raises ``ValueError`` for one that it knows and refuses.
        """
        return name in cls._valid_parameters()

    @classmethod
    def _parameter_names(cls) -> set[str]:
        """All names that are known to be parameters of the backend, to find one that was meant."""
        return cls._valid_parameters()

    def _convert_parameters(self, params: dict[str, Any]) -> dict[str, Any]:
        """Generic parameters as the backend names and writes them."""
        names: Any = self._equivalence_dict() or {}
        return {names.get(name, name): value for name, value in params.items()}

    @classmethod
    def _own_name(cls, generic: str) -> str:
        """What the backend calls a generic parameter."""
        names: Any = cls._equivalence_dict() or {}
        return str(names.get(generic, generic))


def _check_callable(fn: object, usage: str) -> None:
    """Raise ``TypeError`` for a function's value in the place of the function."""
    if not callable(fn):
        raise TypeError(
            f"{usage} takes the function itself and calls it in the job, but {fn!r:.100} is of type {type(fn).__name__}: "
            "write executor.submit(train, lr=0.1), not executor.submit(train(lr=0.1))"
        )
