"""Every long option of ``sbatch``, for those that have no parameter of their own.

Sources: sbatch.1 and ``sbatch --help`` of 22.05, the table of options in Slurm's ``src/common/slurm_opt.c``, its
CHANGELOG and release notes, and the documentation of 25.11. What the options of 22.05 take was tried on a real sbatch; tests
hold the table against the one that is installed. Loaded only if such an option is used.
"""

# Annotations are evaluated here, as in the other modules of the dialect: strings cost more in a NamedTuple.

import enum
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from submitit.slurm import parameters as parameters_


class Kind(enum.Enum):
    """What an option takes."""

    #: Nothing: ``True`` gives it, ``False`` leaves it out.
    FLAG = "True or False"
    #: A value, or none (``True``); ``False`` leaves it out.
    OPTIONAL = "True, False or a value"
    NUMBER = "a whole number"
    TEXT = "a string or a number"
    #: Several strings, separated by commas, or a list of them.
    LIST = "a string, or a list of strings"
    TIME = "a time such as 90 (minutes) or '1-12:00:00'"
    SIZE = "a size such as 4000 (megabytes) or '4G'"
    #: ``yes`` or ``no``, or a bool.
    YES_NO = "True, False, 'yes' or 'no'"
    #: Of an option that ``sbatch --help`` alone knows: whatever it is given.
    ANY = "True, False, a string or a number"


class Option(NamedTuple):
    """One option, and which releases have it."""

    name: str
    kind: Kind
    #: The earliest release known to have it, if that is later than 17.11.
    first: str = ""
    #: The latest release known to have it, if that is earlier than 26.05.
    last: str = ""


_ROWS: Final = (
    Option("account", Kind.TEXT),
    Option("acctg-freq", Kind.TEXT),
    Option("array", Kind.TEXT),
    Option("batch", Kind.TEXT, "18.08"),
    Option("bb", Kind.TEXT),
    Option("bbf", Kind.TEXT),
    Option("begin", Kind.TEXT),
    Option("chdir", Kind.TEXT),
    Option("checkpoint", Kind.TEXT, last="19.05"),
    Option("checkpoint-dir", Kind.TEXT, last="19.05"),
    Option("cluster-constraint", Kind.TEXT),
    Option("clusters", Kind.LIST),
    Option("comment", Kind.TEXT),
    Option("consolidate-segments", Kind.FLAG, "25.11"),
    Option("constraint", Kind.TEXT),
    Option("container", Kind.TEXT, "21.08"),
    Option("container-id", Kind.TEXT, "23.02"),
    Option("contiguous", Kind.FLAG),
    Option("core-spec", Kind.NUMBER),
    Option("cores-per-socket", Kind.TEXT),
    Option("cpu-freq", Kind.TEXT),
    Option("cpus-per-gpu", Kind.NUMBER, "19.05"),
    Option("cpus-per-task", Kind.NUMBER),
    Option("deadline", Kind.TEXT),
    Option("delay-boot", Kind.TIME),
    Option("dependency", Kind.LIST),
    Option("distribution", Kind.TEXT),
    Option("error", Kind.TEXT),
    Option("exclude", Kind.LIST),
    Option("exclusive", Kind.OPTIONAL),
    Option("export", Kind.LIST),
    Option("export-file", Kind.TEXT),
    Option("extra", Kind.TEXT, "23.02"),
    Option("extra-node-info", Kind.TEXT),
    Option("get-user-env", Kind.OPTIONAL),
    Option("gid", Kind.TEXT),
    Option("gpu-bind", Kind.TEXT, "19.05"),
    Option("gpu-freq", Kind.TEXT, "19.05"),
    Option("gpus", Kind.TEXT, "19.05"),
    Option("gpus-per-node", Kind.TEXT, "19.05"),
    Option("gpus-per-socket", Kind.TEXT, "19.05"),
    Option("gpus-per-task", Kind.TEXT, "19.05"),
    Option("gres", Kind.LIST),
    Option("gres-flags", Kind.LIST),
    Option("help", Kind.FLAG),
    Option("hint", Kind.TEXT),
    Option("hold", Kind.FLAG),
    Option("ignore-pbs", Kind.FLAG),
    Option("input", Kind.TEXT),
    Option("job-name", Kind.TEXT),
    Option("jobid", Kind.NUMBER, last="18.08"),
    Option("kill-on-invalid-dep", Kind.YES_NO),
    Option("licenses", Kind.LIST),
    Option("mail-type", Kind.LIST),
    Option("mail-user", Kind.TEXT),
    Option("mcs-label", Kind.TEXT),
    Option("mem", Kind.SIZE),
    Option("mem-bind", Kind.TEXT),
    Option("mem-per-cpu", Kind.SIZE),
    Option("mem-per-gpu", Kind.SIZE, "19.05"),
    Option("mincpus", Kind.NUMBER),
    Option("network", Kind.TEXT),
    Option("nice", Kind.OPTIONAL),
    Option("no-kill", Kind.OPTIONAL),
    Option("no-requeue", Kind.FLAG),
    Option("nodefile", Kind.TEXT),
    Option("nodelist", Kind.LIST),
    Option("nodes", Kind.TEXT),
    Option("ntasks", Kind.NUMBER),
    Option("ntasks-per-core", Kind.NUMBER),
    Option("ntasks-per-gpu", Kind.NUMBER, "20.11"),
    Option("ntasks-per-node", Kind.NUMBER),
    Option("ntasks-per-socket", Kind.NUMBER),
    Option("oom-kill-step", Kind.OPTIONAL, "24.05"),
    Option("open-mode", Kind.TEXT),
    Option("output", Kind.TEXT),
    Option("overcommit", Kind.FLAG),
    Option("oversubscribe", Kind.FLAG),
    Option("parsable", Kind.FLAG),
    Option("partition", Kind.LIST),
    Option("power", Kind.TEXT, last="23.11"),
    Option("prefer", Kind.TEXT, "22.05"),
    Option("priority", Kind.TEXT),
    Option("profile", Kind.LIST),
    Option("propagate", Kind.OPTIONAL),
    Option("qos", Kind.LIST),
    Option("quiet", Kind.FLAG),
    Option("reboot", Kind.FLAG),
    # With a value (``expedite``) from 25.11 on. False is --no-requeue: left out, the cluster's JobRequeue decides.
    Option("requeue", Kind.OPTIONAL),
    Option("reservation", Kind.LIST),
    Option("resources", Kind.LIST, "25.11"),
    Option("resv-ports", Kind.OPTIONAL, "24.05"),
    Option("segment", Kind.NUMBER, "24.11"),
    Option("signal", Kind.TEXT),
    Option("sockets-per-node", Kind.TEXT),
    Option("spread-job", Kind.FLAG),
    Option("spread-segments", Kind.FLAG, "25.11"),
    Option("stepmgr", Kind.FLAG, "24.05"),
    Option("switches", Kind.TEXT),
    Option("test-only", Kind.FLAG),
    Option("thread-spec", Kind.NUMBER),
    Option("threads-per-core", Kind.TEXT),
    Option("time", Kind.TIME),
    Option("time-min", Kind.TIME),
    Option("tmp", Kind.SIZE),
    Option("tres-bind", Kind.TEXT, "23.02"),
    Option("tres-per-task", Kind.LIST, "23.02"),
    Option("uid", Kind.TEXT),
    Option("usage", Kind.FLAG),
    Option("use-min-nodes", Kind.FLAG),
    Option("verbose", Kind.FLAG),
    Option("version", Kind.FLAG),
    Option("wait", Kind.FLAG),
    Option("wait-all-nodes", Kind.NUMBER),
    Option("wckey", Kind.TEXT),
    Option("wrap", Kind.TEXT),
    Option("x11", Kind.OPTIONAL, last="18.08"),
)

#: By the names that they have as parameters, with ``_`` for ``-``.
OPTIONS: Final[Mapping[str, Option]] = {option.name.replace("-", "_"): option for option in _ROWS}

_LOGS = "the executor's folder decides where logs go, and they are always appended to"
_PRINTED = "what sbatch prints is read for the job's id"
_NOT_SENT = "sbatch would send nothing; executor.dry_run(fn, …) shows what would be sent"

#: Options that are no parameters, and why. ``additional_parameters``, which nobody checks, takes them all the same.
REFUSED: Final[Mapping[str, str]] = {
    "array": "executor.map_array(fn, …) makes arrays, and array_parallelism says how many elements run at once",
    "clusters": "no other command would find the job; set the environment variable SLURM_CLUSTERS, which all of them heed",
    "error": _LOGS,
    "help": _NOT_SENT,
    "open_mode": _LOGS,
    "output": _LOGS,
    "parsable": _PRINTED,
    "quiet": _PRINTED,
    "signal": "signal_delay_s says when the job is warned, and the environment variable SUBMITIT_PREEMPT_SIGNAL by which signal",
    "test_only": _NOT_SENT,
    "usage": _NOT_SENT,
    "verbose": _PRINTED,
    "version": _NOT_SENT,
    "wait": "sbatch would return only when the job has ended; job.wait() waits as long as you like",
    "wrap": "the script is the executor's; setup and teardown add lines to it",
}


def reason_against(name: str) -> str | None:
    """Why an option is no parameter; ``None`` if it may be one, or is unknown."""
    reason = REFUSED.get(name)
    return reason and f"{name!r} is no parameter: {reason}. (additional_parameters passes anything on, unchecked.)"


_IN_HELP: Final = r"(?<![\w-])--([a-z][a-z0-9]*(?:-[a-z0-9]+)*)"


def read_help(text: str) -> frozenset[str]:
    """The options that ``sbatch --help`` names, as parameters. Those of a site's plugins (SPANK) are among them."""
    return frozenset(name.replace("-", "_") for name in re.findall(_IN_HELP, text))


def check(name: str, value: Any) -> None:
    """Raise TypeError for a value that the option does not take, and ValueError for one that is wrong in itself.

    ``None`` always passes. An option that is not in the table takes anything that can be written on one line.
    """
    if value is None:
        return
    kind = OPTIONS[name].kind if name in OPTIONS else Kind.ANY
    if not _takes(kind, value):
        raise TypeError(f"Parameter {name!r} takes {kind.value}, not {value!r}")
    if kind is Kind.TIME:
        parameters_.check_time(name, value)
    elif kind is Kind.SIZE:
        parameters_.check_memory(name, value)
    parameters_.check_line(name, str(value))


def _takes(kind: Kind, value: Any) -> bool:
    if isinstance(value, bool):
        return kind in (Kind.FLAG, Kind.OPTIONAL, Kind.YES_NO, Kind.ANY)
    if kind is Kind.FLAG:
        return type(value).__name__ in ("bool_", "bool")  # numpy's
    if kind is Kind.YES_NO:
        return value in ("yes", "no")
    if kind is Kind.NUMBER:
        return parameters_.is_whole(value)
    return parameters_.is_scalar(value)


def replaced(values: Mapping[str, Any]) -> dict[str, Any]:
    """What these values unset: the opposite of one, given earlier. Raises ValueError if it is given with it."""
    if values.get("requeue") and values.get("no_requeue"):
        raise ValueError("Parameters 'requeue' and 'no_requeue' are opposites: give one of them")
    if "requeue" in values and "no_requeue" not in values:
        return {"no_requeue": None}
    if values.get("no_requeue"):
        return {"requeue": None}
    return {}


def rendered(values: Mapping[str, Any]) -> dict[str, Any]:
    """Checked values as ``additional_parameters`` takes them: without those that leave the option out."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        kind = OPTIONS[name].kind if name in OPTIONS else Kind.ANY
        if value is None:
            continue
        if kind is Kind.YES_NO and isinstance(value, bool):
            found[name] = "yes" if value else "no"
        elif kind is Kind.FLAG:
            found.update({name: True} if value else {})
        elif value is not False:
            found[name] = value
        elif name == "requeue":
            found["no_requeue"] = True
    return found
