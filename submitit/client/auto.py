"""One executor for every place: the backend is chosen at construction, parameters are understood by all."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from submitit import plugins
from submitit.client import parameters
from submitit.client.executor import Executor
from submitit.client.parameters import UNSET

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    from submitit.client.dry_run import DryRun
    from submitit.client.executor import P
    from submitit.client.job import Job, R
    from submitit.storage.snapshots import Snapshot
    from submitit.storage.submission import DelayedSubmission

#: Constructor arguments of early versions.
_CTOR_DEPRECATED_ARGS = {"max_num_timeout": "slurm_max_num_timeout", "conda_file": "chronos_conda_file"}


class AutoExecutor(Executor):
    """Submits to Slurm where there is one, else to the local machine; or to the backend that ``cluster`` names.

    Generic parameters are for every backend: ``name timeout_min mem_gb nodes cpus_per_task gpus_per_node tasks_per_node
    stderr_to_stdout``; ``after after_any after_each``, the jobs to wait for; and ``retry``, what to do about failures
    (``submitit.Retry``), where the backend knows it. Everything else is prefixed by the backend that it is for, and ignored by the
    others: constructor arguments
    (``slurm_max_num_timeout=…``) as well as parameters (``update_parameters(slurm_partition=…)``). ``_executor`` is the
    backend's own executor.

    With ``snapshot`` every submission runs from a copy of the git work tree around the working directory, which later edits do
    not reach: ``True``, or a ``submitit.helpers.Snapshot`` that says more. The job starts in the copy, in the same directory below its
    root, and imports from it what it would import from the work tree. (The debug executor runs in this process, with its code.)

    Raises ``ValueError`` for an unknown cluster, ``AssertionError`` for an argument that is not prefixed by a known backend and
    ``TypeError`` for one that the chosen backend does not take.
    """

    _ctor_deprecated_args = _CTOR_DEPRECATED_ARGS
    _snapshot: Snapshot | None = None

    def __init__(
        self,
        folder: str | os.PathLike[str],
        cluster: str | None = None,
        *,
        snapshot: Any = False,  # any type, for the sake of `**arguments` of any
        **kwargs: Any,
    ) -> None:
        if snapshot:
            self._snapshot = _checked_snapshot(snapshot)
        self.cluster = self.which() if cluster is None else cluster
        executor_class = plugins.executor_class(self.cluster)
        _convert_deprecated_args(kwargs, self._ctor_deprecated_args)
        for name in kwargs:
            _check_prefixed(name)
        self._executor: Executor = flexible_init(executor_class, folder, **kwargs)
        super().__init__(folder, self._executor.parameters)

    @staticmethod
    def which() -> str:
        """The backend of the highest affinity; of several, the first."""
        executors = plugins.get_executors()
        return max(executors, key=lambda name: executors[name].affinity())

    def register_dev_folders(self, folders: Sequence[str | os.PathLike[str]]) -> None:
        """Does nothing, with a warning."""
        warnings.warn(
            "Ignoring dev folder registration as it is only supported (and needed) for internal cluster", stacklevel=2
        )

    @classmethod
    def _typed_parameters(cls) -> dict[str, type]:
        """The generic parameters and their types."""
        return dict(parameters.GENERIC)

    @classmethod
    def _valid_parameters(cls) -> set[str]:
        return set(cls._typed_parameters())

    def _internal_update_parameters(self, **kwargs: Any) -> None:
        """Translate generic parameters, keep those of the chosen backend, check the names of all others.

        What is given for the backend wins over what is given for all: its own name first, then the prefixed generic one.
        """
        typed = self._typed_parameters()
        generic: dict[str, Any] = {}
        prefixed_generic: dict[str, Any] = {}
        specific: dict[str, Any] = {}
        for name, value in kwargs.items():
            if value is None:
                continue
            if name in parameters.FURTHER:
                if self._executor._takes_parameter(name):
                    specific.setdefault(name, value)
                elif self.cluster != "debug":
                    message = f"Backend {self.cluster!r} does not know {name!r}: its jobs are submitted without it"
                    warnings.warn(message, stacklevel=3)
                continue
            if name in typed:
                if value is not UNSET:
                    parameters.check_type(name, value, typed[name])
                generic[name] = value
                continue
            backend, argument = self._split(name)
            if backend == self.cluster:
                (prefixed_generic if argument in typed else specific)[argument] = value
        generic.update(prefixed_generic)
        unset = {self._executor._own_name(name): UNSET for name, value in generic.items() if value is UNSET}
        converted = self._executor._convert_parameters({n: v for n, v in generic.items() if v is not UNSET})
        merged = parameters.without_markers({**converted, **unset, **specific})
        self._executor._internal_update_parameters(**merged)

    def _split(self, name: str) -> tuple[str, str]:
        """The backend and its parameter that a prefixed name means.

        Raises ``NameError`` if there is none. A name without prefix that some backend knows is taken for that backend's, with a
        ``UserWarning``: the chosen backend's before others'.
        """
        backend, _, argument = name.partition("_")
        if plugins.is_built_in(backend) or (argument and backend in plugins.executor_names()):
            executor_class = plugins.executor_class(backend)
            if argument not in self._typed_parameters() and not executor_class._takes_parameter(argument):
                raise NameError(self._unknown_argument(name, backend, argument))
            return backend, argument
        owners = [
            other for other in plugins.executor_names() if name in plugins.executor_class(other)._valid_parameters()
        ]
        if not owners:
            raise NameError(self._unknown_name(name))
        owner = self.cluster if self.cluster in owners else owners[-1]
        # update_parameters and _internal_update_parameters are between here and the user
        warnings.warn(f"Setting '{name}' is deprecated. Use '{owner}_{name}' instead.", stacklevel=4)
        return owner, name

    def _unknown_argument(self, name: str, backend: str, argument: str) -> str:
        executor_class = plugins.executor_class(backend)
        valid, names = executor_class._valid_parameters(), executor_class._parameter_names()
        hint = parameters.suggestion(
            name, [f"{backend}_{known}" for known in sorted(names)] + list(self._typed_parameters())
        )
        more = f", and {len(names - valid)} more" if names - valid else ""
        return (
            f"Unknown argument '{argument}' for executor '{backend}' in parameter '{name}'.{hint} "
            f"Valid arguments: {', '.join(sorted(valid))}{more}\n{self._reminder()}"
        )

    def _unknown_name(self, name: str) -> str:
        backends = plugins.executor_names()
        known = [*self._typed_parameters(), "after", "after_any", "after_each"]
        for backend in backends:
            known += [f"{backend}_{argument}" for argument in plugins.executor_class(backend)._parameter_names()]
        prefix = name.partition("_")[0]
        problem = f"Unknown executor '{prefix}' in parameter '{name}'." if "_" in name else ""
        problem = problem or f"Parameter '{name}' need to be prefixed by an executor name."
        prefixed = [full for full in known if full.partition("_")[2] == name]
        return f"{problem}{parameters.suggestion(prefixed[0] if prefixed else name, known)}\n{self._reminder()}"

    def _reminder(self) -> str:
        return (
            f"Known executors: {', '.join(plugins.executor_names())}\n"
            f"As a reminder, shared/generic (non-prefixed) parameters are: {self._typed_parameters()}."
        )

    def dry_run(self, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> DryRun:
        """The script and the command that ``submit`` would send for this call, see the backend's executor."""
        return self._executor.dry_run(fn, *args, **kwargs)

    def _backend(self) -> Executor:
        return self._executor

    def _copy(self) -> AutoExecutor:
        made = super()._copy()
        assert isinstance(made, AutoExecutor)
        made._executor = self._executor._copy()
        made.parameters = made._executor.parameters
        return made

    def _internal_process_submissions(self, delayed_submissions: list[DelayedSubmission]) -> list[Job[Any]]:
        if self._snapshot is None:
            return self._executor._internal_process_submissions(delayed_submissions)
        from submitit import environ
        from submitit.storage.paths import layout_of

        # What a job submits runs in the job's own snapshot: there may be no repository around it.
        copy = environ.own_copy() or self._snapshot.make(layout_of(self._executor.folder).snapshots)
        with environ.jobs_run_in(copy):
            return self._executor._internal_process_submissions(delayed_submissions)


def _checked_snapshot(given: object) -> Snapshot:
    from submitit.storage.snapshots import Snapshot

    if given is True:
        return Snapshot()
    if not isinstance(given, Snapshot):
        raise TypeError(f"AutoExecutor(snapshot=…) takes True or a submitit.helpers.Snapshot, not {given!r}")
    return given


def flexible_init(cls: type[Executor], folder: str | os.PathLike[str], **kwargs: Any) -> Executor:
    """An executor of class ``cls``, made with those of ``kwargs`` that carry its name as a prefix."""
    prefix = f"{cls.name()}_"
    own = {name[len(prefix) :]: value for name, value in kwargs.items() if name.startswith(prefix)}
    return cls(folder, **own)


def _convert_deprecated_args(kwargs: dict[str, Any], deprecated_args: Mapping[str, str]) -> None:
    """Rename arguments of early versions in place, each with a warning."""
    for old, new in deprecated_args.items():
        if old in kwargs:
            warnings.warn(f"Setting '{old}' is deprecated. Use '{new}' instead.", stacklevel=3)
            kwargs[new] = kwargs.pop(old)


def _check_prefixed(name: str) -> None:
    prefix = name.partition("_")[0]
    if plugins.is_built_in(prefix) and "_" in name:
        return
    known = plugins.executor_names()
    if prefix in known and "_" in name:
        return
    unknown = f", and '{prefix}' executor is also unknown" if "_" in name else ""
    raise AssertionError(
        f"Extra arguments must be prefixed by executor named, received unknown arg '{name}'{unknown}. "
        f"Known executors: {', '.join(known)}."
    )
