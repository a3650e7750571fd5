"""The table of jobs, with what can be done about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.binding import Binding
from textual.screen import Screen
from textual.widgets import Static

from submitit import amounts
from submitit.cli.summary import KINDS
from submitit.cli.tui.columns import plain
from submitit.cli.tui.job_screen import JobScreen
from submitit.cli.tui.key_line import KeyLine
from submitit.cli.tui.listing import Listing
from submitit.cli.tui.table import SORTS, Table
from submitit.orchestrator.state import StateKind
from submitit.views.colours import STYLES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual import events
    from textual.app import ComposeResult

    from submitit.cli.tui.app import Top
    from submitit.cli.tui.table import Key
    from submitit.views.entry import JobEntry

_KEYS = "↵ open  o log  / filter  1-6 state  s sort  c cancel  r retry  ? help  q quit"


class JobsScreen(Screen[None]):
    """All jobs.

    Args:
        place: what is shown, in words: a folder, or how many.
        several: whether there may be more than one folder.
    """

    app: Top

    BINDINGS: ClassVar[list[Any]] = [
        Binding("escape", "all"),
        *(Binding(str(number), f"only({number})") for number in range(len(KINDS) + 1)),
        Binding("s", "sort"),
        Binding("S", "turn"),
        Binding("space", "fold"),
        Binding("right", "fold(False)"),
        Binding("left", "fold(True)"),
        Binding("z", "fold_all"),
        Binding("enter", "open('details')"),
        Binding("o,l", "open('stdout')"),
        Binding("e", "open('stderr')"),
        Binding("c", "act('cancel')"),
        Binding("C", "act('cancel', True)"),
        Binding("r", "act('retry')"),
        Binding("R", "act('retry', True)"),
        Binding("question_mark", "app.help"),
        Binding("q", "app.leave"),
    ]

    def __init__(self, *, several: bool) -> None:
        super().__init__()
        self.table = Table()
        self.listing = Listing(self.table, several=several)
        self._title = Static(markup=False, classes="title")
        self._counts = Static(markup=False, classes="tabs")
        self._filter = Static(markup=False, classes="filter")
        #: Whether keys are letters of the filter.
        self._typing = False

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        yield self._title
        yield self._counts
        yield self.listing
        yield self._filter
        yield KeyLine(_KEYS)

    def on_mount(self) -> None:
        self.set_focus(self.listing)
        self._show_filter()
        self._renew()

    def on_resize(self) -> None:
        self._head()

    # ---- what it shows

    def take(self, entries: Sequence[JobEntry]) -> None:
        """These are the jobs now."""
        line = self.listing.line
        self.table.show(entries)
        self._renew(None if line is None else line.key)

    def _ask(self, **changes: Any) -> None:
        key = self.listing.key
        self.table.ask(self.table.query._replace(**changes))
        self._renew(key)

    def _renew(self, key: Key | None = None) -> None:
        self.listing.empty = self._why_empty()
        self.listing.renew(to=key)
        self._head()

    def _why_empty(self) -> str:
        total = len(self.table.entries)
        if total:
            return f"None of {total:,} jobs is like that: Esc shows all."
        return self.app.why_empty()

    def _head(self) -> None:
        shown, total = self.table.shown, len(self.table.entries)
        right = f"{shown:,} of {total:,} jobs" if shown != total else amounts.count(total, "job")
        room = max(1, self.size.width - len(right) - 2)
        title = Text.assemble(("submitit top  ", "bold"), plain(self.app.place()))
        title.truncate(room, overflow="ellipsis", pad=True)
        self._title.update(Text.assemble(title, "  ", (right, "bold"), no_wrap=True))
        self._counts.update(self._count_line(self.size.width))

    def _count_line(self, width: int) -> Text:
        """The kinds of states with their keys and numbers, as fully as there is room."""
        kinds = [kind for kind in KINDS if kind is not StateKind.UNKNOWN or self.table.counts[kind]]
        line = Text()
        for length, gap in ((None, "  "), (None, " "), (4, "  "), (4, " ")):
            line = Text(no_wrap=True, overflow="crop")
            for kind in kinds:
                number = self.table.counts[kind]
                chosen = kind is self.table.query.kind
                line.append(f"{KINDS.index(kind) + 1} ", "dim")
                style = STYLES[kind] if number else "dim"
                line.append(f"{kind.name[:length]} {number}", f"{style} reverse" if chosen else style)
                line.append(gap)
            line.rstrip()
            if line.cell_len <= width:
                break
        return line

    # ---- what one can ask for

    def on_key(self, event: events.Key) -> None:
        """Words are typed here, not in a widget of their own: what one types on a slow line may come before that has the focus."""
        words = self.table.query.words
        if not self._typing:
            if event.key == "slash":
                self._typing = True
                self._show_filter()
                event.stop()
            return
        if event.key in ("enter", "escape"):
            self._typing = False
            self._type("" if event.key == "escape" else words)
        elif event.key == "backspace":
            self._type(words[:-1])
        elif event.key in ("ctrl+u", "ctrl+w"):
            self._type("" if event.key == "ctrl+u" else words.rstrip().rpartition(" ")[0])
        elif event.is_printable and event.character:
            self._type(words + event.character)
        else:
            return
        event.stop()

    def on_paste(self, event: events.Paste) -> None:
        if self._typing:
            self._type(self.table.query.words + plain(event.text))

    def _type(self, words: str) -> None:
        if words != self.table.query.words:
            self._ask(words=words)
        self._show_filter()

    def _show_filter(self) -> None:
        words = self.table.query.words
        self._filter.display = self._typing or bool(words)
        cursor = (" ", "reverse") if self._typing else ""
        hint = "   Enter keeps it, Esc ends it" if self._typing else "   Esc ends it"
        self._filter.update(Text.assemble(("filter: ", "bold"), words, cursor, (hint, "dim"), no_wrap=True))

    def action_all(self) -> None:
        """Show all jobs."""
        self._ask(words="", kind=None)
        self._show_filter()

    def action_only(self, number: int) -> None:
        """Show one kind of state alone, by its number; all for 0, and for the one that is shown."""
        kind = KINDS[number - 1] if number else None
        self._ask(kind=None if kind is self.table.query.kind else kind)

    def action_sort(self) -> None:
        """Sort by the next column."""
        names = list(SORTS)
        self._ask(sort=names[(names.index(self.table.query.sort) + 1) % len(names)], reverse=False)

    def action_turn(self) -> None:
        """Sort the other way round."""
        self._ask(reverse=not self.table.query.reverse)

    def on_listing_sorted(self, message: Listing.Sorted) -> None:
        if message.name == self.table.query.sort:
            self.action_turn()
        else:
            self._ask(sort=message.name, reverse=False)

    def action_fold(self, folded: bool | None = None) -> None:
        """Fold the call of the line, or unfold it."""
        line = self.listing.line
        if line is not None:
            head = line.key if line.is_head else None
            self.table.fold(line, folded)
            self._renew(head or line.key)

    def action_fold_all(self) -> None:
        """Fold all calls, or unfold them."""
        line = self.listing.line
        self.table.fold_all()
        self._renew(None if line is None else line.key)

    def action_open(self, page: str) -> None:
        """Show the job of the line, or its log. A head is unfolded."""
        line = self.listing.line
        if line is None:
            return
        if line.is_head:
            self.action_fold()
        else:
            self.app.push_screen(JobScreen(line.entry, page))

    def on_listing_opened(self) -> None:
        self.action_open("details")

    def action_act(self, verb: str, on_all: bool = False) -> None:
        """Cancel the jobs of the line, or submit their calls again; or of all lines."""
        line = self.listing.line
        if line is not None:
            self.app.act(verb, self.table.jobs if on_all else line.jobs)
