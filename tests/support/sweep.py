"""A folder as a sweep of thousands of jobs on a few nodes leaves it: journals, results and logs, without running any job.

``python tests/support/sweep.py FOLDER [JOBS]`` makes one by hand. The same numbers come out each time.
"""

from __future__ import annotations

import heapq
import json
import pickle
import random
import sys
from pathlib import Path
from typing import Any

from submitit.local import processes
from submitit.local.records import Header, Record
from submitit.storage import outcome
from submitit.storage.outcome import Footer

#: When it was submitted, in seconds since the epoch.
BEGIN = 1_790_000_000.0
_NODES, _SLOTS = 8, 16
_ERRORS = (
    "ValueError: loss is nan after {} steps",
    "RuntimeError: CUDA error: an illegal memory access was encountered at 0x{:x}",
    "FileNotFoundError: [Errno 2] No such file or directory: '/data/shard-{}.bin'",
)


def make(root: Path, jobs: int = 5000, seed: int = 7) -> Path:
    """``root`` holds that many jobs that are over, of which some have failed in each way that there is. Returns the executor's folder."""
    chance = random.Random(seed)
    journals = root / ".submitit" / "journal"
    journals.mkdir(parents=True)
    folder = root / "%j"
    submitted = {
        "event": "submitted",
        "time": BEGIN,
        "client": "client",
        "backend": "local",
        "name": "sweep",
        "function": "train.fit",
        "parameters": {"cpus_per_task": 4, "mem_gb": 16, "timeout_min": 120},
        "tasks": 1,
        "jobs": [str(number + 1) for number in range(jobs)],
        "folder": str(folder),
    }
    (journals / "client.jsonl").write_text(json.dumps(submitted) + "\n")
    who = processes.Identity("nowhere", 1, "0")
    lines: list[dict[str, Any]] = [Header("controller", str(root), who, who).write()]
    free = [(BEGIN + 4 + 9 * slot, f"node{slot % _NODES + 1}") for slot in range(min(jobs, _NODES * _SLOTS))]
    heapq.heapify(free)
    for number in range(jobs):
        begin, node = heapq.heappop(free)
        end = _job(root, lines, str(number + 1), begin, node, chance)
        heapq.heappush(free, (end + chance.uniform(0.5, 4), node))
    (journals / "controller.jsonl").write_text(
        "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    )
    return folder


def _job(root: Path, lines: list[dict[str, Any]], job_id: str, begin: float, node: str, chance: random.Random) -> float:
    """One job's records, result and logs; returns when it ended."""
    took = min(7200.0, chance.lognormvariate(6.2, 0.7))
    peak = chance.gauss(1900, 260)
    luck = chance.random()
    state, code, error = "COMPLETED", 0, ""
    if luck > 0.97:
        state, code, took = "FAILED", 1, took * chance.random()
        error = chance.choices(_ERRORS, (6, 3, 1))[0].format(chance.randrange(1, 99999))
    elif luck > 0.963:
        state, code, peak = "OUT_OF_MEMORY", -9, 16384.0
    elif luck > 0.958:
        state, code, took = "TIMEOUT", -15, 7200.0
    elif luck > 0.95:
        state, code, took = "CANCELLED", -15, took * chance.random()
    record = Record(
        job_id, state, over=True, time=begin + took, start=begin, end=begin + took, node=node, exits=[code], peak_mb=peak,
        cpu_s=took * chance.uniform(0.9, 1.4), mem_gb=16.0,
    )  # fmt: skip
    if luck < 0.02:
        lost = record._replace(state="NODE_FAIL", end=begin + took / 3, exits=[-9])
        lines.append(lost.write_attempt("node_fail"))
        record = record._replace(start=begin + took / 3 + 60, end=begin + took * 4 / 3 + 60, attempt=1)
    lines.append(record.write())
    directory = root / job_id
    directory.mkdir()
    (directory / f"{job_id}_0_log.out").write_text("epoch 1\nepoch 2\n")
    trace = (
        f'Traceback (most recent call last):\n  File "train.py", line 3, in fit\n    step()\n{error}\n' if error else ""
    )
    (directory / f"{job_id}_0_log.err").write_text(trace)
    if state in {"COMPLETED", "FAILED"}:
        footer = Footer(
            not code, node, 1, record.attempt, record.start, record.end, record.cpu_s, peak, "3.12.1", "2.0.0"
        )
        value = ("error", trace) if code else ("success", None)
        about = outcome._footer_line(footer)
        written = pickle.dumps(value) + pickle.dumps(None) + about + outcome._TAIL.pack(len(about), outcome._MAGIC)
        (directory / f"{job_id}_0_result.pkl").write_bytes(written)
    return record.end


if __name__ == "__main__":
    print(make(Path(sys.argv[1]).absolute(), int(sys.argv[2]) if len(sys.argv) > 2 else 5000))
