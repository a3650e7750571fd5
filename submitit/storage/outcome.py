"""The result file of one task.

::

    pickle of ("success", value) or ("error", traceback text)      all that version 1 writes, and reads
    pickle of the exception, itself pickled bytes, or of None
    footer: JSON about the run
    length of the footer (8 bytes), magic number (8 bytes)

The exception is bytes within a pickle, so that a class which does not unpickle costs nothing. Listing tools read the
footer from the end and never unpickle.
"""

from __future__ import annotations

import os
import struct

from submitit.errors import CorruptFileError
from submitit.records import NamedTuple
from submitit.storage import atomic, serialization
from submitit.storage.trust import check_trust

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO

    StrPath = str | os.PathLike[str]

_MAGIC = b"SBMTRES1"
_TAIL = struct.Struct("<Q8s")
#: A footer is a few hundred bytes; a length beyond this is not a length.
_MAX_FOOTER = 1 << 20
#: Exceptions kept of a chain of causes.
_MAX_CHAIN = 20


class Footer(NamedTuple):
    """About one run of one task. What is not known is ``None``."""

    #: Whether the function returned.
    success: bool | None = None
    host: str | None = None
    pid: int | None = None
    #: 0 for the first start of the job, 1 after it was requeued once …
    attempt: int | None = None
    #: Seconds since the epoch.
    start: float | None = None
    end: float | None = None
    #: CPU seconds, user and system, of the process and what it has started.
    cpu_s: float | None = None
    #: The largest resident size, in MB (1024²): of the largest process, or of all that lived when the function returned.
    max_rss_mb: float | None = None
    #: Version of the interpreter: "3.12.1".
    python: str | None = None
    #: Version of this library.
    submitit: str | None = None
    #: Whether the job's policy for failures names what the function raised; ``None`` where there is no policy.
    covered: bool | None = None


#: What a field may hold: a footer that was damaged, or is another program's, says nothing by it.
_KINDS: dict[str, tuple[type, ...]] = {
    "success": (bool,),
    "host": (str,),
    "pid": (int,),
    "attempt": (int,),
    "start": (int, float),
    "end": (int, float),
    "cpu_s": (int, float),
    "max_rss_mb": (int, float),
    "python": (str,),
    "submitit": (str,),
    "covered": (bool,),
}


class Result(NamedTuple):
    """What a result file holds."""

    #: "success" or "error".
    status: str
    #: What the function returned, or the text of the traceback.
    value: Any
    #: What the function raised, with its causes; ``None`` where it did not, or where it does not come through a pickle.
    exception: BaseException | None = None
    #: ``None`` in a file of version 1.
    footer: Footer | None = None


def write_result(
    path: StrPath, outcome: tuple[str, Any], exception: BaseException | None = None, footer: Footer | None = None
) -> None:
    """``path`` holds the outcome and survives a crash of the machine.

    Args:
        path: replaced if it exists.
        outcome: ``("success", value)`` or ``("error", text of the traceback)``.
        exception: left out where it cannot be pickled.
        footer: about the run.

    Raises:
        Exception: whatever pickling the value raises.
        OSError: names ``path``. After any error ``path`` is as it was.
    """
    about = _footer_line(footer or Footer())
    with atomic.replacing(path, durable=True) as file:
        serialization.write(outcome, file)
        file.write(serialization.dumps(None if exception is None else dump_exception(exception)))
        file.write(about)
        file.write(_TAIL.pack(len(about), _MAGIC))


def read_result(path: StrPath, trust: bool = False) -> Result:
    """What the file holds, written by this version or by version 1.

    Args:
        path: a result file.
        trust: load it whoever wrote it.

    Raises:
        FileNotFoundError: and whatever else ``open`` raises.
        UntrustedPickleError: somebody else could have written it.
        CorruptFileError: it is not whole, or holds something else.
        Exception: whatever unpickling the value raises: a missing module, say.
    """
    name = os.fspath(path)
    with open(name, "rb") as file:
        about = _footer_text(file)
        if not trust:
            check_trust(name, file.fileno(), legacy=about is None)
        with serialization.truncated_as_corrupt(name):
            outcome = serialization.load(file)
            pickled = None if about is None else serialization.load(file)
    if not isinstance(outcome, tuple) or len(outcome) != 2 or outcome[0] not in {"success", "error"}:
        raise CorruptFileError(f"{name!r} does not hold a result, but {type(outcome)}.")
    exception = None if pickled is None else load_exception(pickled)
    return Result(outcome[0], outcome[1], exception, None if about is None else _parse_footer(about))


def set_aside_path(result: StrPath, attempt: int) -> str:
    """Where a task whose result file would be ``result`` leaves the error of one attempt, as long as another may follow."""
    return f"{os.fspath(result).removesuffix('_result.pkl')}_attempt_{attempt}.pkl"


def read_footer(path: StrPath) -> Footer | None:
    """The footer; ``None`` for a file of version 1, one that is not there, and anything odd. Nothing is unpickled."""
    try:
        with open(path, "rb") as file:
            about = _footer_text(file)
    except OSError:
        return None
    return None if about is None else _parse_footer(about)


def is_success(path: StrPath) -> bool:
    """Whether a result file says that the function returned. Nothing is unpickled."""
    footer = read_footer(path)
    return _first_words(path)[:1] == ["success"] if footer is None or footer.success is None else footer.success


def read_trace(path: StrPath) -> str | None:
    """The text of the traceback in a result file; ``None`` where the function returned, or there is no such file.

    Nothing is unpickled, so that it does not matter whose file it is, and what the exception's module does at its import.
    """
    words = _first_words(path)
    return words[1] if len(words) == 2 and words[0] == "error" else None


def _first_words(path: StrPath) -> list[str]:
    """The strings that a result file begins with: how the function ended, and of one that raised the traceback."""
    import pickletools

    words: list[str] = []
    try:
        with open(path, "rb") as file:
            for _, argument, _ in pickletools.genops(file):
                if isinstance(argument, str):
                    words.append(argument)
                    if len(words) == 2 or argument != "error":
                        break
    except (OSError, ValueError, EOFError):
        pass  # cut short, or no pickle
    return words


def _footer_line(footer: Footer) -> bytes:
    fields = {key: value for key, value in footer._asdict().items() if value is not None}
    try:
        # `json` imports the regular expressions, and a job that has none by now needs them for nothing else.
        from _json import encode_basestring_ascii as quoted
    except ImportError:  # pragma: no cover - an interpreter without it
        import json

        return json.dumps(fields).encode()
    parts = []
    for key, value in fields.items():
        if isinstance(value, bool):
            text = "true" if value else "false"
        else:
            text = quoted(value) if isinstance(value, str) else repr(value)
        parts.append(f'"{key}": {text}')
    return ("{" + ", ".join(parts) + "}").encode()


def _footer_text(file: BinaryIO) -> bytes | None:
    descriptor = file.fileno()
    size = os.fstat(descriptor).st_size
    tail = os.pread(descriptor, _TAIL.size, max(0, size - _TAIL.size))
    if len(tail) < _TAIL.size:
        return None
    length, magic = _TAIL.unpack(tail)
    start = size - _TAIL.size - length
    if magic != _MAGIC or length > _MAX_FOOTER or start < 0:
        return None
    return os.pread(descriptor, length, start)


def _parse_footer(about: bytes) -> Footer | None:
    import json

    try:
        fields = json.loads(about)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    return Footer(**{key: fields[key] for key, kinds in _KINDS.items() if type(fields.get(key)) in kinds})


def dump_exception(exception: BaseException) -> bytes | None:
    """A list of (how it hangs on the one before, pickle), outermost first, as far as it can be pickled.

    A pickled exception forgets its cause, so the chain is kept beside it.
    """
    chain: list[tuple[str, bytes]] = []
    seen: set[int] = set()
    link, error = "", exception
    while len(chain) < _MAX_CHAIN and id(error) not in seen:
        seen.add(id(error))
        try:
            chain.append((link, serialization.dumps(error)))
        except Exception:  # noqa: BLE001 - an exception may hold anything
            break
        if error.__cause__ is not None:
            link, error = "cause", error.__cause__
        elif error.__context__ is not None and not error.__suppress_context__:
            link, error = "context", error.__context__
        else:
            break
    return serialization.dumps(chain) if chain else None


def load_exception(pickled: bytes) -> BaseException | None:
    """The exception with its causes that ``dump_exception`` was given, as far as they unpickle."""
    first: BaseException | None = None
    last: BaseException | None = None
    try:
        for link, data in serialization.loads(pickled):
            error = serialization.loads(data)
            if not isinstance(error, BaseException):
                break
            if last is None:
                first = error
            elif link == "cause":
                last.__cause__ = error
            else:
                last.__context__ = error
            last = error
    except (Exception, SystemExit):  # noqa: BLE001 - its class is called with what pickle kept of it, and may do anything
        return first
    return first
