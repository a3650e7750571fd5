"""Environment variables for processes that are started from inside a job."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from submitit import environ

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: Removed beyond what a submission drops by itself: here the user asks for an environment as if there were no job.
_PREFIXES = ("SBATCH_", "SUBMITIT_")


@contextlib.contextmanager
def clean_env(extra_names: Sequence[str] = ()) -> Iterator[None]:
    """For the time of the block, remove what Slurm, this library and torch set in a job, and the variables ``extra_names``.

    What was removed is as before afterwards; what the block itself changes besides stays changed. Variables that say how to
    reach the cluster (``SLURM_CONF``) are not removed. For submitting from inside a job, or starting ``srun`` and ``torchrun`` there.
    """
    removed = {
        name: os.environ.pop(name)
        for name in list(os.environ)
        if name in extra_names or name.startswith(_PREFIXES) or environ.inherited(name)
    }
    try:
        yield
    finally:
        os.environ.update(removed)
