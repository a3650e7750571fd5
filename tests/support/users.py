"""An ordinary user of this machine, for tests about permissions and ownership; making one takes root.

    with ordinary_user() as user:
        user.run([sys.executable, "-c", "print('as an ordinary user')"])

Several test processes may use the user at the same time: the last one to leave removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

TEST_USER: Final = "submitit-test"
LOCKS: Final = Path("/run")

ACL: Final = "system.posix_acl_access"
ACL_VERSION: Final = 2
#: The tags of <linux/posix_acl.h>, in the order that the kernel demands.
OWNER, NAMED_USER, GROUP, NAMED_GROUP, MASK, OTHER = 1, 2, 4, 8, 16, 32
NO_ID: Final = 0xFFFFFFFF


class UserError(Exception):
    """The user could not be made or removed; the message has the command's own words."""


@dataclass(frozen=True)
class User:
    """An ordinary user with a home directory and no password."""

    name: str
    uid: int
    gid: int
    home: Path

    def run(
        self,
        argv: Sequence[str | os.PathLike[str]],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        check: bool = True,
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command as this user, at home unless `cwd` is given; `env` is added to the environment."""
        done = subprocess.run(
            argv,
            user=self.uid,
            group=self.gid,
            extra_groups=[],
            env={**os.environ, **self.environment, **(env or {})},
            cwd=cwd or self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode != 0:
            words = " ".join(map(str, argv))
            raise UserError(f"{words}: exit code {done.returncode}\n{done.stdout}{done.stderr}".rstrip())
        return done

    def new_directory(self) -> Path:
        """A directory of root's in this user's home, which the user can read and not write."""
        made = Path(tempfile.mkdtemp(dir=self.home))
        made.chmod(0o755)
        return made

    @property
    def environment(self) -> dict[str, str]:
        """What a login of this user sets."""
        return {"HOME": str(self.home), "USER": self.name, "LOGNAME": self.name}


def can_make_users() -> bool:
    return os.geteuid() == 0 and shutil.which("useradd") is not None and os.access(LOCKS, os.W_OK)


@contextlib.contextmanager
def ordinary_user(name: str = TEST_USER) -> Iterator[User]:
    """Makes the user if there is none, and removes it unless another process still uses it.

    The user can run this interpreter, and what is installed for it, wherever it lies. Raises UserError.
    """
    if not can_make_users():
        raise UserError("making a user takes root and useradd")
    lock = LOCKS / f"{name}.lock"
    with contextlib.ExitStack() as stack:
        with _one_at_a_time():
            in_use = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
            stack.callback(os.close, in_use)
            fcntl.flock(in_use, fcntl.LOCK_SH)
            user = make_user(name)
        try:
            yield user
        finally:
            with _one_at_a_time():
                # A forked child may have the file open as well: closing it would not give the lock back.
                fcntl.flock(in_use, fcntl.LOCK_UN)
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(in_use, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    lock.unlink(missing_ok=True)
                    remove_user(user)


def make_user(name: str = TEST_USER) -> User:
    """The ordinary user of this name, made if there is none."""
    if not can_make_users():
        raise UserError("making a user takes root and useradd")
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        _run("useradd", "--create-home", "--user-group", "--shell", "/bin/sh", name)
        entry = pwd.getpwnam(name)
        os.chown(entry.pw_dir, entry.pw_uid, entry.pw_gid)  # one that killed tests have left is somebody else's by now
    if entry.pw_uid == 0:
        raise UserError(f"{name} is no ordinary user")
    for directory in closed_directories():
        let_pass(directory, entry.pw_uid)
    return User(name, entry.pw_uid, entry.pw_gid, Path(entry.pw_dir))


def remove_user(user: User) -> None:
    """Removes the user, its home and its right of way. Raises UserError if processes of it are left."""
    for directory in closed_directories():
        no_longer_let_pass(directory, user.uid)
    _run("userdel", "--remove", user.name)


def closed_directories() -> list[Path]:
    """The directories on the way to this interpreter that an ordinary user cannot pass, such as root's home."""
    ends = {Path(sys.executable), Path(sys.prefix), Path(sys.base_prefix)}
    ends |= {end.resolve() for end in ends}
    above = {parent for end in ends for parent in [end, *end.parents] if parent.is_dir()}
    return sorted(directory for directory in above if not directory.stat().st_mode & stat.S_IXOTH)


class _Entry(NamedTuple):
    tag: int
    permissions: int
    id: int


def let_pass(directory: Path, uid: int) -> None:
    """Lets one user pass through a directory, by an entry in its access control list."""
    entries = [entry for entry in _read_acl(directory) if (entry.tag, entry.id) != (NAMED_USER, uid)]
    entries.append(_Entry(NAMED_USER, os.X_OK, uid))
    _write_acl(directory, entries)


def no_longer_let_pass(directory: Path, uid: int) -> None:
    """Takes that back; the directory's mode is what it was."""
    entries = [entry for entry in _read_acl(directory) if (entry.tag, entry.id) != (NAMED_USER, uid)]
    _write_acl(directory, entries)


def _read_acl(directory: Path) -> list[_Entry]:
    try:
        data = os.getxattr(directory, ACL)
    except OSError:
        mode = directory.stat().st_mode
        return [
            _Entry(OWNER, mode >> 6 & 7, NO_ID),
            _Entry(GROUP, mode >> 3 & 7, NO_ID),
            _Entry(OTHER, mode & 7, NO_ID),
        ]
    return [_Entry(*fields) for fields in struct.iter_unpack("<HHI", data[4:])]


def _write_acl(directory: Path, entries: Sequence[_Entry]) -> None:
    kept = [entry for entry in entries if entry.tag != MASK]
    limited = [entry.permissions for entry in kept if entry.tag in (NAMED_USER, GROUP, NAMED_GROUP)]
    if len(limited) > 1:
        mask = 0
        for permissions in limited:
            mask |= permissions
        kept.append(_Entry(MASK, mask, NO_ID))
    # A list of owner, group and other alone becomes a plain mode again.
    packed = b"".join(struct.pack("<HHI", *entry) for entry in sorted(kept, key=lambda e: (e.tag, e.id)))
    os.setxattr(directory, ACL, struct.pack("<I", ACL_VERSION) + packed)


def _run(*argv: str) -> None:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise UserError(f"{' '.join(argv)}: {(done.stderr or done.stdout).strip()}")


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Only one process at a time makes or removes users."""
    directory = os.open(LOCKS, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)
