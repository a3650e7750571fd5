"""Looking into Slurm as a user of it: what its configuration means for jobs, without submitting anything."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from submitit import commands
from submitit.slurm import limits
from submitit.upkeep.diagnosis import Finding, Level, ask

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from submitit.slurm.limits import ClusterLimits

_NEEDED = {
    "sbatch": "submit",
    "squeue": "see what runs",
    "scontrol": "requeue",
    "scancel": "cancel",
    "srun": "start tasks",
}
_UNLIMITED = ("UNLIMITED", "INFINITE", "NONE", "")
#: Partitions that are shown.
_MOST = 12


def examine() -> Iterator[Finding]:
    """Every finding about the cluster, each as soon as it is known. Nothing of it takes long, whatever Slurm is up to."""
    missing = [name for name in _NEEDED if commands.which(name) is None]
    if len(missing) == len(_NEEDED):
        yield Finding("Slurm", Level.OK, "not here (no sbatch on PATH)", "Jobs run on this machine: cluster='local'.")
        return
    for name in missing:
        yield Finding(name, Level.ERROR, "not on PATH", f"Without it jobs cannot {_NEEDED[name]} as they have to.")
    if "scontrol" in missing:
        return
    answer = ask(limits.config_command())
    if answer.problem:
        advice = limits.advice(answer.problem, single=False)
        yield Finding(
            "Slurm",
            Level.ERROR,
            answer.problem,
            advice or "Submissions are tried again for five minutes, and fail then.",
        )
        return
    known, settings = limits.parse_config(answer.text), limits.parse_settings(answer.text)
    name = settings.get("ClusterName", "")
    yield Finding("Slurm", Level.OK, f"version {known.version or 'unknown'}{f', cluster {name}' if name else ''}")
    if job := os.environ.get("SLURM_JOB_ID"):
        yield Finding(
            "inside a job", Level.NOTE, f"this is job {job}", "Jobs submitted from here are jobs of their own."
        )
    yield from _accounting(known, settings)
    yield from _numbers(known)
    if known.accounting:
        yield from _account(known, settings)
    yield from endings(known, settings)
    yield from enforcement(settings)
    partitions = ask(["scontrol", "--oneliner", "show", "partition"])
    if partitions.problem:
        yield Finding("partitions", Level.WARNING, partitions.problem)
    else:
        yield from partition_findings(partitions.text)


def _accounting(known: ClusterLimits, settings: Mapping[str, str]) -> Iterator[Finding]:
    age = known.min_job_age_s
    memory = "Slurm's memory" + (f" (MinJobAge {age} s)" if age else "")
    if not known.accounting:
        found = "none" if known.accounting is False else "cannot be told"
        yield Finding(
            "accounting",
            Level.NOTE,
            found,
            f"After a job has left {memory} only its own files tell how it ended, and what it used.",
        )
        return
    answer = ask(["sacct", "--noheader", "--parsable2", "--allocations", "--format=JobID", "--starttime=now-1minute"])
    if answer.problem:
        yield Finding(
            "accounting",
            Level.WARNING,
            f"{settings.get('AccountingStorageType', '')}, but {answer.problem}",
            f"As long as sacct does not answer, after a job has left {memory} only its own files tell how it ended.",
        )
        return
    yield Finding(
        "accounting",
        Level.OK,
        "sacct answers",
        "How a job ended, and what it used, is known for as long as accounts are kept.",
    )


def _numbers(known: ClusterLimits) -> Iterator[Finding]:
    if known.array_elements is not None:
        if known.array_elements <= 1:
            words = "No arrays: each call of map_array is a job of its own."
            yield Finding("arrays", Level.NOTE, f"MaxArraySize {known.max_array_size}", words)
        else:
            found = f"up to {known.array_elements} elements each"
            yield Finding(
                "arrays", Level.OK, found, "map_array sends more of them as several arrays, in one list of jobs."
            )
    if known.max_job_count is not None:
        yield Finding(
            "jobs at a time",
            Level.OK,
            f"{known.max_job_count:,} of all users (MaxJobCount), each element counted",
            "When there are more, map_array waits for room, and single submissions are refused.",
        )


def _account(known: ClusterLimits, settings: Mapping[str, str]) -> Iterator[Finding]:
    user = _user_name()
    answer = ask(limits.associations_command(user))
    if answer.problem:
        yield Finding("your limits", Level.NOTE, answer.problem, "Whether Slurm limits your jobs is not known.")
        return
    rows = [line for line in answer.text.splitlines()[1:] if line.strip()]
    if not rows:
        enforced = bool(re.search(r"associations|limits|safe|all", settings.get("AccountingStorageEnforce", "")))
        yield Finding(
            "your account",
            Level.ERROR if enforced else Level.NOTE,
            f"there is none for {user}",
            "Slurm refuses your jobs: ask the administrators for an account."
            if enforced
            else "Slurm does not ask for one.",
        )
        return
    found = limits.parse_sacctmgr(answer.text)
    quality = ask(limits.qos_command())
    found += limits.parse_sacctmgr(quality.text) if not quality.problem else []
    if not known.enforces_limits or not found:
        why = "" if known.enforces_limits else " is enforced"
        yield Finding("your limits", Level.OK, f"none on the number of your jobs{why}")
        return
    shown = ", ".join(f"{limit.jobs:,} ({limit.scope})" for limit in sorted(found, key=lambda limit: limit.jobs)[:4])
    yield Finding(
        "your limits",
        Level.OK,
        f"jobs in the queue at once: {shown}",
        "Where one is met, map_array waits for room, and single submissions are refused.",
    )


def endings(known: ClusterLimits, settings: Mapping[str, str]) -> Iterator[Finding]:
    """What the configuration means for jobs that are preempted, or run out of time."""
    mode = (known.preempt_mode or "").upper()
    requeue = known.requeue
    if "REQUEUE" in mode and requeue is not False:
        yield Finding(
            "preemption",
            Level.OK,
            mode,
            "Preempted jobs run again by themselves; with a checkpoint they go on where they were.",
        )
    elif "REQUEUE" in mode:
        yield Finding(
            "preemption",
            Level.WARNING,
            f"{mode}, but JobRequeue is 0",
            "Preempted jobs are lost, unless they are submitted with slurm_requeue=True.",
        )
    elif "CANCEL" in mode:
        yield Finding(
            "preemption",
            Level.WARNING,
            mode,
            "Preempted jobs are cancelled, and lost unless they have saved their state.",
        )
    elif "SUSPEND" in mode or "GANG" in mode:
        yield Finding("preemption", Level.OK, mode, "Preempted jobs stand still for a while, and go on.")
    else:
        yield Finding("preemption", Level.OK, mode or "none", "No job is preempted.")
    if requeue is False:
        yield Finding(
            "requeue",
            Level.WARNING,
            "off (JobRequeue 0)",
            "A job is not run again when its node fails; for checkpoints and retries submit with slurm_requeue=True.",
        )
    elif requeue:
        yield Finding("requeue", Level.OK, "on (JobRequeue 1)", "A job whose node fails is run again by Slurm.")
    if known.kill_wait_s is not None:
        short = known.kill_wait_s < 10
        yield Finding(
            "KillWait",
            Level.NOTE if short else Level.OK,
            f"{known.kill_wait_s} s",
            "So long a job has from SIGTERM to SIGKILL: at a time-out signal_delay_s before comes on top of it.",
        )
    if "send_user_signal" in settings.get("PreemptParameters", ""):
        yield Finding("warning", Level.OK, "the user signal is sent before a preemption", "Checkpoints begin at once.")


def enforcement(settings: Mapping[str, str]) -> Iterator[Finding]:
    """What keeps jobs within what they asked for, and ends all their processes."""
    track = settings.get("ProctrackType", "").removeprefix("proctrack/")
    if track:
        good = track == "cgroup"
        meaning = (
            "All processes of a job end with it."
            if good
            else "Processes that leave their session may outlive their job."
        )
        yield Finding("processes", Level.OK if good else Level.NOTE, f"tracked by {track}", meaning)
    counted = "memory" in settings.get("SelectTypeParameters", "").lower()
    confined = settings.get("ConstrainRAMSpace", "").lower() == "yes" or "OverMemoryKill" in settings.get(
        "JobAcctGatherParams", ""
    )
    if counted and confined:
        default = settings.get("DefMemPerCPU") or settings.get("DefMemPerNode") or ""
        unset = (
            f" Without mem_gb a job gets {default} MB a CPU or node." if default.isdecimal() and int(default) else ""
        )
        yield Finding(
            "memory limits", Level.OK, "enforced", f"A job that takes more than mem_gb is killed for it.{unset}"
        )
    elif counted:
        yield Finding(
            "memory limits",
            Level.NOTE,
            "counted, not known to be enforced",
            "mem_gb decides where a job fits; more may be used.",
        )
    else:
        yield Finding(
            "memory limits",
            Level.NOTE,
            "memory is no resource here",
            "mem_gb has no effect: jobs share the memory of their node.",
        )


def partition_findings(text: str) -> Iterator[Finding]:
    """One finding for each partition, the default one first; what ``scontrol --oneliner show partition`` has printed."""
    rows = [dict(re.findall(r"(?:^|\s)(\w+)=(\S*)", line)) for line in text.splitlines() if "PartitionName=" in line]
    if not rows:
        yield Finding("partitions", Level.WARNING, "there are none that you may see", "Jobs will not start.")
        return
    rows.sort(key=lambda row: row.get("Default") != "YES")
    if rows[0].get("Default") != "YES":
        words = "Jobs have to name one: slurm_partition."
        yield Finding("partitions", Level.WARNING, "none is the default", words)
    for row in rows[:_MOST]:
        yield _partition(row)
    if len(rows) > _MOST:
        yield Finding("partitions", Level.OK, f"and {len(rows) - _MOST} more: sinfo lists them")


def _partition(row: Mapping[str, str]) -> Finding:
    default = row.get("Default") == "YES"
    limit = row.get("MaxTime", "")
    parts = [f"{row.get('TotalNodes', '?')} nodes", "no time limit" if limit in _UNLIMITED else f"up to {limit}"]
    preset = row.get("DefaultTime", "")
    if preset not in _UNLIMITED:
        parts.append(f"{preset} by default")
    if (grace := row.get("GraceTime", "0")) not in ("0", ""):
        parts.append(f"{grace} s of grace before a preemption")
    if (mode := row.get("PreemptMode", "OFF")) not in ("OFF", ""):
        parts.append(f"preempted by {mode.lower()}" if mode != "GANG,SUSPEND" else "time-sliced")
    state = row.get("State", "UP")
    name = f"partition {row['PartitionName']}{' (default)' if default else ''}"
    if state != "UP":
        level = Level.ERROR if default else Level.NOTE
        return Finding(name, level, f"{state}: {', '.join(parts)}", "Jobs that go there wait until it is up.")
    return Finding(
        name,
        Level.OK,
        ", ".join(parts),
        "A job that asks for more time waits for ever." if limit not in _UNLIMITED and default else "",
    )


def _user_name() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
