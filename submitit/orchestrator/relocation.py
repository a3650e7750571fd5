"""Run from a copy of the code what would run from the work tree."""

from __future__ import annotations

import os
import sys


def run_from(copy: str, root: str) -> None:
    """What ``sys.path`` has below ``root`` it has below ``copy`` instead, where that has the same directory.

    So have the finders of packages that setuptools has installed as editable, and so does the working directory, which some
    schedulers set by themselves. What git does not track, a virtual environment for one, is imported from where it lies.
    """
    here = os.getcwd()
    if _moved(here, copy, root) != here:
        os.chdir(_moved(here, copy, root))
    for index, entry in enumerate(sys.path):
        sys.path[index] = _moved(entry, copy, root)
    for finder in sys.meta_path:
        mapping = getattr(sys.modules.get(getattr(finder, "__module__", "")), "MAPPING", None)
        if isinstance(mapping, dict) and getattr(finder, "__name__", "") == "_EditableFinder":
            mapping.update({name: _moved(place, copy, root) for name, place in mapping.items()})


def _moved(place: str, copy: str, root: str) -> str:
    real = os.path.realpath(place)
    # The copy itself may lie in the work tree.
    if not f"{real}/".startswith(f"{root}/") or f"{real}/".startswith(f"{os.path.realpath(copy)}/"):
        return place
    moved = os.path.normpath(os.path.join(copy, os.path.relpath(real, root)))
    return moved if os.path.exists(moved) else place
