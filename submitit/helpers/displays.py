"""Where a tally is shown: in a terminal, in a notebook, or as lines of a log.

Each display shows a tally again and again with ``show``, as often as its ``pause_s`` allows, and a last time with ``close``. After
that it may begin anew.
"""

from __future__ import annotations

import atexit
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Protocol

from submitit import amounts
from submitit.terminal import harmless, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.text import Text

    from submitit.client.job import Job
    from submitit.views.tally import Failure, Tally

#: So many failed jobs are named at a time.
MOST_FAILURES = 5
_LINES_S, _RAREST_LINES_S = 10.0, 300.0
_BAR_LEAST, _BAR_MOST = 10, 60


class Display(Protocol):
    """Shows a tally while jobs are waited for."""

    def pause_s(self, tally: Tally) -> float:
        """How many seconds are to pass between two calls of ``show``."""

    def show(self, tally: Tally) -> None:
        """Show how things stand. ``OSError`` if nobody can see it."""

    def close(self, tally: Tally, said: str = "") -> None:
        """Show how things stand for the last time, and why it is, where not all are over. Does nothing if nothing was shown."""


def choose(jobs: Iterable[Job[Any]], title: str = "") -> Display:
    """The display that suits where this process prints: a notebook, a terminal, else lines.

    Jobs that run in this process, where a debugger may want the terminal, get lines as well.
    """
    if in_notebook():
        return Notebook(title)
    if not in_terminal() or any(job._runs_when_asked for job in jobs) or Terminal.open:
        return Lines(title)
    try:
        import rich.live  # noqa: F401 - whether it is there
    except ImportError:
        return Lines(title, hint="pip install 'submitit[cli]' shows this as a live display")
    return Terminal(title)


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    if "IPython" not in sys.modules:
        return False
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return False
    return getattr(get_ipython(), "kernel", None) is not None


def in_terminal() -> bool:
    """Whether stdout is a terminal whose lines can be written anew."""
    return _is_terminal(sys.stdout) and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):  # there is none, or it is closed
        return False


def _listed(tally: Tally) -> str:
    return ", ".join(f"{count:,} {word}" for word, count in tally.counts.items())


def _about_left(tally: Tally) -> str:
    """How long it may take, with no more digits than are known."""
    left = tally.left_s()
    if left is None:
        return ""
    step = next(step for most, step in _STEPS if left <= most)
    rounded = max(step, round(left / step) * step)
    return f"about {amounts.duration(rounded)} left"


_STEPS = ((10.0, 1.0), (60.0, 5.0), (600.0, 30.0), (3600.0, 60.0), (36000.0, 600.0), (float("inf"), 3600.0))


def _named(failure: Failure) -> str:
    return one_line(f"{failure.job_id} {failure.name}")


def _why(failure: Failure) -> str:
    return one_line(failure.cause)


# ---------------------------------------------------------------- lines


class Lines:
    """A line when something has changed, seldom enough for a log; failures by name."""

    #: Whether this process has been told what it lacks.
    hinted = False

    def __init__(self, title: str = "", hint: str = "") -> None:
        self._title = harmless(title)
        self._hint = hint
        self._counts: dict[str, int] = {}
        self._failed = 0

    def pause_s(self, tally: Tally) -> float:
        """The longer it takes, the fewer lines it needs."""
        return min(_RAREST_LINES_S, max(_LINES_S, tally.elapsed_s / 50))

    def show(self, tally: Tally) -> None:
        """A line if something has changed, and one for each of some jobs that have failed since the last one."""
        counts = tally.counts
        if counts == self._counts:
            return
        self._counts = counts
        left = _about_left(tally)
        self._say(f"{tally.over:,} of {amounts.count(tally.total, 'job')} over: {_listed(tally)}{left and '; ' + left}")
        self._name_failures(tally)
        if self._hint and not Lines.hinted:
            Lines.hinted = True
            self._say(self._hint)

    def close(self, tally: Tally, said: str = "") -> None:
        """The last line, which is always there."""
        self._counts = {}
        self._say(in_words(tally) if tally.total else "There are no jobs")
        self._name_failures(tally)
        if said:
            self._say(said)

    def _name_failures(self, tally: Tally) -> None:
        new, self._failed = tally.failed - self._failed, tally.failed
        if not new:
            return
        for failure in tally.failures(min(new, MOST_FAILURES))[::-1]:
            why = _why(failure)
            self._say(f"Job {_named(failure)} {failure.state}{why and ': ' + why}")
        if new > MOST_FAILURES:
            self._say(f"and {amounts.count(new - MOST_FAILURES, 'job')} more that failed")

    def _say(self, text: str) -> None:
        title = self._title and f"{self._title}: "
        try:
            print(f"[{time.strftime('%Y-%m-%d %H:%M:%S')}] {title}{text}", flush=True)
        except ValueError as error:  # it is closed
            raise OSError(str(error)) from error


# ---------------------------------------------------------------- a terminal


class Terminal:
    """A few lines at the end of the terminal, which are written anew; what else is printed appears above them."""

    #: How many are open: there is one last line.
    open = 0

    def __init__(self, title: str = "") -> None:
        self._title = title
        self._live: Live | None = None
        self._process = os.getpid()

    def pause_s(self, tally: Tally) -> float:
        """Often enough for the eye."""
        return 0.25

    def show(self, tally: Tally) -> None:
        """Write the lines anew."""
        if self._live is None:
            from rich.console import Console
            from rich.live import Live

            console = Console(highlight=False)
            # What goes elsewhere goes there still.
            self._live = Live(console=console, auto_refresh=False, redirect_stderr=_is_terminal(sys.stderr))
            Terminal.open += 1
            atexit.register(self._end)
            self._live.start()
            self._live.console.show_cursor()  # whatever ends this process, its terminal is whole
        self._live.update(picture(tally, self._live.console, self._title), refresh=True)

    def close(self, tally: Tally, said: str = "") -> None:
        """Write them for the last time, and leave them."""
        if self._live is None or os.getpid() != self._process:
            return
        try:
            self._live.update(picture(tally, self._live.console, self._title, said), refresh=True)
        finally:
            self._end()

    def _end(self) -> None:
        live, self._live = self._live, None
        if live is None or os.getpid() != self._process:
            return
        Terminal.open -= 1
        atexit.unregister(self._end)
        live.stop()


def picture(tally: Tally, console: Console, title: str = "", said: str = "") -> RenderableType:
    """What a terminal shows of a tally."""
    from rich.cells import cell_len, set_cell_size
    from rich.console import Group
    from rich.text import Text

    from submitit.views.colours import style_of

    numbers = f"{tally.over:,}/{tally.total:,} over"
    times = [amounts.clock(tally.elapsed_s), _about_left(tally)]
    head = Text(no_wrap=True, overflow="ellipsis")
    if title:
        head.append(one_line(title)[: console.width // 3] + "  ", "bold")
    tail = "  ".join(filter(None, [numbers, *times]))
    width = min(_BAR_MOST, console.width - head.cell_len - len(tail) - 3)
    if width >= _BAR_LEAST:
        head.append_text(_bar(tally, width, plain=console.options.ascii_only))
        head.append("  ")
    head.append(numbers, "bold").append("  " + "  ".join(filter(None, times)))
    lines = [head]
    states = Text()
    for word, count in tally.counts.items():
        states.append(f"{count:,} ", "bold").append(word, style_of(word)).append("   ")
    states.rstrip()
    lines.append(states)
    failures = tally.failures(MOST_FAILURES)
    wide = max((len(failure.state) for failure in failures), default=0)
    names = min(console.width // 3, max((cell_len(_named(failure)) for failure in failures), default=0))
    for failure in failures:
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append(failure.state.ljust(wide + 1), style_of(failure.state))
        line.append(set_cell_size(_named(failure), names), "bold").append(f"  {_why(failure)}")
        lines.append(line)
    if tally.failed > MOST_FAILURES:
        lines.append(Text(f"and {amounts.count(tally.failed - MOST_FAILURES, 'job')} more that failed", "dim"))
    if said:
        lines.append(Text(said))
    return Group(*lines)


def _bar(tally: Tally, width: int, *, plain: bool) -> Text:
    """How many jobs are over, and run, as parts of a line. They differ in their strokes as well as in colour."""
    from rich.text import Text

    from submitit.orchestrator.state import JobState, StateKind
    from submitit.views.colours import style_of

    strokes = {StateKind.PENDING: " ", StateKind.UNKNOWN: " ", StateKind.RUNNING: "-" if plain else "╌"}
    bar, done, drawn = Text(), 0, 0
    for word, count in tally.counts.items():
        done += count
        upto = round(width * done / max(1, tally.total))
        stroke = strokes.get(JobState.read(word).kind, "#" if plain else "━")
        if stroke == " ":
            style, stroke = "dim", "." if plain else "┈"
        else:
            style = style_of(word)
        bar.append(stroke * (upto - drawn), style)
        drawn = upto
    return bar


# ---------------------------------------------------------------- a notebook


class Notebook:
    """One output of the cell, written anew in place."""

    def __init__(self, title: str = "") -> None:
        self._title = title
        self._handle: Any = None

    def pause_s(self, tally: Tally) -> float:
        """Each time is a message to the page, and to whoever looks at it."""
        return 0.5 if tally.elapsed_s < 60 else 1.0

    def show(self, tally: Tally) -> None:
        """Write the output anew."""
        self._write(tally, "")

    def close(self, tally: Tally, said: str = "") -> None:
        """Write it for the last time."""
        if self._handle is not None:
            self._write(tally, said)
            self._handle = None

    def _write(self, tally: Tally, said: str) -> None:
        from IPython.display import display

        data = {"text/html": page(tally, self._title, said), "text/plain": in_words(tally, self._title)}
        if self._handle is None:
            self._handle = display(data, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(data, raw=True)


def in_words(tally: Tally, title: str = "") -> str:
    """A tally in one line."""
    title = f"{harmless(title)}: " if title else ""
    over = f"{tally.over:,} of {amounts.count(tally.total, 'job')} over"
    return f"{title}{over} after {amounts.duration(tally.elapsed_s)}: {_listed(tally)}"


def page(tally: Tally, title: str = "", said: str = "") -> str:
    """What a notebook shows of a tally, as HTML."""
    from html import escape

    from submitit.client import notebook

    times = " · ".join(filter(None, [amounts.clock(tally.elapsed_s), _about_left(tally)]))
    name = f"<b>{escape(harmless(title))}</b> &nbsp;" if title else ""
    parts = [
        '<div style="max-width:640px;display:flex;justify-content:space-between">',
        f"<span>{name}<b>{tally.over:,}</b> of <b>{amounts.count(tally.total, 'job')}</b> over</span>",
        f'<span style="font-variant-numeric:tabular-nums">{times}</span></div>',
        notebook.bar(tally.counts),
        f"<div>{notebook.counts(tally.counts)}</div>",
    ]
    failures = tally.failures(MOST_FAILURES)
    if failures:
        rows = (
            (notebook.state(one.state), notebook.titled(one.job_id, one.name), notebook.cause(one.cause))
            for one in failures
        )
        parts.append(notebook.grid(notebook.row(*cells) for cells in rows))
    if tally.failed > MOST_FAILURES:
        parts.append(f"<div>and {amounts.count(tally.failed - MOST_FAILURES, 'job')} more that failed</div>")
    if said:
        parts.append(f"<div>{escape(said)}</div>")
    return notebook.panel(*parts)
