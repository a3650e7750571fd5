"""Lines of text that one scrolls through, wrapped at the screen's width; its end is followed as it grows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from rich.cells import cell_len, chop_cells
from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from textual import events

_LABEL = Style(bold=True)


class Said(NamedTuple):
    """One line, with a word about it before it."""

    text: str
    style: str = ""
    label: str = ""
    #: Cells before the text, where the label stands.
    indent: int = 0


class Pager(ScrollView, can_focus=True):
    """Lines, with the keys of a pager."""

    DEFAULT_CSS = """
    Pager { height: 1fr; overflow-x: hidden; scrollbar-size-vertical: 1; }
    """
    BINDINGS: ClassVar[list[Any]] = [
        Binding("up,k", "by(-1)"),
        Binding("down,j", "by(1)"),
        Binding("pageup,b,ctrl+b", "page(-1)"),
        Binding("pagedown,space,ctrl+f", "page(1)"),
        Binding("home,g", "to_begin"),
        Binding("end,G", "to_end"),
    ]

    def __init__(self) -> None:
        super().__init__()
        #: Whether the end stays in sight when lines come.
        self.following = False
        self._lines: list[Said] = []
        self._rows: list[Said] = []

    def show(self, lines: Sequence[Said], *, after: int = 0) -> None:
        """These lines follow the first ``after`` of those that were shown; what stood there before is gone."""
        gone = sum(len(_wrapped(line, self._room)) for line in self._lines[after:]) if after else len(self._rows)
        del self._rows[len(self._rows) - gone :], self._lines[after:]
        self._lines += lines
        self._append(lines)

    def _append(self, lines: Iterable[Said]) -> None:
        self._rows += [row for line in lines for row in _wrapped(line, self._room)]
        self.virtual_size = Size(self.size.width, len(self._rows))
        self.refresh()
        if self.following:
            self.scroll_end(animate=False, immediate=True)

    @property
    def _room(self) -> int:
        return max(10, self.size.width - 1)  # the scroll bar may come at any time

    def on_resize(self, event: events.Resize) -> None:
        self._rows = []
        self._append(self._lines)

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        place = self.scroll_offset.y + y
        if place >= len(self._rows):
            return Strip.blank(self.size.width)
        row = self._rows[place]
        segments = [Segment(row.text, Style.parse(row.style))]
        if row.indent:
            segments.insert(0, Segment(row.label.ljust(row.indent), _LABEL))
        return Strip(segments).adjust_cell_length(self.size.width, Style())

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Who scrolls up wants to read what is there; who comes to the end, what is to come."""
        super().watch_scroll_y(old_value, new_value)
        if new_value < old_value and new_value < self.max_scroll_y:
            self.following = False

    def action_by(self, lines: int) -> None:
        """Some lines down, or up."""
        self._to(self.scroll_offset.y + lines)

    def action_page(self, pages: int) -> None:
        """Some screens down, or up."""
        self._to(self.scroll_offset.y + pages * max(1, self.size.height - 1))

    def action_to_begin(self) -> None:
        """To the first line."""
        self._to(0)

    def action_to_end(self) -> None:
        """To the last line, which is followed from now on."""
        self.following = True
        self.scroll_end(animate=False)

    def _to(self, place: int) -> None:
        self.following = place >= self.max_scroll_y
        self.scroll_to(y=place, animate=False)


def _wrapped(line: Said, width: int) -> list[Said]:
    """A line as rows that fit; the label stands before the first."""
    room = max(1, width - line.indent)
    if len(line.text) <= room and (line.text.isascii() or cell_len(line.text) <= room):
        return [line]
    parts = (
        [line.text[at : at + room] for at in range(0, len(line.text), room)]
        if line.text.isascii()
        else chop_cells(line.text, room)
    )
    return [line._replace(text=part, label="" if number else line.label) for number, part in enumerate(parts)]
