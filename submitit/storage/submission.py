"""The pickled call."""

from __future__ import annotations

import sys

from submitit.storage import serialization

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from typing import Any, SupportsIndex

#: Where version 1 has the class, and where pickles of either version look for it.
HISTORIC_MODULE = "submitit.core.utils"
#: How the message about a call begins that cannot be pickled.
UNPICKLABLE = "Cannot pickle the call of "


class DelayedSubmission:
    """A call to be made later, elsewhere: ``function(*args, **kwargs)``.

    Attributes:
        function: what to call.
        args: positional arguments.
        kwargs: keyword arguments.
    """

    def __init__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self.function = function
        self.args = args
        self.kwargs = kwargs
        self._result: Any = None
        self._done = False
        # Minutes the job was given, and how many time-outs it may still survive.
        self._timeout_min: float = 0
        self._timeout_countdown: int = 0

    def result(self) -> Any:
        """The function's value. The call is made once; where it raises, the next ``result()`` makes it again."""
        if self._done:
            return self._result
        self._result = self.function(*self.args, **self.kwargs)
        self._done = True
        return self._result

    def done(self) -> bool:
        """Whether the call was made and returned."""
        return self._done

    def set_timeout(self, timeout_min: float, max_num_timeout: int) -> None:
        """Notes the time that the job has, in minutes, and how often it may run out and be started again."""
        self._timeout_min = timeout_min
        self._timeout_countdown = max_num_timeout

    def dump(self, filepath: str | os.PathLike[str]) -> None:
        """``filepath`` holds this submission, and survives a crash of the machine.

        Where it cannot be pickled, the file is as it was, and an error of the pickler's type names the part that cannot.
        """
        try:
            serialization.cloudpickle_dump(self, filepath)
        except (OSError, MemoryError):
            raise
        except Exception as error:
            raise explain_unpicklable(error, self) from error

    @classmethod
    def load(cls, filepath: str | os.PathLike[str], *, trust: bool = False) -> DelayedSubmission:
        """The submission that a file holds, of this version or of version 1; with ``trust`` whoever wrote it.

        Raises:
            AssertionError: the file holds something else (told by the name of the class alone).
            UntrustedPickleError: somebody else could have written it.
            CorruptFileError: it is not whole.
        """
        # Programs put a `pickle_load` of their own in place, which knows the path alone.
        obj: DelayedSubmission = serialization.pickle_load(filepath, **({"trust": True} if trust else {}))
        check_kind(obj, cls)
        return obj

    def _checkpoint_function(self) -> DelayedSubmission | None:
        """What to run when the job comes back: what the function's ``__submitit_checkpoint__``, or else its
        ``checkpoint``, returns for the arguments. ``None``: do not requeue, or the function has neither.
        """
        checkpoint = getattr(self.function, "__submitit_checkpoint__", None)
        if checkpoint is None:
            checkpoint = getattr(self.function, "checkpoint", None)
        if checkpoint is None:
            return None
        made: DelayedSubmission | None = checkpoint(*self.args, **self.kwargs)
        return made

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        # A class is pickled by name only where cloudpickle finds its module loaded.
        if HISTORIC_MODULE not in sys.modules:
            from importlib import import_module

            import_module(HISTORIC_MODULE)
        return super().__reduce_ex__(protocol)


DelayedSubmission.__module__ = HISTORIC_MODULE


def check_kind(obj: object, kind: type) -> None:
    """``AssertionError`` unless the object's class has the name of ``kind``.

    By name, since a file of another process may hold the class itself, by value.
    """
    if type(obj).__name__ != kind.__name__:
        raise AssertionError(f"Loaded object is {type(obj)} but should be {kind}.")


def explain_unpicklable(error: Exception, submission: DelayedSubmission, element: int | None = None) -> Exception:
    """An error of the same type as ``error`` where possible, that says which part of the call cannot be pickled, and what to do.

    Args:
        error: what pickling the call raised.
        submission: the call.
        element: its index in an array.
    """
    from submitit.storage.unpicklable import same_type

    words = serialization.describe_unpicklable(submission, error)
    if element is not None:
        words = f"element {element}: {words}"
    function = submission.function
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return same_type(
        error,
        f"{UNPICKLABLE}{name} for its job: {words}. "
        "Make this object inside the function, or leave it out of the pickle with __getstate__.",
    )
