"""The parameters that every backend understands, their types, and what is said to a name that nobody knows."""

from __future__ import annotations

from typing import Any, Final, TypedDict, final

#: The generic parameters. ``mem_gb`` may be an int as well.
GENERIC: Final[dict[str, type]] = {
    "name": str,
    "timeout_min": int,
    "mem_gb": float,
    "nodes": int,
    "cpus_per_task": int,
    "gpus_per_node": int,
    "tasks_per_node": int,
    "stderr_to_stdout": bool,
}


#: What else is for every backend; version 1 has no such parameters. A backend that does not know one is not given it.
FURTHER: Final = frozenset({"retry"})


def check_retry(value: object) -> None:
    """Raise ``TypeError`` for a parameter ``retry`` that is no policy."""
    if value is not None:
        from submitit.orchestrator import retry

        retry.check(value)


class EquivalenceDict(TypedDict):
    """A backend's own names of the generic parameters."""

    name: str
    timeout_min: str
    mem_gb: str
    nodes: str
    cpus_per_task: str
    gpus_per_node: str
    tasks_per_node: str


@final
class Unset:
    """The type of ``UNSET``, of which there is one instance in a process, unpickled ones included."""

    def __new__(cls) -> Unset:
        return UNSET

    def __reduce__(self) -> str:
        return "UNSET"

    def __repr__(self) -> str:
        return "UNSET"

    def __bool__(self) -> bool:
        return False


#: As a parameter's value: give it no value at all, not even the backend's default.
UNSET: Final[Unset] = object.__new__(Unset)


def without_markers(parameters: dict[str, Any]) -> dict[str, Any]:
    """``parameters`` with ``None``, which every backend reads as "no value", for ``UNSET``."""
    return {name: None if value is UNSET else value for name, value in parameters.items()}


def check_type(name: str, value: Any, expected: type) -> None:
    """Raise ``AssertionError`` if a generic parameter has a value of the wrong type."""
    accepted = (int, float) if expected is float else expected
    if not isinstance(value, accepted):
        found = type(value).__name__
        raise AssertionError(
            f'Parameter "{name}" expected type {accepted} (but value: "{value}"), and this is of type {found}'
        )


def suggestion(name: str, known: list[str]) -> str:
    """``" Did you mean 'x'?"`` where a known name is near, else nothing."""
    import difflib

    close = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
