"""The table on the screen: what is in sight is drawn, and nothing else."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar

from rich.cells import set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from submitit.cli.summary import ranked
from submitit.cli.tui import columns
from submitit.cli.tui.table import SORTS, Table
from submitit.views.colours import style_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual import events

    from submitit.cli.tui.columns import Width
    from submitit.cli.tui.table import Key, Line
    from submitit.views.entry import JobEntry

_BOLD, _DIM, _PLAIN = Style(bold=True), Style(dim=True), Style()
#: The line that one is on stands out without colours, on light and dark.
_CURSOR = Style(reverse=True)
_FOLDED, _UNFOLDED, _INNER = "▸ ", "▾ ", "  "


class Listing(ScrollView, can_focus=True):
    """The lines of a table, under a heading that stays, and the one line that keys are about."""

    DEFAULT_CSS = """
    Listing { height: 1fr; overflow-x: hidden; scrollbar-size-vertical: 1; }
    """
    BINDINGS: ClassVar[list[Any]] = [
        Binding("up,k", "move(-1)"),
        Binding("down,j", "move(1)"),
        Binding("pageup,ctrl+b", "page(-1)"),
        Binding("pagedown,ctrl+f", "page(1)"),
        Binding("home,g", "to(0)"),
        Binding("end,G", "to(-1)"),
    ]

    class Opened(Message):
        """A line was clicked that was the cursor's already."""

    class Sorted(Message):
        """The heading of a column was clicked."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self, table: Table, *, several: bool) -> None:
        super().__init__()
        self.table = table
        self.several = several
        #: What is said where there is no line.
        self.empty = ""
        #: Jobs whose files were looked up, by folder and id, each with the entry for which that was done.
        self.detailed: dict[tuple[str, str], tuple[JobEntry, JobEntry]] = {}
        self._cursor = 0
        self._widths: list[Width] = []
        self._marked = False
        #: What stands on each line of the screen.
        self._drawn: dict[int, Strip] = {}

    # ---- what it shows

    @property
    def line(self) -> Line | None:
        """The line that keys are about."""
        return self.table.lines[self._cursor] if self.table.lines else None

    @property
    def key(self) -> Key | None:
        """What to find the line by after another order or choice; ``None`` for the first, where one stays at the beginning."""
        return self.line.key if self.line is not None and self._cursor else None

    def renew(self, *, to: Key | None = None) -> None:
        """The table has changed: the cursor stays on its line, which is ``to``, or stays where it was if that line is gone."""
        place = None if to is None else self.table.place(to)
        self._cursor = min(self._cursor if place is None else place, max(0, len(self.table.lines) - 1))
        self._lay_out()
        self._into_sight()

    def _lay_out(self) -> None:
        marked = any(line.is_head for line in self.table.lines)
        room = max(20, self.size.width - 1)  # the scroll bar may come at any time
        self._widths = columns.widths(self.table.entries, room, marked=marked, several=self.several)
        self._marked = marked
        self.virtual_size = Size(self.size.width, len(self.table.lines) + 1)
        self.refresh()

    def on_resize(self, event: events.Resize) -> None:
        self._lay_out()
        self._into_sight()

    def in_sight(self) -> Iterable[JobEntry]:
        """The jobs of the lines that are on the screen."""
        top = self.scroll_offset.y
        for line in self.table.lines[top : top + self.size.height]:
            if not line.is_head:
                yield line.entry

    def tick(self) -> None:
        """Time has passed: the lines that say otherwise now are drawn again."""
        for y, drawn in list(self._drawn.items()):
            if y < self.size.height and self._strip(y) != drawn:
                self.refresh(Region(0, y, self.size.width, 1))

    # ---- drawing

    def render_line(self, y: int) -> Strip:
        """One line of the screen: the heading, or what is scrolled below it."""
        self._drawn[y] = strip = self._strip(y)
        return strip

    def _strip(self, y: int) -> Strip:
        width = self.size.width
        if y == 0:
            return Strip(self._heading()).adjust_cell_length(width, _PLAIN)
        place = self.scroll_offset.y + y - 1
        if place >= len(self.table.lines):
            text = self.empty if not self.table.lines and y == 2 else ""
            return Strip([Segment(set_cell_size(text, width), _PLAIN)])
        segments = self._segments(self.table.lines[place])
        if place == self._cursor:  # in one piece: colours would be blocks, turned round
            segments = [Segment("".join(segment.text for segment in segments), _CURSOR)]
            return Strip(segments).adjust_cell_length(width, _CURSOR)
        return Strip(segments).adjust_cell_length(width, _PLAIN)

    def _heading(self) -> list[Segment]:
        query = self.table.query
        segments = []
        for column, width in self._widths:
            sign = ""
            if column.name == query.sort:
                sign = "▼" if SORTS[query.sort][1] is not query.reverse else "▲"
            title = f"{column.title}{sign}"
            if self._marked and column.name == "id":
                title = f"  {title}"
            segments.append(_cell(title, width, _BOLD, right=columns.is_right(column)))
            segments.append(Segment(" " * columns.GAP, _BOLD))
        return segments

    def _segments(self, line: Line) -> list[Segment]:
        now = time.time()
        entry = self._known(line.entry)
        segments = []
        for column, width in self._widths:
            if column.name == "id" and self._marked:
                sign = (_UNFOLDED if line.unfolded else _FOLDED) if line.is_head else _INNER * (2 if line.inner else 1)
                text = columns.call_id(entry) if line.is_head else column.text(entry, now)
                segments.append(_cell(f"{sign}{text}", width, _BOLD if line.is_head else _PLAIN))
            elif column.name == "state" and line.is_head:
                segments.extend(self._counts(line))
                break
            else:
                style = Style.parse(style_of(entry.state)) if column.name == "state" else _PLAIN
                text = column.text(entry, now)
                if column.name == "folder" and len(text) > width:
                    text = f"…{text[1 - width :]}"  # its end says more
                segments.append(_cell(text, width, style, right=columns.is_right(column)))
            segments.append(Segment(" " * columns.GAP, _PLAIN))
        return segments

    def _counts(self, line: Line) -> Iterable[Segment]:
        for state, number in ranked(job.state for job in line.jobs):
            yield Segment(f"{number:,} {columns.plain(state)}", Style.parse(style_of(state)))
            yield Segment(" " * columns.GAP, _PLAIN)
        if len(line.jobs) < line.of:
            yield Segment(f"(of {line.of})", _DIM)

    def _known(self, entry: JobEntry) -> JobEntry:
        """The job with what its own files say, if they were looked up."""
        known = self.detailed.get((entry.folder, entry.job_id))
        return known[1] if known is not None and known[0] is entry else entry

    # ---- moving

    def _move_to(self, place: int) -> None:
        before, self._cursor = self._cursor, max(0, min(place, len(self.table.lines) - 1))
        for one in (before, self._cursor):
            self.refresh(Region(0, one + 1 - self.scroll_offset.y, self.size.width, 1))
        self._into_sight()

    def _into_sight(self) -> None:
        top, height = self.scroll_offset.y, max(1, self.size.height - 1)
        if self._cursor < top:
            self.scroll_to(y=self._cursor, animate=False, force=True)
        elif self._cursor >= top + height:
            self.scroll_to(y=self._cursor - height + 1, animate=False, force=True)

    def action_move(self, by: int) -> None:
        """Some lines down, or up."""
        self._move_to(self._cursor + by)

    def action_page(self, by: int) -> None:
        """Some screens down, or up."""
        self._move_to(self._cursor + by * max(1, self.size.height - 2))

    def action_to(self, place: int) -> None:
        """To a line, counted from the end if it is negative."""
        self._move_to(place % max(1, len(self.table.lines)))

    def on_click(self, event: events.Click) -> None:
        if event.y == 0:
            left = 0
            for column, width in self._widths:
                if left <= event.x < left + width + columns.GAP and column.name in SORTS:
                    self.post_message(self.Sorted(column.name))
                left += width + columns.GAP
            return
        place = self.scroll_offset.y + event.y - 1
        if place >= len(self.table.lines):
            return
        if place == self._cursor:
            self.post_message(self.Opened())
        else:
            self._move_to(place)


def _cell(text: str, width: int, style: Style, *, right: bool = False) -> Segment:
    """Text in exactly so many cells; what is cut ends in an ellipsis."""
    fitted = set_cell_size(text, width)
    if fitted.rstrip() != text.rstrip() and width > 1:
        fitted = set_cell_size(text, width - 1).rstrip() + "…"
        fitted = set_cell_size(fitted, width)
    if right:
        fitted = fitted.rstrip().rjust(width)
    return Segment(fitted, style)
