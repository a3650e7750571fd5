"""Ctrl-C held back while there may be a job that nobody has noted yet.

Between the moment at which Slurm takes a job and the one at which its id is in the journal, an interrupt would lose it: it
would run, and nobody would know. Within ``held`` the first Ctrl-C is only remembered, and raised at the end of the block; a
second one is raised at once. ``pause`` is a wait within such a block that every Ctrl-C ends.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_WORDS = (
    b"\nCtrl-C: waiting for the answer to a submission that is under way, to know what was sent. Again: stop at once.\n"
)


class _Shield:
    """Takes SIGINT in the place of the handler that is there, if it is Python's business at all."""

    def __init__(self) -> None:
        self._handler: Any = None
        self._pending: Any = None

    def raise_(self) -> None:
        # Only the main thread is ever interrupted, and only it may set handlers.
        if threading.current_thread() is threading.main_thread():
            handler = signal.getsignal(signal.SIGINT)
            if callable(handler):
                self._handler = handler
                signal.signal(signal.SIGINT, self._note)

    def lower(self) -> None:
        """Raise what came meanwhile."""
        if self._handler is None:
            return
        handler, self._handler = self._handler, None
        signal.signal(signal.SIGINT, handler)
        if self._pending is not None:
            number, self._pending = self._pending, None
            handler(number, None)

    def _note(self, number: int, frame: object) -> None:
        if self._pending is not None:
            self.lower()
            return
        self._pending = number
        with suppress(OSError):  # not `print`, which this may have interrupted
            os.write(2, _WORDS)


_AROUND: ContextVar[_Shield | None] = ContextVar("submitit_shield", default=None)


@contextmanager
def held() -> Iterator[None]:
    """A Ctrl-C in the block is raised when the block has ended, with or without an error."""
    shield = _Shield()
    token = _AROUND.set(shield)
    shield.raise_()
    try:
        yield
    finally:
        _AROUND.reset(token)
        shield.lower()


def pause(seconds: float) -> None:
    """Sleep; a Ctrl-C before or meanwhile is raised at once, also within ``held``."""
    shield = _AROUND.get()
    if shield is None:
        time.sleep(seconds)
        return
    shield.lower()
    try:
        time.sleep(seconds)
    finally:
        shield.raise_()
