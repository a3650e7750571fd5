"""Looking after what jobs need: what lies in their folders and what of that can go, and whether all is there to run them.

============== ===========================================================================
inventory      every file of a folder's jobs: what it is, whose, how large
occupancy      the same, summed up
survey         what has to be known before anything goes
cleaning       what can go, decided from what is known
removal        what was decided, done
diagnosis      what was found when something was looked into
machine        looking into this machine and a folder
cluster        looking into Slurm
probe          a test job
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
            "cleaning",
            "cluster",
            "diagnosis",
            "inventory",
            "machine",
            "occupancy",
            "probe",
            "removal",
            "survey",
        ),
        {},
    )
