"""What a job's journal says of its attempts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from submitit.client.attempt import Attempt
from submitit.local import journals, records
from submitit.storage.journal import read_journal
from submitit.storage.paths import Layout

if TYPE_CHECKING:
    from submitit.local.records import Record
    from submitit.storage.paths import JobPaths


def attempts(root: str, job_id: str, paths: JobPaths, last: Record | None) -> list[Attempt]:
    """All attempts of a job, the first one first; ``last`` is the newest record of the job."""
    source = journals.journal_source(root)
    source.refresh()
    header = source.header(job_id)
    ended: dict[int, Attempt] = {}
    if header is not None:
        lines, _ = read_journal(Layout(root).journals / f"{header.controller}.jsonl")
        for line in lines:
            if line.get("event") == "attempt" and line.get("job") == job_id:
                for record in records.read_line({**line, "event": "state"}):
                    ended[record.attempt] = _attempt(record, paths, str(line.get("again", "")))
    last = last or source.record(job_id)
    if last is not None:
        ended[last.attempt] = _attempt(last, paths, "")
    return [ended[number] for number in sorted(ended)]


def _attempt(record: Record, paths: JobPaths, again: str) -> Attempt:
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
