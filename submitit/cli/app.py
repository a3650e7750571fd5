"""The commands there are, each loaded when it is called."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

#: By name, in the order of the help: what each does, in so few words that a line of 80 columns holds them. The command is
#: the function of its name, in the module of its name.
COMMANDS = {
    "ls": "List jobs, a line for each call that submitted some.",
    "show": "Show a job: state and why, attempts, resources, files.",
    "logs": "Print the log of a job, or follow it.",
    "wait": "Wait until jobs are over, and say how they ended.",
    "cancel": "Cancel jobs, queued or running.",
    "retry": "Submit failed or cancelled calls once more, as new jobs.",
    "result": "Print what a job's function returned.",
    "report": "Make a page about jobs: timeline, times, use, failures.",
    "du": "Say what takes space.",
    "clean": "Delete the files of jobs that are over, after asking.",
    "doctor": "Say whether all that jobs need is here, and in order.",
    "run": "Run a command as a job.",
    "top": "Watch jobs in a full screen: filter, logs, cancel, retry.",
}

_FROM_THE_LAST = re.compile(r"-\d+")


class Command(TyperCommand):
    """A command to which ``-1`` is the last job, not an option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As its base, with each ``-1``, ``-2`` … that no option takes spelt ``@-1``, which is no option's beginning."""
        takes_value = {
            word for option in self.params if not getattr(option, "is_flag", True) for word in option.opts
        } & set(args)
        if not ctx.allow_interspersed_args:  # of which the last words are another program's
            return list(super().parse_args(ctx, args))
        spelt = []
        for place, word in enumerate(args):
            if word == "--":
                spelt += args[place:]
                break
            own = _FROM_THE_LAST.fullmatch(word) and not (place and args[place - 1] in takes_value)
            spelt.append(f"@{word}" if own else word)
        return list(super().parse_args(ctx, spelt))


class Commands(TyperGroup):
    """The commands of the table, whose modules are imported when they are asked for."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        known: Any = dict.fromkeys(COMMANDS)
        self.commands = known  # with which a misspelt one is compared

    def list_commands(self, ctx: Any) -> list[str]:
        """All their names."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of this name, ``None`` if there is none."""
        from importlib import import_module

        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"submitit.cli.{cmd_name}")
        one = _typer()
        settings = getattr(module, "CONTEXT", None)
        one.command(cmd_name, cls=Command, short_help=COMMANDS[cmd_name], context_settings=settings)(
            getattr(module, cmd_name)
        )
        return typer.main.get_command(one)


def _typer(**settings: Any) -> typer.Typer:
    settings = {"add_completion": False, **settings}
    return typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, **settings)


def _version(wanted: bool) -> None:
    if wanted:
        import submitit

        typer.echo(f"submitit {submitit.__version__}")
        raise typer.Exit


app = _typer(
    cls=Commands,
    add_completion=True,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


@app.callback()
def submitit(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """See and steer the jobs that were submitted with submitit.

    A JOB is named by its id (12, or 12_3 for element 3 of array 12), by the id of its array, by its name, or by -1 for
    the last submission, -2 for the one before it and so on. It is looked for in every folder that you have submitted
    from; --folder FOLDER looks in one.

    Exit codes: 0 all is well; 1 what was asked about failed or was not found; 2 wrong use; 130 stopped by Ctrl-C.
    """
