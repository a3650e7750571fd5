"""A command as the function of a job."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from submitit import commands

if TYPE_CHECKING:
    from collections.abc import Sequence


class CommandFailedError(SystemExit):
    """The command of a job did not exit with 0. The job's process exits as the command did; ``code`` is that exit code."""

    def __init__(self, words: Sequence[str], code: int, reason: str = "") -> None:
        super().__init__(code)
        self.words, self.reason = list(words), reason

    def __str__(self) -> str:
        return f"{shlex.join(self.words)}: {self.reason or f'exit code {self.code}'}"

    def __reduce__(self) -> tuple[type[CommandFailedError], tuple[list[str], int, str]]:
        assert isinstance(self.code, int)
        return type(self), (self.words, self.code, self.reason)


class Command:
    """A function that runs a command with the streams, the environment and the directory of the job, and returns 0.

    ``words`` are the program and its arguments; one word that is no program is a line for the shell. Where the command does not
    exit with 0, ``CommandFailedError`` is raised, with what a shell makes of it: 128 and the number of a signal, 127 where there is
    no such program.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.words = list(words)

    def __repr__(self) -> str:
        return f"Command({self.words})"

    def __call__(self) -> int:
        alone = self.words[0] if len(self.words) == 1 else None
        words = ["sh", "-c", alone] if alone is not None and commands.which(alone) is None else self.words
        try:
            code = commands.call(words, check=False)
        except OSError as error:
            code = 127 if isinstance(error, FileNotFoundError) else 126
            raise CommandFailedError(self.words, code, error.strerror or str(error)) from None
        if code:
            raise CommandFailedError(self.words, code if code > 0 else 128 - code)
        return 0


Command.__module__ = CommandFailedError.__module__ = "submitit.helpers"
