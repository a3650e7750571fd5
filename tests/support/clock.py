"""A client whose wall clock is set forth and back; a program, run with libfaketime before it.

It prints, as JSON, what its questions and time-outs made of that.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from pathlib import Path
from typing import Any

#: Looks at the file with the offset at each call, and leaves the monotonic clock alone, as a real clock that is set does.
VARIABLES = {"FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}


def library() -> Path | None:
    return next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


def sleep(seconds: Any) -> None:
    select.select([], [], [], seconds)


def main(folder: str, offset: str, go: str) -> None:
    del os.environ["LD_PRELOAD"]  # Slurm's commands and the job have the right time
    # libfaketime takes its offset off every absolute time that is slept until, that of a clock which it leaves alone too.
    time.sleep = sleep
    import submitit
    from support import faults

    executor = submitit.AutoExecutor(folder, cluster="slurm")
    executor.update_parameters(timeout_min=10)
    job = executor.submit(faults.wait_between, f"{folder}/started", go)
    while job.get_info().get("State") != "RUNNING":
        time.sleep(0.1)
    steps: list[dict[str, Any]] = []
    for jump in ("+0", "+3600", "-3600", "+0"):
        before = time.time()
        Path(offset).write_text(f"{jump}\n")
        asked = job.watcher.num_calls
        words = {job.watcher.get_state(job.job_id) for _ in range(200)}
        start = time.monotonic()
        try:
            job.result(timeout=0.5)
            waited = float("nan")
        except TimeoutError:
            waited = time.monotonic() - start
        start = time.monotonic()
        executor.submit(len, "x").cancel()
        steps.append(
            {
                "jumped": time.time() - before,
                "asked": job.watcher.num_calls - asked,
                "states": sorted(words),
                "waited": waited,
                "submission": time.monotonic() - start,
            }
        )
    Path(go).write_text("go on")
    print(json.dumps({"steps": steps, "result": job.result(120)["text"]}))


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    main(*sys.argv[1:])
