"""The shell that stands around every rank, without a scheduler."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from submitit.slurm import sbatch
from submitit.storage.events import EventDirectory, Marker
from support.calls import wait_for

CHILD = """
import os, signal
def say(number, frame):
    os.write(1, signal.Signals(number).name.encode() + b"\\n")
for name in ("SIGUSR2", "SIGTERM"):
    signal.signal(getattr(signal, name), say)
os.write(1, b"ready\\n")
while True:
    signal.pause()
"""


def _sleeps(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


@pytest.mark.parametrize("shell", ["bash", "sh"])
@pytest.mark.parametrize("told", ["SIGUSR2", "SIGTERM"])
def test_a_signal_is_passed_on_though_another_comes_with_it(tmp_path: Path, shell: str, told: str) -> None:
    """Slurm sends SIGCONT along."""
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    child = tmp_path / "child.py"
    child.write_text(CHILD)
    script = f"{sbatch._shell('USR2')}\nsubmitit_task=0\nsubmitit_rank {sys.executable} -S -u {child}"
    with subprocess.Popen([shell, "-c", script], stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"ready\n"
            for _ in range(20):
                # bash loses a signal that comes in the very moment in which it begins to wait.
                wait_for(lambda: _sleeps(process.pid))
                for name in (told, "SIGCONT"):
                    os.kill(process.pid, getattr(signal, name))
                assert process.stdout.readline() == f"{told}\n".encode()
        finally:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_markers_are_left_and_not_through_links(tmp_path: Path, shell: str) -> None:
    """Their names are known beforehand, and the folder may be shared."""
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    mine = tmp_path / "mine"
    mine.write_text("all my work")
    directory = tmp_path / "events"
    directory.mkdir()
    (directory / "7-0.0.run").symlink_to(mine)
    script = f"set -eu\n{sbatch._shell('USR2')}\nsubmitit_task=0\nsubmitit_rank sh -c 'exit 3'\nsubmitit_mark exit-3"
    env = {**os.environ, "SLURM_JOB_ID": "7", "SLURMD_NODENAME": "n1", "SUBMITIT_EVENTS": str(directory)}
    subprocess.run([shell, "-c", script], env=env, check=True)
    assert mine.read_text() == "all my work"
    events = EventDirectory(directory)
    assert events.scan() == ["7"]
    assert {marker.kind for marker in events.markers("7")} == {"run", "exit-3"}
    assert events.node(Marker("7", "0", 0, "exit-3", 3)) == "n1", "left twice, it names one node"
