"""The parameters of a Slurm job: their names, their checks, and the ``#SBATCH`` lines they become."""

# Annotations are evaluated here: as strings, every field of a NamedTuple would be compiled by itself, which takes
# longer than all the rest of the import. Patterns are compiled when they are first used.

import re
import shlex
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple


class SlurmParameters(NamedTuple):
    """Every parameter of a Slurm job, with its default. ``None`` leaves it to the cluster: no line in the script.

    Values stay as they were given (``time`` may be 5 or ``"00:10"``): sbatch reads them. Names, order and defaults are
    version 1's.
    """

    job_name: str | None = "submitit"
    """Name in the queue (sbatch.1 ``--job-name``)."""
    partition: str | None = None
    """Partitions that may run the job, separated by commas."""
    time: int | str | None = 5
    """Time limit: minutes, or one of Slurm's forms such as ``"2-00:00:00"``."""
    nodes: int | str | None = 1
    """Number of nodes."""
    ntasks_per_node: int | str | None = None
    """Processes on each node, each of which runs the function."""
    cpus_per_task: int | str | None = None
    """CPUs for each process."""
    cpus_per_gpu: int | str | None = None
    """CPUs for each GPU; needs ``gpus_per_task``."""
    num_gpus: int | str | None = None
    """The old name of ``gpus_per_node``, which it overrides."""
    gpus_per_node: int | str | None = None
    """GPUs on each node: a number, or type and number (``"v100:2"``)."""
    gpus_per_task: int | str | None = None
    """GPUs for each process."""
    qos: str | None = None
    """Quality of service."""
    setup: Iterable[str] | None = None
    """Lines of shell that the script runs before the function, as they are."""
    teardown: Iterable[str] | None = None
    """Lines of shell that the script runs after the function, as they are, also when it failed."""
    mem: int | str | None = None
    """Memory of each node: megabytes, or with a unit (``"4GB"``); 0 is all of it."""
    mem_per_gpu: int | str | None = None
    """Memory for each GPU."""
    mem_per_cpu: int | str | None = None
    """Memory for each CPU."""
    signal_delay_s: int | None = 90
    """How many seconds before the time limit the job is warned; Slurm may do so up to 60 s earlier. ``None``: Slurm's 60."""
    comment: str | None = None
    """Free text, shown by ``squeue -o %k``."""
    constraint: str | None = None
    """Features that the nodes must have."""
    exclude: str | None = None
    """Nodes that the job must not use."""
    account: str | None = None
    """The account that pays."""
    gres: str | None = None
    """Generic resources, such as ``"gpu:2"``."""
    mail_type: str | None = None
    """Events that send a mail, separated by commas."""
    mail_user: str | None = None
    """Who receives the mails."""
    nodelist: str | None = None
    """Nodes that the job must use."""
    dependency: str | None = None
    """What the job waits for, such as ``"afterok:12"``."""
    exclusive: bool | str | None = None
    """Whether no other job may use the nodes; ``"user"`` and ``"mcs"`` share them with those of the same user or label."""
    array_parallelism: int | None = 256
    """How many elements of an array may run at once; ``None`` is no limit."""
    wckey: str | None = "submitit"
    """Label for accounting (sbatch.1 ``--wckey``)."""
    stderr_to_stdout: bool = False
    """Write the errors into the output's file, and have none of their own."""
    additional_parameters: Mapping[str, Any] | None = None
    """Further options of sbatch, not checked, which win over all others: ``{"requeue": True, "mail-user": "x"}``."""
    srun_args: Iterable[str] | None = None
    """Further options of srun, one a word."""
    use_srun: bool = True
    """Whether srun starts the processes. Without it the script runs the function itself, once."""


#: What an executor calls its parameters, whatever its backend, and what Slurm calls them.
EQUIVALENTS: Final = {
    "name": "job_name",
    "timeout_min": "time",
    "mem_gb": "mem",
    "nodes": "nodes",
    "cpus_per_task": "cpus_per_task",
    "gpus_per_node": "gpus_per_node",
    "tasks_per_node": "ntasks_per_node",
}

#: What only the executor knows, and its default: it gives the script something else instead.
EXECUTORS_OWN: Final[Mapping[str, Any]] = {"gpus_as_gres": False, "retry": None}
#: Of several values sbatch makes one, separated by commas.
LISTS: Final = frozenset(
    {"dependency", "exclude", "gres", "mail_type", "nodelist", "partition", "qos"}
    # those of `options`
    | {"clusters", "export", "gres_flags", "licenses", "profile", "reservation", "resources", "tres_per_task"}
)
_SCRIPT_LINES: Final = frozenset({"setup", "teardown"})
SWITCHES: Final = frozenset({"stderr_to_stdout", "use_srun"})
#: They shape the script in another way than by an option of their own name.
_NO_OPTION: Final = frozenset(
    {
        "num_gpus",
        "signal_delay_s",
        "array_parallelism",
        "additional_parameters",
        "srun_args",
        *_SCRIPT_LINES,
        *SWITCHES,
    }
)


def memory(mem_gb: float) -> str:
    """Gigabytes as Slurm takes them: ``"2GB"`` for a whole number, else whole megabytes, rounded down (``"3584MB"``)."""
    whole = int(mem_gb)
    return f"{whole}GB" if mem_gb == whole else f"{int(mem_gb * 1024)}MB"


def convert(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Generic names as Slurm's, in the order given; where both occur, the later one stands. A number for ``mem`` is gigabytes."""
    converted = {EQUIVALENTS.get(name, name): value for name, value in parameters.items()}
    mem = converted.get("mem")
    if mem is not None and not isinstance(mem, str):
        converted["mem"] = memory(mem)
    return converted


def time_limit_min(time: Any) -> float | None:
    """Minutes of a time limit in any of Slurm's forms; ``None`` for none, and for what is no such form.

    ``5``, ``"90"`` and ``"5:30"`` begin with minutes, ``"1:00:00"`` with hours, ``"2-12"`` and ``"2-12:30:00"`` with days;
    Slurm rounds seconds up to a minute (sbatch.1 ``--time``). ``UNLIMITED`` and ``INFINITE`` are infinity.
    """
    if isinstance(time, (int, float)):
        return float(time)
    text = str(time)
    if text.upper() in _NO_LIMIT:
        return float("inf")
    days, dash, rest = text.rpartition("-")
    parts = rest.split(":")
    # Digits of other scripts are none to Slurm.
    if len(parts) > 3 or not all(map(_is_number, parts)) or (dash and not _is_number(days)):
        return None
    units = (3600, 60, 1)[0 if dash or len(parts) == 3 else 1 :]
    seconds = sum(int(part) * unit for part, unit in zip(parts, units, strict=False))
    return float(-(-seconds // 60) + int(days or 0) * 24 * 60)


_NO_LIMIT: Final = ("UNLIMITED", "INFINITE")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def check_time(name: str, value: Any) -> None:
    """Raise ValueError for what Slurm does not read as a time."""
    # What counts like a whole number is one (numpy's are none of Python's).
    if hasattr(type(value), "__index__"):
        right = int(value) >= 0
    else:
        right = not isinstance(value, float) and time_limit_min(value) is not None
    if not right:
        raise ValueError(
            f"Parameter {name!r} takes minutes as a whole number, or a text in one of Slurm's forms (90, '90:30', '1:30:00', "
            f"'1-12', '1-12:30', '1-12:30:00', 'UNLIMITED'), not {value!r}"
        )


def check_memory(name: str, value: Any) -> None:
    """Raise ValueError for what Slurm does not read as an amount of memory."""
    whole = hasattr(type(value), "__index__") and int(value) >= 0
    if not whole and re.fullmatch(r"\s*[0-9]+([KMGT]B?)?", str(value), re.IGNORECASE) is None:
        raise ValueError(
            f"Parameter {name!r} takes megabytes as a whole number, or a whole number with a unit ('4G', '4000M', K and T as "
            f"well), not {value!r}"
        )


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number, or the text of one, as sbatch reads it: neither ``4.0`` nor ``True``."""
    if isinstance(value, str):
        return re.fullmatch(r"\s*[+-]?[0-9]+", value) is not None
    return hasattr(type(value), "__index__") and not isinstance(value, bool)


_TIMES: Final = ("time",)
_NUMBERS: Final = ("ntasks_per_node", "cpus_per_task", "cpus_per_gpu", "signal_delay_s", "array_parallelism")
_MEMORIES: Final = ("mem", "mem_per_cpu", "mem_per_gpu")


def check_forms(parameters: Mapping[str, Any]) -> None:
    """Raise ValueError for times and amounts of memory that Slurm does not read, and TypeError for what is no number, or no bool.

    ``None`` always passes.
    """
    for name in _NUMBERS:
        value = parameters.get(name)
        # 2.0 is written as 2 there.
        as_good = name == "array_parallelism" and isinstance(value, float) and value.is_integer()
        if value is not None and not is_whole(value) and not as_good:
            raise TypeError(f"Parameter {name!r} takes a whole number, not {value!r}")
    if not isinstance(parameters.get("gpus_as_gres"), (bool, type(None))):
        raise TypeError(f"Parameter 'gpus_as_gres' takes True or False, not {parameters['gpus_as_gres']!r}")
    for names, check in ((_TIMES, check_time), (_MEMORIES, check_memory)):
        for name in names:
            if parameters.get(name) is not None:
                check(name, parameters[name])


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The name that was probably meant, or ``None``: ``"partitoin"`` is near ``"partition"``, and ``"tasks_per_node"`` is generic."""
    import difflib

    known = list(known)
    equivalent = EQUIVALENTS.get(name)
    if equivalent in known:
        return equivalent
    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=0.7)), None)


def check_names(
    names: Iterable[str],
    valid: Collection[str] = SlurmParameters._fields,
    defaults: Mapping[str, Any] | None = None,
    further: Callable[[], Collection[str]] | None = None,
) -> None:
    """Raise ValueError for names that are no parameters: with the nearest one, and every name with its default.

    ``further`` gives more names, only one of which may be the nearest.
    """
    unknown = sorted(set(names) - set(valid))
    if not unknown:
        return
    defaults = SlurmParameters._field_defaults if defaults is None else defaults
    near = {name: nearest(name, valid if further is None else further()) for name in unknown}
    lines = [f"Unavailable parameter(s): {unknown}"]
    lines += [f"Did you mean {found!r} instead of {name!r}?" for name, found in near.items() if found]
    lines += ["Valid parameters are:", *(f"  - {name} (default: {defaults.get(name)!r})" for name in sorted(valid))]
    if further is not None:
        lines.append("and every other long option of sbatch, with _ for -")
    raise ValueError("\n".join(lines))


def check_values(parameters: Mapping[str, Any]) -> None:
    """Raise TypeError for a value that no option can be made of, and ValueError for one that would break the script.

    ``None`` always passes, and names that are no parameters are left alone: `check_names` has a word on them. What Slurm makes
    of a value is Slurm's own business.
    """
    for name, value in parameters.items():
        if value is None or name not in SlurmParameters._fields:
            continue
        if name in _SCRIPT_LINES or name == "srun_args":
            _check_list(name, value)
        elif name == "additional_parameters":
            if not hasattr(value, "items"):
                raise TypeError(f"Parameter {name!r} takes a dict of options, not {value!r}")
            for option, setting in value.items():
                check_line(f"{name}[{option!r}]", f"{option}{setting}")
        elif name not in SWITCHES:
            _check_scalar(name, value)
            if name == "time" and time_limit_min(value) == 0:
                raise ValueError(
                    f"A time limit of {value!r} means no limit to Slurm: give at least one minute, "
                    'or slurm_time="UNLIMITED" for no limit'
                )


def joined(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters, with lists as the texts that sbatch takes: ``["END", "FAIL"]`` is ``"END,FAIL"``, an empty one nothing."""
    return {
        name: ",".join(map(str, value)) or None if name in LISTS and isinstance(value, (list, tuple)) else value
        for name, value in parameters.items()
    }


def _check_list(name: str, value: Any) -> None:
    # One string would be taken apart into its characters.
    if isinstance(value, (str, bytes)) or hasattr(value, "keys") or not hasattr(value, "__iter__"):
        raise TypeError(f"Parameter {name!r} takes a list of strings, not {value!r}")
    if wrong := [item for item in value if not isinstance(item, str)]:
        raise TypeError(f"Parameter {name!r} takes a list of strings, but holds {wrong[0]!r}")


def _check_scalar(name: str, value: Any) -> None:
    if isinstance(value, bool):
        if name != "exclusive":
            raise TypeError(f"Parameter {name!r} takes a value, not {value!r}")
        return
    if not is_scalar(value):
        hint = " (several are one string, separated by commas)" if isinstance(value, (list, tuple, set)) else ""
        raise TypeError(f"Parameter {name!r} takes a string or a number, not {value!r}{hint}")
    check_line(name, str(value))


def is_scalar(value: Any) -> bool:
    """Whether a value is a string, a number or a path. Those of numpy are as good as those of Python."""
    return isinstance(value, (str, int, float)) or any(
        hasattr(type(value), method) for method in ("__index__", "__float__", "__fspath__")
    )


def check_line(name: str, text: str) -> None:
    """Raise ValueError for a text that would make more than one line of the script."""
    if any(character in text for character in "\n\r\0"):
        raise ValueError(f"Parameter {name!r} has to be one line, not {text!r}")


def num_tasks(parameters: Mapping[str, Any]) -> int:
    """How many tasks a job with these parameters has.

    Raises ValueError where that is not known before the job starts: each task has a result, and all of them are waited for.
    """
    if parameters.get("use_srun") not in (None, True):
        return 1
    if parameters.get("ntasks") is not None:
        return int(parameters["ntasks"])
    for name in ("nodes", "ntasks_per_node", "ntasks_per_gpu"):
        value = parameters.get(name)
        whole = hasattr(type(value), "__index__") or str(value).strip().isdecimal()
        if value is not None and (name == "ntasks_per_gpu" or not whole):
            raise ValueError(
                f"With {name}={value!r} it is not known how many tasks the job will have: give ntasks as well "
                "(slurm_ntasks in an AutoExecutor)"
            )
    return int(parameters.get("nodes") or 1) * max(1, int(parameters.get("ntasks_per_node") or 1))


def gpus_as_gres(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with the GPUs of a node among ``gres``: ``"v100:2"`` is ``"gpu:v100:2"``, ``0`` is nothing.

    Raises ValueError where ``gres`` asks for GPUs already.
    """
    changed = dict(parameters)
    number = changed.pop("num_gpus", None)  # which wins, as ever
    per_node = changed.pop("gpus_per_node", None) if number is None else number
    changed.pop("gpus_per_node", None)
    if per_node is None or str(per_node) in ("", "0"):
        return changed
    others = [item for item in str(changed.get("gres") or "").split(",") if item]
    if any(re.split("[:=/]", item.removeprefix("gres/"))[0] == "gpu" for item in others):
        raise ValueError(f"GPUs are asked for twice: gpus_per_node={per_node!r} and gres={changed['gres']!r}")
    changed["gres"] = ",".join([*others, *(f"gpu:{item}" for item in str(per_node).split(","))])
    return changed


def resolve(parameters: SlurmParameters, stacklevel: int = 2) -> SlurmParameters:
    """The parameters with ``num_gpus`` as ``gpus_per_node``, after a UserWarning where one is used that is old or does nothing."""
    import warnings

    if parameters.num_gpus is not None:
        text = '"num_gpus" is deprecated, please use "gpus_per_node" instead (overwritting with num_gpus)'
        warnings.warn(text, UserWarning, stacklevel=stacklevel + 1)
        parameters = parameters._replace(gpus_per_node=parameters.num_gpus, num_gpus=None)
    if parameters.cpus_per_gpu is not None and parameters.gpus_per_task is None:
        text = '"cpus_per_gpu" requires to set "gpus_per_task" to work (and not "gpus_per_node")'
        warnings.warn(text, UserWarning, stacklevel=stacklevel + 1)
    return parameters


def array(count: int, parallelism: int | None, first: int = 0) -> str:
    """The value of ``--array`` for ``count`` elements, numbered from ``first`` on, of which ``parallelism`` run at once; ``None``: all."""
    if count < 1:
        raise ValueError(f"An array has at least one element, not {count}")
    indices = f"{first}-{first + count - 1}"
    return indices if parallelism is None else f"{indices}%{min(count, int(parallelism))}"


def flags(parameters: SlurmParameters, *, signal: str, map_count: int | None = None) -> dict[str, Any]:
    """The options of sbatch: names with dashes, values as given, `True` for an option without a value.

    ``signal`` is the value of ``--signal``, ``map_count`` the number of elements of an array. What
    ``additional_parameters`` names wins, whatever its value.
    """
    options: dict[str, Any] = {
        _option(name): value
        for name, value in parameters._asdict().items()
        # --exclusive takes no "no": left out, it is off.
        if value is not None and name not in _NO_OPTION and value is not False
    }
    options["signal"] = signal
    # Else a requeued job begins by emptying its logs (slurm.conf.5, JobFileAppend).
    options["open-mode"] = "append"
    if map_count is not None:
        options["array"] = array(map_count, parameters.array_parallelism)
    options.update({_option(name): value for name, value in (parameters.additional_parameters or {}).items()})
    return options


def directives(options: Mapping[str, Any]) -> list[str]:
    """One ``#SBATCH`` line an option, sorted by name. Raises ValueError where a name or value is not one line."""
    lines = {_option(name): directive(name, value) for name, value in options.items()}
    return [lines[name] for name in sorted(lines)]


def directive(name: str, value: Any) -> str:
    """The ``#SBATCH`` line of one option: ``_`` in the name becomes ``-``, and ``True`` is an option without a value.

    sbatch gets the value exactly as it is. It reads these lines by itself, without a shell: quotes group, ``#`` outside them
    begins a comment, nothing else is special but the backslash, and that one inside single quotes as well.
    """
    option = _option(name)
    if value is True:
        check_line(name, option)
        return f"#SBATCH --{option}"
    check_line(name, f"{option}={value}")
    # A value of safe characters stays bare; the others were quoted for a shell, which leaves a backslash alone.
    quoted = shlex.quote(str(value)).replace("\\", "\\\\")
    return f"#SBATCH --{option}={quoted}"


def _option(name: str) -> str:
    return name.replace("_", "-")
