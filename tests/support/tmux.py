"""A program in a real terminal: keys are typed, and the screen is read, by tmux."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import calls

needs_tmux = pytest.mark.skipif(
    shutil.which("tmux") is None and os.environ.get("CI") != "true", reason="tmux is not installed"
)
#: What the terminal is like when the program has left it as it was: no other screen, no mouse, a cursor, lines with echo.
AS_IT_WAS = "screen 0 mouse 0 cursor 1 echo icanon"


class Terminal:
    """A window of a tmux server of its own, in which one program runs."""

    def __init__(self, socket: str) -> None:
        self._socket = socket

    def tmux(self, *words: str) -> str:
        """What a command of tmux prints."""
        command = ["tmux", "-S", self._socket, "-f", "/dev/null", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def type(self, *keys: str) -> None:
        """Type keys, by tmux's names; see `write` for words."""
        self.tmux("send-keys", "-t", "top", *keys)

    def write(self, text: str) -> None:
        """Type a text, letter by letter."""
        self.tmux("send-keys", "-t", "top", "-l", text)

    def resize(self, columns: int, rows: int) -> None:
        """Make the terminal another size."""
        self.tmux("resize-window", "-t", "top", "-x", str(columns), "-y", str(rows))

    @property
    def lines(self) -> list[str]:
        """What stands on the screen."""
        return [line.rstrip() for line in self.tmux("capture-pane", "-p", "-t", "top").splitlines()]

    @property
    def coloured(self) -> str:
        """What stands on the screen, with the sequences for colours."""
        return self.tmux("capture-pane", "-e", "-p", "-t", "top")

    @property
    def pid(self) -> int:
        """The process of the program."""
        shell = self.tmux("display", "-p", "-t", "top", "#{pane_pid}").strip()
        return int(Path(f"/proc/{shell}/task/{shell}/children").read_text().split()[0])

    def line(self, *words: str) -> str:
        """The line that holds all these words, once there is one."""
        found: list[str] = []

        def look() -> bool:
            found[:] = [line for line in self.lines if all(word in line for word in words)]
            return bool(found)

        self._wait(look, f"no line has {words}")
        return found[0]

    def shows(self, *words: str) -> None:
        """Return once all these words are on the screen, wherever."""
        self._wait(lambda: all(word in "\n".join(self.lines) for word in words), f"not all of {words} is there")

    def lacks(self, word: str) -> None:
        """Return once these words are not on the screen any more."""
        self._wait(lambda: word not in "\n".join(self.lines), f"{word!r} is still there")

    def left(self) -> tuple[int, str]:
        """The program's exit code, once it has ended, and what it has made of the terminal."""
        code = int(self.line("left with").rpartition(" ")[2])
        flags = self.tmux(
            "display", "-p", "-t", "top", "screen #{alternate_on} mouse #{mouse_any_flag} cursor #{cursor_flag}"
        )
        words = self.line("the terminal has:").partition(": ")[2]
        return code, f"{flags.strip()} {words}"

    def _wait(self, condition: Callable[[], bool], problem: str) -> None:
        try:
            calls.wait_for(condition)
        except TimeoutError:
            raise AssertionError(f"{problem}:\n" + "\n".join(self.lines)) from None


@contextlib.contextmanager
def terminal(
    *arguments: object, cwd: Path, columns: int = 80, rows: int = 24, **environment: str
) -> Iterator[Terminal]:
    """``submitit`` with these arguments runs in a terminal of this size, until the block ends."""
    command = shlex.join([sys.executable, "-m", "submitit", *map(str, arguments)])
    after = 'echo "left with $?"; echo the terminal has: $(stty -a | tr " ;" "\\n\\n" | grep -x -e icanon -e echo | sort); exec cat'
    tests = str(Path(__file__).parents[1])
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES", "TMUX")}
    given = {**kept, "TERM": "xterm-256color", "PYTHONPATH": tests, **environment}
    with tempfile.TemporaryDirectory(prefix="tmux-") as directory:  # the name of a socket must not be long
        made = Terminal(f"{directory}/socket")
        size = ["-x", str(columns), "-y", str(rows)]
        # The terminal's own type is tmux's affair, but for what a test says.
        term = shlex.quote(environment.get("TERM", "screen-256color"))
        whole = ["sh", "-c", f"TERM={term} {command}; {after}"]
        subprocess.run(
            ["tmux", "-S", f"{directory}/socket", "-f", "/dev/null", "new-session", "-d", "-s", "top", *size, *whole],
            check=True,
            env=given,
            cwd=cwd,
        )
        server = int(made.tmux("display", "-p", "-t", "top", "#{pid}"))
        try:
            yield made
        finally:
            made.tmux("kill-server")
            calls.wait_for(lambda: not Path(f"/proc/{server}").exists())
