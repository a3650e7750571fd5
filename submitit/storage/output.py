"""A payload while it is written: how large it has become, and what went wrong."""

from __future__ import annotations

from submitit.storage.submission import explain_unpicklable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from submitit.storage.submission import DelayedSubmission


class Output:
    """The file being written: counts, and refuses to grow past a limit.

    ``before`` bytes that lie in other files count towards the limit as well.
    """

    def __init__(self, file: BinaryIO, limit: float | None, before: int = 0) -> None:
        self.name = file.name
        self.size = 0
        self._file = file
        self._before = before
        self._limit = float("inf") if limit is None else limit
        self._failure: BaseException | None = None

    def write(self, data: bytes | memoryview, /) -> int:
        """Writes all of it; ``RuntimeError`` past the limit, in the words of version 1."""
        try:
            self.size += memoryview(data).nbytes
            if self._before + self.size > self._limit:
                raise RuntimeError(_too_large(self._before + self.size, self._limit))
            return self._file.write(data)
        except BaseException as error:
            self._failure = error
            raise

    def rewind(self, size: int) -> None:
        """Takes back everything after the first ``size`` bytes."""
        self._file.seek(size)
        self._file.truncate()
        self.size = size

    def explain(self, error: Exception, submission: DelayedSubmission, element: int | None = None) -> None:
        """Raises an error of the same type that names what could not be pickled.

        Returns where the error is the file's, or says enough by itself.
        """
        if error is not self._failure and not isinstance(error, MemoryError):
            raise explain_unpicklable(error, submission, element) from error


def _too_large(size: float, limit: float) -> str:
    gigabyte = 1 << 30
    return (
        f"Submitting an estimated 1 x {size / gigabyte:.2f} > {limit / gigabyte:g}GB of objects (function and arguments) "
        "through pickle (this can be slow / overload the file system). "
        "If this is the intended behavior, you should update executor.max_pickle_size_gb to a larger value."
    )
