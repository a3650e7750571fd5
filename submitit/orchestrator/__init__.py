"""The life of a job on both sides of the queue: states, waiting, results; running, signals, checkpoints.

The modules are attributes of this package, loaded when first asked for (PEP 562).
"""

from __future__ import annotations

from submitit import lazy

TYPE_CHECKING = False
if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy.attributes(
        __name__,
        (
            "checkpoint",
            "chunks",
            "collector",
            "dependencies",
            "environment",
            "exits",
            "interruption",
            "logs",
            "notifier",
            "retry",
            "runner",
            "signals",
            "sources",
            "state",
            "tracker",
            "usage",
            "wake",
            "watcher",
        ),
    )
