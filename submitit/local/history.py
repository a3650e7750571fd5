"""What a job's journal says of its attempts."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from submitit.client.attempt import Attempt
from submitit.local import journals, records
from submitit.storage.journal import read_journal
from submitit.storage.paths import Layout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from submitit.local.records import Record
    from submitit.storage.paths import JobPaths


def attempts(root: str, job_id: str, paths: JobPaths, last: Record | None) -> list[Attempt]:
    """All attempts of a job, the first one first; ``last`` is the newest record of the job."""
    source = journals.journal_source(root)
    source.refresh()
    header = source.header(job_id)
    ended: dict[int, Attempt] = {}
    if header is not None:
        for record, again in _ended(Layout(root).locate(f"journal/{header.controller}.jsonl")):
            if record.job == job_id:
                ended[record.attempt] = _attempt(record, paths, again)
    last = last or source.record(job_id)
    if last is not None:
        ended[last.attempt] = _attempt(last, paths, "")
    return [ended[number] for number in sorted(ended)]


def earlier(root: str) -> dict[str, list[Attempt]]:
    """The attempts that were not the last one, of every job below ``root`` that was started again, in their order."""
    found: dict[str, dict[int, Attempt]] = {}
    directory = Layout(root).locate("journal")
    with contextlib.suppress(OSError):
        for name in sorted(os.listdir(directory)):
            for record, again in _ended(os.path.join(directory, name)):
                found.setdefault(record.job, {})[record.attempt] = _attempt(record, None, again)
    return {job_id: [attempts[number] for number in sorted(attempts)] for job_id, attempts in found.items()}


def _ended(journal: str) -> Iterator[tuple[Record, str]]:
    """The attempts that a journal tells of, and why each was followed by another."""
    lines, _ = read_journal(
        journal, choose=lambda lines: [line for line in lines if line.startswith(_ABOUT_AN_ATTEMPT)]
    )
    for line in lines:
        for record in records.read_line({**line, "event": "state"}):
            yield record, str(line.get("again", ""))


#: How the line begins that `Record.write_attempt` makes.
_ABOUT_AN_ATTEMPT = b'{"event":"attempt"'


def _attempt(record: Record, paths: JobPaths | None, again: str) -> Attempt:
    return Attempt(
        number=record.attempt,
        state=record.state,
        again=again,
        node=record.node,
        exit_code=records.worst(record.exits),
        start=record.start or None,
        end=record.end or None,
        cpu_s=record.cpu_s if record.end else None,
        max_rss_mb=record.peak_mb or None,
        paths=paths,
    )
