"""Which GPUs a job has for itself: of all jobs of one user on one machine, whichever client submitted them.

::

    DIRECTORY/0           locked (``flock``) by the controller whose job has GPU 0, for as long as that runs
    DIRECTORY/0@JOB       the same among the jobs that JOB submits in its turn, which share out what it was given

The lock counts: nothing that a controller starts inherits it, and however a controller ends, it is gone with it. What the
file says is for those who find it locked: ``{"job": …, "until": …, "tasks": [[pid, start time], …]}``, where ``until`` is when
the job is over at the latest. Whoever descends from one of the tasks is part of the job, whatever its environment says, and
takes the lock of the second kind: so a job that waits for jobs which it has submitted never waits for itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
import sys
import time
from typing import TYPE_CHECKING, Any

from submitit.local import processes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

#: Names another directory, for clients that do not see the same ``/tmp``, or that have to keep apart.
DIRECTORY = "SUBMITIT_LOCAL_LEASES"


def make_directory(env: Mapping[str, str]) -> str:
    """The directory of this user's leases, which exists afterwards. Raises ``OSError`` if it could be another's."""
    # Neither $TMPDIR, which is not the same for all, nor $XDG_RUNTIME_DIR, which is removed at logout while jobs run on.
    path = env.get(DIRECTORY) or f"/tmp/submitit-{os.getuid()}"  # noqa: S108 - it is looked whose it is
    os.makedirs(path, 0o700, exist_ok=True)
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise PermissionError(f"{path} is not a directory that this user alone can write to")
    return path


class Lease:
    """The GPUs of one job, until they are given back."""

    __slots__ = ("_files", "_job", "_until", "gpus")

    def __init__(self, gpus: tuple[str, ...], files: list[tuple[str, int]], job: str, until: float) -> None:
        self.gpus = gpus
        self._files, self._job, self._until = files, job, until
        self.name([])

    def name(self, tasks: Sequence[tuple[int, str]]) -> None:
        """Say which processes the job consists of, before they begin: later they may have submitted something."""
        if not self._files:
            return
        text = json.dumps({"job": self._job, "until": self._until, "tasks": tasks}).encode("ascii")
        for _, descriptor in self._files:
            with contextlib.suppress(OSError):  # no space: the lock holds all the same
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, text, 0)

    def keep(self) -> None:
        """Make the files look used: what cleans up ``/tmp`` goes by their age."""
        for _, descriptor in self._files:
            os.utime(descriptor)

    def give_back(self) -> bool:
        """Unlock what no job that this one has submitted still runs on; ``False`` if something is left."""
        for path, descriptor in list(self._files):
            inside = _inside(path, self._job)
            inner, _ = _lock(inside, make=False)
            if inner == _LOCKED:
                continue
            if inner is not None:  # left by a controller that was killed
                _unlock(inside, inner)
            _unlock(path, descriptor)
            self._files.remove((path, descriptor))
        return not self._files


class Leases:
    """The GPUs that the jobs of one controller have, and those that were last seen to be others'."""

    def __init__(self, controller: str, env: Mapping[str, str]) -> None:
        self._controller = controller
        self._env = env
        self._serial = 0
        self._held: set[Lease] = set()
        self._lingering: set[Lease] = set()
        #: Of each GPU that somebody else has, until when at the latest, in seconds since the epoch.
        self.elsewhere: dict[str, float] = {}

    @property
    def lingering(self) -> bool:
        """Whether jobs submitted by jobs that are over still have GPUs of theirs."""
        return bool(self._lingering)

    def take(self, gpus: tuple[str, ...], limit_s: float) -> Lease | None:
        """Lease these GPUs for a job of at most so many seconds; ``None`` if one is another's, which ``elsewhere`` has then."""
        self._serial += 1
        files: list[tuple[str, int]] = []
        if gpus:
            try:
                directory = make_directory(self._env)
                for gpu in gpus:
                    found = self._take(f"{directory}/{gpu.replace('/', '_')}", gpu)
                    if found is None:
                        _unlock_all(files)
                        return None
                    files.append(found)
            except OSError as error:  # there is no place for leases: the client has warned that nobody is kept away
                print(f"no lease of a GPU: {error}", file=sys.stderr, flush=True)
        lease = Lease(gpus, files, f"{self._controller}.{self._serial}", time.time() + limit_s)
        if files:
            self._held.add(lease)
        return lease

    def give_back(self, lease: Lease) -> None:
        """The job is over. Another may have its GPUs, at once or when the jobs that it submitted are over, too."""
        self._held.discard(lease)
        if not lease.give_back():
            self._lingering.add(lease)

    def look(self) -> bool:
        """Forget what was others', to be tried again; whether there was any."""
        self._lingering = {lease for lease in self._lingering if not lease.give_back()}
        for lease in self._held | self._lingering:
            lease.keep()
        known, self.elsewhere = self.elsewhere, {}
        return bool(known)

    def _take(self, path: str, gpu: str) -> tuple[str, int] | None:
        while True:
            descriptor, holder = _lock(path, make=True)
            assert descriptor is not None
            if descriptor != _LOCKED:
                return path, descriptor
            if not _descends_from(holder.get("tasks", ())):
                self.elsewhere[gpu] = float(holder.get("until", 0))
                return None
            path = _inside(path, holder["job"])


#: In place of a descriptor: somebody else has the lock.
_LOCKED = -1


def _lock(path: str, *, make: bool) -> tuple[int | None, dict[str, Any]]:
    """A descriptor that holds the lock of a file, or ``_LOCKED`` and what the file says; ``None`` if there is none to lock."""
    while True:
        try:
            # Python opens it so that no program which this process starts inherits it.
            descriptor = os.open(path, os.O_RDWR | (os.O_CREAT if make else 0), 0o600)
        except FileNotFoundError:
            if make:
                raise
            return None, {}
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            try:
                return _LOCKED, json.loads(os.pread(descriptor, 1 << 16, 0))
            except ValueError:  # being written
                return _LOCKED, {}
            finally:
                os.close(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        # Who had it before may have removed the file in between.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return descriptor, {}
        os.close(descriptor)


def _inside(path: str, job: str) -> str:
    """The file for the same GPU among the jobs that ``job`` submits."""
    directory, name = os.path.split(path)
    return f"{directory}/{name.partition('@')[0]}@{job}"


def _unlock(path: str, descriptor: int) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)
    # By closing alone it would not be free while a process just forked has a copy.
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def _unlock_all(files: Iterable[tuple[str, int]]) -> None:
    for path, descriptor in files:
        _unlock(path, descriptor)


def _descends_from(tasks: Iterable[Sequence[Any]]) -> bool:
    """Whether one of these processes is an ancestor of this one."""
    known = {(int(pid), str(started)) for pid, started in tasks}
    pid = os.getpid() if known else 0
    while pid > 1:
        if (pid, processes.start_time(pid)) in known:
            return True
        pid = processes.parent(pid)
    return False
