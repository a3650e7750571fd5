"""A thread for what may take long: file systems that hang, schedulers that are busy."""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

#: At most one part in so many of the time is spent on what is done again and again.
_SHARE = 5


class Background(threading.Thread):
    """Does one thing after the other. No end of the program waits for it.

    Args:
        name: of the thread.
        failed: is told, in the thread, what a task has raised.
    """

    def __init__(self, name: str, failed: Callable[[Exception], Any]) -> None:
        super().__init__(name=name, daemon=True)
        self._failed = failed
        self._tasks: queue.SimpleQueue[Callable[[], Any]] = queue.SimpleQueue()
        self._busy = False
        self._rest_until = 0.0

    def ask(self, task: Callable[[], Any]) -> None:
        """Do this as soon as what was asked before is done."""
        self._tasks.put(task)

    def ask_again(self, task: Callable[[], Any]) -> None:
        """Do this if there is nothing else to do, and the last time did not take too long for it to be done so soon again."""
        if self._busy or not self._tasks.empty() or time.monotonic() < self._rest_until:
            return

        def timed() -> None:
            begin = time.monotonic()
            task()
            end = time.monotonic()
            self._rest_until = end + (_SHARE - 1) * (end - begin)

        self.ask(timed)

    def run(self) -> None:
        """What the thread does."""
        while True:
            task = self._tasks.get()
            self._busy = True
            try:
                task()
            except Exception as error:  # noqa: BLE001 - the next time may go better, and what is on the screen stays
                self._failed(error)
            self._busy = False
