"""Who has taken which of several pieces of work: one small file that jobs share, whatever nodes they run on.

::

    how many pieces were taken (8 bytes), and of each who took it (4 bytes each, 0 while nobody has)

Pieces are taken in order, under a lock of the file. Where the file system has no locks each taker has its share from the
start.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct

from submitit.storage import atomic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    StrPath = str | os.PathLike[str]

_TAKEN = struct.Struct("<Q")
_OWNER = struct.Struct("<I")
#: How file systems say that they have no locks.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}


def make(path: StrPath, count: int) -> None:
    """The file exists, and nobody has taken any of ``count`` pieces."""
    with atomic.replacing(path) as file:
        file.write(bytes(_TAKEN.size + _OWNER.size * count))


class Claims:
    """The pieces of one file, from 0, as seen by the taker with the number ``taker`` of ``takers``, from 0."""

    def __init__(self, path: StrPath, taker: int = 0, takers: int = 1) -> None:
        self._path = os.fspath(path)
        self._taker, self._takers = taker, takers
        self._share: Iterator[int] | None = None

    def take(self) -> int | None:
        """A piece that nobody has taken, and nobody will take from now on; ``None`` where there is none."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        try:
            piece = self._next(descriptor)
            if piece is not None:
                os.pwrite(descriptor, _OWNER.pack(self._taker + 1), _TAKEN.size + _OWNER.size * piece)
                if self._share is None:
                    os.pwrite(descriptor, _TAKEN.pack(piece + 1), 0)
            return piece
        finally:
            os.close(descriptor)  # and with it the lock

    def _next(self, descriptor: int) -> int | None:
        count = (os.fstat(descriptor).st_size - _TAKEN.size) // _OWNER.size
        if self._share is None:
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX)
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
                self._share = iter(range(self._taker, count, self._takers))
        if self._share is not None:
            return next(self._share, None)
        (taken,) = _TAKEN.unpack(os.pread(descriptor, _TAKEN.size, 0))
        return taken if taken < count else None

    def taken(self) -> list[int]:
        """The pieces that this taker has taken, in whichever process."""
        with open(self._path, "rb") as file:
            file.seek(_TAKEN.size)
            owners = file.read()
        mine = self._taker + 1
        return [piece for piece, (owner,) in enumerate(_OWNER.iter_unpack(owners)) if owner == mine]

    def taker(self, piece: int) -> int | None:
        """The number of the one who has taken a piece; ``None`` while nobody has."""
        with open(self._path, "rb") as file:
            file.seek(_TAKEN.size + _OWNER.size * piece)
            (owner,) = _OWNER.unpack(file.read(_OWNER.size))
        return None if owner == 0 else int(owner) - 1
