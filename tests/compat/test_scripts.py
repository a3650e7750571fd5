"""What of the batch script code written for 1.x relies on: it reads it, adds to it and compares it."""

from __future__ import annotations

import inspect
import subprocess
from pathlib import Path
from typing import Any

import pytest

import submitit
from submitit.slurm import slurm
from support import calls
from support.stand_in import StandIn

DEFAULTS = {
    "--job-name=submitit",
    "--nodes=1",
    "--open-mode=append",
    "--signal=USR2@90",
    "--time=5",
    "--wckey=submitit",
}


def script(**parameters: Any) -> str:
    made = slurm._make_sbatch_string(**{"command": "blublu bar", "folder": "/tmp/x", **parameters})
    checked = subprocess.run(["bash", "-n"], input=made, text=True, capture_output=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    return made


def options(text: str) -> list[str]:
    return [line.removeprefix("#SBATCH ") for line in text.splitlines() if line.startswith("#SBATCH")]


def test_options_stand_first_and_are_sorted() -> None:
    lines = script(partition="main", mem="2GB", gpus_per_node=1).splitlines()
    assert lines[0] == "#!/bin/bash"
    first, last = (f([n for n, line in enumerate(lines) if line.startswith("#SBATCH")]) for f in (min, max))
    assert all(line.startswith("#SBATCH --") for line in lines[first : last + 1])
    assert all(not line or line.startswith("#") for line in lines[:first])
    names = [line.split("=")[0] for line in lines[first : last + 1]]
    assert names == sorted(names)
    assert set(options(script())) - {line for line in options(script()) if line.startswith("--output=")} == DEFAULTS


def test_what_is_unset_has_no_line() -> None:
    text = script(job_name=None, wckey=None, time=None, nodes=None)
    assert not [line for line in options(text) if line.split("=")[0] in ("--job-name", "--wckey", "--time", "--nodes")]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"map_count": 3}, "--array=0-2%3"),
        ({"map_count": 300}, "--array=0-299%256"),
        ({"map_count": 3, "array_parallelism": 2}, "--array=0-2%2"),
        ({"map_count": 1}, "--array=0-0%1"),
        ({"signal_delay_s": 5}, "--signal=USR2@5"),
        ({"time": "00:10"}, "--time=00:10"),
        ({"exclusive": True}, "--exclusive"),
        ({"exclusive": "user"}, "--exclusive=user"),
        ({"ntasks_per_node": 4}, "--ntasks-per-node=4"),
        ({"mail_type": "END"}, "--mail-type=END"),
        ({"comment": 'he said "hi"'}, "--comment='he said \"hi\"'"),
        ({"additional_parameters": {"time": 9}}, "--time=9"),
        ({"additional_parameters": {"mail-user": "a@b", "no_requeue": True}}, "--no-requeue"),
        ({"additional_parameters": {"open-mode": "truncate"}}, "--open-mode=truncate"),
        ({"additional_parameters": {"unheard_of": "anything at all"}}, "--unheard-of='anything at all'"),
    ],
    ids=str,
)
def test_options(parameters: dict[str, Any], expected: str) -> None:
    found = options(script(**parameters))
    assert found.count(expected) == 1
    assert len([line for line in found if line.split("=")[0] == expected.split("=", maxsplit=1)[0]]) == 1


def test_the_parts_stand_in_order_and_as_they_are() -> None:
    setup = ["module load  'python'", "if true; then", '\techo "$HOME"  # \\', "fi"]
    teardown = ['echo bye > "$TMPDIR"/x', "true"]
    command = "echo first\nsecond 'with  blanks' \"$HOME\" \\\n  third"
    text = script(command=command, setup=setup, teardown=teardown)
    places = [
        text.index("#SBATCH"),
        text.index("\n".join(setup) + "\n"),
        text.index("export SUBMITIT_EXECUTOR=slurm\n"),
        text.index(command + "\n"),
        text.index("\n".join(teardown) + "\n"),
    ]
    assert places == sorted(places)
    assert max(text.index(line) for line in options(text)) < places[1]


def test_the_command_is_srun_s_unless_that_is_not_wanted() -> None:
    arguments = {"srun_args": ["-vv", "--mpi", "pmi2", "a b"]}
    text = script(**arguments)
    line = next(line for line in text.splitlines() if line.startswith("srun "))
    assert " -vv --mpi pmi2 'a b' " in line
    assert "_%t_log.out" in line
    assert "_%t_log.err" in line
    assert line.endswith(" blublu bar")
    assert "srun " not in script(use_srun=False, **arguments)
    assert ".err" not in next(line for line in script(stderr_to_stdout=True).splitlines() if line.startswith("srun "))


def test_scripts_of_submissions(stand_in: StandIn, folder: Path) -> None:
    """With what an executor adds to the text; the file that stays is what was sent."""
    executor = submitit.AutoExecutor(folder / "%j")
    executor.update_parameters(name="train", slurm_setup=["echo hello"], slurm_additional_parameters={"qos": "x y"})
    executor.submit(calls.add, 1, 2)
    executor.map_array(calls.add, [1, 2], [3, 4])
    for job_id, text in stand_in.scripts.items():
        assert (folder / job_id / f"{job_id}_submission.sh").read_text() == text
        assert {"--job-name=train", "--qos='x y'"} <= set(options(text))
        assert options(text) == sorted(options(text), key=lambda line: line.split("=")[0])
        assert text.index("echo hello\n") < text.index("export SUBMITIT_EXECUTOR=slurm\n")
        assert f" -u -m submitit.core._submit {folder}/%j\n" in text
        assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0
    assert "--array=0-1%2" in options(stand_in.scripts["13"])


def test_the_defaults_are_read_by_introspection() -> None:
    slurm._get_default_parameters.cache_clear()
    defaults = slurm._get_default_parameters()
    assert inspect.isfunction(slurm._make_sbatch_string)
    assert submitit.SlurmExecutor._valid_parameters() == set(defaults)
    named = {name: value for name, value in defaults.items() if value is not None}
    assert named == {
        "job_name": "submitit",
        "time": 5,
        "nodes": 1,
        "signal_delay_s": 90,
        "array_parallelism": 256,
        "wckey": "submitit",
        "stderr_to_stdout": False,
        "use_srun": True,
    }


def test_an_unknown_parameter_of_the_function_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="blublu"):
        script(blublu=12)


def test_conversion_of_parameters(stand_in: StandIn, folder: Path) -> None:
    executor = submitit.SlurmExecutor(folder)
    equivalence = executor._equivalence_dict()
    assert type(equivalence) is dict
    assert equivalence["tasks_per_node"] == "ntasks_per_node"
    assert executor._convert_parameters({"mem_gb": 3.5, "timeout_min": 4, "name": "x"}) == {
        "mem": "3584MB",
        "time": 4,
        "job_name": "x",
    }
    with pytest.raises(ValueError, match=r"Unavailable parameter\(s\): \['blublu'\]") as caught:
        executor.update_parameters(blublu=1, partition="main")
    for name, default in slurm._get_default_parameters().items():
        assert f"  - {name} (default: {default!r})" in str(caught.value)
    assert executor.parameters == {}
