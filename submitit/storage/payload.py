"""The file that holds one submission, or all those of an array.

One submission is a plain pickled ``DelayedSubmission``. Several are::

    header          tells the file from a plain pickle
    block           a pickle of one object that several elements share: a function, an argument
    element         a pickle of (function, args, kwargs, time-outs); what is in a block is a reference to it
    block … element …                     in the order in which they are first needed
    offsets of the blocks, offsets of the elements (8 bytes each)
    footer          where the tables begin, their lengths, a magic number

An element is read with one look at the footer, one seek to its record, and one to each block that it refers to.
"""

from __future__ import annotations

import io
import os
import struct

from submitit.errors import CorruptFileError
from submitit.storage import atomic, serialization
from submitit.storage.output import Output
from submitit.storage.submission import DelayedSubmission
from submitit.storage.trust import check_trust

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any, BinaryIO

    StrPath = str | os.PathLike[str]

HEADER = b"submitit payload of several elements\n"
_MAGIC = b"SBMTPAY1"
#: With what a pickle of any protocol but the oldest two begins.
_PICKLE = b"\x80"
#: Offset of the tables, number of blocks, number of elements, magic.
_FOOTER = struct.Struct("<QQQ8s")
_OFFSET = struct.Struct("<Q")


def reference(path: StrPath, index: int) -> str:
    """One submission of a payload as a word, the value of ``$SUBMITIT_PAYLOAD``: ``"<path>#<index>"``."""
    return f"{os.fspath(path)}#{index}"


def split_reference(text: str) -> tuple[str, int]:
    """The file and the index that ``reference`` made the word of; ``ValueError`` for other text."""
    path, _, index = text.rpartition("#")
    if not path or not index.isdecimal():
        raise ValueError(f"Not a reference to a payload (<path>#<index>): {text!r}")
    return path, int(index)


def parse_reference(text: str) -> tuple[Path, int]:
    """``split_reference`` with a ``Path``."""
    from pathlib import Path

    path, index = split_reference(text)
    return Path(path), index


def write_payload(
    path: StrPath,
    submissions: Sequence[DelayedSubmission],
    max_bytes: float | None = None,
    durable: bool = False,
    before: int = 0,
) -> int:
    """Writes the submissions to a new file and returns its size in bytes.

    A function, an argument, the object of a bound method or a part of a ``functools.partial`` that several of them
    share is written once. What is one object within a call is one object when it is read.

    Args:
        path: where to; replaced if it exists.
        submissions: at least one.
        max_bytes: the largest size allowed. Writing stops as soon as it is passed.
        before: how much of that the files of earlier jobs have taken.
        durable: survive a crash of the machine.

    Raises:
        RuntimeError: the file would be larger than ``max_bytes``.
        TypeError, PicklingError, …: something cannot be pickled. The type is that of the original error, which is the
            cause; the message names what it is.
        OSError: names ``path``. After any error no file is left.
    """
    if not submissions:
        raise ValueError("No submission to write.")
    with atomic.replacing(path, durable) as file:
        output = Output(file, max_bytes, before)
        if len(submissions) > 1:
            from submitit.storage import sharing

            output.write(HEADER)
            blocks, elements = sharing.write_elements(output, submissions)
            table = output.size
            for offsets in (blocks, elements):
                output.write(b"".join(map(_OFFSET.pack, offsets)))
            output.write(_FOOTER.pack(table, len(blocks), len(elements), _MAGIC))
        else:
            try:
                serialization.write(submissions[0], output)
            except Exception as error:
                output.explain(error, submissions[0])
                raise
        return output.size


def read_submission(path: StrPath, index: int = 0, trust: bool = False) -> DelayedSubmission:
    """The submission with this index, from 0, in the file.

    Args:
        path: a payload, or a pickled submission of this version or of version 1.
        index: 0 for a file that holds one.
        trust: load it whoever wrote it.

    Raises:
        FileNotFoundError: and whatever else ``open`` raises.
        UntrustedPickleError: somebody else could have written it.
        IndexError: there is no such element.
        CorruptFileError: the file is not whole, or holds something else.
        Exception: whatever unpickling raises: a missing module, say.
    """
    with Payload(path, trust) as payload:
        return payload.submission(index)


class Payload:
    """A file of submissions, open: what several of them share is loaded once for all that are read.

    Raises what ``read_submission`` raises, which says what the arguments are.
    """

    def __init__(self, path: StrPath, trust: bool = False) -> None:
        self._name = os.fspath(path)
        self._file = open(self._name, "rb")  # noqa: SIM115 - closed by `__exit__`
        try:
            footer = _read_footer(self._name, self._file)
            if not trust:
                # Version 1 wrote plain pickles, and none below `.submitit`.
                legacy = footer is None and ".submitit" not in self._name.split("/")
                check_trust(self._name, self._file.fileno(), legacy=legacy)
        except BaseException:
            self._file.close()
            raise
        self._count = 1 if footer is None else footer[2]
        self._elements = None if footer is None else _Reader(self._file.fileno(), *footer)

    def submission(self, index: int = 0) -> DelayedSubmission:
        """The submission with this index."""
        if not 0 <= index < self._count:
            if self._elements is None and os.pread(self._file.fileno(), 1, 0) != _PICKLE:
                raise CorruptFileError(f"{self._name!r} is neither a payload nor a pickle. It was overwritten.")
            raise IndexError(f"{self._name!r} holds {self._count} submission(s), there is none with index {index}.")
        with serialization.truncated_as_corrupt(self._name):
            if self._elements is None:
                self._file.seek(0)
                loaded = serialization.load(self._file)
            else:
                loaded = self._elements.element(index)
        if not isinstance(loaded, DelayedSubmission) and type(loaded).__name__ != DelayedSubmission.__name__:
            raise CorruptFileError(f"{self._name!r} holds {type(loaded)}, and should hold a submission.")
        submission: DelayedSubmission = loaded
        return submission

    def __enter__(self) -> Payload:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def count_submissions(path: StrPath) -> int:
    """How many submissions the file holds. Nothing is unpickled; ``CorruptFileError`` where it is not whole."""
    with open(path, "rb") as file:
        footer = _read_footer(os.fspath(path), file)
    return 1 if footer is None else footer[2]


def _read_footer(name: str, file: BinaryIO) -> tuple[int, int, int] | None:
    """Where the tables begin, the number of blocks and of elements; ``None`` for a plain pickle."""
    size = os.fstat(file.fileno()).st_size
    tail = os.pread(file.fileno(), _FOOTER.size, max(0, size - _FOOTER.size))
    if len(tail) == _FOOTER.size:
        table, blocks, elements, magic = _FOOTER.unpack(tail)
        if magic == _MAGIC and table + _OFFSET.size * (blocks + elements) + _FOOTER.size == size:
            return table, blocks, elements
    if os.pread(file.fileno(), len(HEADER), 0) == HEADER:
        raise CorruptFileError(f"{name!r} is not a whole payload. It was cut short (a full disk?) or overwritten.")
    return None


class _Window(io.RawIOBase):
    """The file from an offset on, with a position of its own: one pickle is read while another one waits."""

    def __init__(self, descriptor: int, offset: int) -> None:
        self._descriptor = descriptor
        self._offset = offset

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        count = os.preadv(self._descriptor, [buffer], self._offset)
        self._offset += count
        return count


class _Unpickler(serialization.Unpickler):
    def __init__(self, file: Any, reader: _Reader) -> None:
        super().__init__(file)
        self._reader = reader

    def persistent_load(self, pid: int | tuple[int, int]) -> Any:
        return self._reader.resolve(pid)


class _Reader:
    def __init__(self, descriptor: int, table: int, blocks: int, elements: int) -> None:
        self._descriptor = descriptor
        self._blocks_table = table
        self._elements_table = table + _OFFSET.size * blocks
        self._blocks: dict[int, tuple[Any, _Unpickler]] = {}
        self._memos: dict[int, dict[int, tuple[int, Any]]] = {}

    def element(self, index: int) -> Any:
        record, _ = self._load(self._elements_table, index)
        if type(record) is not tuple:
            return record  # of a subclass, or pickled by the program's own `cloudpickle_dump`
        function, args, kwargs, timeout_min, countdown, others = record
        submission = DelayedSubmission(function)
        submission.args, submission.kwargs = args, kwargs
        submission.set_timeout(timeout_min, countdown)
        submission.__dict__.update(others or ())
        return submission

    def resolve(self, pid: int | tuple[int, int]) -> Any:
        number, place = (pid, None) if isinstance(pid, int) else pid
        if not 0 <= number < (self._elements_table - self._blocks_table) // _OFFSET.size:
            raise serialization.UnpicklingError("it refers to a part that it does not have")
        if number not in self._blocks:
            self._blocks[number] = self._load(self._blocks_table, number)
        value, unpickler = self._blocks[number]
        if place is None:
            return value
        if number not in self._memos:
            self._memos[number] = unpickler.memo.copy()
        return self._memos[number][place]

    def _load(self, table: int, index: int) -> tuple[Any, _Unpickler]:
        (offset,) = _OFFSET.unpack(os.pread(self._descriptor, _OFFSET.size, table + _OFFSET.size * index))
        unpickler = _Unpickler(self._open(offset), self)
        try:
            return unpickler.load(), unpickler
        except Exception as error:
            serialization.refuse_broken(self._open(offset), error)
            raise

    def _open(self, offset: int) -> BinaryIO:
        return io.BufferedReader(_Window(self._descriptor, offset))
