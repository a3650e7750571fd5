"""What a job waits for, or has waited for, as its record says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from submitit.views.entry import JobEntry


class Upstream(NamedTuple):
    """A job that another one waits for."""

    job_id: str
    #: Its executor's folder.
    folder: str
    #: Whether it has to have succeeded, not only to have ended.
    success: bool


def upstreams(entry: JobEntry) -> list[Upstream]:
    """The jobs that a job waits for. What no record of this library would say is left out."""
    record: Any = entry.submission
    own = record.get("after_own")
    place = _place(entry) if isinstance(own, list) else None
    listed = own[place] if place is not None and place < len(own) else []
    found = []
    for words, success in ((record.get("after"), True), (listed, True), (record.get("after_any"), False)):
        for word in words if isinstance(words, list) else ():
            job_id, folder = word if isinstance(word, list) and len(word) == 2 else (word, entry.folder)
            if isinstance(job_id, str) and isinstance(folder, str):
                found.append(Upstream(job_id, folder, success))
    return found


def _place(entry: JobEntry) -> int | None:
    """Which of the jobs of its call it is."""
    jobs = entry.submission["jobs"]
    if isinstance(jobs, list):
        return jobs.index(entry.job_id)
    index = entry.job_id.partition("_")[2]
    return int(index) if index.isdecimal() else None
