"""Looking after folders of jobs: what lies in them, and what of that can go.

============== ===========================================================================
inventory      every file of a folder's jobs: what it is, whose, how large
occupancy      the same, summed up
survey         what has to be known before anything goes
cleaning       what can go, decided from what is known
removal        what was decided, done
============== ===========================================================================

The modules are attributes of this package, loaded when first asked for (PEP 562).
"""

from __future__ import annotations

from submitit import lazy

TYPE_CHECKING = False
if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy.attributes(__name__, ("cleaning", "inventory", "occupancy", "removal", "survey"), {})
