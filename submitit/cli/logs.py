"""``submitit logs``: what a job has printed, and prints."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from submitit.cli import naming, output
from submitit.cli.endings import why
from submitit.cli.logfile import Harmless, blocks, start_of_last
from submitit.cli.options import AsJson, InFolder, JobName

if TYPE_CHECKING:
    from submitit.cli.naming import Found

#: Between two looks at the log, and at the job.
_LOOK_S = 0.25
_STATE_S = 1.0
#: Lines that are shown of a log that is followed.
_FOLLOWED = 100


def logs(
    job: JobName,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job is over.")] = False,
    err: Annotated[bool, typer.Option("--err", "-e", help="What it printed as errors: its stderr.")] = False,
    task: Annotated[int, typer.Option("--task", "-t", metavar="K", min=0, help="Of this task of several.")] = 0,
    lines: Annotated[
        int | None,
        typer.Option(
            "--lines", "-n", metavar="N", min=0, help="The last N lines.", show_default=f"all; {_FOLLOWED} with -f"
        ),
    ] = None,
    attempt: Annotated[
        int | None, typer.Option("--attempt", metavar="N", min=1, help="Of this attempt alone; 1 is the first.")
    ] = None,
    folder: InFolder = None,
    as_json: AsJson = False,
) -> None:
    """Print the log of a job.

    All attempts of a job write to one log. -f goes on through those that follow, and says at the end how the job ended.
    In a terminal control sequences are left out, colours among them; elsewhere the bytes are those of the file.

    --json prints an object: folder, job_id, task, path and text.

    Exit code: 0; 1 where there is no such job, or no log; 2 wrong use, or a name that several jobs have.
    """
    if follow and attempt is not None:
        output.fail("--follow goes on through all attempts: leave out --attempt", 2)
    if follow and as_json:
        output.fail("--json prints a log that is whole: leave out --follow", 2)
    one = naming.find_one(job, folder, ask=False)
    if task >= one.entry.tasks:
        last = one.entry.tasks - 1
        tasks = "one task, which is 0" if not last else f"tasks 0 to {last}"
        output.fail(f"job {one.entry.job_id} has {tasks}, and no task {task}", 2)
    path = one.entry.paths(task).locate("stderr" if err else "stdout")
    if follow:
        _follow(one, path, _FOLLOWED if lines is None else lines)
        return
    if not os.path.exists(path):
        _missing(one, path, err=err)
    begin, end = (0, None) if attempt is None else _part(path, attempt, one.entry.job_id)
    if lines is not None:
        begin = max(begin, start_of_last(path, lines, end) or 0)
    if as_json:
        text = b"".join(blocks(path, begin, end)).decode("utf-8", "replace")
        about = {"folder": one.entry.folder, "job_id": one.entry.job_id, "task": task, "path": path}
        output.print_json({**about, "text": text})
        return
    write = _Writer()
    for block in blocks(path, begin, end):
        write(block)
    write(b"", final=True)


class _Writer:
    """Writes a log's bytes: as they are, or harmless to the terminal."""

    def __init__(self) -> None:
        self._harmless = Harmless() if sys.stdout.isatty() else None
        #: Whether what was written last is a whole line.
        self.whole = True

    def __call__(self, data: bytes, *, final: bool = False) -> None:
        if data:
            self.whole = data.endswith(b"\n")
        if self._harmless is not None:
            sys.stdout.write(self._harmless(data, final=final))
        else:
            sys.stdout.buffer.write(data)
        sys.stdout.flush()


def _follow(one: Found, path: str, lines: int) -> None:
    """Write the log's end and what is added to it, until the job is over."""
    place: int | None = None
    write = _Writer()
    looked, waiting, over = 0.0, "", False
    while True:
        if (size := _size(path)) is not None:
            if place is None:
                place = start_of_last(path, lines) or 0
            elif size < place:
                output.note("submitit: the log was begun anew")
                place = 0
            for block in blocks(path, place):  # opened anew each time: a network file system looks again then
                write(block)
                place += len(block)
        if over:
            break
        if time.monotonic() - looked >= _STATE_S:
            one.folder.refresh()
            one, looked = one.now(), time.monotonic()
            over = one.entry.over
            told = ", ".join(filter(None, (one.entry.state, one.entry.reason)))
            if not over and told != waiting and not one.entry.running:
                waiting = told
                output.note(f"submitit: job {one.entry.job_id} is {told}")
        if not over:
            time.sleep(_LOOK_S)
    write(b"", final=True)
    if not write.whole:
        print(flush=True)
    ended = ", ".join(filter(None, (one.entry.state, why(one.entry))))
    output.note(f"submitit: job {one.entry.job_id} is over: {ended}")


def _size(path: str) -> int | None:
    try:
        return os.stat(path).st_size
    except OSError:
        return None


def _part(path: str, attempt: int, job_id: str) -> tuple[int, int | None]:
    from submitit.client.attempt import bounds_of

    begin, end = bounds_of(path, attempt - 1)
    if begin is None:
        output.fail(
            f"{path} has nothing of attempt {attempt} of job {job_id}: submitit show {job_id} lists its attempts"
        )
    return begin, end


def _missing(one: Found, path: str, *, err: bool) -> None:
    one.folder.refresh()
    entry = one.now().entry
    if err and os.path.exists(entry.paths().locate("stdout")):
        hint = (
            "it is in stdout, as the job was asked to"
            if entry.parameters.get("stderr_to_stdout")
            else "look at its stdout"
        )
        output.fail(f"job {entry.job_id} has no stderr of its own ({path}): {hint}")
    if not entry.over and not entry.running:
        output.fail(f"job {entry.job_id} has not begun ({entry.state}): -f waits for it")
    output.fail(f"job {entry.job_id} ({entry.state}) has no log: there is no {path}")
