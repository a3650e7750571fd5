"""One job on the whole screen: what is known of it, and what it prints, as it does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Static

from submitit.cli.endings import last_words
from submitit.cli.tui import details
from submitit.cli.tui.columns import plain
from submitit.cli.tui.key_line import KeyLine
from submitit.cli.tui.pager import Pager, Said
from submitit.cli.tui.tail import Grown, Tail
from submitit.views.colours import style_of

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from submitit.cli.tui.app import Top
    from submitit.views.entry import JobEntry

PAGES = ("details", "stdout", "stderr")
#: How often a log is looked at.
_LOOK_S = 0.5
#: Of what a job that has failed printed last.
_LAST_LINES = 15
_KEYS = "d details  o stdout  e stderr  t task  c cancel  r retry  ? help  q back"


class JobScreen(Screen[None]):
    """A job's details, its stdout or its stderr.

    Args:
        entry: the job as it was when the screen was opened.
        page: one of ``PAGES``.
    """

    app: Top

    BINDINGS: ClassVar[list[Any]] = [
        ("escape,q,left,backspace", "leave"),
        ("d", "page('details')"),
        ("o,l", "page('stdout')"),
        ("e", "page('stderr')"),
        ("tab", "next_page"),
        ("t,right_square_bracket", "task(1)"),
        ("T,left_square_bracket", "task(-1)"),
        ("c", "act('cancel')"),
        ("r", "act('retry')"),
        ("question_mark", "app.help"),
    ]

    class Read(Message):
        """Lines of a log."""

        def __init__(self, tail: Tail, grown: Grown) -> None:
            super().__init__()
            self.tail, self.grown = tail, grown

    class Described(Message):
        """All that is known of the job."""

        def __init__(self, entry: JobEntry, lines: list[Said]) -> None:
            super().__init__()
            self.entry, self.lines = entry, lines

    def __init__(self, entry: JobEntry, page: str) -> None:
        super().__init__()
        self.entry = entry
        self._page = page
        self._rank = 0
        self._tail: Tail | None = None
        self._title = Static(markup=False, classes="title")
        self._tabs = Static(markup=False, classes="tabs")
        self._pager = Pager()

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        yield self._title
        yield self._tabs
        yield self._pager
        yield KeyLine(_KEYS)

    def on_mount(self) -> None:
        self.set_focus(self._pager)
        self.action_page(self._page)
        self.set_interval(_LOOK_S, self._look)
        self.set_interval(1, self._look_at_job)

    def on_resize(self) -> None:
        self._head()

    # ---- what it shows

    def action_page(self, page: str) -> None:
        """Show another page."""
        self._page = page
        self._pager.show([])
        self._tail = None
        if page == "details":
            self._pager.following = False
            self.app.jobs_thread.ask(self._describe)
        else:
            self._pager.following = True
            self._tail = Tail(self.entry.paths(self._rank).locate(page))
            self._pager.show([Said("Nothing yet: the job has not begun to print.", "dim")])
            self._look()
        self._head()

    def action_next_page(self) -> None:
        """Show the next page."""
        self.action_page(PAGES[(PAGES.index(self._page) + 1) % len(PAGES)])

    def action_task(self, by: int) -> None:
        """Show the logs of the next task."""
        if self.entry.tasks > 1:
            self._rank = (self._rank + by) % self.entry.tasks
            self.action_page("stdout" if self._page == "details" else self._page)

    def _look(self) -> None:
        tail = self._tail
        if tail is None:
            self._head()
            return

        def look() -> None:
            grown = tail.read()
            if grown is not None:
                self.post_message(self.Read(tail, grown))

        self.app.logs_thread.ask_again(look)
        self._head()

    def on_job_screen_read(self, message: Read) -> None:
        if message.tail is self._tail:
            self._pager.show([Said(line) for line in message.grown.lines], after=message.grown.after)
            self._head()

    def _look_at_job(self) -> None:
        entry = self.app.current(self.entry)
        changed, self.entry = entry is not self.entry, entry
        if changed or (entry.running and self._page == "details"):
            self._head()
            self.app.jobs_thread.ask_again(self._describe)

    def _describe(self) -> None:
        """In the thread."""
        entry = self.app.current(self.entry)
        detailed, attempts = self.app.look_up(entry)
        errors = last_words(entry, _LAST_LINES).lines if entry.failed else []
        lines = details.describe(detailed, attempts, time.time(), errors)
        self.post_message(self.Described(entry, lines))

    def on_job_screen_described(self, message: Described) -> None:
        if self._page == "details":
            self._pager.show(message.lines)

    def _head(self) -> None:
        entry = self.entry
        self._title.update(
            Text.assemble(
                (f"Job {plain(entry.job_id)}", "bold"),
                f"  {plain(entry.name)}  ",
                (plain(entry.state), style_of(entry.state)),
                no_wrap=True,
                overflow="ellipsis",
            )
        )
        tabs = Text(no_wrap=True, overflow="ellipsis")
        for page in PAGES:
            tabs.append(f" {page} ", "reverse" if page == self._page else "")
            tabs.append(" ")
        if self._tail is not None:
            if entry.tasks > 1:
                tabs.append(f"task {self._rank} of {entry.tasks}  ")
            tabs.append("following" if self._pager.following else "not following: End goes on", "dim")
            if self._tail.cut:
                tabs.append("  (the end alone)", "dim")
        self._tabs.update(tabs)

    # ---- what one can do

    def action_leave(self) -> None:
        """Back to the table."""
        self.dismiss()

    def action_act(self, verb: str) -> None:
        """Cancel the job, or submit its call again."""
        self.app.act(verb, [self.app.current(self.entry)])
