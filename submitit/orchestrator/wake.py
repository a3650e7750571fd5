"""What ends the sleep of a thread that waits."""

from __future__ import annotations

import contextlib
import os


class Wake:
    """A descriptor that a sleeping thread polls beside its others, and that any thread makes readable.

    Where the process has no descriptor left there is none, and a sleeper finds out when it looks the next time.
    """

    def __init__(self) -> None:
        self._descriptors: tuple[int, ...] = ()
        with contextlib.suppress(OSError):
            self._descriptors = _make()

    def fileno(self) -> int | None:
        """The descriptor to poll."""
        return self._descriptors[0] if self._descriptors else None

    def set(self) -> None:
        """Make it readable. Not to be called after ``close``, which is the callers' business to prevent."""
        with contextlib.suppress(BlockingIOError):  # a pipe that is full is readable
            if self._descriptors:
                os.write(self._descriptors[-1], _ONE)

    def clear(self) -> None:
        """Make it wait for the next ``set``."""
        with contextlib.suppress(BlockingIOError):
            if self._descriptors:
                os.read(self._descriptors[0], _MUCH)

    def close(self) -> None:
        """Give the descriptors back."""
        descriptors, self._descriptors = self._descriptors, ()
        for descriptor in dict.fromkeys(descriptors):
            os.close(descriptor)


#: An eventfd takes exactly eight bytes; a pipe takes them as well. So many are taken out at once as a pipe may hold.
_ONE, _MUCH = (1).to_bytes(8, "little"), 1 << 16


def _make() -> tuple[int, ...]:
    if hasattr(os, "eventfd"):  # Linux; one descriptor in place of two
        return (os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK),)
    both = os.pipe()
    for descriptor in both:
        os.set_blocking(descriptor, False)
    return both
