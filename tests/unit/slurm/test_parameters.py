"""Parameters: names, checks, and the lines of the script they become."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from submitit.slurm import parameters
from submitit.slurm.parameters import SlurmParameters
from support.recordings import Recordings

#: What 1.5.4 prints for `_get_default_parameters()`.
VERSION_1 = {
    "job_name": "submitit", "partition": None, "time": 5, "nodes": 1, "ntasks_per_node": None, "cpus_per_task": None,
    "cpus_per_gpu": None, "num_gpus": None, "gpus_per_node": None, "gpus_per_task": None, "qos": None, "setup": None,
    "teardown": None, "mem": None, "mem_per_gpu": None, "mem_per_cpu": None, "signal_delay_s": 90, "comment": None,
    "constraint": None, "exclude": None, "account": None, "gres": None, "mail_type": None, "mail_user": None, "nodelist": None,
    "dependency": None, "exclusive": None, "array_parallelism": 256, "wckey": "submitit", "stderr_to_stdout": False,
    "additional_parameters": None, "srun_args": None, "use_srun": True,
}  # fmt: skip


def lines(map_count: int | None = None, **given_parameters: Any) -> list[str]:
    values = parameters.resolve(SlurmParameters(**given_parameters))
    return parameters.directives(parameters.flags(values, signal="USR2@90", map_count=map_count))


def test_names_order_and_defaults_are_version_1s() -> None:
    assert dict(SlurmParameters()._asdict()) == VERSION_1
    assert list(SlurmParameters._fields) == list(VERSION_1)


@pytest.mark.parametrize(
    ("mem_gb", "expected"),
    [(2, "2GB"), (2.0, "2GB"), (3.5, "3584MB"), (0.5, "512MB"), (0.1, "102MB"), (1.2345, "1264MB"), (1024, "1024GB"), (0, "0GB"), (1e9, "1000000000GB")],
)  # fmt: skip
def test_memory_is_converted_as_version_1_did(mem_gb: float, expected: str) -> None:
    assert parameters.memory(mem_gb) == expected
    assert parameters.convert({"mem_gb": mem_gb}) == {"mem": expected}


def test_generic_names_become_slurms() -> None:
    generic = {"name": "a", "timeout_min": 3, "nodes": 2, "tasks_per_node": 4, "gpus_per_node": 1, "cpus_per_task": 2}
    assert parameters.convert(generic | {"other": 1}) == {
        "job_name": "a", "time": 3, "nodes": 2, "ntasks_per_node": 4, "gpus_per_node": 1, "cpus_per_task": 2, "other": 1,
    }  # fmt: skip
    assert parameters.convert({"timeout_min": 5, "time": "00:07"}) == {"time": "00:07"}
    assert parameters.convert({"mem": "2GB"}) == {"mem": "2GB"}
    assert parameters.convert({"mem": None}) == {"mem": None}


# ---------------------------------------------------------------- names


def test_an_unknown_name_is_told_with_every_name_and_default() -> None:
    with pytest.raises(ValueError, match=r"Unavailable parameter\(s\): \['blublu', 'foo'\]") as info:
        parameters.check_names(["foo", "time", "blublu"])
    text = str(info.value)
    head, _, listing = text.partition("Valid parameters are:\n")
    assert head.count("\n") == 1  # nothing is near those names
    assert listing.split("\n") == [f"  - {name} (default: {VERSION_1[name]!r})" for name in sorted(VERSION_1)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("partitoin", "partition"), ("tasks_per_node", "ntasks_per_node"), ("timeout_min", "time"), ("nodlist", "nodelist"), ("name", "job_name"), ("zzz", None)],
)  # fmt: skip
def test_the_nearest_name_is_suggested(name: str, expected: str | None) -> None:
    assert parameters.nearest(name, SlurmParameters._fields) == expected
    with pytest.raises(ValueError, match="Unavailable") as info:
        parameters.check_names([name])
    assert (f"Did you mean {expected!r} instead of {name!r}?" in str(info.value)) == (expected is not None)


def test_another_set_of_names_can_be_checked_against() -> None:
    parameters.check_names(["extra"], valid={"extra"}, defaults={"extra": 3})
    with pytest.raises(ValueError, match=r"- extra \(default: 3\)"):
        parameters.check_names(["time"], valid={"extra"}, defaults={"extra": 3})


# ---------------------------------------------------------------- values


@pytest.mark.parametrize("name", [name for name in VERSION_1 if name not in ("setup", "teardown", "srun_args", "additional_parameters", "stderr_to_stdout", "use_srun")])  # fmt: skip
@pytest.mark.parametrize("character", "\n\r\0")
def test_a_value_is_one_line(name: str, character: str) -> None:
    with pytest.raises(ValueError, match=f"Parameter '{name}' has to be one line"):
        parameters.check_values({name: f"a{character}#SBATCH --account=other"})


@pytest.mark.parametrize(
    "values",
    [
        {"setup": "module load x"}, {"teardown": b"x"}, {"setup": {"a": 1}}, {"setup": 3}, {"setup": ["a", 1]}, {"srun_args": "-vv"},
        {"additional_parameters": ["--mem=2"]}, {"additional_parameters": "mem"}, {"exclude": ["n1", "n2"]}, {"time": [1]},
        {"mail_type": ("END", "FAIL")}, {"partition": {"a"}}, {"gres": {"gpu": 1}}, {"mem": object()}, {"time": True}, {"qos": b"x"},
    ],
    ids=repr,
)  # fmt: skip
def test_a_value_of_which_no_option_can_be_made_is_refused(values: dict[str, Any]) -> None:
    (name,) = values
    with pytest.raises(TypeError, match=f"Parameter '{name}' takes"):
        parameters.check_values(values)


class NumberLike:
    def __index__(self) -> int:
        return 3


@pytest.mark.parametrize(
    "values",
    [
        {"time": "00:10"}, {"time": 5}, {"time": None}, {"time": 5.5}, {"mem": 4000}, {"gpus_per_node": "v100:2"}, {"nodes": "1-2"},
        {"nodes": NumberLike()}, {"exclusive": True}, {"exclusive": False}, {"exclusive": "user"}, {"comment": "he said 'hi' #1 \\"},
        {"setup": ["a", "b\nc"]}, {"setup": ()}, {"srun_args": ["-vv", "a b"]}, {"additional_parameters": {"a": None, "b-c": True, "d": [1]}},
        {"use_srun": 0}, {"comment": ""}, {"job_name": Path("x")}, {"no_parameter": object()},
    ],
    ids=repr,
)  # fmt: skip
def test_values_that_worked_go_on_to_work(values: dict[str, Any]) -> None:
    parameters.check_values(values)


def test_old_and_useless_parameters_warn() -> None:
    with pytest.warns(UserWarning, match='"num_gpus" is deprecated') as found:
        assert parameters.resolve(SlurmParameters(num_gpus=2, gpus_per_node=1), stacklevel=1).gpus_per_node == 2
    assert found[0].filename == __file__
    with pytest.warns(UserWarning, match='"cpus_per_gpu" requires to set "gpus_per_task"'):
        assert lines(cpus_per_gpu=2)[0] == "#SBATCH --cpus-per-gpu=2"
    assert lines(cpus_per_gpu=2, gpus_per_task=1)[0] == "#SBATCH --cpus-per-gpu=2"


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 1000))
def test_every_form_of_a_time_is_read(hours: int, minutes: int, seconds: int, days: int) -> None:
    rounded = -(-seconds // 60)
    forms = {
        f"{minutes}": minutes,
        f"{minutes}:{seconds}": minutes + rounded,
        f"{hours}:{minutes}:{seconds}": hours * 60 + minutes + rounded,
        f"{days}-{hours}": days * 1440 + hours * 60,
        f"{days}-{hours}:{minutes}": days * 1440 + hours * 60 + minutes,
        f"{days}-{hours}:{minutes}:{seconds}": days * 1440 + hours * 60 + minutes + rounded,
    }
    for text, expected in forms.items():
        parameters.check_time("time", text)
        assert parameters.time_limit_min(text) == expected


@pytest.mark.parametrize(
    "values",
    [
        {"time": None}, {"time": 5}, {"time": NumberLike()}, {"time": "unlimited"}, {"time": "INFINITE"}, {"mem": None}, {"mem": 0},
        {"mem": "4G"}, {"mem": "4000MB"}, {"mem_per_cpu": "1T", "mem_per_gpu": 12}, {"gpus_as_gres": True}, {"gpus_as_gres": None},
    ],
    ids=repr,
)  # fmt: skip
def test_forms_that_slurm_reads(values: dict[str, Any]) -> None:
    parameters.check_forms(values)


@pytest.mark.parametrize(
    "values",
    [
        {"time": "soon"}, {"time": 5.5}, {"time": -5}, {"time": "-5"}, {"time": ""}, {"time": "1:2:3:4"}, {"mem": "4 G"}, {"mem": 4.5},
        {"mem": -1}, {"mem": "-1"}, {"mem": "much"}, {"mem": ""}, {"mem": "4G "}, {"mem": "4G\n"}, {"mem_per_cpu": "x"}, {"mem_per_gpu": "4X"},
    ],
    ids=repr,
)  # fmt: skip
def test_forms_that_slurm_does_not_read(values: dict[str, Any]) -> None:
    (name,) = values
    with pytest.raises(
        ValueError, match=f"Parameter '{name}' takes (minutes|megabytes) as a whole number, or .*, not "
    ):
        parameters.check_forms(values)


@pytest.mark.parametrize(
    "name", ["ntasks_per_node", "cpus_per_task", "cpus_per_gpu", "signal_delay_s", "array_parallelism"]
)
def test_numbers_are_whole(name: str) -> None:
    for right in (None, 4, "4", " 4", NumberLike(), np.int32(4)):
        parameters.check_forms({name: right})
    for wrong in ("abc", 4.5, "4.0", True, "", "4\n", "0x4", "\u0663"):
        with pytest.raises(TypeError, match=f"Parameter '{name}' takes a whole number, not "):
            parameters.check_forms({name: wrong})


def test_a_parallelism_may_be_any_whole_number() -> None:
    for value in (2.0, "2", np.int64(2)):
        parameters.check_forms({"array_parallelism": value})
        assert parameters.array(3, value) == "0-2%2"  # type: ignore[arg-type]  # a user's value


def test_lists_become_texts() -> None:
    assert parameters.joined({"exclude": ["n1", "n2"], "mail_type": ("END",), "partition": [], "setup": ["a", "b"], "time": [1]}) == {
        "exclude": "n1,n2", "mail_type": "END", "partition": None, "setup": ["a", "b"], "time": [1],
    }  # fmt: skip


# ---------------------------------------------------------------- the lines

COMMON = ["--job-name=submitit", "--nodes=1", "--open-mode=append", "--signal=USR2@90", "--time=5", "--wckey=submitit"]


@pytest.mark.parametrize(
    ("values", "changed"),
    [
        ({}, []),
        ({"map_count": 3}, ["--array=0-2%3"]),
        ({"map_count": 300}, ["--array=0-299%256"]),
        ({"map_count": 3, "array_parallelism": 2}, ["--array=0-2%2"]),
        ({"map_count": 1}, ["--array=0-0%1"]),
        ({"map_count": 3, "array_parallelism": None}, ["--array=0-2"]),
        ({"gpus_per_node": 2, "mem": "4GB", "ntasks_per_node": 4}, ["--gpus-per-node=2", "--mem=4GB", "--ntasks-per-node=4"]),
        ({"exclusive": True}, ["--exclusive"]),
        ({"exclusive": "user"}, ["--exclusive=user"]),
        ({"exclusive": False}, []),
        ({"wckey": ""}, ["--wckey=''"]),
        ({"wckey": None}, ["-wckey"]),
        ({"time": None, "nodes": None, "job_name": None}, ["-time", "-nodes", "-job-name"]),
        ({"time": "00:10"}, ["--time=00:10"]),
        ({"partition": "p1,p2", "constraint": "gpu&v100", "exclude": "n[1-2]"}, ["--partition=p1,p2", "--constraint='gpu&v100'", "--exclude='n[1-2]'"]),
        ({"comment": "x'y"}, ["--comment='x'\"'\"'y'"]),
        ({"comment": 'he said "hi"'}, ["--comment='he said \"hi\"'"]),
        ({"setup": ["a"], "teardown": ["b"], "srun_args": ["c"], "use_srun": False, "stderr_to_stdout": True}, []),
    ],
    ids=repr,
)  # fmt: skip
def test_lines_are_those_of_version_1(values: dict[str, Any], changed: list[str]) -> None:
    options = {line.partition("=")[0]: line for line in COMMON}
    for line in changed:
        if line.startswith("--"):
            options[line.partition("=")[0]] = line
        else:
            del options[f"-{line}"]
    assert lines(**values) == [f"#SBATCH {options[name]}" for name in sorted(options)]


def test_additional_parameters_win_over_everything_and_are_not_checked() -> None:
    further = {"signal": "B:USR1@3", "array": "1-9", "mem-per-cpu": 3, "open_mode": "truncate", "requeue": True, "blublu": 12, "time": 7, "x": None, "y": False}  # fmt: skip
    options = parameters.flags(
        SlurmParameters(mem_per_cpu="2GB", additional_parameters=further), signal="USR2@90", map_count=4
    )
    assert parameters.directives(options) == [
        "#SBATCH --array=1-9", "#SBATCH --blublu=12", "#SBATCH --job-name=submitit", "#SBATCH --mem-per-cpu=3", "#SBATCH --nodes=1",
        "#SBATCH --open-mode=truncate", "#SBATCH --requeue", "#SBATCH --signal=B:USR1@3", "#SBATCH --time=7", "#SBATCH --wckey=submitit",
        "#SBATCH --x=None", "#SBATCH --y=False",
    ]  # fmt: skip


def test_an_option_is_one_line_however_it_is_spelt() -> None:
    assert parameters.directives({"mem_per_cpu": 1, "mem-per-cpu": 2}) == ["#SBATCH --mem-per-cpu=2"]


@pytest.mark.parametrize("options", [{"a\nb": 1}, {"a\nb": True}, {"a": "x\ny"}, {"a": ["x\n"], "b": "\0"}])
def test_no_line_is_ever_smuggled_in(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="has to be one line"):
        parameters.directives(options)
    with pytest.raises(ValueError, match="has to be one line"):
        parameters.check_values({"additional_parameters": options})


def test_an_array_has_elements() -> None:
    with pytest.raises(ValueError, match="at least one element"):
        parameters.array(0, 3)


# ---------------------------------------------------------------- quoting


def read_by_sbatch(value: str) -> str:
    """What sbatch makes of the value in a line ``#SBATCH --comment=VALUE``: a model, held against recordings below."""
    text, quote, characters = "", "", iter(value)
    for character in characters:
        if character == "\\":
            escaped = next(characters, "")
            assert quote or not escaped.isspace(), "sbatch: error: Invalid directive found in batch script"
            text += escaped
        elif quote:
            quote, text = ("", text) if character == quote else (quote, text + character)
        elif character in "'\"":
            quote = character
        elif character == "#":
            break
        elif character.isspace():
            rest = "".join(characters).strip()
            assert not rest or rest[0] == "#", "sbatch: error: Invalid directive found in batch script"
            break
        else:
            text += character
    assert not quote, "sbatch: fatal: Unmatched quote"
    return text


def test_the_model_reads_as_a_real_sbatch_did(golden: Recordings) -> None:
    for value, seen in golden.quoting("written").items():
        if "error" in seen:
            with pytest.raises(AssertionError):
                read_by_sbatch(value)
        else:
            assert read_by_sbatch(value) == seen["comment"], value


def test_a_real_sbatch_got_every_value_as_it_was(golden: Recordings) -> None:
    for value, seen in golden.quoting("values").items():
        assert seen == {"comment": value}


@given(
    st.text(st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs"])) | st.text(" '\"\\#$a\t", max_size=12)
)
@example("\\")
@example("ends with \\")
@example("it's \\' \"#\" ")
def test_sbatch_gets_every_value_as_it_is(value: str) -> None:
    line = parameters.directive("comment", value)
    assert "\n" not in line
    assert read_by_sbatch(line.removeprefix("#SBATCH --comment=")) == value


@given(st.text(st.characters(exclude_characters="\\\n\r\0", exclude_categories=["Cs"])))
def test_where_there_is_no_backslash_quoting_is_that_of_a_shell(value: str) -> None:
    assert parameters.directive("a_b", value) == f"#SBATCH --a-b={shlex.quote(value)}"


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.text() | st.integers() | st.lists(st.text())))
def test_any_parameters_pass_or_are_refused(values: dict[str, Any]) -> None:
    for check in (parameters.check_values, parameters.directives):
        try:
            check(values)
        except (TypeError, ValueError):
            continue


@pytest.mark.parametrize(
    ("time", "minutes"),
    [
        (5, 5),
        ("90", 90),
        ("5:30", 6),
        ("5:00", 5),
        ("0:01", 1),
        ("0-0:1:1", 2),
        ("1-02:00:59", 26 * 60 + 1),
        ("UNLIMITED", math.inf),
        ("1:00:00", 60),
        ("00:10:00", 10),
        ("2-12", 60 * 60),
        ("2-12:30", 60 * 60 + 30),
        ("1-02:00:00", 26 * 60),
        ("infinite", math.inf),
        ("\u0663", None),
        ("", None),
        ("1-", None),
        ("1:2:3:4", None),
        ("x-1", None),
        (None, None),
    ],
)
def test_time_limits_are_read_in_every_form(time: object, minutes: float | None) -> None:
    assert parameters.time_limit_min(time) == minutes
