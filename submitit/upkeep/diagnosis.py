"""What was found when something was looked into, and what it means for who submits jobs."""

from __future__ import annotations

import enum
import os
from typing import TYPE_CHECKING, NamedTuple

from submitit import commands
from submitit.slurm import queries

if TYPE_CHECKING:
    from collections.abc import Sequence

#: No question takes longer: a cluster that hangs is told of, and not waited for.
PATIENCE_S = 10.0


class Level(enum.Enum):
    """How bad it is."""

    OK = "ok"
    #: worth knowing
    NOTE = "note"
    #: some jobs will not do what their user expects
    WARNING = "warning"
    #: jobs will fail, or cannot be submitted
    ERROR = "error"


class Finding(NamedTuple):
    """One thing that was looked into."""

    topic: str
    level: Level
    found: str
    #: What that means for the user; empty where it speaks for itself.
    meaning: str = ""


class Answer(NamedTuple):
    """What a command printed; or why it did not answer."""

    text: str = ""
    problem: str = ""


def ask(command: Sequence[str], patience_s: float = PATIENCE_S) -> Answer:
    """Ask a command of Slurm, for as long as ``patience_s``; what it has started ends with it."""
    # The environment is that of other questions: what is unset there must not be in this process's own.
    env = queries.environment(os.environ)
    try:
        with commands.time_limit(patience_s):
            words = ["env", *(f"--unset={name}" for name in os.environ if name not in env), *command]
            changed = {name: value for name, value in env.items() if os.environ.get(name) != value}
            return Answer(commands.CommandFunction(words, verbose=False, env=changed)())
    except TimeoutError:
        return Answer(problem=f"{command[0]} did not answer within {patience_s:g} s")
    except Exception as error:  # noqa: BLE001 - whatever is wrong with it is what is to be told
        words_of_it = " ".join(str(error).split()) or type(error).__name__
        return Answer(problem=words_of_it if words_of_it.startswith(command[0]) else f"{command[0]}: {words_of_it}")
