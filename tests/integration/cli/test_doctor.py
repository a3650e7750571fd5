"""What the real command finds out about this machine, and about a Slurm that is absent, hangs or refuses."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from submitit.upkeep import cluster, machine
from submitit.upkeep.diagnosis import Level, ask
from support import users
from support.command import Command
from support.shims import Shims, only_on_path

SLURM = ("sbatch", "squeue", "scontrol", "scancel", "srun", "sacct", "sacctmgr", "sinfo")


def by_topic(told: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {finding["topic"]: finding for finding in told}


def test_without_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only_on_path(monkeypatch, tmp_path / "path", *SLURM)
    folder = tmp_path / "jobs" / "%j"
    told = by_topic(Command().answer("doctor", folder, "--submit"))
    assert "not here" in told["Slurm"]["found"]
    assert told["folder"]["found"].startswith(f"{tmp_path / 'jobs'} (not there yet")
    assert told["test job"]["level"] == told["folder on node"]["level"] == told["clock of node"]["level"] == "ok"
    assert not (tmp_path / "jobs").exists() or os.listdir(tmp_path / "jobs") == []
    text = Command()("doctor", folder).out
    assert "Jobs run on this machine: cluster='local'." in text
    assert max(map(len, text.splitlines())) <= 100


def test_a_slurm_that_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shims = Shims(tmp_path / "shims", monkeypatch)
    for name in SLURM:
        shims.put(name).fail("slurm_load_ctl_conf error: Unable to contact slurm controller (connect failure)")
    told = by_topic(Command().answer("doctor", tmp_path, code=1))
    assert told["Slurm"]["level"] == "error"
    assert "Unable to contact slurm controller" in told["Slurm"]["found"]


def test_a_slurm_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a child that holds the pipes, as a site's wrapper has."""
    go = tmp_path / "gone"
    Shims(tmp_path / "shims", monkeypatch).put("scontrol", f"sleep 600 & echo $! > {go}; wait")
    began = time.monotonic()
    answer = ask(["scontrol", "show", "config"], 1.0)
    assert answer.problem == "scontrol did not answer within 1 s"
    assert time.monotonic() - began < 60
    assert not Path(f"/proc/{go.read_text().strip()}/exe").exists()


def test_commands_that_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only_on_path(monkeypatch, tmp_path / "path", *SLURM)
    Shims(tmp_path / "shims", monkeypatch).put("sbatch", "exit 1")
    found = {finding.topic: finding for finding in cluster.examine()}
    assert {topic for topic, finding in found.items() if finding.level is Level.ERROR} == {
        "squeue",
        "scontrol",
        "scancel",
        "srun",
    }


@pytest.mark.skipif(not users.can_make_users(), reason="takes root, to be somebody else for once")
def test_a_folder_that_is_not_the_users(tmp_path: Path) -> None:
    with users.ordinary_user() as user:
        theirs = user.new_directory()
        program = (
            "import sys; from submitit.upkeep import machine\n"
            "for one in machine.folder(sys.argv[1], for_nodes=False): print(one.topic, one.level.value, one.found)"
        )
        import sys

        done = user.run([sys.executable, "-c", program, str(theirs / "jobs")])
        assert done.stdout == f"folder error {theirs} cannot be written to by you\n"
    (tmp_path / "file").touch()
    (found,) = machine.folder(str(tmp_path / "file"), for_nodes=False)
    assert found.level is Level.ERROR


def test_a_disk_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = os.statvfs_result((4096, 4096, 1000, 0, 0, 10, 5, 5, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda path: full)
    found = {finding.topic: finding for finding in machine.folder(str(tmp_path), for_nodes=False)}
    assert found["free space"].level is Level.ERROR


def test_clocks() -> None:
    assert machine.clock("clock", "node", 100.0, 99.0, 101.0).level is Level.OK
    ahead = machine.clock("clock", "node", 130.0, 99.0, 101.0)
    assert (ahead.level, ahead.found) == (Level.WARNING, "the node's is 29.0 s ahead of this machine's")
    assert "behind" in machine.clock("clock", "node", 90.0, 99.0, 101.0).found


@pytest.mark.parametrize(
    "settings, level, said",
    [
        ({"PreemptMode": "REQUEUE", "JobRequeue": "1"}, Level.OK, "run again by themselves"),
        ({"PreemptMode": "GANG,REQUEUE", "JobRequeue": "0"}, Level.WARNING, "slurm_requeue=True"),
        ({"PreemptMode": "CANCEL", "JobRequeue": "1"}, Level.WARNING, "lost unless"),
        ({"PreemptMode": "SUSPEND,GANG", "JobRequeue": "1"}, Level.OK, "stand still"),
        ({"PreemptMode": "OFF", "JobRequeue": "1"}, Level.OK, "No job is preempted"),
    ],
)
def test_what_preemption_means(settings: dict[str, str], level: Level, said: str) -> None:
    from submitit.slurm import limits

    text = "".join(f"{name} = {value}\n" for name, value in settings.items())
    found = next(cluster.endings(limits.parse_config(text), settings))
    assert found.level is level
    assert said in found.meaning


def test_what_partitions_mean() -> None:
    text = (
        "PartitionName=gpu AllowGroups=ALL Default=NO MaxTime=UNLIMITED DefaultTime=NONE TotalNodes=4 State=UP GraceTime=60\n"
        "PartitionName=main Default=YES MaxTime=1-00:00:00 DefaultTime=01:00:00 TotalNodes=2 State=DOWN PreemptMode=REQUEUE\n"
    )
    first, second = cluster.partition_findings(text)
    assert first.topic == "partition main (default)"
    assert first.level is Level.ERROR
    assert first.found == "DOWN: 2 nodes, up to 1-00:00:00, 01:00:00 by default, preempted by requeue"
    assert second.found == "4 nodes, no time limit, 60 s of grace before a preemption"
    (none,) = cluster.partition_findings("No partitions in the system\n")
    assert none.level is Level.WARNING


def test_wrong_use(tmp_path: Path) -> None:
    done = Command()("doctor", "--cluster", "local", code=2)
    assert "give --submit as well" in done.err


def test_what_is_asked_ends_with_ctrl_c(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import signal
    import sys

    only_on_path(monkeypatch, tmp_path / "path", *SLURM)
    words = [
        sys.executable,
        "-m",
        "submitit",
        "doctor",
        str(tmp_path / "jobs"),
        "--submit",
        "-P",
        'local_setup=["sleep 600"]',
    ]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as asked:
        assert asked.stderr is not None
        assert "Ctrl-C cancels it" in asked.stderr.readline()
        asked.send_signal(signal.SIGINT)
        asked.communicate(timeout=60)
    assert asked.returncode == 130
    assert os.listdir(tmp_path / "jobs") == []
