"""``submitit run``: a command as a job."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import warnings
from typing import TYPE_CHECKING, Annotated, Any

import typer

from submitit.cli import logfile, output, times
from submitit.cli.options import AsJson

if TYPE_CHECKING:
    from collections.abc import Iterator

    from submitit.client.auto import AutoExecutor
    from submitit.client.job import Job

#: What follows the first word that is no option is the command's own.
CONTEXT = {"allow_interspersed_args": False}
#: How often the logs are looked at while they are followed.
_LOOK_S = 0.2


def run(
    command: Annotated[
        list[str],
        typer.Argument(
            metavar="COMMAND", help="A program and its arguments; or one word in quotes, a line for the shell."
        ),
    ],
    cluster: Annotated[
        str | None,
        typer.Option("--cluster", "-c", help="slurm, local …", show_default="slurm where there is one, else local"),
    ] = None,
    folder: Annotated[
        str, typer.Option("--folder", "-F", metavar="FOLDER", help="Where logs and result go; %j is the job's id.")
    ] = "logs/%j",
    name: Annotated[
        str | None, typer.Option("--name", "-J", help="The job's name.", show_default="the program's")
    ] = None,
    time: Annotated[
        str | None,
        typer.Option(
            "--time", "--timeout-min", "-t", metavar="TIME", help="Time limit: 90 (minutes), 2h30m, 1-12:00:00."
        ),
    ] = None,
    mem_gb: Annotated[float | None, typer.Option("--mem-gb", "--mem", metavar="GB", help="Memory a node.")] = None,
    cpus: Annotated[int | None, typer.Option("--cpus", metavar="N", min=1, help="CPUs a task.")] = None,
    gpus: Annotated[int | None, typer.Option("--gpus", metavar="N", min=0, help="GPUs a node.")] = None,
    partition: Annotated[str | None, typer.Option("--partition", "-p", help="Slurm's partition.")] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option(
            "-P",
            "--parameter",
            metavar="KEY=VALUE",
            help="Any other parameter of update_parameters: nodes=2, tasks_per_node=4, slurm_qos=high.",
        ),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Wait, and exit as the command does.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="The same, and show what it prints meanwhile.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run a command as a job, in this directory and environment, and print the job's id.

    Each task of the job runs it. What it prints is in the job's logs.

    --json prints an object: folder and job_id, and with --wait the exit_code.
    """
    from submitit.helpers import Command

    if follow and as_json:
        output.fail("--follow prints what the command prints: with --json, --wait waits for it", 2)
    if not command[0].strip():
        output.fail("there is no command to run: its first word is empty", 2)
    os.environ.setdefault("SUBMITIT_LOG_LEVEL", "WARNING")  # of the job: its log is the command's
    options = {
        "name": name or os.path.basename(command[0].split()[0]),
        "timeout_min": None if time is None else _minutes(time),
        "mem_gb": mem_gb,
        "cpus_per_task": cpus,
        "gpus_per_node": gpus,
        "slurm_partition": partition,
        **dict(parameter(text) for text in parameters or ()),
    }
    job = _submitted(
        folder, cluster, {key: value for key, value in options.items() if value is not None}, Command(command)
    )
    about: dict[str, Any] = {"folder": str(job.paths._folder), "job_id": job.job_id}
    if as_json:
        code = _exit_code(job, follow=False) if wait else 0
        output.print_json({**about, "exit_code": code} if wait else about)
        raise typer.Exit(code)
    if not (wait or follow):
        print(job.job_id)
        if sys.stderr.isatty():
            output.note(f"Its{_where(job)[3:]}. `submitit logs {job.job_id} -f` shows what it prints.")
        return
    output.note(f"Submitted job {job.job_id}; {_where(job)}")
    raise typer.Exit(_exit_code(job, follow=follow))


def _minutes(text: str) -> int:
    from submitit.slurm.parameters import time_limit_min

    span = times.seconds(text) if text.strip()[-1:].isalpha() else None
    minutes = span / 60 if span is not None else time_limit_min(text.strip())
    with contextlib.suppress(ValueError):
        minutes = float(text) if minutes is None else minutes
    if minutes is None or not 0 < minutes < float("inf"):
        output.fail(f"--time takes minutes (90), a duration (2h30m) or Slurm's form (1-12:00:00), not {text!r}", 2)
    return math.ceil(minutes)


def parameter(text: str) -> tuple[str, Any]:
    """A parameter of an executor and its value, as ``-P`` takes them; ends the command where it is none."""
    key, separator, value = text.partition("=")
    key = key.strip().replace("-", "_")
    if not separator or not key.isidentifier():
        output.fail(f"-P takes KEY=VALUE, such as -P slurm_qos=high, not {text!r}", 2)
    import json

    word = value.strip()
    with contextlib.suppress(ValueError):
        return key, json.loads({"True": "true", "False": "false"}.get(word, word))
    return key, value


def _submitted(folder: str, cluster: str | None, parameters: dict[str, Any], call: Any) -> Job[Any]:
    import submitit
    from submitit.errors import FailedSubmissionError, SubmissionRefusedError
    from submitit.executors.pickling import words_of
    from submitit.slurm import limits

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            executor: AutoExecutor = submitit.AutoExecutor(folder, cluster=cluster)
            executor.update_parameters(**parameters)
        except (ValueError, TypeError, NameError, AssertionError, RuntimeError) as error:
            output.fail(str(error).rstrip(), 2)
        try:
            job: Job[Any] = executor.submit(call)
        except FailedSubmissionError as error:
            words = words_of(error) if isinstance(error, SubmissionRefusedError) else str(error)
            advice = limits.advice(words, single=True) if executor.cluster == "slurm" else ""
            output.fail(f"the job was not submitted: {words.strip()}\n{advice}".rstrip())
        except (OSError, RuntimeError, ValueError) as error:
            output.fail(f"the job was not submitted: {error}")
    for warning in said:
        output.note(f"submitit: {warning.message}")
    return job


def _where(job: Job[Any]) -> str:
    return f"its logs are in {output.home(str(job.paths.folder))}"


# ---- until it is over


def _exit_code(job: Job[Any], *, follow: bool) -> int:
    """The command's own, once the job is over; 1 where it has none."""
    from submitit.orchestrator import tracker

    logs = [_Log(path, stream) for path, stream in _streams(job)] if follow else []
    try:
        while not job.done():
            tracker.wait([job], _LOOK_S if follow else None)
            for log in logs:
                log.copy()
        for log in logs:
            log.copy(last=True)
        error = job.exception()
    except KeyboardInterrupt:
        output.note(
            f"\nStopped following job {job.job_id}, which goes on: `submitit logs {job.job_id} -f` follows it again, "
            f"`submitit cancel {job.job_id}` ends it."
        )
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains at its end
        output.note(f"Nobody reads what job {job.job_id} prints; it goes on.")
        return 1
    if error is None:
        return 0
    cause = error.__cause__
    if isinstance(cause, SystemExit) and isinstance(cause.code, int):
        output.note(f"submitit: job {job.job_id} failed: {cause}")
        return cause.code or 1
    lines = str(error).splitlines() if cause is None else [f"{type(cause).__name__}: {cause}"]
    output.note(f"submitit: job {job.job_id} failed: {' '.join(_evidence(lines))}")
    return 1


def _evidence(lines: list[str]) -> Iterator[str]:
    """What an error says before it shows the logs, without the path that it begins with."""
    for line in lines[1:] if len(lines) > 1 else lines:
        if line.startswith(("Error stream", "No error", "No output", "-----")):
            return
        yield f"{line}."


def _streams(job: Job[Any]) -> Iterator[tuple[str, Any]]:
    for number in range(job.num_tasks):
        paths = job.task(number).paths
        yield str(paths.stdout), sys.stdout
        yield str(paths.stderr), sys.stderr


class _Log:
    """A log that grows, copied to a stream of this process: as it is, or harmless to the terminal that reads it."""

    def __init__(self, path: str, stream: Any) -> None:
        self._path, self._stream, self._offset = path, stream, 0
        self._text = logfile.Harmless() if stream.isatty() else None

    def copy(self, *, last: bool = False) -> None:
        """What was added since the last call."""
        for data in logfile.blocks(self._path, self._offset):
            self._offset += len(data)
            self._write(data)
        if last:
            self._write(b"", last=True)

    def _write(self, data: bytes, *, last: bool = False) -> None:
        if self._text is None:
            self._stream.buffer.write(data)
        else:
            self._stream.write(self._text(data, final=last))
        self._stream.flush()
