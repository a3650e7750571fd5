"""Commands of Slurm behind which there is nobody: `sbatch` takes everything, the others know nothing.

So a client is measured by itself, at numbers of jobs that no small cluster takes; whose endings are written by the test of it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SBATCH = """\
#!/bin/sh
read -r last < "{counter}"
echo $((last + 1)) > "{counter}"
echo "Submitted batch job $((last + 1))"
"""
CONFIGURATION = """\
#!/bin/sh
echo "MaxArraySize = 4000001"
"""
SILENT = """\
#!/bin/sh
exit 0
"""


def environment(directory: Path) -> dict[str, str]:
    """A `PATH` with these commands first, which are made in the directory. For one client: its jobs are counted there."""
    directory.mkdir(parents=True)
    counter = directory / "counter"
    counter.write_text("0\n")
    texts = dict.fromkeys(("sacct", "sacctmgr", "scancel", "sinfo", "squeue", "srun"), SILENT)
    for name, text in {**texts, "sbatch": SBATCH.format(counter=counter), "scontrol": CONFIGURATION}.items():
        command = directory / name
        command.write_text(text)
        command.chmod(0o755)
    return {"PATH": f"{directory}{os.pathsep}{os.environ['PATH']}"}
