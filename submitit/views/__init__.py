"""What is known of jobs without running, asking or unpickling anything of theirs, for people to look at.

``Folder`` is the model: every job below a folder, as journals, markers, result footers and, once, the scheduler tell of it. The
command line, the live views, reports and notebooks render its `JobEntry`s, and none reads those files by itself.
"""

from __future__ import annotations

from submitit import lazy

TYPE_CHECKING = False
if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy.attributes(
        __name__,
        (
            "advice",
            "asked",
            "attempts",
            "causes",
            "colours",
            "entry",
            "folder",
            "report",
            "tally",
            "told",
            "usage",
            "waits",
        ),
        {},
    )
