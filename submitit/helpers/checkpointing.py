"""Callables that a preempted job goes on with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from submitit.storage.submission import DelayedSubmission

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PACKAGE = "submitit.helpers"


class Checkpointable:
    """A base for callables whose state is in themselves.

    When the job is preempted or out of time, the object is pickled as it is then and called again with the same arguments.
    Override ``checkpoint`` to save more, or to return another submission; ``None`` means that there is nothing to go on with.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG004 - they are for __init__
        instance = super().__new__(cls)
        assert callable(instance), (
            f"Class {cls.__name__} is marked as Checkpointable but doesn't have a __call__ method. Please add a __call__ method."
        )
        return instance

    def checkpoint(self, *args: Any, **kwargs: Any) -> DelayedSubmission:
        """What to run when the job comes back; ``args`` and ``kwargs`` are those of the call that is interrupted."""
        function: Any = self  # every instance can be called, see __new__
        return DelayedSubmission(function, *args, **kwargs)


class FunctionSequence(Checkpointable):
    """Calls that are made one after the other; those that have returned are not made again after a checkpoint.

    Calling the sequence returns the list of the values. ``verbose`` prints where it starts.
    """

    def __init__(self, verbose: bool = False) -> None:
        self.verbose = verbose
        self.delayed_functions: list[DelayedSubmission] = []

    def add(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Append the call ``func(*args, **kwargs)``."""
        self.delayed_functions.append(DelayedSubmission(func, *args, **kwargs))

    def __len__(self) -> int:
        return len(self.delayed_functions)

    def __iter__(self) -> Iterator[DelayedSubmission]:
        return iter(self.delayed_functions)

    def __call__(self) -> list[Any]:
        if self.verbose:
            done = sum(call.done() for call in self)
            print(f"Starting from {done}/{len(self)}", flush=True)
        return [call.result() for call in self]


for _class in (Checkpointable, FunctionSequence):
    _class.__module__ = PACKAGE
