"""Reaching the processes of a job: all of them, and no others."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from submitit.local import processes, tasks
from submitit.local.protocol import CONTROLLER_WORD

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from submitit.local.protocol import Launch


def send(pid: int, signum: int) -> None:
    """Signal a child of this process that was not reaped, or what was just seen below one."""
    try:
        os.kill(pid, signum)
    except (ProcessLookupError, PermissionError):
        return


def send_to_group(group: int, signum: int) -> bool:
    """Signal a process group of a task; whether there is such a group."""
    try:
        os.killpg(group, signum)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def kill_trees(roots: Iterable[int]) -> None:
    """SIGKILL to these processes and to everything below them."""
    for pid in processes.descendants(roots):
        send(pid, signal.SIGKILL)


def ask_to_save(pid: int, launch: Launch) -> bool:
    """Send the user signal to one task; ``False`` if nothing there has a handler for it yet.

    By itself the signal kills: below a shell it goes to the first process that handles it, which is the runner.
    """
    if not launch.shell:
        send(pid, launch.user_signal)  # the runner: until it has its handler, the signal is held back
        return True
    for candidate in processes.descendants([pid]):
        known = processes.catches(candidate, launch.user_signal)
        if known is None:
            send_to_group(pid, launch.user_signal)
            return True
        if known:
            send(candidate, launch.user_signal)
            return True
    return False


def orphans(tasks_of_jobs: Container[int]) -> list[tuple[int, str]]:
    """What tasks have started and this process has inherited, each with the token of its job (see `tasks.TOKEN`)."""
    return processes.strays(tasks.TOKEN, tasks_of_jobs)


def is_controller(pid: int) -> bool:
    """Whether the process is a controller, a job's own: its jobs live on after the one that submitted them."""
    return CONTROLLER_WORD in processes.command_line(pid)


def kill_lost_task(who: processes.Identity, job_id: str) -> None:
    """End what is left of a task whose controller was killed."""
    if processes.alive(who):
        send_to_group(who.pid, signal.SIGKILL)
    elif processes.start_time(who.pid):
        return  # the number is another's, and so is its session
    members = processes.session_members(who.pid)
    if members and all(processes.environment(pid).get(tasks.JOB_ID) == job_id for pid in members):
        kill_trees(members)
