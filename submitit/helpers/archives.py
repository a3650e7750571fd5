"""Copies of code, as version 1 offers them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    StrPath = str | os.PathLike[str]


def archive_dev_folders(folders: Sequence[StrPath], outfile: StrPath | None = None) -> Path:
    """Pack folders into a ``.tar.gz`` file, each under its own name, and return the file's path."""
    import tarfile

    path = Path("_dev_folders_.tar.gz" if outfile is None else outfile)
    assert path.name.endswith(".tar.gz"), "Archive file must have extension .tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for folder in folders:
            archive.add(str(folder), arcname=Path(folder).name)
    return path


def copy_par_file(par_file: StrPath, folder: StrPath) -> Path:
    """Copy a file into a folder, which is made if it is missing, and return the copy's path."""
    import shutil

    os.makedirs(folder, exist_ok=True)
    target = Path(folder) / Path(par_file).name
    shutil.copy2(par_file, target)
    return target
