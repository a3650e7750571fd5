"""The last line of the screen: keys, or for a while what has just been done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text
from textual.widgets import Static

if TYPE_CHECKING:
    from textual.timer import Timer

#: For how long a sentence stays.
_READ_S = 8.0


class KeyLine(Static):
    """Names keys. A sentence takes their place, on as many lines as it needs."""

    DEFAULT_CSS = """
    KeyLine { height: auto; max-height: 5; text-style: reverse; }
    """

    def __init__(self, keys: str) -> None:
        super().__init__(Text(keys, no_wrap=True, overflow="ellipsis"), markup=False)
        self._key_names = keys
        self._until: Timer | None = None

    def say(self, sentence: str) -> None:
        """Show a sentence for some seconds."""
        self.update(Text(sentence))
        if self._until is not None:
            self._until.stop()
        self._until = self.set_timer(_READ_S, self._name_keys)

    def _name_keys(self) -> None:
        self._until = None
        self.update(Text(self._key_names, no_wrap=True, overflow="ellipsis"))
