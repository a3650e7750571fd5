"""What stands before all else until it is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

if TYPE_CHECKING:
    from textual.app import ComposeResult

HELP = """\
In the table
  ↑ ↓ PgUp PgDn Home End  move; j k g G too
  Enter, o, e             details of the job, its stdout, its stderr
  /                       filter by words: of id, name, state, folder …
  1 to 6                  jobs of one kind of state alone; again: all
  Esc                     show all again
  s  S                    sort by the next column; the other way round
  Space  z                fold or unfold the array (Enter too); all arrays
  c  C                    cancel the job or array; C: all that are shown
  r  R                    retry what failed of the array; R: of all shown
With a job
  d  o  e  Tab            details, stdout, stderr; the next of these
  t  T                    the logs of the next task; of the one before
  Home  End               the beginning; the end, which is then followed
  c  r                    cancel, retry
  q  Esc                  back
Anywhere
  Ctrl-C  Ctrl-Z          leave (q too, from the table); suspend

Cancel and retry ask first. A retry is a new job that makes the same call."""


class Dialog(ModalScreen[bool]):
    """A text in a frame, above what was there."""

    DEFAULT_CSS = """
    Dialog { align: center middle; background: transparent; }
    Dialog VerticalScroll { width: auto; max-width: 100%; height: auto; max-height: 100%; border: round; padding: 0 1; background: ansi_default; }
    Dialog Static { width: auto; }
    """

    def __init__(self, text: str, title: str = "") -> None:
        super().__init__()
        self._text, self._title_text = text, title

    def compose(self) -> ComposeResult:
        """The frame."""
        with VerticalScroll() as frame:
            frame.border_title = self._title_text
            yield Static(self._text, markup=False)


class Help(Dialog):
    """The keys; any key leaves."""

    BINDINGS: ClassVar[list[Any]] = [("escape,q,question_mark,enter,space", "leave")]

    def __init__(self) -> None:
        super().__init__(HELP, "Keys")

    def action_leave(self) -> None:
        """Back."""
        self.dismiss(False)


class Confirm(Dialog):
    """A question. Nothing but ``y`` means yes."""

    BINDINGS: ClassVar[list[Any]] = [("y,Y", "answer(True)"), ("n,N,escape,q,enter", "answer(False)")]

    def __init__(self, question: str) -> None:
        super().__init__(f"{question}\n\ny yes    n no")

    def action_answer(self, answer: bool) -> None:
        """The answer."""
        self.dismiss(answer)
