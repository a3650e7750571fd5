"""``CommandFunction`` and ``environment_variables``, which programs use for themselves."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from submitit.core import utils


def test_arguments_are_appended_and_keywords_become_options(capfd: pytest.CaptureFixture[str]) -> None:
    echo = utils.CommandFunction(["echo", "a"], verbose=False)
    assert echo("b c", 3, some_thing=1, flag=True) == "a b c 3 --some_thing=1 --flag=True"
    assert capfd.readouterr() == ("", "")
    assert (echo.command, echo.verbose, echo.cwd, echo.env) == (["echo", "a"], False, None, None)


def test_verbose_shows_the_command_and_its_output(capfd: pytest.CaptureFixture[str]) -> None:
    assert utils.CommandFunction(["sh", "-c", "echo out; echo err >&2"])() == "out"
    out, err = capfd.readouterr()
    assert out.startswith("The following command is sent: ")
    assert out.endswith("\nout\n")
    assert "err" in err


@pytest.mark.parametrize("command", ["echo hello", ("echo", "hello")])
def test_a_command_is_a_list(command: object) -> None:
    with pytest.raises(TypeError):
        utils.CommandFunction(command)  # type: ignore[arg-type]  # what it says of it is the point


def test_a_failing_command_raises_with_its_stderr() -> None:
    with pytest.raises(utils.FailedJobError, match="no such thing"):
        utils.CommandFunction(["sh", "-c", "echo fine; echo no such thing >&2; exit 3"], verbose=False)()
    with pytest.raises(FileNotFoundError):
        utils.CommandFunction(["no-such-program-anywhere"], verbose=False)()


def test_where_it_runs_and_with_what(tmp_path: Path) -> None:
    command = utils.CommandFunction(["sh", "-c", "pwd; echo $MINE"], verbose=False, cwd=tmp_path, env={"MINE": "x"})
    assert command() == f"{tmp_path}\nx"


def test_much_output_on_both_streams() -> None:
    program = "i=0; while [ $i -lt 20000 ]; do echo 0123456789; echo 0123456789 >&2; i=$((i+1)); done"
    assert utils.CommandFunction(["sh", "-c", program], verbose=False)().count("\n") == 19999


def test_environment_variables_are_set_for_a_block() -> None:
    assert "BLUBLU" not in os.environ
    before = dict(os.environ)
    with utils.environment_variables(BLUBLU=12, HOME="/elsewhere"):
        assert os.environ["BLUBLU"] == "12"
        assert subprocess.check_output(["sh", "-c", "echo $BLUBLU $HOME"], text=True) == "12 /elsewhere\n"
    assert dict(os.environ) == before
    with pytest.raises(ValueError, match="inside"), utils.environment_variables(BLUBLU=12):
        del os.environ["BLUBLU"]
        raise ValueError("inside")
    assert dict(os.environ) == before
