"""Whose pickles are loaded.

A pickle is code: to load a file that somebody else could have written is to run their program. One ``fstat`` of the
opened file decides, so that nobody can exchange the file between the check and the load.
"""

from __future__ import annotations

import os
import stat

from submitit.errors import UntrustedPickleError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

#: The user's word that pickles of others are to be loaded, for a whole process and its jobs.
TRUST_VARIABLE = "SUBMITIT_TRUST_FOREIGN_PICKLES"

#: Where Linux keeps an access control list beside the mode, whose group bits then limit whoever the list names.
_ACCESS_LIST = "system.posix_acl_access"

_warned_folders: set[str] = set()


def is_own_group(gid: int) -> bool:
    """Whether the group has no other member than this user, as far as its number tells.

    A private group has its user's number. A primary group with another number ("users", "students") is most often
    shared, and asking the name service who is in it may take seconds on a cluster.
    """
    return gid == os.getegid() and gid == os.geteuid()


def shares_writing(status: os.stat_result, file: str | os.PathLike[str] | int) -> bool:
    """Whether others than the owner can write the file by its group, or by name in its access control list.

    Args:
        status: what ``stat`` says of the file.
        file: its path or, better, its descriptor.
    """
    if not status.st_mode & stat.S_IWGRP:
        return False
    return not is_own_group(status.st_gid) or _has_access_list(file)


def _has_access_list(file: str | os.PathLike[str] | int) -> bool:
    if not hasattr(os, "getxattr"):  # Linux alone has it
        return False
    try:
        return bool(os.getxattr(file, _ACCESS_LIST))
    except OSError:  # none, or a file system without
        return False


def open_trusted(path: str | os.PathLike[str], *, legacy: bool = False, trust: bool = False) -> BinaryIO:
    """The file, open for reading, checked as ``check_trust`` does.

    Raises:
        FileNotFoundError: and whatever else ``open`` raises.
        UntrustedPickleError: as ``check_trust``.
    """
    file = open(path, "rb")  # noqa: SIM115 - handed to the caller
    try:
        if not trust:
            check_trust(path, file.fileno(), legacy=legacy)
    except BaseException:
        file.close()
        raise
    return file


def check_trust(
    path: str | os.PathLike[str],
    descriptor: int | None = None,
    *,
    legacy: bool = False,
    danger: str = "A pickle runs code when it is loaded",
) -> None:
    """Returns where the pickle in the file may be loaded.

    That is: the file belongs to this user or to root, others cannot write it, and neither can a group that is not the
    user's own, nor anybody whom an access control list names; or ``$SUBMITIT_TRUST_FOREIGN_PICKLES`` is set to something other than 0.

    Args:
        path: the file; names it in the error.
        descriptor: the opened file. What is checked is then what is read.
        legacy: a file that version 1 may have written under a umask such as 002: that its group can write it
            gives a warning, once a folder, and no error.
        danger: what may come of it, for the error.

    Raises:
        UntrustedPickleError: the message says why, and what to do.
    """
    status = os.stat(path if descriptor is None else descriptor)
    shared = False
    if status.st_uid not in {os.geteuid(), 0}:
        reason = f"it belongs to the user with id {status.st_uid}, and you are {os.geteuid()}"
        remedy = ""
    elif status.st_mode & stat.S_IWOTH:
        reason = f"every user can write it (mode {stat.S_IMODE(status.st_mode):04o})"
        remedy = f"If nobody has touched it, chmod o-w {os.fspath(path)!r}. "
    elif shares_writing(status, path if descriptor is None else descriptor):
        shared = True
        group = (
            "whoever its access control list names"
            if is_own_group(status.st_gid)
            else f"the group with id {status.st_gid}"
        )
        reason = f"{group} can write it (mode {stat.S_IMODE(status.st_mode):04o})"
        remedy = f"If nobody has touched it, chmod g-w {os.fspath(path)!r}. "
    else:
        return
    if _trusts_all():
        return
    if legacy and shared:
        _warn_once(path, reason)
        return
    raise UntrustedPickleError(
        f"Not loading {os.fspath(path)!r}: {reason}. {danger}. {remedy}"
        f"If you trust whoever can write it, set {TRUST_VARIABLE}=1."
    )


def _trusts_all() -> bool:
    return os.environ.get(TRUST_VARIABLE, "").strip().lower() not in {"", "0", "false", "no"}


def _warn_once(path: str | os.PathLike[str], reason: str) -> None:
    folder = os.path.dirname(os.path.abspath(path))
    if folder in _warned_folders:
        return
    _warned_folders.add(folder)
    import warnings

    warnings.warn(
        f"Loading the pickle {os.fspath(path)!r} although {reason}: whoever is in that group can run code as you. "
        f"Files written by this version are not writable by a shared group; for these, chmod g-w.",
        UserWarning,
        stacklevel=3,
    )
