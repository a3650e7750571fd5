"""What the operating system says of processes: who one is, whether it still lives, what it has started, what it uses.

Everything here that only Linux has (pidfd, /proc, prctl, a wait that leaves the process) is asked for in this module alone, with
what is portable beside it: ``ps``, signals by number, ``wait4``. What that cannot do is said where it matters: orphans are found by
a variable in their environment, as far as ``ps`` shows it; nobody inherits them, and no process is killed by its parent's end.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping

#: With this variable set, to whatever, everything is done in the portable way. It is there for tests, and passed on to jobs.
PORTABLE = "SUBMITIT_PORTABLE"
#: Whether this is done in Linux's ways.
LINUX = sys.platform.startswith("linux") and PORTABLE not in os.environ
#: Where processes show themselves as files; in the portable way there is no such directory.
_PROC = "/proc" if LINUX else "/dev/null/proc"
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
#: waitid(2) of the kernel itself tells, unlike the C library's, what a child has used that it leaves alone; its number, by machine.
_WAITID = {"x86_64": 247, "aarch64": 95}.get(os.uname().machine) if sys.maxsize > 2**32 else None
_LONGS_OF_RUSAGE = 18
_PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024
_TICKS_S = os.sysconf("SC_CLK_TCK")


class Identity(NamedTuple):
    """One process, told apart from every later one with the same number.

    ``machine`` is the host's name with its boot and pid namespace: a number means nothing elsewhere. ``started`` is the
    kernel's start time of the process, empty where it could not be told.
    """

    machine: str
    pid: int
    started: str


def machine() -> str:
    """This host, this boot of it and this pid namespace."""
    parts = [os.uname().nodename]
    if LINUX:
        with contextlib.suppress(OSError), open(f"{_PROC}/sys/kernel/random/boot_id", encoding="ascii") as file:
            parts.append(file.read().strip())
        with contextlib.suppress(OSError):
            parts.append(os.readlink(f"{_PROC}/self/ns/pid"))
    return "/".join(parts)


def identify(pid: int) -> Identity:
    """Who ``pid`` is now; ``started`` is empty if there is no such process."""
    return Identity(machine(), pid, start_time(pid))


def start_time(pid: int) -> str:
    """When a process started, as a text that only means something to compare; empty if there is none (or it is a zombie)."""
    fields = _stat(pid)
    if fields is not None:
        return "" if fields[0] == "Z" else fields[19]
    if LINUX:
        return ""
    status, _, started = _ask_ps("-o", "stat=,lstart=", "-p", str(pid)).strip().partition(" ")
    return "" if status.startswith("Z") else started.strip()


def parent(pid: int) -> int:
    """The number of the parent; 0 if there is no such process."""
    fields = _stat(pid)
    if fields is not None:
        return int(fields[1])
    return 0 if LINUX else int(_ask_ps("-o", "ppid=", "-p", str(pid)).strip() or 0)


def alive(who: Identity) -> bool | None:
    """Whether that very process still runs; ``None`` on a machine from which this cannot be seen."""
    if who.machine != machine():
        return None
    return bool(who.started) and start_time(who.pid) == who.started


def send(who: Identity, signum: int) -> bool:
    """Signal that very process, never one that got its number later; ``False`` if it is gone or elsewhere."""
    if not alive(who):
        return False
    try:
        # The descriptor holds on to the process, so the second look decides.
        with _pidfd(who.pid) as descriptor:
            if descriptor is None:
                os.kill(who.pid, signum)
            elif not alive(who):
                return False
            else:
                signal.pidfd_send_signal(descriptor, signum)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def open_pidfd(pid: int) -> int | None:
    """A descriptor that becomes readable when the process ends; ``None`` where there are none. ``ProcessLookupError`` if it is gone."""
    opened = getattr(os, "pidfd_open", None)
    if opened is None or not LINUX:
        return None
    try:
        descriptor: int = opened(pid)
    except ProcessLookupError:
        raise
    except OSError:  # a kernel before 5.3, or a sandbox that forbids it
        return None
    return descriptor


def open_end(who: Identity) -> int | None:
    """`open_pidfd` of that very process, never of one that got its number later: that one is gone."""
    descriptor = open_pidfd(who.pid)
    # The descriptor holds on to the process, so this look decides.
    if descriptor is not None and not alive(who):
        os.close(descriptor)
        raise ProcessLookupError(who.pid)
    return descriptor


def become_subreaper() -> bool:
    """Have orphans among this process's descendants handed to it instead of to init. ``False`` where that does not exist."""
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> bool:
    """Have this process killed when its parent dies. To be called in a new child; ``False`` where that does not exist."""
    return _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Used(NamedTuple):
    """What a process that has ended, and those that it had waited for, have used."""

    #: Seconds of CPU, user's and system's.
    cpu_s: float = 0.0
    #: The most memory that one of them had resident.
    max_rss_mb: float = 0.0


#: Children that could not be looked at without being reaped.
_reaped: dict[int, Used] = {}


def next_ended(pid: int | None = None) -> tuple[int, int] | None:
    """A child of this process (that one, if it is named) that has ended, with its exit code; a signal is a negative number.

    It keeps its number until ``reap``, where the platform can do that.
    """
    try:
        if LINUX:
            which = (os.P_ALL, 0) if pid is None else (os.P_PID, pid)
            ended = os.waitid(*which, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                return None
            return ended.si_pid, ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        found, status, usage = os.wait4(-1 if pid is None else pid, os.WNOHANG)
    except ChildProcessError:
        return None
    if not found:
        return None
    _reaped[found] = _used(usage)
    return found, os.waitstatus_to_exitcode(status)


def used_by_ended(pid: int) -> Used | None:
    """What a child has used that has ended and is not reaped yet; ``None`` where that cannot be told before."""
    if not LINUX or _WAITID is None:
        return None
    import ctypes

    usage = (ctypes.c_long * _LONGS_OF_RUSAGE)()
    if _c_library().syscall(_WAITID, os.P_PID, pid, None, os.WEXITED | os.WNOHANG | os.WNOWAIT, usage) != 0:
        return None
    return Used(round(usage[0] + usage[2] + (usage[1] + usage[3]) / 1e6, 3), round(usage[4] / 1024, 1))


def reap(pid: int) -> Used:
    """Let go of a child that has ended: its number may be another's from now on."""
    try:
        return _reaped.pop(pid, None) or _used(os.wait4(pid, os.WNOHANG)[2])
    except ChildProcessError:
        return Used()


def _used(usage: Any) -> Used:
    unit = 1024 * 1024 if sys.platform == "darwin" else 1024  # getrusage(2): kilobytes, on macOS bytes
    return Used(round(usage.ru_utime + usage.ru_stime, 3), round(usage.ru_maxrss / unit, 1))


def children(pid: int | None = None) -> list[int]:
    """The children of a process (of this one by default), zombies included."""
    own = os.getpid() if pid is None else pid
    try:
        with open(f"{_PROC}/{own}/task/{own}/children", encoding="ascii") as file:
            found = [int(text) for text in file.read().split()]
    except OSError:
        return [child for child, its_parent in _parents() if its_parent == own]
    # The file names the children of one thread; a process with more threads is looked up in the table.
    if len(_listdir(f"{_PROC}/{own}/task")) > 1:
        return [child for child, its_parent in _parents() if its_parent == own]
    return found


def descendants(roots: Iterable[int]) -> list[int]:
    """The given processes and everything below them, parents first."""
    below: dict[int, list[int]] = {}
    for pid, its_parent in _parents():
        below.setdefault(its_parent, []).append(pid)
    found = dict.fromkeys(roots)
    waiting = list(found)
    while waiting:
        new = [pid for pid in below.get(waiting.pop(0), ()) if pid not in found]
        found.update(dict.fromkeys(new))
        waiting += new
    return list(found)


def session_members(session: int) -> list[int]:
    """The living processes of a session; in the portable way, of the process group with its number."""
    if not LINUX:
        return [seen.pid for seen in table() if seen.group == session]
    members = []
    for pid, fields in _all_stats():
        if fields[0] != "Z" and int(fields[3]) == session:
            members.append(pid)
    return members


class Seen(NamedTuple):
    """One process at one moment."""

    pid: int
    parent: int
    group: int
    #: KB of memory that are resident, shared ones included.
    resident_kb: int
    #: CPU seconds of it and of the children that it waited for; in the portable way of it alone.
    cpu_s: float


def table() -> list[Seen]:
    """Every process of the machine that lives, in one pass."""
    if LINUX:
        return [
            Seen(pid, int(fields[1]), int(fields[2]), int(fields[21]) * _PAGE_KB, _cpu_s(fields))
            for pid, fields in _all_stats()
            if fields[0] != "Z"
        ]
    found = []
    for line in _ask_ps("-A", "-o", "pid=,ppid=,pgid=,rss=,time=").splitlines():
        words = line.split()
        if len(words) == 5:
            pid, its_parent, group, resident_kb = map(int, words[:4])
            found.append(Seen(pid, its_parent, group, resident_kb, _seconds(words[4])))
    return found


def proportional_kb(pid: int) -> int | None:
    """KB of memory of a process, what it shares divided among those that share it; ``None`` where that is not told.

    The kernel goes through its pages for that: about 7 ms a GB.
    """
    try:
        with open(f"{_PROC}/{pid}/smaps_rollup", "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1])
    except OSError:
        pass
    return None


def strays(variable: str, known: Container[int]) -> list[tuple[int, str]]:
    """Processes that have lost their parent, each with the variable's value in its environment; ``known`` ones are left out.

    These are the children of this process, a subreaper, that live (``""`` without the variable). In the portable way: every
    process that has the variable and whose parent does not have the same value.
    """
    if LINUX:
        found = [pid for pid in children() if pid not in known and not is_zombie(pid)]
        return [(pid, environment(pid).get(variable, "")) for pid in found]
    values: dict[int, str] = {}
    parents: dict[int, int] = {}
    for line in _ask_ps("-A", "eww", "-o", "pid=,ppid=,stat=,command=").splitlines():
        words = line.split()
        value = next((word.partition("=")[2] for word in words[4:] if word.startswith(variable + "=")), "")
        if value and not words[2].startswith("Z"):
            values[int(words[0])], parents[int(words[0])] = value, int(words[1])
    return [(pid, value) for pid, value in values.items() if pid not in known and values.get(parents[pid]) != value]


def is_zombie(pid: int) -> bool:
    """Whether the process has ended and only waits to be reaped."""
    fields = _stat(pid)
    if fields is None and not LINUX:
        return _ask_ps("-o", "stat=", "-p", str(pid)).startswith("Z")
    return fields is not None and fields[0] == "Z"


def environment(pid: int) -> dict[str, str]:
    """The variables that a process of this user was started with; empty where they cannot be read.

    In the portable way a value ends at its first blank.
    """
    try:
        with open(f"{_PROC}/{pid}/environ", "rb") as file:
            data = file.read()
    except OSError:
        data = b"" if LINUX else os.fsencode(_ask_ps("eww", "-o", "command=", "-p", str(pid))).replace(b" ", b"\0")
    pairs = (entry.partition(b"=") for entry in data.split(b"\0") if b"=" in entry)
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}


def command_line(pid: int) -> list[str]:
    """The words that a process was started with; empty where they cannot be read."""
    try:
        with open(f"{_PROC}/{pid}/cmdline", "rb") as file:
            return [os.fsdecode(word) for word in file.read().split(b"\0")[:-1]]
    except OSError:
        return [] if LINUX else _ask_ps("-ww", "-o", "command=", "-p", str(pid)).split()


def catches(pid: int, signum: int) -> bool | None:
    """Whether a process has a handler of its own for the signal; ``None`` where that cannot be told."""
    try:
        with open(f"{_PROC}/{pid}/status", encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith("SigCgt:"):
                    return bool(int(line.split()[1], 16) >> (signum - 1) & 1)
    except OSError:
        pass
    return None


def current_umask() -> int:
    """This process's file mode mask."""
    try:
        with open(f"{_PROC}/self/status", encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith("Umask:"):
                    return int(line.split()[1], 8)
    except OSError:
        pass
    # Only by setting it can it be read: for an instant other threads create files with the tightest one.
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def close_others(kept: int) -> None:
    """Close every descriptor of this process from 3 on, but one."""
    if LINUX:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        os.closerange(3, kept)
        os.closerange(kept + 1, 1 << 20 if limit == resource.RLIM_INFINITY else min(limit, 1 << 20))
        return
    # Without a system call for ranges, a million of calls would be needed where there is no limit.
    for name in _listdir("/dev/fd"):
        if int(name) > 2 and int(name) != kept:
            with contextlib.suppress(OSError):
                os.close(int(name))


def variable_address(name: str, size: int) -> int:
    """Where in memory the value of a variable lies that this process was started with; 0 if that cannot be told.

    Only of a value of exactly ``size`` bytes.
    """
    if not LINUX:
        return 0
    try:
        import ctypes

        entries = ctypes.POINTER(ctypes.c_void_p).in_dll(_c_library(), "environ")
        start = name.encode() + b"="
        index = 0
        while entries[index]:
            address: int = entries[index]
            text = ctypes.string_at(address)
            if text.startswith(start):
                return address + len(start) if len(text) == len(start) + size else 0
            index += 1
    except (ImportError, OSError, ValueError, AttributeError):
        pass
    return 0


def allow_most_descriptors() -> None:
    """Have this process, and what it starts, open as many files as it may."""
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(OSError, ValueError):  # macOS does not take "unlimited"
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def flush_c_streams() -> None:
    """Write out what C code has printed and the C library still holds."""
    _c_library().fflush(None)


def overwrite(address: int, data: bytes) -> None:
    """Put bytes into memory that this process owns."""
    import ctypes

    ctypes.memmove(address, data, len(data))


def limits() -> dict[str, tuple[int, int]]:
    """The soft and the hard limit of each resource that this process may use (getrlimit(2)), by the resource's name."""
    import resource

    return {name: resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name.startswith("RLIMIT_")}


def limits_unlike_own(wanted: Mapping[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    """Those of another process's limits, as ``limits`` told them, that this process does not have."""
    own = limits()
    return {name: pair for name, pair in wanted.items() if own.get(name) != tuple(pair)}


def set_limits(wanted: Mapping[str, Iterable[int]]) -> None:
    """Give this process the limits of another one, as ``limits`` told them: as much of them as its hard limits allow."""
    import resource

    for name, (soft, hard) in wanted.items():
        which = getattr(resource, name)
        before = resource.getrlimit(which)
        if (soft, hard) == before:
            continue
        try:
            resource.setrlimit(which, (soft, hard))
        except (OSError, ValueError):  # only root may raise a hard limit
            most = before[1]
            with contextlib.suppress(OSError, ValueError):
                resource.setrlimit(which, (_least(soft, most), _least(hard, most)))


def _least(one: int, other: int) -> int:
    from resource import RLIM_INFINITY

    return min((one, other), key=lambda limit: float("inf") if limit == RLIM_INFINITY else limit)


@contextlib.contextmanager
def _pidfd(pid: int) -> Any:
    descriptor = open_pidfd(pid) if hasattr(signal, "pidfd_send_signal") else None
    try:
        yield descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _prctl(option: int, value: int) -> bool:
    if not LINUX:
        return False
    try:
        library = _c_library()
        return bool(library.prctl(option, value, 0, 0, 0) == 0)
    except (ImportError, OSError, AttributeError):
        return False


_library: Any = None


def _c_library() -> Any:
    """The C library, loaded once: a child just forked must not have to."""
    global _library  # noqa: PLW0603 - a cache
    if _library is None:
        import ctypes

        _library = ctypes.CDLL(None, use_errno=True)
    return _library


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on (proc_pid_stat(5), field 3); ``None`` if there is no such file."""
    try:
        with open(f"{_PROC}/{pid}/stat", encoding="utf-8", errors="replace") as file:
            # The command's name comes first, in brackets, and may hold brackets itself.
            return file.read().rpartition(")")[2].split()
    except OSError:
        return None


def exiting(pid: int) -> bool:
    """Whether a process has begun to exit, or is gone; ``False`` where that cannot be told."""
    fields = _stat(pid)
    if fields is None:
        return LINUX
    return bool(int(fields[6]) & _EXITING)


#: PF_EXITING among a task's flags (linux/sched.h; proc_pid_stat(5), field 9).
_EXITING = 0x4


def _cpu_s(fields: list[str]) -> float:
    """CPU seconds of a process and of the children that it waited for."""
    return sum(map(int, fields[11:15])) / _TICKS_S


def _all_stats() -> Iterator[tuple[int, list[str]]]:
    """Every process with its `_stat`."""
    for name in _listdir(_PROC):
        if name.isdigit():
            fields = _stat(int(name))
            if fields is not None:
                yield int(name), fields


def _parents() -> list[tuple[int, int]]:
    """Every process with its parent."""
    if LINUX:
        return [(pid, int(fields[1])) for pid, fields in _all_stats()]
    lines = _ask_ps("-A", "-o", "pid=,ppid=").splitlines()
    return [(int(pid), int(ppid)) for pid, ppid in (line.split() for line in lines if line.strip())]


def _seconds(time: str) -> float:
    """The CPU time that ``ps`` prints: ``[days-][hours:]minutes:seconds``, on macOS with hundredths."""
    days, dash, rest = time.rpartition("-")
    seconds = 0.0
    for part in rest.split(":"):
        seconds = 60 * seconds + float(part)
    return seconds + (86400 * int(days) if dash else 0)


def _ask_ps(*options: str) -> str:
    from submitit import commands

    try:
        return commands.query(["ps", *options])
    except Exception:  # noqa: BLE001 - no such process, no ps, a time-out: nothing is known
        return ""


def _listdir(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []
