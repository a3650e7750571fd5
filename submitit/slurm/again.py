"""What the batch script of a job with a policy for failures runs when something has gone wrong: another attempt, or none.

::

    python -m submitit.slurm.again FOLDER begins      an attempt that is not the first is about to run
                                          told        SIGTERM has arrived: the ranks may still be running
                                          ended       the command has failed, and all ranks are gone

It asks slurmctld about the job once, requeues it and changes what the next attempt needs: the owner may do that as soon as the
job counts as waiting again, while its last processes still run. It exits with `AGAIN` if this attempt is over for good.

What was decided before is in the job's markers: ``retry-<reason>`` of each earlier attempt. They are counted here.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import time
from typing import TYPE_CHECKING

from submitit import commands
from submitit.orchestrator import retry
from submitit.slurm import queries
from submitit.slurm.environment import SlurmJobEnvironment
from submitit.slurm.nodelist import _parse_node_list
from submitit.storage import events, outcome
from submitit.storage.paths import JobPaths

if TYPE_CHECKING:
    from collections.abc import Sequence

    from submitit.orchestrator.retry import Retry
    from submitit.slurm.queries import JobRecord
    from submitit.storage.events import Marker

#: Exit code: the job was requeued, or must not run now.
AGAIN = 100
#: The next attempt starts no sooner. A node refuses one in the second in which another has ended, and a start that has passed
#: when the last process is gone Slurm puts off for two minutes. A job that was told to end has half a minute left (KillWait).
SOONEST_S = {"begins": 5, "told": 40, "ended": 5}
#: How long to wait before a refused requeue is asked for again: slurmctld may be restarting. All of it is less than KillWait.
REFUSED_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0)
#: What srun and slurmstepd say in the script's log when the kernel has killed for memory.
_MEMORY_WORDS = (b"oom-kill event", b"oom_kill event", b"Out Of Memory")


class Decision:
    """What becomes of this attempt."""

    def __init__(self, folder: str) -> None:
        self._env = SlurmJobEnvironment()
        self._folder = folder
        self._retry: Retry = retry.Retry.read(json.loads(os.environ[retry.VARIABLE]))
        self._events = events.EventDirectory(os.environ["SUBMITIT_EVENTS"])
        job_id = self._env.job_id
        self._events.scan()
        self._markers = self._events.markers(job_id)
        self._is_refused = False
        self._now = [marker for marker in self._markers if marker.attempt == self._env._attempt]

    # ---- an attempt that begins

    def begins(self) -> bool:
        """Whether this attempt must not run: its node has failed under an earlier one, or too many have."""
        vanished = [] if self._all_succeeded() else self._vanished()
        most = self._retry.times(retry.NODE_FAIL)
        if len(vanished) > most:
            _say(
                f"its node has failed {len(vanished)} times, and Retry(node_fail={most}) allows fewer: it does not run again"
            )
            return True
        failed = {self._events.node(marker) for marker in vanished}
        here = set(_parse_node_list(os.environ.get("SLURM_JOB_NODELIST", "")))
        shown = self._env._shown() if here & failed else None
        return shown is not None and self._requeue(shown, "begins", retry.NODE_FAIL, _excluding(shown, failed))

    def _vanished(self) -> list[Marker]:
        """The beginnings of earlier attempts of which nothing more was heard: neither an end nor that one was asked for."""
        heard = {marker.attempt for marker in self._markers if marker.kind.partition("-")[0] in _HEARD}
        return [
            marker
            for marker in self._markers
            if marker.task == "batch" and marker.kind == "run" and marker.attempt < self._env._attempt
            if marker.attempt not in heard
        ]

    # ---- an attempt that is told to end

    def told(self) -> bool:
        """Whether another attempt follows on a SIGTERM."""
        shown = self._shown()
        if shown is None:
            return False
        if self._env._is_requeued(shown):
            self._exclude(shown)
            return False
        again = False
        if shown.reason == "TimeLimit":
            again = self._again(shown, "told", retry.TIMEOUT)
        elif shown.preempted is not None:
            again = not _requeues_by_itself(shown) and self._again(shown, "told", retry.PREEMPTED)
        if not again and shown.word != "RUNNING":
            self._mark("final")
        return again

    # ---- an attempt whose command has failed

    def ended(self) -> bool:
        """Whether another attempt follows on a failure."""
        shown = self._shown()
        if shown is None:
            reason = self._reason()
            if reason:
                self._refused(reason, "Slurm cannot be asked")
            return False
        if self._env._is_requeued(shown):
            return False
        if shown.reason == "TimeLimit":
            return self._again(shown, "ended", retry.TIMEOUT)
        if shown.preempted is not None:
            return self._again(shown, "ended", retry.PREEMPTED)
        reason = self._reason() if shown.word == "RUNNING" else ""
        return bool(reason) and self._again(shown, "ended", reason)

    def _reason(self) -> str:
        """Why the ranks have failed, by what they have left; ``""`` for what no policy covers."""
        if any(marker.kind == "memory" for marker in self._now) or _log_tells_of_memory():
            return retry.OUT_OF_MEMORY
        footers = [outcome.read_footer(path) for path in self._set_aside()]
        if any(footer is not None and footer.covered for footer in footers):
            return retry.EXCEPTION if all(footer is None or footer.covered for footer in footers) else ""
        return "" if footers else retry.KILLED

    def _set_aside(self) -> list[str]:
        paths = [outcome.set_aside_path(result, self._env._attempt) for result in self._results()]
        return [path for path in paths if os.path.exists(path)]

    def _some_rank_recorded_an_error(self) -> bool:
        """Not what the function raised, which is set aside: its value could not be written, or its state not be saved."""
        footers = [outcome.read_footer(path) for path in self._results()]
        mine = [footer for footer in footers if footer is not None and footer.attempt == self._env._attempt]
        return any(footer.success is False for footer in mine)

    def _results(self) -> list[str]:
        job_id = self._env.job_id
        return [JobPaths(self._folder, job_id, rank).locate("result_pickle") for rank in range(self._env.num_tasks)]

    def _all_succeeded(self) -> bool:
        footers = [outcome.read_footer(path) for path in self._results()]
        return all(footer is not None and footer.success for footer in footers)

    # ---- another attempt

    def _again(self, shown: JobRecord, when: str, reason: str) -> bool:
        if self._all_succeeded() or self._some_rank_recorded_an_error():
            return False
        count = sum(marker.kind == f"retry-{reason}" for marker in self._markers)
        times = self._retry.times(reason)
        if count >= times:
            if times:
                _say(f"it has failed by {reason} again, after {count} further attempts: it does not run again")
            return False
        settings: dict[str, str] | None = {}
        if reason == retry.OUT_OF_MEMORY:
            settings = more_memory(shown, self._retry)
        elif reason == retry.TIMEOUT:
            settings = more_time(shown, self._retry, _partition(shown))
        if settings is None:
            _say(f"it has failed by {reason} with as much as it may have: it does not run again")
            return False
        return self._requeue(shown, when, reason, settings)

    def _requeue(self, shown: JobRecord, when: str, reason: str, settings: dict[str, str]) -> bool:
        refusal = self._ask(shown)
        if refusal is None:  # Slurm has requeued it by itself meanwhile
            return False
        if refusal:
            self._refused(reason, refusal)
            return False
        self._mark(f"retry-{reason}")
        changed = ", ".join(f"{name}={value}" for name, value in settings.items())
        _say(f"attempt {self._env._attempt + 1} has failed by {reason}: it runs again{changed and f' with {changed}'}")
        start = f"now+{max(SOONEST_S[when], math.ceil(self._retry.delay_s))}"
        self._update({**settings, "StartTime": start}) or self._update({"StartTime": start})
        return True

    def _ask(self, shown: JobRecord) -> str | None:
        """Have Slurm requeue the job: why it did not, ``""`` if it has, ``None`` if that had happened already."""
        pauses = iter(REFUSED_PAUSES_S)
        while True:
            try:
                commands.query(queries.requeue_command(self._env.job_id))
                return ""
            except Exception as error:  # noqa: BLE001 - whatever scontrol, or what stands in for it, fails with
                refusal = _words(error)
            if shown.columns.get("Requeue") == "0":
                return refusal
            seen = self._env._shown()
            if seen is not None and self._env._is_requeued(seen):
                return None
            pause = next(pauses, None)
            if pause is None:
                return refusal
            time.sleep(pause)

    def _refused(self, reason: str, refusal: str) -> None:
        self._is_refused = True
        self._mark(f"refused-{reason}")
        _say(f"it has failed by {reason}, and could not be requeued: {refusal}")

    def _mark(self, kind: str, task: str = "batch") -> None:
        self._events.mark(self._env.job_id, task, self._env._attempt, kind, self._env.hostname)

    def settle(self) -> None:
        """No other attempt follows: what the ranks have raised is their result."""
        if self._is_refused:
            return  # a client may see to it that one does
        for rank, result in enumerate(self._results()):
            with contextlib.suppress(OSError):
                if not os.path.exists(result):
                    os.replace(outcome.set_aside_path(result, self._env._attempt), result)
                    self._mark("done", str(rank))

    def _update(self, settings: dict[str, str]) -> bool:
        try:
            commands.query(queries.update_command(self._env.job_id, **settings))
        except Exception as error:  # noqa: BLE001 - it runs again all the same
            _say(f"it could not be given {settings}: {_words(error)}")
            return False
        return True

    def _exclude(self, shown: JobRecord) -> None:
        """Slurm has requeued the job because a node of it failed, and this one lives."""
        names = set(_parse_node_list(os.environ.get("SLURM_JOB_NODELIST", "")))
        if settings := _excluding(shown, names & _nodes_down()):
            self._update(settings)

    def _shown(self) -> JobRecord | None:
        """What slurmctld knows of this job, which may be restarting; ``None`` where it cannot be asked."""
        for pause in (*REFUSED_PAUSES_S, None):
            shown = self._env._shown()
            if shown is not None or pause is None or commands.which("scontrol") is None:
                return shown
            time.sleep(pause)
        return None


_HEARD = frozenset({"exit", "term", "requeue", "retry", "refused"})


def more_memory(shown: JobRecord, policy: Retry) -> dict[str, str] | None:
    """What to change of a job that had too little memory; ``None`` if it may not have, or cannot be given, more."""
    for name in ("MinMemoryNode", "MinMemoryCPU"):
        now = queries.memory_bytes(shown.columns.get(name, ""))
        if now:
            more_gb = policy.out_of_memory.after(now / 1024**3)
            # Slurm counts in whole megabytes.
            megabytes = None if more_gb is None else math.floor(round(more_gb * 1024, 6))
            return None if megabytes is None or megabytes * 1024**2 <= now else {name: str(megabytes)}
    return None


def more_time(shown: JobRecord, policy: Retry, partition: dict[str, str]) -> dict[str, str] | None:
    """What to change of a job that had too little time; ``None`` if it may not have more."""
    now = shown.time_limit_s
    if now is None or math.isinf(now):
        return None
    more_min = policy.timeout.after(now / 60)
    most_s = queries.duration(partition.get("MaxTime", "")) or math.inf
    minutes = None if more_min is None else min(math.ceil(round(more_min, 6)), most_s / 60)
    return None if minutes is None or minutes * 60 <= now else {"TimeLimit": str(int(minutes))}


def _excluding(shown: JobRecord, nodes: set[str]) -> dict[str, str]:
    """The setting that keeps a job from these nodes, beside those that it is kept from already."""
    before = shown.columns.get("ExcNodeList", "")
    known = [] if before in ("", "(null)") else [before]
    return {"ExcNodeList": ",".join([*known, *sorted(nodes)])} if nodes else {}


def _nodes_down() -> set[str]:
    try:
        listed = commands.query(["sinfo", "--noheader", "--states=down", "--format=%N"])
        return {node for line in listed.split() for node in _parse_node_list(line)}
    except Exception:  # noqa: BLE001 - nobody can be asked
        return set()


def _requeues_by_itself(shown: JobRecord) -> bool:
    """Whether Slurm runs a job of this partition again that it preempts (slurm.conf.5, PreemptMode)."""
    return "REQUEUE" in _partition(shown).get("PreemptMode", "").upper()


def _partition(shown: JobRecord) -> dict[str, str]:
    try:
        name = os.environ.get("SLURM_JOB_PARTITION") or shown.columns.get("Partition", "")
        told = commands.query(["scontrol", "--oneliner", "show", "partition", name])
        return dict(word.split("=", 1) for word in told.split() if "=" in word)
    except Exception:  # noqa: BLE001 - nobody can be asked
        return {}


def _log_tells_of_memory() -> bool:
    """Whether the script's log does, as far as it is this attempt's."""
    try:
        with open(os.environ.get("SUBMITIT_BATCH_LOG", ""), "rb") as file:
            file.seek(int(os.environ.get("SUBMITIT_BATCH_LOG_FROM", "0")))
            said = file.read(1 << 20)
    except (OSError, ValueError):
        return False
    return any(words in said for words in _MEMORY_WORDS)


def _words(error: Exception) -> str:
    stderr = getattr(error, "stderr", None)
    words = stderr.decode("utf-8", errors="replace") if isinstance(stderr, bytes) else stderr
    return (words or str(error)).strip()


def _say(text: str) -> None:
    print(f"submitit: job {SlurmJobEnvironment().job_id}: {text}", flush=True)


def main(arguments: Sequence[str]) -> int:
    """The exit code of the program: `AGAIN`, or 0."""
    folder, when = arguments
    os.environ["SUBMITIT_EXECUTOR"] = "slurm"
    decision = Decision(folder)
    if {"begins": decision.begins, "told": decision.told, "ended": decision.ended}[when]():
        return AGAIN
    if when == "ended":
        decision.settle()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
