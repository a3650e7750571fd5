"""A copy of the code to run jobs from, which later edits do not reach."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from submitit import commands, plugins
from submitit.storage import journal, snapshots
from submitit.storage.paths import layout_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from submitit.client.job import Job


class RsyncSnapshot:
    """Within the block the working directory is a copy of the git work tree; jobs submitted there run its code.

    The copy holds the files that git tracks, with their uncommitted changes.

    Raises ``RuntimeError`` without rsync.

    Parameters
    ----------
    snapshot_dir: Path
        where the copy is made
    root_dir: Path, optional
        the work tree; default: the one around the working directory
    with_submodules: bool
        copy the files of submodules too
    exclude: sequence of str
        patterns of rsync (``*.csv``): tracked files to leave out
    include: sequence of str
        paths below ``root_dir`` to copy beside the tracked files
    """

    def __init__(
        self,
        snapshot_dir: Path,
        root_dir: Path | None = None,
        with_submodules: bool = False,
        exclude: Sequence[str] = (),
        include: Sequence[str] = (),
    ) -> None:
        self.available(throw=True)
        self.snapshot_dir = Path(snapshot_dir)
        self.root_dir = Path(
            commands.query(["git", "rev-parse", "--show-toplevel"]).strip() if root_dir is None else root_dir
        )
        self.original_dir = Path.cwd()
        self.with_submodules = with_submodules
        self.exclude = exclude
        self.include = include

    @staticmethod
    def available(throw: bool = False) -> bool:
        """Whether there is an rsync on PATH; ``throw`` raises ``RuntimeError`` where there is none."""
        found = commands.which("rsync") is not None
        if throw and not found:
            raise RuntimeError("RsyncSnapshot requires rsync to be installed.")
        return found

    def __enter__(self) -> None:
        self.original_dir = Path.cwd()
        if not self.snapshot_dir.exists():
            self._clone()
        self._copy(self._tracked(), self.exclude)
        if self.include:
            self._copy(self.include, ())
        os.chdir(self.snapshot_dir)

    def __exit__(self, *args: object) -> None:
        os.chdir(self.original_dir)

    def _clone(self) -> None:
        """Make the copy a work tree of its own, at the same commit: jobs may ask git what they run."""
        self.snapshot_dir.parent.mkdir(parents=True, exist_ok=True)
        commands.query(["git", "clone", "--quiet", "--no-checkout", str(self.root_dir), str(self.snapshot_dir)])
        if commands.query(["git", "-C", str(self.root_dir), "for-each-ref", "--count=1"]).strip():
            commands.query(["git", "-C", str(self.snapshot_dir), "read-tree", "HEAD"])

    def _tracked(self) -> list[str]:
        listing = ["git", "-C", str(self.root_dir), "ls-files", "-z"]
        if self.with_submodules:
            listing.append("--recurse-submodules")
        names = commands.query(listing).split("\0")
        return [name for name in names if name and self._is_file(name)]

    def _is_file(self, name: str) -> bool:
        """A file that git tracks may have been deleted, and a submodule is listed as its directory."""
        path = self.root_dir / name
        return path.is_file() or path.is_symlink()

    def _copy(self, names: Iterable[str], exclude: Sequence[str]) -> None:
        self.snapshot_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", errors="surrogateescape") as listing:
            listing.write("".join(f"{name}\0" for name in names))
            listing.flush()
            options = [f"--exclude={pattern}" for pattern in exclude]
            source, target = f"{self.root_dir}/", f"{self.snapshot_dir}/"
            commands.call(["rsync", "-a", "-r", "--from0", f"--files-from={listing.name}", *options, source, target])


RsyncSnapshot.__module__ = "submitit.helpers"


def clean_snapshots(folder: str | os.PathLike[str], days: float = 7.0) -> list[Path]:
    """Remove the snapshots below a folder of jobs from which nothing was submitted for so many days, and return their paths.

    One whose jobs are not all known to be over stays: a job is over when its result is there, or its scheduler says so. What jobs
    have written into a snapshot is not removed: it is left in a directory beside, which a log record names.
    """
    layout = layout_of(folder)
    unused_since = time.time() - days * 86400
    old = {path for path, last_use in snapshots.listed(layout.snapshots) if last_use <= unused_since}
    for file in layout.journals.glob("*.jsonl") if old else ():
        for record in journal.read_journal(file)[0]:
            if record.get("snapshot") in old and not all(_is_over(job) for job in _jobs(record)):
                old.remove(record["snapshot"])
    for path in sorted(old):
        left = snapshots.remove(path, unused_since)
        if left is not None:
            from submitit import log

            log.get_logger().warning("Jobs have written into the snapshot %s: their files are kept in %s", path, left)
    return [Path(path) for path in sorted(old) if not os.path.exists(path)]


def _jobs(record: dict[str, Any]) -> Iterator[Job[Any] | None]:
    """Handles of what a submission sent; ``None`` for those of a backend that is not installed."""
    try:
        job_class = plugins.executor_class(record["backend"]).job_class
    except ValueError:
        yield None
        return
    jobs = record["jobs"]
    ids = (f"{jobs['array']}_{index}" for index in range(jobs["count"])) if isinstance(jobs, dict) else iter(jobs)
    for job_id in ids:
        yield job_class(folder=record["folder"], job_id=job_id, tasks=list(range(record["tasks"])))


def _is_over(job: Job[Any] | None) -> bool:
    if job is None:
        return False
    tasks = [job.task(number) for number in range(job.num_tasks)]
    return all(task.paths.result_pickle.exists() for task in tasks) or job.done()
