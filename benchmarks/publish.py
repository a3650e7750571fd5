"""Writes docs/performance.json, and from it the picture and the tables of docs/performance.md.

python benchmarks/publish.py                     # from what is published already
python benchmarks/publish.py .build/bench.json   # with these results in the place of older ones
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import page
import picture
import results

if TYPE_CHECKING:
    from collections.abc import Mapping

    from results import Group

DOCS = Path(__file__).resolve().parents[1] / "docs"


def publish(fresh: Mapping[str, Group]) -> None:
    """A group that was measured anew takes the place of the older one; the others stay as they are."""
    data, text, drawing = (DOCS / f"performance.{suffix}" for suffix in ("json", "md", "svg"))
    groups = {**results.read(data), **fresh}
    results.write(data, groups)
    drawing.write_text(picture.draw(groups))
    text.write_text(page.fill(text.read_text(), groups))
    print(f"written: {data}, {drawing}, {text}")


if __name__ == "__main__":
    publish({name: group for path in sys.argv[1:] for name, group in results.read(Path(path)).items()})
