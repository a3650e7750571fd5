"""Every path, every pickle, every byte on disk.

============== ===========================================================================
paths          where the files of a job and of a folder lie
submission     the pickled call
payload        the file of one submission, or of an array (``sharing``, ``output``: writing it)
outcome        the result file
calls          how the calls of a map end, while their job goes on
claims         which job has taken which of several pieces of work
cleanings      which jobs were cleaned away
events         marker files that say "look now"
journal        append-only records of what was submitted
serialization  objects to bytes and back; the only importer of cloudpickle
unpicklable    which part of an object cannot be pickled
trust          whose pickles are loaded
atomic         files that appear whole or not at all
names          words that are unique to a host, a process and a moment
============== ===========================================================================

The modules are attributes of this package, loaded when first asked for (PEP 562).
"""

from __future__ import annotations

from submitit import lazy

TYPE_CHECKING = False
if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy.attributes(
        __name__,
        (
            "atomic",
            "calls",
            "claims",
            "cleanings",
            "events",
            "journal",
            "names",
            "outcome",
            "output",
            "paths",
            "payload",
            "serialization",
            "sharing",
            "submission",
            "trust",
            "unpicklable",
        ),
    )
