"""The nouns that a user holds: executors, parameters, jobs. Everything here is loaded when it is first asked for."""

from __future__ import annotations

from submitit import lazy

TYPE_CHECKING = False
if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy.attributes(
        __name__,
        (
            "attempt",
            "auto",
            "awaitable",
            "batch",
            "cancelling",
            "dependencies",
            "dry_run",
            "executor",
            "formatter",
            "futures",
            "job",
            "joblib",
            "map_results",
            "mapping",
            "notebook",
            "packed",
            "parameters",
            "resubmission",
            "summary",
            "throttling",
            "waiting",
        ),
    )
