"""What is common to all executors: submitting calls one by one, as arrays and in batches."""

from __future__ import annotations

import abc
import contextlib
import copy
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from submitit.client.job import Job
from submitit.client.parameters import EquivalenceDict, without_markers
from submitit.storage.submission import DelayedSubmission

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from submitit.client.dry_run import DryRun
    from submitit.client.futures import FuturesExecutor
    from submitit.client.map_results import MapResults

P = ParamSpec("P")
R = TypeVar("R", covariant=True)
A1 = TypeVar("A1")
A2 = TypeVar("A2")
A3 = TypeVar("A3")
A4 = TypeVar("A4")
A5 = TypeVar("A5")

_NO_CHANGES = 'Changing parameters within batch context "with executor.batch():" is not allowed'


class Executor(abc.ABC):
    """Submits functions as jobs, all with the parameters that it has at that moment.

    ``folder`` is where the jobs' files are written: ``%j`` in it stands for the job's id, ``%t`` for the task, ``%A`` and ``%a``
    for an array's id and the index in it. A backend gives ``job_class`` and ``_internal_process_submissions``.
    """

    job_class: type[Job[Any]] = Job
    #: Whether its jobs can wait for one another: ``_internal_process_submissions`` heeds what ``dependencies.taken`` gives.
    _takes_dependencies = False
    #: The jobs that those submitted from now on wait for, by the parameter that named them.
    _after: Mapping[str, tuple[Job[Any], ...]] = {}

    def __init__(self, folder: str | os.PathLike[str], parameters: dict[str, Any] | None = None) -> None:
        self.folder = Path(folder).expanduser().absolute()
        self.parameters: dict[str, Any] = {} if parameters is None else parameters
        #: The jobs of the batch block that is open, each with its call.
        self._delayed_batch: list[tuple[Job[Any], DelayedSubmission]] | None = None
        self._allow_implicit_submissions = False
        if "joblib" in sys.modules:
            with contextlib.suppress(ImportError):  # of a version that has no such backends
                from submitit.client import joblib  # noqa: F401 - its backend is there from now on
        if "IPython" in sys.modules:
            with contextlib.suppress(Exception):  # of another version, or another program of that name
                from submitit.client import formatter

                formatter.register()

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

    # No type says "an iterable for each argument": as for the built-in `map`, each number of them is written out.
    @overload
    def map_array(self, fn: Callable[[A1], R], iterable: Iterable[A1], /) -> list[Job[R]]: ...
    @overload
    def map_array(
        self, fn: Callable[[A1, A2], R], iterable: Iterable[A1], iterable2: Iterable[A2], /
    ) -> list[Job[R]]: ...
    @overload
    def map_array(
        self,
        fn: Callable[[A1, A2, A3], R],
        iterable: Iterable[A1],
        iterable2: Iterable[A2],
        iterable3: Iterable[A3],
        /,
    ) -> list[Job[R]]: ...
    @overload
    def map_array(
        self,
        fn: Callable[[A1, A2, A3, A4], R],
        iterable: Iterable[A1],
        iterable2: Iterable[A2],
        iterable3: Iterable[A3],
        iterable4: Iterable[A4],
        /,
    ) -> list[Job[R]]: ...
    @overload
    def map_array(
        self,
        fn: Callable[[A1, A2, A3, A4, A5], R],
        iterable: Iterable[A1],
        iterable2: Iterable[A2],
        iterable3: Iterable[A3],
        iterable4: Iterable[A4],
        iterable5: Iterable[A5],
        /,
    ) -> list[Job[R]]: ...
    @overload
    def map_array(
        self,
        fn: Callable[..., R],
        iterable: Iterable[Any],
        iterable2: Iterable[Any],
        iterable3: Iterable[Any],
        iterable4: Iterable[Any],
        iterable5: Iterable[Any],
        iterable6: Iterable[Any],
        /,
        *iterables: Iterable[Any],
    ) -> list[Job[R]]: ...
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

    # Each number of iterables is written out, as for `map_array`.
    @overload
    def map(
        self,
        fn: Callable[[A1], R],
        iterable: Iterable[A1],
        /,
        *,
        chunksize: int | None = None,
        timeout: float | None = None,
        ordered: bool = True,
    ) -> MapResults[R]: ...
    @overload
    def map(
        self,
        fn: Callable[[A1, A2], R],
        iterable: Iterable[A1],
        iterable2: Iterable[A2],
        /,
        *,
        chunksize: int | None = None,
        timeout: float | None = None,
        ordered: bool = True,
    ) -> MapResults[R]: ...
    @overload
    def map(
        self,
        fn: Callable[[A1, A2, A3], R],
        iterable: Iterable[A1],
        iterable2: Iterable[A2],
        iterable3: Iterable[A3],
        /,
        *,
        chunksize: int | None = None,
        timeout: float | None = None,
        ordered: bool = True,
    ) -> MapResults[R]: ...
    @overload
    def map(
        self,
        fn: Callable[[A1, A2, A3, A4], R],
        iterable: Iterable[A1],
        iterable2: Iterable[A2],
        iterable3: Iterable[A3],
        iterable4: Iterable[A4],
        /,
        *,
        chunksize: int | None = None,
        timeout: float | None = None,
        ordered: bool = True,
    ) -> MapResults[R]: ...
    @overload
    def map(
        self,
        fn: Callable[[A1, A2, A3, A4, A5], R],
        iterable: Iterable[A1],
        iterable2: Iterable[A2],
        iterable3: Iterable[A3],
        iterable4: Iterable[A4],
        iterable5: Iterable[A5],
        /,
        *,
        chunksize: int | None = None,
        timeout: float | None = None,
        ordered: bool = True,
    ) -> MapResults[R]: ...
    @overload
    def map(
        self,
        fn: Callable[..., R],
        iterable: Iterable[Any],
        iterable2: Iterable[Any],
        iterable3: Iterable[Any],
        iterable4: Iterable[Any],
        iterable5: Iterable[Any],
        iterable6: Iterable[Any],
        /,
        *iterables: Iterable[Any],
        chunksize: int | None = None,
        timeout: float | None = None,
        ordered: bool = True,
    ) -> MapResults[R]: ...
    def map(
        self,
        fn: Callable[..., R],
        *iterables: Iterable[Any],
        chunksize: int | None = None,
        timeout: float | None = None,
        ordered: bool = True,
    ) -> MapResults[R]:
        """Call ``fn`` once for each tuple of ``zip(*iterables)``, many calls in few jobs; return an iterator over the results.

        The iterables are consumed at once, and cut into chunks of ``chunksize`` calls. There are at most as many jobs, elements
        of one array, as may run at a time (``array_parallelism``; on this machine, as it has CPUs for); if there are more chunks
        than that, each job takes one after the other. By default there are about four chunks a job.

        The results come in the order of the calls, or with ``ordered=False`` in the order in which they arrive, while the jobs go
        on. See ``MapResults`` for calls that raise, jobs that die, and results that are not waited for. ``next()`` raises
        ``TimeoutError`` if a result is not there ``timeout`` seconds after this call.

        Raises what ``submit`` raises, and ``ValueError`` for a ``chunksize`` below 1 and for jobs of several tasks. In a batch
        block the jobs are submitted at once, by themselves.
        """
        from submitit.client import mapping

        _check_callable(fn, "map(fn, …)")
        return mapping.submit(self, fn, iterables, chunksize, timeout, ordered=ordered)

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
        if self._backend()._after:
            from submitit.client import dependencies

            dependencies.of_places(executor._backend(), places, len(kept))
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
        self._attach_dependencies(submissions)
        jobs = self._internal_process_submissions(submissions)
        if any(type(job) is Job for job in jobs):
            raise RuntimeError("Executors should never return a base Job class (implementation issue)")
        return jobs

    def _attach_dependencies(self, submissions: list[DelayedSubmission]) -> None:
        """Note with each call which jobs it waits for."""
        backend = self._backend()
        # Without that module there is no result_of(job) in the process, and nothing to look for.
        if backend._after or "submitit.orchestrator.dependencies" in sys.modules:
            from submitit.client import dependencies

            dependencies.attach(backend, submissions)

    def dry_run(self, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> DryRun:
        """The script and the command that ``submit`` would send for this call. Nothing is sent, and no file is left.

        What names a submission, its files' names, is another one each time. Raises what ``submit`` raises for a call that cannot
        be pickled or is too large, and ``NotImplementedError`` where the backend cannot tell.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot tell what it would send")

    def as_futures(self) -> FuturesExecutor:
        """This executor as one of ``concurrent.futures``: what takes those takes it, and its ``submit`` gives a true ``Future``."""
        from submitit.client.futures import FuturesExecutor

        return FuturesExecutor(self._process, _check_callable)

    @abc.abstractmethod
    def _internal_process_submissions(self, delayed_submissions: list[DelayedSubmission]) -> list[Job[Any]]:
        """Submit the calls, as one array if there are several, and return their jobs in the same order."""

    # ------------------------------------------------------------------ what sends the jobs

    def _backend(self) -> Executor:
        """The executor that this one hands its submissions to: itself, most often."""
        return self

    def _concurrency(self) -> int | None:
        """How many jobs can run beside this process at a time; ``None`` where only the scheduler knows."""
        return None

    def _jobs_at_a_time(self) -> int | None:
        """How many jobs of an array run at a time at most; ``None`` where nobody knows, and jobs cannot share chunks."""
        return None

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

        ``submitit.UNSET`` as a value removes a parameter together with the backend's default.

        ``after`` (a job, or a list of jobs) are jobs that have to succeed before those submitted from now on start, ``after_any``
        jobs that have to end, and ``after_each`` a list of jobs, one for each element of the next array; ``[]`` ends that. Raises ``RuntimeError`` in a batch
        block, whose calls all have the same parameters.
        """
        if self._delayed_batch is not None:
            raise RuntimeError(_NO_CHANGES)
        if "after" in kwargs or "after_any" in kwargs or "after_each" in kwargs:
            from submitit.client import dependencies

            kwargs = dependencies.kept(self._backend(), kwargs)
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
