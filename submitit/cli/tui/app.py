"""The program: it has the jobs brought up to date, shows them, and has done what is asked for."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import App
from textual.binding import Binding
from textual.message import Message

from submitit import amounts, log
from submitit.cli.output import home
from submitit.cli.summary import KINDS
from submitit.cli.tui import actions
from submitit.cli.tui.background import Background
from submitit.cli.tui.columns import plain
from submitit.cli.tui.dialogs import Confirm, Help
from submitit.cli.tui.jobs_screen import JobsScreen
from submitit.cli.tui.key_line import KeyLine
from submitit.cli.tui.table import to_cancel, to_retry
from submitit.storage import registry
from submitit.views import folder as views
from submitit.views.attempts import attempts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from submitit.client.attempt import Attempt
    from submitit.views.entry import JobEntry
    from submitit.views.folder import Folder

#: How often it is looked whether jobs have changed, and whether there are folders that were not there before.
LOOK_S, FOLDERS_S = 1.0, 5.0


class Top(App[int]):
    """``submitit top``; its return value is the exit code.

    Args:
        folder: an executor's folder, or ``None`` for all that the user submitted from.
    """

    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[Any]] = [
        Binding("ctrl+c", "leave(130)", priority=True),
        Binding("ctrl+z", "suspend_process", priority=True),
    ]
    # The terminal's own colours, which fit it, light or dark.
    CSS = """
    Screen { background: ansi_default; color: ansi_default; }
    Dialog { background: transparent; }
    .title, .tabs, .filter { height: 1; }
    * {
        scrollbar-background: ansi_default; scrollbar-background-hover: ansi_default; scrollbar-background-active: ansi_default;
        scrollbar-color: ansi_default; scrollbar-color-hover: ansi_default; scrollbar-color-active: ansi_default;
    }
    """

    class News(Message):
        """Jobs have changed."""

        def __init__(self, entries: list[JobEntry], folders: list[Folder]) -> None:
            super().__init__()
            self.entries, self.folders = entries, folders

    class LookedUp(Message):
        """The files of some jobs were opened."""

        def __init__(self, found: list[tuple[JobEntry, JobEntry]]) -> None:
            super().__init__()
            self.found = found

    class Said(Message):
        """Something that the user should know."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self, folder: str | None) -> None:
        super().__init__(ansi_color=True)  # before the theme says so: it decides what becomes of colours under NO_COLOR
        self.theme = "ansi-dark"
        self._folder = None if folder is None else views.Folder(folder)
        self._folders: list[Folder] = [] if self._folder is None else [self._folder]
        self._listed = float("-inf")
        self._by_root: dict[str, Folder] = {}
        self._told = False
        self._jobs = JobsScreen(several=folder is None)
        self.jobs_thread = Background("jobs", self._failed)
        self.logs_thread = Background("logs", self._failed)
        self._acts_thread = Background("acts", self._failed)

    # ---- its life

    def on_mount(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.action_leave, 128 + number)
        # The terminal is gone: there is nothing to restore, and what writes to it may never come back.
        loop.add_signal_handler(signal.SIGHUP, os._exit, 128 + signal.SIGHUP)
        log.get_logger().addHandler(_Handler(self))
        for thread in (self.jobs_thread, self.logs_thread, self._acts_thread):
            thread.start()
        self.push_screen(self._jobs)
        self._look()
        self.set_interval(LOOK_S, self._look)

    def action_leave(self, code: int = 0) -> None:
        """End the program with an exit code."""
        self.exit(code)

    def action_help(self) -> None:
        """Show the keys."""
        self.push_screen(Help())

    # ---- the jobs

    def _look(self) -> None:
        self.jobs_thread.ask_again(self._refresh)
        self._look_up_what_is_in_sight()
        self._jobs.listing.tick()

    def _refresh(self) -> None:
        """In the thread."""
        fresh = self._folder is None and self._find_folders()
        changed = views.refresh(self._folders)
        if changed or fresh or not self._told:
            self._told = True
            entries = [entry for folder in self._folders for entry in folder.entries]
            if len(self._folders) > 1:
                entries.sort(key=lambda entry: entry.submitted)
            self.post_message(self.News(entries, self._folders))

    def _find_folders(self) -> bool:
        """Whether there are others than before."""
        now = time.monotonic()
        if now - self._listed < FOLDERS_S:
            return False
        self._listed = now
        for one in registry.folders():
            if one.root not in self._by_root:
                self._by_root[one.root] = views.Folder(one.root)
        fresh = list(self._by_root.values())
        changed, self._folders = len(fresh) != len(self._folders), fresh
        return changed

    def on_top_news(self, message: News) -> None:
        self._jobs.take(message.entries)
        self._look_up_what_is_in_sight()

    def _look_up_what_is_in_sight(self) -> None:
        """Times and nodes that only the jobs' own files tell, for the lines on the screen."""
        known = self._jobs.listing.detailed
        wanted = [
            entry
            for entry in self._jobs.listing.in_sight()
            if (entry.over or entry.running)
            and (entry.start is None or not entry.node or (entry.over and entry.end is None))
            and known.get((entry.folder, entry.job_id), (None,))[0] is not entry
        ]
        if wanted:
            self.jobs_thread.ask_again(
                lambda: self.post_message(self.LookedUp([(one, self._detailed(one)) for one in wanted]))
            )

    def on_top_looked_up(self, message: LookedUp) -> None:
        for before, detailed in message.found:
            self._jobs.listing.detailed[before.folder, before.job_id] = before, detailed
        self._jobs.listing.refresh()

    def _folder_of(self, entry: JobEntry) -> Folder:
        for folder in self._folders:
            if folder.current(entry) is entry or entry in folder.find(entry.job_id):
                return folder
        return self._folders[0]

    def _detailed(self, entry: JobEntry) -> JobEntry:
        return self._folder_of(entry).detailed(entry)

    def current(self, entry: JobEntry) -> JobEntry:
        """The same job as it is now."""
        for folder in self._folders:
            now = folder.current(entry)
            if now is not entry:
                return now
        return entry

    def look_up(self, entry: JobEntry) -> tuple[JobEntry, list[Attempt]]:
        """A job with what its own files say, and its attempts. To be called in ``jobs_thread``."""
        folder = self._folder_of(entry)
        return folder.detailed(entry), attempts(folder, entry)

    # ---- in words

    def place(self) -> str:
        """What is shown."""
        if len(self._folders) == 1:
            return home(self._folders[0].root)
        return f"{len(self._folders)} folders" if self._folders else ""

    @property
    def jobs_are_shown(self) -> bool:
        """Whether there are any on the screen."""
        return bool(self._jobs.table.entries)

    def why_empty(self) -> str:
        """What to say where there is no job."""
        if not self._told:
            return "Reading …"
        if self._folder is None:
            return "You have not submitted any job yet. Those that you submit appear here."
        if not os.path.isdir(self._folder.root):
            return "There is no such folder yet. Jobs that are submitted to it appear here."
        return "No job was submitted to this folder yet. Those that are appear here."

    def on_top_said(self, message: Said) -> None:
        for screen in self.screen_stack:
            for line in screen.query(KeyLine):
                line.say(plain(message.text))

    def _failed(self, error: Exception) -> None:
        """In a thread."""
        self.post_message(self.Said(f"{type(error).__name__}: {error}"))

    # ---- what one can do

    def act(self, verb: str, jobs: Sequence[JobEntry]) -> None:
        """Cancel those of the jobs that can be cancelled, or submit the calls of those again that have failed; asks first."""
        chosen = to_cancel(jobs) if verb == "cancel" else to_retry(jobs)
        word, done = actions.VERBS[verb]
        if not chosen:
            why = "are over, or were cancelled" if verb == "cancel" else "have failed or were cancelled"
            self.post_message(
                self.Said(f"Nothing to {verb}: {'all' if verb == 'cancel' else 'none'} of these jobs {why}.")
            )
            return

        def perform() -> None:
            number, problems = actions.perform(verb, chosen)
            views.expect_news()
            if number:
                self.post_message(self.Said(f"{amounts.count(number, 'job')} {done}"))
            if problems:
                more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
                self.post_message(self.Said(f"Not {done}: {problems[0]}{more}"))

        def answered(yes: bool | None) -> None:
            if yes:
                self._acts_thread.ask(perform)

        self.push_screen(Confirm(f"{word} {_named(chosen)}?"), answered)


def _named(jobs: Sequence[JobEntry]) -> str:
    """How many jobs there are, of which kinds; a single one by its name."""
    if len(jobs) == 1:
        return plain(f"1 job, {jobs[0].job_id} {jobs[0].name} ({jobs[0].state})")
    kinds = Counter(job.kind for job in jobs)
    return f"{amounts.count(len(jobs), 'job')} ({', '.join(f'{kinds[kind]:,} {kind.name}' for kind in KINDS if kinds[kind])})"


class _Handler(logging.Handler):
    """What the library warns of belongs on the screen, not between its lines."""

    def __init__(self, app: Top) -> None:
        super().__init__(logging.WARNING)
        self._app = app

    def emit(self, record: logging.LogRecord) -> None:
        self._app.post_message(Top.Said(record.getMessage()))
