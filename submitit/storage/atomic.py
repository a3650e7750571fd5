"""Files that appear whole or not at all.

Everything is written beside its target and renamed over it. A temporary of a killed writer stays behind and is no
obstacle to anybody: its name is unique to host and process.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager, suppress

from submitit.storage import names, trust

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

    StrPath = str | os.PathLike[str]

#: What the umask starts from: others never write.
FILE_MODE = 0o664
DIRECTORY_MODE = 0o775

#: How file systems say that they cannot do this at all.
_UNSUPPORTED = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF}


@contextmanager
def replacing(path: StrPath, durable: bool = False) -> Iterator[BinaryIO]:
    """Opens a new file that takes the place of ``path`` when the block ends well.

    Afterwards ``path`` holds all that was written, with a mode that follows the umask less write for others (and for
    a group that is not the user's own, so that the file stays trusted); a reader saw the former content until then.
    ``file.name`` is the temporary's path. With ``durable``, content and name survive a crash of the machine (on macOS not
    the loss of its power: its ``fsync`` leaves alone what the drive holds back).

    When the block or the writing raises, ``path`` is as it was and nothing is left beside it. An ``OSError`` names ``path``.
    """
    target = os.fspath(path)
    file = _open_beside(target)
    try:
        with file:
            yield file
            file.flush()
            _keep_group_out(file.fileno())
            if durable:
                os.fsync(file.fileno())
        os.replace(file.name, target)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(file.name)
        if isinstance(error, OSError) and error.filename in {None, file.name}:
            error.filename = target
            del error.filename2
        raise
    if durable:
        sync_directory(os.path.dirname(target))


def write_text(path: StrPath, text: str, durable: bool = False) -> None:
    """``path`` holds ``text`` (UTF-8; what the file system made of undecodable names is kept), as ``replacing`` has it."""
    with replacing(path, durable) as file:
        file.write(text.encode("utf-8", "surrogateescape"))


def sync_directory(path: StrPath) -> None:
    """What was created, renamed or removed in the directory survives a crash of the machine.

    Does nothing where the file system has no such thing.
    """
    _sync(os.fspath(path) or ".")


def make_directory(path: StrPath) -> None:
    """The directory exists, and its parents; what was missing has a mode that follows the umask less write for others.

    Raises:
        OSError: where that is impossible; a file in the way is ``NotADirectoryError``.
    """
    text = os.fspath(path)
    try:
        os.mkdir(text, DIRECTORY_MODE)
    except FileNotFoundError:
        parent = os.path.dirname(text)
        if parent == text:
            raise
        make_directory(parent)
        with suppress(FileExistsError):
            os.mkdir(text, DIRECTORY_MODE)
    except FileExistsError:
        if not os.path.isdir(text):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), text) from None


def lacks_room(directory: StrPath) -> bool:
    """Whether nothing more can be written there: the disk is full, or has as many files as it can. A quota is not seen."""
    try:
        room = os.statvfs(directory)
    except OSError:
        return False
    return room.f_bavail == 0 or (room.f_favail == 0 and room.f_files > 0)


def link_or_copy(src: StrPath, dst: StrPath, exclusive: bool = False) -> None:
    """``dst`` has the content of ``src``: a hard link where the file system makes one, else a copy.

    Args:
        src: an existing file.
        dst: appears whole. What it held is replaced, unless ``exclusive``.
        exclusive: of several callers one succeeds, the others get ``FileExistsError``.
    """
    source, target = os.fspath(src), os.fspath(dst)
    try:
        if exclusive:
            os.link(source, target)
        else:
            temporary = os.path.join(os.path.dirname(target), names.temporary_name())
            os.link(source, temporary)
            try:
                os.replace(temporary, target)
            finally:
                # Renaming one link of a file to another of the same file does nothing and leaves both.
                with suppress(FileNotFoundError):
                    os.unlink(temporary)
    except (FileExistsError, FileNotFoundError):
        raise
    except OSError:
        _copy(source, target, exclusive)


def _copy(source: str, target: str, exclusive: bool) -> None:
    import shutil

    if exclusive:
        # No link to be had, so the name is taken first and filled by a rename.
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE))
    try:
        with open(source, "rb") as original, replacing(target) as copy:
            shutil.copyfileobj(original, copy, 1 << 20)
    except BaseException:
        if exclusive:
            with suppress(OSError):
                os.unlink(target)
        raise


@contextmanager
def temporary_save_path(filepath: StrPath) -> Iterator[Path]:
    """Yields ``<filepath>.save_tmp``; what the block saves there is at ``filepath`` afterwards, and survives a crash.

    A temporary that an earlier, killed writer left is removed first. When the block raises, ``filepath`` is as it was
    and no temporary is left.

    Raises:
        FileNotFoundError: the block saved nothing.
    """
    from pathlib import Path

    temporary = os.fspath(filepath) + ".save_tmp"
    with suppress(FileNotFoundError):
        os.unlink(temporary)
    try:
        yield Path(temporary)
        if not os.path.exists(temporary):
            raise FileNotFoundError("No file was saved at the temporary path.")
        _sync(temporary)
        os.replace(temporary, filepath)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    sync_directory(os.path.dirname(temporary))


def _open_beside(target: str) -> BinaryIO:
    folder = os.path.dirname(target)
    while True:
        temporary = os.path.join(folder, names.temporary_name())
        try:
            return open(temporary, "xb", opener=_open_with_mode)
        except FileExistsError:
            continue  # of a killed process with our process id: the next name is free
        except OSError as error:
            error.filename = target
            raise


def _sync(path: str) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        return  # what may be written, but not read
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            error.filename = path
            raise
    finally:
        os.close(descriptor)


def _open_with_mode(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, FILE_MODE)


def _keep_group_out(descriptor: int) -> None:
    """A directory's set-group-id bit or default access list, or a umask of 002, would let others write what this user loads as code."""
    status = os.fstat(descriptor)
    if trust.shares_writing(status, descriptor):
        # Not every file system keeps modes; where this one does not, loading says so.
        with suppress(OSError):
            os.fchmod(descriptor, stat.S_IMODE(status.st_mode) & ~stat.S_IWGRP)
