"""Which backends there are: those of this library, named by strings, and those of other distributions, by entry points.

A distribution offers a backend in the entry-point group ``submitit``::

    [project.entry-points.submitit]
    executor = "my_package:MyExecutor"
    job_environment = "my_package:MyJobEnvironment"

A backend's name is its class's ``name()``. Entry points are scanned only when something is asked for that the built-ins do not
answer: naming ``cluster="local"`` loads nothing else, and a job of a built-in backend finds its environment by itself.
"""

from __future__ import annotations

import functools
import os

from submitit.records import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from importlib.metadata import EntryPoint
    from typing import Any

GROUP = "submitit"
_OWN = "submitit itself"
#: In the order in which executors of equal affinity are preferred.
_EXECUTORS = {
    "slurm": "submitit.slurm.slurm:SlurmExecutor",
    "local": "submitit.local.local:LocalExecutor",
    "debug": "submitit.local.debug:DebugExecutor",
}
_ENVIRONMENTS = {
    "slurm": "submitit.slurm.environment:SlurmJobEnvironment",
    "local": "submitit.local.environment:LocalJobEnvironment",
    "debug": "submitit.local.debug:DebugJobEnvironment",
}


class LoadError(NamedTuple):
    """An entry point that gave no backend."""

    #: The distribution that has it, with its version.
    source: str
    #: ``name = module:attribute``
    entry_point: str
    error: Exception


class _Offer(NamedTuple):
    """A class that some backend consists of, not loaded yet."""

    kind: str
    value: str
    source: str


class _Loaded(NamedTuple):
    name: str
    backend: Any
    source: str


#: What the last scan found, beside what `_get_plugins` returns.
_loaded: list[_Loaded] = []
_errors: list[LoadError] = []


def executor_class(name: str) -> Any:
    """The executor class of the backend ``name``.

    Raises ``ValueError`` for an unknown one, saying what is known and which plugins failed to load, and ``RuntimeError`` where
    two distributions offer it.
    """
    if name in _EXECUTORS:
        return _load(_EXECUTORS[name])
    found = [executor for executor in _get_plugins()[0] if executor.name() == name]
    if not found:
        raise ValueError(_unknown(name))
    _check_unique(found)
    return found[0]


def executor_names() -> list[str]:
    """The names of all backends, the built-ins first."""
    return list(dict.fromkeys([*_EXECUTORS, *(executor.name() for executor in _get_plugins()[0])]))


def is_built_in(name: str) -> bool:
    """Whether the backend ``name`` is one of this library's."""
    return name in _EXECUTORS


@functools.lru_cache
def get_executors() -> Mapping[str, Any]:
    """Every backend's executor class by its name. Raises ``RuntimeError`` where two of them have the same name."""
    executors = _get_plugins()[0]
    _check_unique(executors)
    return {executor.name(): executor for executor in executors}


@functools.lru_cache
def get_job_environments() -> Mapping[str, Any]:
    """An instance of every backend's job environment, by its name. Of two with the same name the first found is kept."""
    found: dict[str, Any] = {}
    for environment in _get_plugins()[1]:
        found.setdefault(environment.name(), environment)
    return found


def get_job_environment() -> Any:
    """The environment of the job that this process belongs to; ``RuntimeError`` outside a job.

    ``$_TEST_CLUSTER_`` forces a backend by its name. Otherwise ``$SUBMITIT_EXECUTOR`` names it, or the first that says of itself
    that it is active. Plugins are looked for only if no built-in is.
    """
    forced = os.environ.get("_TEST_CLUSTER_")
    if forced:
        environment = _built_in_environment(forced) or get_job_environments().get(forced)
        if environment is None:
            raise AssertionError(f"Unknown $_TEST_CLUSTER_={forced!r}, available: {', '.join(get_job_environments())}.")
        return environment
    for candidate in _candidates():
        if candidate.activated():
            return candidate
    known = ", ".join(get_job_environments())
    raise RuntimeError(f"Could not figure out which environment the job is runnning in. Known environments: {known}.")


def load_errors() -> tuple[LoadError, ...]:
    """The entry points that could not be loaded, with what they raised."""
    _get_plugins()
    return tuple(_errors)


@functools.lru_cache
def _get_plugins() -> tuple[list[Any], list[Any]]:
    """All executor classes, and an instance of each job environment; the one scan of the entry points.

    An entry point that fails costs nothing but itself: the error is logged once and kept for ``load_errors``.
    """
    _loaded.clear()
    _errors.clear()
    executors: list[Any] = []
    environments: list[Any] = []
    for offer in (*_built_ins(), *_offers(_iter_submitit_entrypoints())):
        try:
            backend = _load(offer.value)
            if offer.kind == "job_environment":
                backend = backend()
            name = backend.name()
        except Exception as error:  # noqa: BLE001 - a stranger's module may raise anything
            _report(offer, error)
            continue
        group = executors if offer.kind == "executor" else environments
        # one class offered twice is one backend: a distribution that is found in two places
        if not any(_same(backend, other) for other in group):
            group.append(backend)
            _loaded.append(_Loaded(name, backend, offer.source))
    return executors, environments


def _iter_submitit_entrypoints() -> Iterable[EntryPoint]:
    from importlib.metadata import entry_points

    return entry_points(group=GROUP)


def _built_ins() -> Iterator[_Offer]:
    for value in _EXECUTORS.values():
        yield _Offer("executor", value, _OWN)
    for value in _ENVIRONMENTS.values():
        yield _Offer("job_environment", value, _OWN)


def _offers(entry_points: Iterable[EntryPoint]) -> Iterator[_Offer]:
    for entry_point in entry_points:
        distribution = getattr(entry_point, "dist", None)
        source = f"{distribution.name} {distribution.version}" if distribution is not None else entry_point.value
        offer = _Offer(entry_point.name, entry_point.value, source)
        if entry_point.name in ("executor", "job_environment"):
            yield offer
        else:
            _report(offer, ValueError(f"it must be named executor or job_environment, not {entry_point.name}"))


def _load(value: str) -> Any:
    """The object that an entry point's value names: ``module:attribute`` (a list of extras after it is ignored)."""
    from importlib import import_module

    module, _, attribute = value.partition("[")[0].partition(":")
    return functools.reduce(getattr, attribute.strip().split("."), import_module(module.strip()))


def _same(one: Any, other: Any) -> bool:
    return one is other or (not isinstance(one, type) and type(one) is type(other))


def _report(offer: _Offer, error: Exception) -> None:
    from submitit import log

    entry_point = f"{offer.kind} = {offer.value}"
    _errors.append(LoadError(offer.source, entry_point, error))
    log.get_logger().warning(
        "Ignoring the plugin of %s (%s): %s: %s", offer.source, entry_point, type(error).__name__, error
    )


def _built_in_environment(name: str) -> Any:
    value = _ENVIRONMENTS.get(name)
    return _load(value)() if value else None


def _candidates() -> Iterator[Any]:
    """The environments to ask whether they are active, each loaded when its turn comes."""
    named = os.environ.get("SUBMITIT_EXECUTOR", "")
    for name in sorted(_ENVIRONMENTS, key=lambda name: name != named):
        yield _built_in_environment(name)
    yield from get_job_environments().values()


def _check_unique(executors: Iterable[Any]) -> None:
    by_name: dict[str, Any] = {}
    for executor in executors:
        first = by_name.setdefault(executor.name(), executor)
        if first is not executor:
            one, other = (_describe(backend) for backend in (first, executor))
            raise RuntimeError(
                f"Two executors are named {executor.name()!r}: {one} and {other}. Uninstall one of the two distributions, or "
                "let one of the classes have another name()."
            )


def _describe(backend: Any) -> str:
    source = next((loaded.source for loaded in _loaded if loaded.backend is backend), "an unknown distribution")
    return f"{backend.__module__}.{backend.__qualname__} (of {source})"


def _unknown(name: str) -> str:
    import difflib

    names = executor_names()
    close = difflib.get_close_matches(name.lower(), names, n=1)
    text = f"AutoExecutor doesn't know any executor named {name}"
    if close:
        text += f". Did you mean {close[0]!r}?"
    text += f"\nKnown executors: {', '.join(names)}"
    for error in load_errors():
        text += f"\nNot loaded: {error.entry_point} of {error.source}, because of {type(error.error).__name__}: {error.error}"
    return text
