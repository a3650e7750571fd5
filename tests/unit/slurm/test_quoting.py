"""Hostile names, paths, values and lines through the script to a real shell: nothing but the intended value arrives."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import submitit
from submitit.slurm.environment import SlurmJobEnvironment
from support import calls, hostile

#: Takes the place of srun and of Python: writes down its words, one after the other, and its variables.
RECORDER = """#!/bin/sh
[ "$1" != -c ] || exit 0
for word do printf '%s\\0' "$word"; done > "$RECORDS/${0##*/}.words"
env -0 > "$RECORDS/${0##*/}.env"
mkdir -p "$RECORDS/${0##*/}.seen"
if [ "${0##*/}" = srun ]; then while [ "$1" != sh ]; do shift; done; exec "$@"; fi
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "bin"
    directory.mkdir()
    for name in ("srun", "a python"):
        (directory / name).write_text(RECORDER)
        (directory / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    return directory


def words(directory: Path, name: str) -> list[str]:
    return os.fsdecode((directory / f"{name}.words").read_bytes()).split("\0")[:-1]


def variables(directory: Path, name: str) -> dict[str, str]:
    entries = os.fsdecode((directory / f"{name}.env").read_bytes()).split("\0")[:-1]
    return dict(entry.split("=", 1) for entry in entries)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    folder=hostile.names,
    name=hostile.lines,
    setup=hostile.values,
    argument=hostile.lines,
    events=hostile.names,
    use_srun=st.booleans(),
)
@example(folder="a", name="b", setup="c\n#SBATCH --hold\n#! d", argument="e", events="f", use_srun=True)
def test_nothing_but_the_intended_value_arrives(
    programs: Path,
    monkeypatch: pytest.MonkeyPatch,
    folder: str,
    name: str,
    setup: str,
    argument: str,
    events: str,
    use_srun: bool,
) -> None:
    with tempfile.TemporaryDirectory() as made, monkeypatch.context() as patch:
        root = Path(made, "root")
        cwd = root / "cwd"
        cwd.mkdir(parents=True)
        patch.chdir(cwd)
        patch.setenv("RECORDS", made)
        patch.setattr("submitit.environ.import_path", lambda: events)
        executor = submitit.SlurmExecutor(root / folder / "%j", python=shlex.quote(str(programs / "a python")))
        executor.update_parameters(
            job_name=name,
            comment=name,
            use_srun=use_srun,
            srun_args=[f"--comment={argument}"],
            setup=[f"export SETUP={shlex.quote(setup)}"],
            additional_parameters={"wckey": argument},
        )
        executor._layout().make()
        script = executor.dry_run(calls.add, 1, 2).script
        env = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "SUBMITIT"))}
        done = subprocess.run(
            ["bash", "-c", script],
            env={**env, "SLURM_JOB_ID": "7", "SLURM_PROCID": "0"},
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=20,
            check=False,
        )
        assert done.returncode == 0, (script, done.stderr)
        assert done.stderr == b""
        folder_ = str(root / folder / "%j")
        assert words(Path(made), "a python") == ["-u", "-m", "submitit.core._submit", folder_]
        seen = variables(Path(made), "a python")
        assert seen["SETUP"] == setup
        assert seen["SUBMITIT_IMPORT_PATH"] == events
        assert seen["SUBMITIT_PAYLOAD"].startswith(f"{root / folder}/.submitit/payloads/")
        assert seen["SUBMITIT_EVENTS"].startswith(f"{root / folder}/.submitit/events/")
        if use_srun:
            given_ = words(Path(made), "srun")
            pattern = f"{root}/{folder}".replace("%", "%%")
            options = given_[: given_.index("sh")]
            assert f"--comment={argument}" in options
            if "\\" not in folder:
                assert options[options.index("--output") + 1] == f"{pattern}/7/7_%t_log.out"
        # The job's folder is made, and nothing else anywhere.
        assert [path for path in root.rglob("*") if path.name == hostile.CANARY and hostile.CANARY not in folder] == []
        assert {path.name for path in root.iterdir()} == {"cwd", folder}
        assert list(cwd.iterdir()) == []
        assert {path.name for path in (root / folder).iterdir()} <= {"7", ".submitit"}


@pytest.mark.parametrize("name", ["job_name", "comment", "partition", "account", "wckey"])
@pytest.mark.parametrize("value", ["a\nb", "a\n#SBATCH --hold", "a\r", "a\0"])
def test_a_value_of_two_lines_is_refused(programs: Path, tmp_path: Path, name: str, value: str) -> None:
    executor = submitit.SlurmExecutor(tmp_path / "jobs")
    with pytest.raises(ValueError, match="has to be one line"):
        executor.update_parameters(**{name: value})
        executor.dry_run(calls.add, 1, 2)


def test_a_folder_of_two_lines_is_refused(programs: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has to be one line"):
        submitit.SlurmExecutor(tmp_path / "a\n#SBATCH --hold").dry_run(calls.add, 1, 2)


def test_what_is_no_signal_is_refused(programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands in the script where nothing can be quoted."""
    monkeypatch.setattr(SlurmJobEnvironment, "USR_SIG", f"USR2'; touch {hostile.CANARY}; '")
    with pytest.raises(ValueError, match="SUBMITIT_PREEMPT_SIGNAL"):
        submitit.SlurmExecutor(tmp_path / "jobs").dry_run(calls.add, 1, 2)
