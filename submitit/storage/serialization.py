"""Objects to bytes and back. The only module that imports cloudpickle, and only when something needs it.

``cloudpickle_dump`` and ``pickle_load`` are the two names that programs replace (through ``submitit.core.utils``):
whatever goes into a file asks for ``cloudpickle_dump`` late, see ``write``.
"""

from __future__ import annotations

import os

# The C module alone: `pickle` around it would bring the regular expressions and more, and a job may need neither.
try:
    from _pickle import Pickler as _PlainPickler
    from _pickle import PicklingError, Unpickler, UnpicklingError
    from _pickle import dumps as _plain_dumps
    from _pickle import loads as _plain_loads
except ImportError:  # pragma: no cover - an interpreter without it
    from pickle import Pickler as _PlainPickler
    from pickle import PicklingError, Unpickler, UnpicklingError
    from pickle import dumps as _plain_dumps
    from pickle import loads as _plain_loads

from submitit.errors import CorruptFileError
from submitit.storage import atomic, names
from submitit.storage.trust import check_trust, open_trusted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, BinaryIO, Protocol

    StrPath = str | os.PathLike[str]

    class Sink(Protocol):
        """What pickles are written to."""

        def write(self, data: Any, /) -> object: ...

    class NamedSink(Sink, Protocol):
        """A file beside which there is room for another."""

        @property
        def name(self) -> str: ...

    class Pickler(Protocol):
        """cloudpickle's, as far as it is used here."""

        memo: Any
        globals_ref: Any

        def dump(self, obj: object, /) -> object: ...
        def clear_memo(self) -> None: ...


__all__ = [
    "PROTOCOL",
    "PicklingError",
    "Unpickler",
    "UnpicklingError",
    "check_trust",
    "cloudpickle_dump",
    "describe_unpicklable",
    "dump",
    "dump_is_replaced",
    "dumps",
    "dumps_plain",
    "load",
    "loads",
    "pickle_load",
    "pickler",
    "truncated_as_corrupt",
    "write",
]

#: The newest protocol that every supported Python reads.
PROTOCOL = 5

#: More than any pickler writes: they begin another frame after 64 KiB, and put what is larger than that outside.
_LONGEST_FRAME = 1 << 20

_ATOMS = frozenset({type(None), bool, int, float, complex, str, bytes})


def is_plain(obj: object, limit: int = 1000) -> bool:
    """Whether ``obj`` is made of built-in atoms and containers alone, at most ``limit`` of them.

    Then the interpreter's own pickle says the same as cloudpickle's, which takes 30 ms to import.
    """
    if type(obj) in _ATOMS:
        return True
    stack: list[Any] = [obj]
    while stack:
        item = stack.pop()
        kind = type(item)
        if kind in _ATOMS:
            continue
        if kind is dict:
            stack.extend(item)
            stack.extend(item.values())
        elif kind is list or kind is tuple or kind is set or kind is frozenset:
            stack.extend(item)
        else:
            return False
        limit -= 1
        if limit < 0 or len(stack) > 10 * limit:
            return False
    return True


def dumps(obj: object) -> bytes:
    """The pickle of ``obj``; functions and classes of ``__main__``, closures and lambdas by value."""
    if is_plain(obj):
        return _plain_dumps(obj, PROTOCOL)
    import cloudpickle

    data: bytes = cloudpickle.dumps(obj, protocol=PROTOCOL)
    return data


def dumps_plain(obj: object) -> bytes:
    """The pickle of what is known to be made of built-in atoms and containers alone, of any size."""
    return _plain_dumps(obj, PROTOCOL)


def dump(obj: object, file: Sink) -> None:
    """Writes the pickle of ``obj`` piece by piece: large buffers are not copied first."""
    if is_plain(obj):
        _PlainPickler(file, PROTOCOL).dump(obj)
    else:
        pickler(file).dump(obj)


def pickler(file: Sink, persistent_id: Callable[[Any, Any], Any] | None = None) -> Pickler:
    """A cloudpickle pickler that writes to ``file``.

    Args:
        file: gets the pickles.
        persistent_id: a function of (pickler, object), see ``pickle.Pickler.persistent_id``.
    """
    import cloudpickle

    kind = cloudpickle.Pickler
    if persistent_id is not None:
        kind = type("LinkingPickler", (kind,), {"persistent_id": persistent_id})
    made: Pickler = kind(file, protocol=PROTOCOL)
    return made


def loads(data: bytes) -> Any:
    """The object; the caller knows where ``data`` comes from."""
    return _plain_loads(data)


def load(file: BinaryIO) -> Any:
    """The next object of the file; the caller has checked whose it is."""
    begin = file.tell()
    try:
        return Unpickler(file).load()
    except Exception as error:
        file.seek(begin)
        refuse_broken(file, error)
        raise


def refuse_broken(file: BinaryIO, error: Exception) -> None:
    """Raises ``UnpicklingError`` where the file stands before no pickle at all: to damaged bytes unpickling answers with any error.

    Args:
        file: stands where the pickle begins.
        error: what unpickling it raised.
    """
    if isinstance(error, (EOFError, UnpicklingError)):
        return
    import pickletools

    try:
        for opcode, argument, place in pickletools.genops(file):
            # Both make the unpickler ask for as much memory; of objects to remember there are no more than bytes so far.
            limit = {"FRAME": _LONGEST_FRAME, "LONG_BINPUT": place or 0}.get(opcode.name)
            if limit is not None and argument is not None and argument > limit:
                raise ValueError(f"{opcode.name} of {argument}")
    except Exception as problem:  # noqa: BLE001 - as many as there are ways to misread bytes
        raise UnpicklingError(str(problem)) from error


def write(obj: object, file: NamedSink) -> None:
    """Writes ``obj`` where the file stands, with the program's own ``cloudpickle_dump`` where it has put one in place."""
    if not dump_is_replaced():
        dump(obj, file)
        return
    import shutil
    from pathlib import Path

    # It wants a path, and may well rename something else over it: so not the path of `file`.
    scratch = os.path.join(os.path.dirname(file.name), names.temporary_name())
    try:
        cloudpickle_dump(obj, Path(scratch))
        with open(scratch, "rb") as copy:
            shutil.copyfileobj(copy, file, 1 << 20)
    finally:
        if os.path.exists(scratch):
            os.unlink(scratch)


def dump_is_replaced() -> bool:
    """Whether the program has put a ``cloudpickle_dump`` of its own in place."""
    return cloudpickle_dump is not _own_dump


def cloudpickle_dump(obj: object, filename: StrPath) -> None:
    """``filename`` holds the pickle of ``obj``, and survives a crash; where it cannot be pickled, the file is as it was."""
    with atomic.replacing(filename, durable=True) as file:
        dump(obj, file)


_own_dump = cloudpickle_dump


def pickle_load(filename: StrPath, *, trust: bool = False) -> Any:
    """The first object of the file; with ``trust`` whoever wrote it.

    Raises:
        UntrustedPickleError: somebody else could have written it.
        CorruptFileError: it ends too early, or holds something else.
    """
    with open_trusted(filename, legacy=True, trust=trust) as file, truncated_as_corrupt(filename):
        return load(file)


class truncated_as_corrupt:  # noqa: N801 - reads as a function
    """Within the block, what unpickling says about a file that is cut short becomes ``CorruptFileError``, naming the file."""

    def __init__(self, path: StrPath) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, (EOFError, UnpicklingError)):
            raise CorruptFileError(
                f"{os.fspath(self._path)!r} is not a whole pickle: {error}. It was cut short (a full disk?) or overwritten."
            ) from error


def describe_unpicklable(obj: object, error: BaseException) -> str:
    """Which part of ``obj`` cannot be pickled: ``"args[0].model._lock: cannot pickle '_thread.lock' object"``.

    Takes at most a few seconds, and names the nearest part that it has found by then.

    Args:
        obj: what was to be pickled.
        error: what pickling it raised.
    """
    from submitit.storage import unpicklable

    if dump_is_replaced():  # who knows what that one can
        return unpicklable.in_a_line(error)
    return unpicklable.describe(obj, error, dump)
