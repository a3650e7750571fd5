"""What became of each attempt of a job, by its files alone: nobody is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from submitit.client.attempt import Attempt
from submitit.storage import outcome

if TYPE_CHECKING:
    from submitit.views.entry import JobEntry
    from submitit.views.folder import Folder


def attempts(folder: Folder, entry: JobEntry) -> list[Attempt]:
    """All attempts of a job of the folder, the first one first; none of a job that has not begun.

    Of earlier ones it is known when they began and ended, where, and why another followed, as far as markers, the controller's
    journal and the errors that were set aside say so.
    """
    earlier = folder.earlier_attempts(entry) if entry.attempt else []
    newest = folder.detailed(entry)
    if newest.start is None and not newest.over:
        return earlier
    last = Attempt(
        entry.attempt,
        newest.state,
        node=newest.node,
        exit_code=entry.exit_code,
        start=newest.start,
        end=newest.end,
        cpu_s=newest.cpu_s,
        max_rss_mb=newest.max_rss_mb,
        paths=entry.paths(),
    )
    result = entry.paths().locate("result_pickle")
    told = [one.told_by(outcome.read_footer(outcome.set_aside_path(result, one.number))) for one in earlier]
    return [*told, last]
