"""Distributions that tests install: what an installer leaves behind, made without one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from submitit import plugins

QUEUE_PLUGIN = Path(__file__).with_name("queue_plugin")


def install(
    site: Path, name: str, files: Sequence[Path], entry_points: Mapping[str, str], version: str = "1.0"
) -> None:
    """Copy modules into ``site`` and register the distribution ``name`` there, with its entry points for submitit.

    Several of one entry point's name are told apart by trailing blanks, which are no part of it.
    """
    site.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copy(file, site)
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "INSTALLER").write_text("tests\n")
    lines = [f"{key.strip()} = {value}" for key, value in entry_points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[submitit]", *lines, ""]))
    names = [*(file.name for file in files), *(f"{info.name}/{path.name}" for path in info.iterdir())]
    (info / "RECORD").write_text("".join(f"{entry},,\n" for entry in [*names, f"{info.name}/RECORD"]))


@contextmanager
def on_path(site: Path) -> Iterator[None]:
    """For the time of the block, what ``site`` holds is installed: here, and in the processes that start meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        patch.setenv("PYTHONPATH", str(site), prepend=":")
        known = set(sys.modules)
        forget_plugins()
        try:
            yield
        finally:
            forget_plugins()
            for module in set(sys.modules) - known:
                if str(getattr(sys.modules[module], "__file__", "")).startswith(f"{site}/"):
                    del sys.modules[module]


def forget_plugins() -> None:
    """Let the entry points be scanned anew when they are next needed."""
    for cached in (plugins._get_plugins, plugins.get_executors, plugins.get_job_environments):
        cached.cache_clear()


@contextmanager
def queue_plugin_installed(directory: Path) -> Iterator[Path]:
    """The third-party backend ``queue`` is installed, its scheduler has a directory, and none of its jobs is left."""
    site, queue = directory / "site", directory / "queue"
    queue.mkdir(parents=True)
    files = [QUEUE_PLUGIN / "submitit_queue.py", QUEUE_PLUGIN / "queue.sh"]
    offers = {"executor": "submitit_queue:QueueExecutor", "job_environment": "submitit_queue:QueueJobEnvironment"}
    install(site, "submitit-queue", files, offers)
    with on_path(site), pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUBMITIT_TEST_QUEUE", str(queue))
        # The queue hands the environment on, and nothing else: its jobs import the tests' functions as well.
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=":")
        try:
            yield queue
        finally:
            for job in queue.iterdir():
                if not (job / "exit").exists():
                    subprocess.run([site / "queue.sh", "cancel", job.name], check=True)
