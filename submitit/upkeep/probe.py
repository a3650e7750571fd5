"""A test job, which tells what cannot be told without one: how a node sees the folder, the clock and Python."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

from submitit.storage import registry
from submitit.upkeep.diagnosis import Finding, Level
from submitit.upkeep.machine import clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from submitit.client.job import Job

#: How often it is told that the job still waits.
_SAY_S = 30.0
_LOOK_S = 1.0


def look_around(path: str) -> dict[str, Any]:
    """What a job sees; the file at ``path`` was written by its client."""
    try:
        with open(path, encoding="utf-8") as file:
            read = file.read()
    except OSError as error:
        read = str(error)
    return {
        "host": os.uname().nodename,
        "time": time.time(),
        "python": platform.python_version(),
        "executable": sys.executable,
        "read": read,
    }


def run(
    folder: str, cluster: str | None, parameters: dict[str, Any], patience_s: float, say: Callable[[str], None]
) -> Iterator[Finding]:
    """Submit a job and yield what it tells, or what has become of it. Nothing of it is left in the folder, or in the queue.

    A job that has not come to its end after ``patience_s`` is cancelled. ``say`` is given what is worth telling meanwhile.
    """
    import submitit
    from submitit.storage import atomic

    try:
        atomic.make_directory(folder)
        below = tempfile.mkdtemp(prefix="submitit-doctor-", dir=folder)
    except OSError as error:
        yield Finding("test job", Level.ERROR, f"not submitted: {error}")
        return
    try:
        word = os.path.join(below, "word")
        atomic.write_text(word, below)
        before = time.time()
        try:
            executor = submitit.AutoExecutor(below, cluster=cluster)
            executor.update_parameters(**{"name": "submitit-doctor", "timeout_min": 5, **parameters})
            job = executor.submit(look_around, word)
        except Exception as error:  # noqa: BLE001 - whatever it is: it would happen to every job
            first = str(error).partition("\n\nThe script was:")[0].strip()
            yield Finding("test job", Level.ERROR, f"not submitted to {cluster or 'the cluster'}: {first}")
            return
        try:
            yield from _followed(job, executor.cluster, below, before, patience_s, say)
        finally:
            if not job.done():
                job.cancel(check=False)
                job.wait(30)
    finally:
        shutil.rmtree(below, ignore_errors=True)
        registry.forget(below)


def _followed(
    job: Job[dict[str, Any]],
    cluster: str,
    word: str,
    before: float,
    patience_s: float,
    say: Callable[[str], None],
) -> Iterator[Finding]:
    from submitit.orchestrator import tracker

    say(f"The test job is {job.job_id} on {cluster}; Ctrl-C cancels it.")
    begun, told = time.monotonic(), 0.0
    while not job.done():
        passed = time.monotonic() - begun
        if passed > patience_s:
            words = f"{job.state} after {passed:.0f} s, and was cancelled"
            yield Finding(
                "test job", Level.WARNING, words, "Nodes are busy, or the job can never start: squeue shows why."
            )
            return
        if passed - told > _SAY_S:
            told = passed
            say(f"Job {job.job_id} is {job.state} after {passed:.0f} s.")
        tracker.wait([job], min(_LOOK_S, patience_s))
    after = time.time()
    error = job.exception()
    if error is not None:
        words = " ".join(str(error).split())[:600]
        yield Finding("test job", Level.ERROR, f"failed: {words}", "So will every job that is submitted like this one.")
        return
    seen = job.result()
    yield Finding("test job", Level.OK, f"ran on {seen['host']}, its result was here after {after - before:.1f} s")
    if seen["read"] == word:
        yield Finding("folder on node", Level.OK, "the node sees what is written here")
    else:
        meaning = "What functions read has to be where nodes see it."
        yield Finding(
            "folder on node",
            Level.WARNING,
            f"the node does not see a file that was written here: {seen['read']}",
            meaning,
        )
    yield clock("clock of node", "node", seen["time"], before, after)
    same = seen["python"] == platform.python_version()
    yield Finding(
        "Python on node",
        Level.OK if same else Level.WARNING,
        f"{seen['python']}, {seen['executable']}",
        "" if same else f"Here it is {platform.python_version()}: what one pickles the other may not load.",
    )
