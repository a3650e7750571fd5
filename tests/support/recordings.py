"""What a real Slurm printed: the files that `tests/golden/slurm/record.py` writes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final, NamedTuple

FOLDER: Final = Path(__file__).resolve().parents[1] / "golden" / "slurm"

_RECORDING: Final = re.compile(
    r"\$ (?P<command>.*?)\n(?P<stdout>.*)--- stderr\n(?P<stderr>.*)--- exit code (?P<code>-?\d+)\n", re.DOTALL
)


def versions() -> list[str]:
    """The versions of Slurm of which there are recordings. None at all is an error."""
    found = sorted(path.name for path in FOLDER.iterdir() if re.match(r"\d+\.\d+", path.name))
    assert found, f"no recordings in {FOLDER}"
    return found


class Recording(NamedTuple):
    """One command that was run, and its answer."""

    command: str
    stdout: str
    stderr: str
    code: int


class Recordings(NamedTuple):
    """All that one version printed. A recording that is missing fails the test."""

    version: str

    def __call__(self, name: str) -> Recording:
        """The recording of that name."""
        match = _RECORDING.fullmatch((FOLDER / self.version / f"{name}.txt").read_text())
        assert match is not None, f"not a recording: {name}"
        return Recording(match["command"], match["stdout"], match["stderr"], int(match["code"]))

    def names(self) -> list[str]:
        """Every recording there is."""
        return sorted(path.stem for path in (FOLDER / self.version).glob("*.txt"))

    def quoting(self, kind: str) -> dict[str, dict[str, str]]:
        """What sbatch read: of texts "written" behind ``#SBATCH --comment=``, or of "values" that `directive` wrote there."""
        loaded: dict[str, dict[str, dict[str, str]]] = json.loads((FOLDER / self.version / "quoting.json").read_text())
        return loaded[kind]

    @property
    def jobs(self) -> dict[str, str]:
        """The id of each scenario."""
        loaded: dict[str, str] = json.loads((FOLDER / self.version / "jobs.json").read_text())
        return loaded
