"""The file in which a job notes how the calls that it makes end, one after the other, while it goes on.

::

    frame           the name of the map that the calls belong to
    frame           how some consecutive calls ended
    frame …

    frame = number of the first call and of those that follow (8 bytes each), length of the body (8 bytes), CRC-32 of the body
            (4 bytes), body: a pickle of atoms and built-in containers

What is no atom is pickled bytes within a body: a value whose class does not unpickle costs nothing but itself. Only the
job writes, and only at the end. A frame that is not whole, since its writer was killed or goes on, is no frame.
"""

from __future__ import annotations

import os
import struct
import time
from binascii import crc32

from submitit.records import NamedTuple
from submitit.storage import serialization
from submitit.storage.trust import check_trust

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO

    StrPath = str | os.PathLike[str]

    #: How a call ended whose value is no atom: ``("success", "", pickle)`` or ``("error", traceback, pickled exception)``.
    Other = tuple[str, str, bytes | None]

_FRAME = struct.Struct("<QQQI")
#: Others never write what is loaded as code, whatever the umask is.
_MODE = 0o644
#: So much is read at a time, or one frame.
_AT_ONCE = 32 << 20
#: A network file system tells others what was written when the file is closed; that costs its server something.
_QUICKEST_CLOSE_S, _SLOWEST_CLOSE_S = 0.05, 2.0


class Run(NamedTuple):
    """How consecutive calls of a map ended."""

    #: The number of the first.
    first: int
    #: What each returned; ``None`` where ``others`` has the call.
    values: list[Any]
    #: By a call's place in ``values``.
    others: dict[int, Other]

    @property
    def stop(self) -> int:
        """The number of the call after the last."""
        return self.first + len(self.values)

    def after(self, first: int) -> Run:
        """The calls from ``first`` on."""
        cut = first - self.first
        return self._replace(
            first=first,
            values=self.values[cut:],
            others={place - cut: other for place, other in self.others.items() if place >= cut},
        )


class Reader:
    """Reads a file of calls from where it stopped, while it is written."""

    def __init__(self, path: StrPath, name: str) -> None:
        self._path = os.fspath(path)
        self._name = name
        self._last = Run(0, [], {})
        #: How far it has been read, and how far it was only looked through.
        self.place = 0
        self._seen = 0

    def read(self) -> list[Run]:
        """The calls that have ended since the last time, or some of them if they are many. Each is told of once.

        Nothing where there is no such file yet, or one of another map. Raises ``UntrustedPickleError`` if somebody else could
        have written it.
        """
        try:
            # opened, since that makes a network file system look: its `stat` may be a minute old
            with open(self._path, "rb", buffering=1 << 16) as file:
                size = os.fstat(file.fileno()).st_size
                if size <= self.place:
                    return []
                check_trust(self._path, file.fileno())
                return self._read(file, size)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def look(self) -> list[tuple[int, int]]:
        """Which calls have ended since the last look, as numbers of first calls and of those after the last.

        Their outcomes are neither loaded nor taken from what ``read`` gives.
        """
        found = []
        try:
            with open(self._path, "rb", buffering=0) as file:
                size = os.fstat(file.fileno()).st_size
                if not self._seen:
                    check_trust(self._path, file.fileno())
                    if _next_body(file, size) != self._name:
                        return []
                    self._seen = file.tell()
                while len(head := os.pread(file.fileno(), _FRAME.size, self._seen)) == _FRAME.size:
                    first, count, length, _ = _FRAME.unpack(head)
                    if self._seen + _FRAME.size + length > size:
                        break
                    self._seen += _FRAME.size + length
                    found.append((first, first + count))
        except (FileNotFoundError, NotADirectoryError):
            return []
        return found

    def _read(self, file: BinaryIO, size: int) -> list[Run]:
        file.seek(self.place)
        end = self.place + _AT_ONCE
        if not self.place:
            if _next_body(file, size) != self._name:
                return []
            self.place = file.tell()
        runs = []
        while self.place < end:
            body = _next_body(file, size)
            if body is None:
                break
            self.place = file.tell()
            run = Run(*body)
            # its writer was interrupted, and wrote again what it had written
            if self._last.first <= run.first < self._last.stop:
                run = run.after(min(self._last.stop, run.stop))
            if run.values:
                self._last = run
                runs.append(run)
        return runs


def _next_body(file: BinaryIO, size: int) -> Any:
    """What the next frame holds; ``None`` where it is not whole."""
    head = file.read(_FRAME.size)
    if len(head) < _FRAME.size:
        return None
    _, _, length, checksum = _FRAME.unpack(head)
    if length > size - file.tell():
        return None
    body = file.read(length)
    if len(body) < length or crc32(body) != checksum:
        return None
    return serialization.loads(body)


class Writer:
    """Appends to a file of calls. What an earlier attempt has noted there stays, unless it is of another map.

    Raises ``OSError`` that names the file, and ``UntrustedPickleError`` if somebody else could have written it.
    """

    def __init__(self, path: StrPath, name: str) -> None:
        self._path = os.fspath(path)
        self._file = self._open(os.O_CREAT)
        check_trust(self._path, self._file)
        reader = Reader(self._path, name)
        #: What an earlier attempt has noted.
        self.runs: list[tuple[int, int]] = []
        while runs := reader.read():
            self.runs += [(run.first, run.stop) for run in runs]
        os.ftruncate(self._file, reader.place)
        self._began = self._closed = time.monotonic()
        if not reader.place:
            self._write(0, 0, name)

    def write(self, run: Run) -> None:
        """The calls are noted; if the file system keeps what a killed process has written, for good."""
        self._write(run.first, len(run.values), tuple(run))
        now = time.monotonic()
        if now - self._closed > min(_SLOWEST_CLOSE_S, max(_QUICKEST_CLOSE_S, (now - self._began) / 25)):
            self._closed = now
            before, self._file = self._file, self._open()
            os.close(before)

    def close(self) -> int:
        """What was written survives a crash of the machine. Returns how much that is."""
        size = os.fstat(self._file).st_size
        os.fsync(self._file)
        os.close(self._file)
        return size

    def _open(self, flags: int = 0) -> int:
        return os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | flags, _MODE)

    def _write(self, first: int, count: int, body: object) -> None:
        data = serialization.dumps_plain(body)
        size = os.fstat(self._file).st_size
        try:
            head = _FRAME.pack(first, count, len(data), crc32(data))
            # in one go: a signal's handler may write the next frame on top of this
            written = os.writev(self._file, [head, data])
            while written < len(head) + len(data):  # a system call takes 2 GB at most
                written += os.write(self._file, memoryview(head + data)[written:])
        except OSError as error:
            os.ftruncate(self._file, size)
            error.filename = self._path
            raise
