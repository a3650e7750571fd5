"""The embedded scheduler: jobs on this machine, and the debug executor that runs them in this process.

The modules are attributes of this package, loaded when first asked for (PEP 562).
"""

from __future__ import annotations

from submitit import lazy

TYPE_CHECKING = False
if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy.attributes(
        __name__,
        (
            "_local",
            "boot",
            "connection",
            "controller",
            "debug",
            "dependencies",
            "environment",
            "failures",
            "forked",
            "history",
            "ids",
            "job",
            "jobs",
            "journals",
            "leases",
            "local",
            "marks",
            "memory_kills",
            "nurseries",
            "nursery",
            "processes",
            "protocol",
            "records",
            "requests",
            "resources",
            "roots",
            "scheduler",
            "signalling",
            "supervisor",
            "tasks",
            "usage",
            "version_1",
            "watcher",
        ),
    )
