"""The batch script: parameters in, text out.

What runs where::

    slurmd ── batch script ──┬─ setup, teardown, the marker of the script's own end
                             └─ srun ─┬─ rank 0: sh ── COMMAND (python -u -m submitit.core._submit FOLDER)
                                      └─ rank 1: sh ── COMMAND          (without srun: COMMAND is rank 0, below the script)

A shell stands around every rank because Python cannot report its own death. It runs the command in the background and waits
for it, so that a signal reaches it at once; it leaves a marker when the command starts, when SIGTERM arrives and, last, when
the command has ended, whatever ended it; and it passes TERM and the user signal on, since Slurm signals a task's first process only where
processes are tracked by cgroups. It is POSIX sh: ranks may run in a container that has no bash.
"""

from __future__ import annotations

import itertools
import shlex
from typing import TYPE_CHECKING, Any

from submitit.executors import foreign_python
from submitit.slurm import parameters as parameters_
from submitit.storage import paths

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Read by the batch script and by the shell around each rank. Holds no single quote, because it stands between two.
#: The user signal is ignored until Python has its handler: its default action would end the job.
#: The name of a marker is known beforehand, and in a shared directory it may be somebody's link to a file of the job's user: so
#: links are left alone, and nothing is cut. Positional parameters are a call's own: a handler may run in the middle of it.
#: CONT has no trap and is not passed on. bash leaves its ``wait`` by a jump out of the first handler that runs, and of signals
#: that arrive together that is the one of the highest number: it never learns of the others. CONT comes along with the others.
_SHELL = """
submitit_job=${{SLURM_ARRAY_JOB_ID:+${{SLURM_ARRAY_JOB_ID}}_}}${{SLURM_ARRAY_TASK_ID:-$SLURM_JOB_ID}}
submitit_leave() {{
  if [ -n "$1" ] && [ ! -L "$1/$2" ]; then {{ echo "${{SLURMD_NODENAME:-}}" >> "$1/$2"; }} 2> /dev/null || :; fi
}}
submitit_mark() {{
  submitit_leave "${{SUBMITIT_EVENTS:-}}" "$submitit_job-$submitit_task.${{SLURM_RESTART_COUNT:-0}}.$1"
}}
submitit_signal() {{
  submitit_interrupted=1
  if [ "$1" = TERM ]; then submitit_mark term; fi
  if [ -n "${{submitit_pid:-}}" ]; then kill -s "$1" "$submitit_pid" 2> /dev/null; fi
}}
submitit_trap() {{
  for submitit_name in TERM {signal}; do trap "submitit_signal $submitit_name" "$submitit_name"; done
}}
submitit_wait() {{
  submitit_code=
  while :; do
    submitit_interrupted=
    if wait "$1"; then submitit_status=0; else submitit_status=$?; fi
    if [ "$submitit_status" != 127 ] || [ -z "$submitit_code" ]; then submitit_code=$submitit_status; fi
    if [ -z "$submitit_interrupted" ]; then break; fi
  done
}}
submitit_rank() {{
  submitit_trap
  submitit_mark run
  (trap "" {signal}; exec "$@") &
  submitit_pid=$!
  submitit_wait "$submitit_pid"
  submitit_pid=
  submitit_mark "exit-$submitit_code"
}}
"""


def signal_option(name: str, delay_s: int | None, *, batch_shell: bool) -> str:
    """The value of ``--signal``, with Slurm's own delay where there is no other. Without srun only the batch shell is there to be told (sbatch.1, ``B:``)."""
    return f"{'B:' if batch_shell else ''}{name}{'' if delay_s is None else f'@{delay_s}'}"


def make(
    command: str,
    folder: str,
    flags: Mapping[str, Any],
    *,
    array: bool,
    setup: Iterable[str] | None,
    teardown: Iterable[str] | None,
    srun_args: Iterable[str],
    cpus_per_task: object,
    use_srun: bool,
    stderr_to_stdout: bool,
    user_signal: str,
) -> str:
    """The whole script.

    ``flags`` are the options of sbatch, ``command`` the shell words that run one rank and ``folder`` the absolute folder of
    the jobs with its tags; ``setup`` and ``teardown`` are taken over line by line, as they are. Raises ValueError for a
    ``user_signal`` that is none: it stands where nothing can be quoted.
    """
    if not (user_signal.isascii() and user_signal.isalnum()):
        raise ValueError(f"SUBMITIT_PREEMPT_SIGNAL has to be the name of a signal, such as USR1, not {user_signal!r}")
    batch = str(paths.layout_of(folder).batch)
    log = f"{batch}/{'%A_%a' if array else '%j'}.log"
    redirected = "\\" in log
    flags = {"output": "/dev/null" if redirected else log.replace(batch, batch.replace("%", "%%")), **flags}
    lines = ["#!/bin/bash", "", "# Parameters", *parameters_.directives(flags)]
    lines += ["", "# the shell around this script and around each rank", f"submitit_shell='{_shell(user_signal)}'"]
    lines += ['eval "$submitit_shell"', "submitit_task=batch"]
    lines.append(f'submitit_log={shlex.quote(batch)}/"$submitit_job".log')
    if redirected:
        lines.append('exec >> "$submitit_log" 2>&1')
    lines += [
        "submitit_end() {",
        '  submitit_mark "exit-$1"',
        '  if [ ! -s "$submitit_log" ]; then rm -f "$submitit_log"; fi',
        "}",
    ]
    lines += ["trap 'submitit_end $?' EXIT", "submitit_trap"]
    # srun would keep from the ranks what --export, or SBATCH_EXPORT, kept from this script, and this script's own variables
    # too (sbatch.1 --export=NONE).
    lines += ["export SLURM_EXPORT_ENV=ALL", *_make_folder(folder)]
    if setup is not None:
        lines += ["", "# setup", *setup]
    lines += ["", "# command", _EXECUTOR]
    lines += _command(
        command,
        folder,
        list(srun_args),
        cpus_per_task,
        use_srun=use_srun,
        stderr_to_stdout=stderr_to_stdout,
        user_signal=user_signal,
    )
    if teardown is not None:
        lines += ["", "# teardown", *teardown]
    lines += ["", 'exit "$submitit_code"', ""]
    return "\n".join(lines)


def with_exports(script: str, exports: Mapping[str, str]) -> str:
    """``script`` with variables exported right after its ``#SBATCH`` lines; the values are shell words already."""
    lines = script.split("\n")
    # Like sbatch, no further than the first command: what follows is the user's, and such a line of theirs may stand in a quotation.
    head = itertools.takewhile(lambda line: not line or line.startswith("#"), lines)
    last = max((number for number, line in enumerate(head) if line.startswith(("#SBATCH", "#!"))), default=-1)
    added = [f"export {name}={value}" for name, value in exports.items()]
    return "\n".join([*lines[: last + 1], "", *added, *lines[last + 1 :]])


def payload_word(reference: str, *, array: bool, first: int = 0) -> str:
    """The shell word for ``$SUBMITIT_PAYLOAD``: of an element, its index is the array's index plus ``first``."""
    if not array:
        return shlex.quote(reference)
    path = reference.rpartition("#")[0]
    return f'{shlex.quote(path + "#")}"$(({first} + SLURM_ARRAY_TASK_ID))"'


_EXECUTOR = "export SUBMITIT_EXECUTOR=slurm"

#: Goes on after `_SHELL` where failures are looked into: the kernel counts what it has killed for memory in the control group
#: that the rank and its shell are in. Holds no single quote either.
_LAST_WORD = 'submitit_mark "exit-$submitit_code"'
_WATCH = """submitit_kills() {
  while IFS=: read -r submitit_number submitit_names submitit_path; do
    case ",$submitit_names," in
      *,memory,*) set -- "/sys/fs/cgroup/memory$submitit_path/memory.oom_control" ;;
      ,,) set -- "/sys/fs/cgroup$submitit_path/memory.events" ;;
      *) continue ;;
    esac
    if [ -r "$1" ]; then grep "^oom_kill " "$1"; fi
  done 2> /dev/null < /proc/self/cgroup
}
submitit_look() {
  if [ "$submitit_code" != 0 ] && [ "$(submitit_kills)" != "$submitit_before" ]; then submitit_mark memory; fi
}
submitit_watched() {
  submitit_before=$(submitit_kills)
  submitit_rank "$@"
  submitit_look
}
"""


def with_retry(script: str, policy: str, program: str) -> str:
    """``script`` such that a failure is looked into before it ends, by ``program``; see `again`.

    ``policy`` is a shell word, ``program`` are the words of a command, to which what has happened is added.
    """
    top, begins, rest = script.partition(f"\n{_EXECUTOR}\n")
    end = '\nexit "$submitit_code"\n'
    if not begins or not rest.endswith(end):
        raise ValueError("The batch script is none of this library's: retry=… cannot be added to it")
    options, blank, shell = top.partition("\n\n# the shell around")
    if "\n#SBATCH --requeue" not in options and "\n#SBATCH --no-requeue" not in options:
        options = _with_option(options, "#SBATCH --requeue")
    shell = shell.replace(f"{_LAST_WORD}\n}}\n'", f"{_LAST_WORD}\n}}\n{_WATCH}'", 1)
    # Not in the setup or in the teardown, which may hold anything.
    command, teardown, further = rest.partition("\n\n# teardown\n")
    for before, after in (
        ('; submitit_rank "$@"; exit ', '; submitit_watched "$@"; exit '),
        ("\nsrun --", "\nsrun --kill-on-bad-exit=1 --"),
        ("submitit_task=0\n", "submitit_task=0\nsubmitit_before=$(submitit_kills)\n"),
        (f"{_LAST_WORD}\nsubmitit_task=batch\n", f"{_LAST_WORD}\nsubmitit_look\nsubmitit_task=batch\n"),
    ):
        command = command.replace(before, after, 1)
    rest = f"{command}{teardown}{further}"
    lines = [
        _EXECUTOR,
        f"export SUBMITIT_RETRY={policy}",
        'export SUBMITIT_BATCH_LOG="$submitit_log"',
        'export SUBMITIT_BATCH_LOG_FROM="$(wc -c 2> /dev/null < "$submitit_log")"',
        "submitit_mark run",
        "submitit_decided=",
        "submitit_again() {",
        '  if [ -n "$submitit_decided" ]; then return; fi',
        "  submitit_decided=1",  # now: a requeue comes back as SIGTERM
        f'  if (trap "" TERM USR1 USR2; {program} "$1"); then submitit_decided=; elif [ $? != 100 ]; then submitit_decided=; fi',
        "}",
        "trap 'submitit_signal TERM; submitit_again told' TERM",
        'if [ "${SLURM_RESTART_COUNT:-0}" != 0 ]; then',
        "  submitit_again begins",
        '  if [ -n "$submitit_decided" ]; then exit 1; fi',
        "fi",
    ]
    looked_into = f'\nif [ "$submitit_code" != 0 ]; then submitit_again ended; fi{end}'
    return "\n".join([f"{options}{blank}{shell}", *lines, rest.removesuffix(end) + looked_into])


def _with_option(options: str, line: str) -> str:
    """The script's beginning with one more ``#SBATCH`` line, after the others."""
    lines = options.split("\n")
    last = max(number for number, word in enumerate(lines) if word.startswith("#SBATCH "))
    return "\n".join([*lines[: last + 1], line, *lines[last + 1 :]])


def with_python_check(script: str, python: str) -> str:
    """``script`` such that it ends at once, and says why, where the shell command ``python`` has no version 2 of this library."""
    return script.replace(f"\n{_EXECUTOR}\n", f"\n{_EXECUTOR}\n{foreign_python.check(python)}\n", 1)


def _shell(user_signal: str) -> str:
    return _SHELL.format(signal=user_signal)


_TAGS = {"%j": '"$submitit_job"', "%A": '"$SLURM_ARRAY_JOB_ID"', "%a": '"$SLURM_ARRAY_TASK_ID"'}


def _word(path: str, task: str, *, pattern: bool = False) -> str:
    """A path with tags as one shell word; ``%t`` becomes ``task``. As a ``pattern`` of srun, a literal ``%`` is doubled."""
    word, literal, position = [], "", 0
    tags = {**_TAGS, "%t": task}

    def flush() -> None:
        if literal:
            word.append(shlex.quote(literal.replace("%", "%%") if pattern else literal))

    while position < len(path):
        tag = path[position : position + 2]
        if tag in tags:
            flush()
            literal = ""
            word.append(tags[tag])
            position += 2
        else:
            literal += path[position]
            position += 1
    flush()
    return "".join(word)


def _make_folder(folder: str) -> list[str]:
    """slurmd makes no directories: the script does, one a rank where ``folder`` names the task."""
    if "%t" not in folder:
        return [f"mkdir -p {_word(folder, '0')}"]
    return [
        "for ((submitit_rank_id = 0; submitit_rank_id < ${SLURM_NTASKS:-${SLURM_JOB_NUM_NODES:-1}}; submitit_rank_id++)); do",
        f"  mkdir -p {_word(folder, chr(34) + '$submitit_rank_id' + chr(34))}",
        "done",
    ]


def _command(
    command: str,
    folder: str,
    srun_args: list[str],
    cpus_per_task: object,
    *,
    use_srun: bool,
    stderr_to_stdout: bool,
    user_signal: str,
) -> list[str]:
    stem = f"{folder}/%j_%t_log"
    if not use_srun:
        errors = "2>&1" if stderr_to_stdout else f"2>> {_word(stem + '.err', '0')}"
        redirect = f">> {_word(stem + '.out', '0')} {errors}"
        return [
            "submitit_task=0",
            "submitit_mark run",
            f'(trap "" {user_signal}',
            f"{'exec ' if _is_plain(command) else ''}{command}",
            f") {redirect} &",
            "submitit_pid=$!",
            'submitit_wait "$submitit_pid"',
            "submitit_pid=",
            'submitit_mark "exit-$submitit_code"',
            "submitit_task=batch",
        ]
    options: list[str] = []
    redirect = ""
    if "\\" in stem:  # a backslash stops every pattern in a name of srun's: each rank opens its logs by itself
        errors = "2>&1" if stderr_to_stdout else f"2>> {_word(stem + '.err', _RANK)}"
        redirect = f"exec >> {_word(stem + '.out', _RANK)} {errors}; "
    else:
        options += ["--output", _word(stem + ".out", "%t", pattern=True)]
        if not stderr_to_stdout:
            options += ["--error", _word(stem + ".err", "%t", pattern=True)]
    options += ["--open-mode=append"]
    if cpus_per_task is not None:
        # srun of 22.05 to 23.02 ignores what sbatch was told (CHANGELOG 22.05)
        options.append(f"--cpus-per-task={shlex.quote(str(cpus_per_task))}")
    options += [shlex.quote(str(word)) for word in srun_args]
    rank = f'"$submitit_shell"{shlex.quote(f"submitit_task=$SLURM_PROCID; {redirect}submitit_rank " + chr(34) + "$@" + chr(34) + "; exit $submitit_code")}'
    return [
        "{",
        f"srun {' '.join(options)} sh -c {rank} submitit {command}",
        "} &",
        'submitit_wait "$!"',
    ]


_RANK = '"$SLURM_PROCID"'


def _is_plain(command: str) -> bool:
    """Whether a command is words alone, so that the shell can be replaced by it and its signals reach it."""
    try:
        return shlex.join(shlex.split(command)) == command
    except ValueError:
        return False
