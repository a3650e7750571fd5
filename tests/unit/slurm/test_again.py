"""What a failed attempt asks Slurm for, and the script in which it does."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

import submitit
from submitit.orchestrator.retry import MoreMemory, MoreTime, Retry
from submitit.slurm import again, queries, sbatch


def shown(**fields: str) -> queries.JobRecord:
    words = {"JobId": "7", "JobState": "RUNNING", **fields}
    return queries.parse_show_job(" ".join(f"{name}={value}" for name, value in words.items()) + "\n")[0]


@pytest.mark.parametrize(
    ("fields", "policy", "settings"),
    [
        ({"MinMemoryNode": "204M"}, MoreMemory(), {"MinMemoryNode": "408"}),
        ({"MinMemoryNode": "2G"}, MoreMemory(factor=1.5), {"MinMemoryNode": "3072"}),
        ({"MinMemoryCPU": "500M"}, MoreMemory(factor=3), {"MinMemoryCPU": "1500"}),
        ({"MinMemoryNode": "200G"}, MoreMemory(up_to_gb=256), {"MinMemoryNode": str(256 * 1024)}),
        ({"MinMemoryNode": "256G"}, MoreMemory(up_to_gb=256), None),
        # 0.2 GB were asked for: what Slurm had rounded down is no reason to ask for a megabyte more.
        ({"MinMemoryNode": "204M"}, MoreMemory(up_to_gb=0.2), None),
        ({"MinMemoryNode": "0"}, MoreMemory(), None),
        ({}, MoreMemory(), None),
    ],
)
def test_more_memory(fields: dict[str, str], policy: MoreMemory, settings: dict[str, str] | None) -> None:
    assert again.more_memory(shown(**fields), Retry(out_of_memory=policy)) == settings


@pytest.mark.parametrize(
    ("limit", "most", "policy", "settings"),
    [
        ("00:05:00", "UNLIMITED", MoreTime(), {"TimeLimit": "10"}),
        ("00:05:00", "", MoreTime(factor=1.1), {"TimeLimit": "6"}),
        ("1-12:00:00", "2-00:00:00", MoreTime(), {"TimeLimit": "2880"}),
        ("2-00:00:00", "2-00:00:00", MoreTime(), None),
        ("01:00:00", "UNLIMITED", MoreTime(up_to_min=90), {"TimeLimit": "90"}),
        ("01:30:00", "UNLIMITED", MoreTime(up_to_min=90), None),
        ("UNLIMITED", "UNLIMITED", MoreTime(), None),
    ],
)
def test_more_time(limit: str, most: str, policy: MoreTime, settings: dict[str, str] | None) -> None:
    partition = {"MaxTime": most} if most else {}
    assert again.more_time(shown(TimeLimit=limit), Retry(timeout=policy), partition) == settings


# ---------------------------------------------------------------- the script


def script_of(folder: Path, **parameters: Any) -> str:
    executor = submitit.SlurmExecutor(folder)
    executor.update_parameters(**parameters)
    return executor.dry_run(print).script


@pytest.mark.parametrize("use_srun", [True, False])
def test_a_job_without_a_policy_has_nothing_of_it(tmp_path: Path, use_srun: bool) -> None:
    script = script_of(tmp_path, use_srun=use_srun)
    for word in ("again", "RETRY", "requeue", "kills", "kill-on-bad-exit"):
        assert word not in script


@pytest.mark.parametrize("use_srun", [True, False])
def test_the_script_of_a_job_with_a_policy(tmp_path: Path, use_srun: bool) -> None:
    name = f"it's $HOME.{Retry.__name__}"
    script = script_of(tmp_path / "a b", use_srun=use_srun, retry=Retry(killed=3), teardown=["echo bye"], job_name=name)
    checked = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "#SBATCH --requeue\n" in script
    assert "export SUBMITIT_RETRY='{\"killed\": 3}'\n" in script
    assert f"-m submitit.slurm.again '{tmp_path}/a b' \"$1\"" in script
    assert ("srun --kill-on-bad-exit=1 --" in script) == use_srun
    assert script.index("echo bye") < script.index("submitit_again ended")
    assert script.count("submitit_before=$(submitit_kills)") == (1 if use_srun else 2)


def test_what_the_user_says_of_requeues_stays(tmp_path: Path) -> None:
    for option in ("requeue", "no-requeue"):
        script = script_of(tmp_path, retry=Retry(), additional_parameters={option: True})
        assert [line for line in script.splitlines() if "requeue" in line] == [f"#SBATCH --{option}"]


@pytest.mark.parametrize("use_srun", [True, False])
def test_the_users_own_lines_stay_as_they_are(tmp_path: Path, use_srun: bool) -> None:
    setup = ["srun --ntasks=1 hostname", "submitit_task=0", 'x; submitit_rank "$@"; exit 1']
    script = script_of(tmp_path, use_srun=use_srun, retry=Retry(), setup=setup, teardown=setup)
    assert script.count("\n" + "\n".join(setup) + "\n") == 2
    assert script.partition("# setup")[0].count("#SBATCH --requeue\n") == 1
    assert ("srun --kill-on-bad-exit=1 --output" in script) == use_srun
    assert "submitit_again begins" in script.partition("# setup")[2]


def test_srun_args_have_the_last_word(tmp_path: Path) -> None:
    script = script_of(tmp_path, retry=Retry(), srun_args=["--kill-on-bad-exit=0"])
    line = next(line for line in script.splitlines() if line.startswith("srun "))
    assert line.index("--kill-on-bad-exit=1") < line.index("--kill-on-bad-exit=0")


def test_another_python_is_looked_at_first(tmp_path: Path) -> None:
    executor = submitit.SlurmExecutor(tmp_path, python="/opt/other/python")
    executor.update_parameters(retry=Retry())
    script = executor.dry_run(print).script
    assert script.index("/opt/other/python -c") < script.index("/opt/other/python -u -m submitit.slurm.again")


def test_a_script_of_somebody_else_is_refused() -> None:
    with pytest.raises(ValueError, match="none of this library's"):
        sbatch.with_retry("#!/bin/bash\nhostname\n", "'{}'", "python")
