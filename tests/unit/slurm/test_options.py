"""The table of sbatch's options, and what each of them takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from submitit.slurm import options, parameters
from submitit.slurm.options import OPTIONS, REFUSED, Kind

HELP = """\
Usage: sbatch [OPTIONS(0)...] [ : [OPTIONS(N)...]] script(0) [args(0)...]

Parallel run options:
  -a, --array=indexes         job array index values
      --switches=max-switches{@max-time-to-wait}
                              --mem >= --mem-per-cpu if --mem is specified.
  -B  --extra-node-info=S[:C[:T]]  combine request of sockets per node,
  -v, --verbose               verbose mode (multiple -v's increase verbosity)
      --x11                   a name with a digit

Options provided by plugins:
      --container-image=[USER@][REGISTRY#]IMAGE[:TAG]|PATH
                              [pyxis] the image to use
      --no-container-mount-home
"""


def test_the_table_is_in_order_and_whole() -> None:
    names = [option.name for option in OPTIONS.values()]
    assert names == sorted(names, key=lambda name: name.replace("-", "_"))
    assert len(OPTIONS) == len(set(names)) == len(options._ROWS)
    assert set(REFUSED) <= set(OPTIONS)
    for option in OPTIONS.values():
        assert all(version == "" or "17.11" <= version <= "26.05" for version in (option.first, option.last)), option


def test_the_two_lists_of_lists_are_one() -> None:
    assert {name for name, option in OPTIONS.items() if option.kind is Kind.LIST} == parameters.LISTS


def test_parameters_that_are_options_are_in_the_table() -> None:
    for name in set(parameters.SlurmParameters._fields) - parameters._NO_OPTION:
        assert name in OPTIONS


def test_help_names_options_those_of_plugins_too() -> None:
    assert options.read_help(HELP) == {
        "array", "switches", "mem", "mem_per_cpu", "extra_node_info", "verbose", "x11", "container_image",
        "no_container_mount_home",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("hold", [True, False, np.True_]),
        ("requeue", [True, False, "expedite"]),
        ("nice", [True, 5, -5, "100", np.int64(3)]),
        ("kill_on_invalid_dep", [True, False, "yes", "no"]),
        ("ntasks", [4, "4", np.int32(4)]),
        ("segment", ["18"]),
        ("reservation", ["maintenance", "a,b"]),
        ("begin", ["now+1hour", "2030-01-01T00:00"]),
        ("chdir", [Path("/tmp")]),
        ("time_min", [5, "1-00:00:00"]),
        ("tmp", [400, "10G"]),
        ("gpus", [2, "v100:2"]),
        ("container_image", ["docker://x", True, 3]),
    ],
)
def test_right_values_pass(name: str, values: list[Any]) -> None:
    for value in [None, *values]:
        options.check(name, value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("hold", "yes", "'hold' takes True or False, not 'yes'"),
        ("contiguous", 1, "'contiguous' takes True or False, not 1"),
        ("ntasks", "abc", "'ntasks' takes a whole number, not 'abc'"),
        ("ntasks", 2.5, "'ntasks' takes a whole number, not 2.5"),
        ("ntasks", True, "'ntasks' takes a whole number, not True"),
        ("ntasks", "", "'ntasks' takes a whole number, not ''"),
        ("reservation", False, "'reservation' takes a string, or a list of strings, not False"),
        ("begin", ["now"], "'begin' takes a string or a number"),
        ("nice", [3], "'nice' takes True, False or a value"),
        ("kill_on_invalid_dep", "maybe", "takes True, False, 'yes' or 'no', not 'maybe'"),
        ("container_image", {}, "'container_image' takes True, False, a string or a number"),
    ],
)
def test_wrong_types_are_explained(name: str, value: object, message: str) -> None:
    with pytest.raises(TypeError, match="Parameter") as raised:
        options.check(name, value)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("time_min", "soon"),
        ("tmp", "4X"),
        ("delay_boot", 1.5),
        ("comment", "a\n#SBATCH --uid=0"),
        ("container_image", "a\rb"),
        ("nice", "1\0"),
        ("ntasks", "4\n"),
    ],
)
def test_wrong_values_are_refused(name: str, value: object) -> None:
    with pytest.raises((ValueError, TypeError), match=f"Parameter '{name}'"):
        options.check(name, value)


def test_what_is_rendered() -> None:
    given_values = {
        "hold": True, "contiguous": False, "nice": True, "no_kill": False, "reboot": None, "kill_on_invalid_dep": True,
        "ntasks": np.int64(3), "reservation": "r", "priority": 0, "container_image": "x", "requeue": True, "propagate": "NONE",
    }  # fmt: skip
    assert options.rendered(given_values) == {
        "hold": True, "nice": True, "kill_on_invalid_dep": "yes", "ntasks": 3, "reservation": "r", "priority": 0,
        "container_image": "x", "requeue": True, "propagate": "NONE",
    }  # fmt: skip
    assert options.rendered({"kill_on_invalid_dep": False, "requeue": False}) == {
        "kill_on_invalid_dep": "no",
        "no_requeue": True,
    }
    assert options.rendered({"hold": np.False_}) == {}


def test_requeue_and_its_opposite_replace_each_other() -> None:
    assert options.replaced({"requeue": True}) == {"no_requeue": None}
    assert options.replaced({"requeue": False}) == {"no_requeue": None}
    assert options.replaced({"no_requeue": True}) == {"requeue": None}
    assert options.replaced({"no_requeue": False}) == {}
    assert options.replaced({"no_requeue": True, "requeue": None}) == {"requeue": None}
    assert options.replaced({"hold": True}) == {}
    with pytest.raises(ValueError, match="opposites"):
        options.replaced({"requeue": True, "no_requeue": True})


def test_refused_options_have_a_reason() -> None:
    assert "folder" in str(options.reason_against("output"))
    assert "map_array" in str(options.reason_against("array"))
    assert options.reason_against("hold") is options.reason_against("blublu") is None


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text())


@given(st.sampled_from([*OPTIONS, "of_a_plugin"]), VALUES)
def test_what_passes_is_one_line_and_not_mangled(name: str, value: Any) -> None:
    try:
        options.check(name, value)
    except (TypeError, ValueError):
        return
    for option, setting in options.rendered({name: value}).items():
        line = parameters.directive(option, setting)
        assert line.isprintable() or "\n" not in line
        assert option in (name, "no_requeue")
        assert setting in (value, True, "yes", "no")
