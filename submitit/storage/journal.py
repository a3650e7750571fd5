"""Append-only records, one JSON object a line, one writer a file.

The journal of a client process holds its submissions, see ``Submission``; that of a local controller every transition of
its jobs.
"""

from __future__ import annotations

import contextlib
import os
import time

from submitit.storage import atomic
from submitit.storage.names import client_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any, TypedDict

    from submitit.storage.paths import Layout

    StrPath = str | os.PathLike[str]

    class ArrayOfJobs(TypedDict):
        """Jobs ``<array>_0`` … ``<array>_<count - 1>``."""

        array: str
        count: int
        #: Index in the payload of the array's element 0.
        first: int

    class Submission(TypedDict, total=False):
        """What one call of ``submit``, ``map_array`` or ``batch`` sent."""

        #: "submitted".
        event: str
        #: Seconds since the epoch.
        time: float
        client: str
        user: str
        host: str
        cwd: str
        git: str | None
        #: The copy of the code that the jobs run in.
        snapshot: str
        python: str
        backend: str
        name: str
        function: str
        parameters: dict[str, Any]
        #: What the executor was made with beside its folder, as far as it is not the default.
        arguments: dict[str, Any]
        jobs: list[str] | ArrayOfJobs
        tasks: int
        #: Where ``jobs`` is a list: index in the payload of the first of them.
        first: int
        #: Name of the file in ``payloads``.
        payload: str
        #: Name of the file there whose calls the jobs share out among themselves, beside their own.
        shares: str
        folder: str
        #: The jobs that these wait for, where they do: see ``orchestrator.dependencies.noted``.
        after: list[Any]
        after_any: list[Any]
        after_own: list[list[Any]]


class Journal:
    """One file, written by one process.

    Args:
        path: made, with its directory, by the first record.
    """

    def __init__(self, path: StrPath) -> None:
        self._path = os.fspath(path)
        self._begun = False

    @property
    def path(self) -> str:
        """The file."""
        return self._path

    def append(self, record: Mapping[str, Any]) -> None:
        """Adds one line, in one write. What JSON does not know is written as its ``str``.

        Raises:
            OSError: names the file, which is as it was.
        """
        import json

        line = json.dumps(record, separators=(",", ":"), default=str).encode() + b"\n"
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        # Opened for each record: somebody may have cleaned the folder in between, and this is not a hot path.
        try:
            descriptor = os.open(self._path, flags, atomic.FILE_MODE)
        except FileNotFoundError:
            atomic.make_directory(os.path.dirname(self._path))
            descriptor = os.open(self._path, flags, atomic.FILE_MODE)
        try:
            size = os.fstat(descriptor).st_size
            if not self._begun and size and os.pread(descriptor, 1, size - 1) != b"\n":
                # A predecessor of the same name was killed in mid-line.
                line = b"\n" + line
            try:
                written = os.write(descriptor, line)
                if written < len(line):
                    written += os.write(descriptor, line[written:])
                if written < len(line):
                    raise OSError(28, os.strerror(28))
            except OSError as error:
                os.ftruncate(descriptor, size)
                error.filename = self._path
                raise
            self._begun = True
        finally:
            os.close(descriptor)


def read_journal(
    path: StrPath, offset: int = 0, most: int = -1, choose: Callable[[list[bytes]], list[bytes]] = list
) -> tuple[list[dict[str, Any]], int]:
    """The records from a byte offset on, of about ``most`` bytes if that is given, and the offset to go on from.

    A line that has no end yet is left for the next call; one that is not a JSON object is skipped, and so is one that ``choose``
    leaves out. No such file: no records.
    """
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            data = file.read(most)
            while most > 0 and b"\n" not in data and (more := file.read(most)):
                data += more
    except FileNotFoundError:
        return [], offset
    *lines, rest = data.split(b"\n")
    return _parsed(choose(lines)), offset + len(data) - len(rest)


def _parsed(lines: list[bytes]) -> list[dict[str, Any]]:
    import json

    try:
        records = json.loads(b"[%b]" % b",".join(lines))  # one call for all takes half the time
    except (ValueError, RecursionError):  # the latter for a line that is brackets alone
        records = []
    if len(records) != len(lines):
        records = []
        for line in lines:
            with contextlib.suppress(ValueError, RecursionError):
                records.append(json.loads(line))
    return [record for record in records if isinstance(record, dict)]


def find_client(layout: Layout, job_id: str) -> str | None:
    """The name of the client that submitted a job, which names its journal and its events directory; ``None`` if no journal says."""
    found = _index_of(layout).find(job_id)
    return None if found is None else found[0]


def find_submission(layout: Layout, job_id: str, *, trust: bool = True) -> Submission | None:
    """The record of the call that submitted a job; ``None`` if no journal holds it.

    Without ``trust`` it raises ``UntrustedPickleError`` where somebody else could have written it: for who does what it says.
    """
    found = _index_of(layout).find(job_id)
    if found is None:
        return None
    client, offset = found
    for record, _ in _records(layout.locate(f"journal/{client}.jsonl"), offset, trust=trust):
        submission: Submission | None = record  # type: ignore[assignment]
        return submission
    return None


def payload_index(submission: Submission, job_id: str) -> int:
    """Which element of the submission's payload a job of it runs; ``ValueError`` for a job that is not of it."""
    jobs = submission["jobs"]
    if not isinstance(jobs, dict):
        return submission.get("first", 0) + jobs.index(job_id)
    array, _, index = job_id.partition("_")
    if array != jobs["array"] or not index.isdecimal() or int(index) >= jobs["count"]:
        raise ValueError(f"{job_id} is not a job of array {jobs['array']} with {jobs['count']} elements")
    return jobs.get("first", 0) + int(index)


def _named_in(record: dict[str, Any]) -> list[str]:
    """The jobs, or the array, that a record tells of; none where it is not what this library writes."""
    jobs, first, payload = record.get("jobs"), record.get("first", 0), record.get("payload", "")
    if not isinstance(first, int) or not isinstance(payload, str) or "/" in payload:
        return []
    if isinstance(jobs, dict):
        jobs = [jobs.get("array")] if type(jobs.get("count")) is type(jobs.get("first", 0)) is int else None
    return jobs if isinstance(jobs, list) and all(isinstance(job, str) for job in jobs) else []


def _records(
    path: str, offset: int, word: bytes = b"", *, trust: bool = True
) -> Iterator[tuple[dict[str, Any] | None, int]]:
    """Each whole line from an offset on: what it holds, and where the next begins.

    ``None`` for what is not a record, or does not have the word in it.
    """
    import json

    try:
        file = open(path, "rb")  # noqa: SIM115 - closed by the block below
    except FileNotFoundError:
        return
    with file:
        if not trust:
            from submitit.storage.trust import check_trust

            check_trust(path, file.fileno(), danger="A job that is submitted as it says does what it says")
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            try:
                record = json.loads(line) if word in line else None
            except (ValueError, RecursionError):
                record = None
            yield record if isinstance(record, dict) else None, offset


# ---------------------------------------------------------------- who submitted what

_indexes: dict[str, _Index] = {}


def _index_of(layout: Layout) -> _Index:
    directory = layout.locate("journal")
    index = _indexes.get(directory)
    if index is None:
        index = _indexes[directory] = _Index(directory)
    return index


class _Index:
    """Where each job's record is, over all journals of a folder; every line is read once."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        # By job id, or id of the array: the client, and the offset of the line in its journal.
        self._places: dict[str, tuple[str, int]] = {}
        self._read_to: dict[str, int] = {}
        self._not_before = float("-inf")

    def find(self, job_id: str) -> tuple[str, int] | None:
        array = job_id.partition("_")[0]
        keys = (job_id, array)
        found = self._look_up(keys)
        if found is None:
            self._read(client_name())
            found = self._look_up(keys)
        if found is None and time.monotonic() >= self._not_before:
            found = self._read_others(keys)
        return found

    def _look_up(self, keys: tuple[str, str]) -> tuple[str, int] | None:
        for key in keys:
            if key in self._places:
                return self._places[key]
        return None

    def _read_others(self, keys: tuple[str, str]) -> tuple[str, int] | None:
        """Newest client first (names begin with their time), and no further than needed."""
        start = time.monotonic()
        try:
            names = os.listdir(self._directory)
        except OSError:
            return None
        for name in sorted(names, reverse=True):
            if name.endswith(".jsonl"):
                self._read(name.removesuffix(".jsonl"))
                found = self._look_up(keys)
                if found is not None:
                    return found
        # Jobs that no journal knows (of version 1, say) are asked for again and again: a tenth of the time for them.
        now = time.monotonic()
        self._not_before = now + 9 * (now - start)
        return None

    def _read(self, client: str) -> None:
        path = os.path.join(self._directory, client + ".jsonl")
        begin = self._read_to.get(client, 0)
        try:
            if os.stat(path).st_size <= begin:
                return
        except OSError:
            return
        for record, end in _records(path, begin, b'"submitted"'):
            if record is not None and record.get("event") == "submitted":
                for key in _named_in(record):
                    # Ids come round again after years; the client that came last means the living one.
                    if key not in self._places or self._places[key][0] <= client:
                        self._places[key] = (client, begin)
            begin = self._read_to[client] = end
