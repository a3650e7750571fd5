"""Running commands, and reading what processes print."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import pytest

from submitit import helpers
from submitit.core import utils


def test_run_cmd_returns_what_is_printed() -> None:
    assert helpers.run_cmd(["echo", "  a b "]) == "a b"
    assert helpers.run_cmd("pwd", cwd="/usr") == "/usr"
    assert helpers.run_cmd("echo $X", shell=True, env={"X": "y"}, text=True) == "y"


def test_run_cmd_raises_what_subprocess_does() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        helpers.run_cmd("false")
    with pytest.raises(FileNotFoundError):
        helpers.run_cmd("echo a b")


@pytest.mark.parametrize("verbose", [False, True])
def test_copy_process_streams(verbose: bool, capsys: pytest.CaptureFixture[str]) -> None:
    script = (
        "echo a; echo b >&2; head -c 200000 /dev/zero >&2; echo; printf '\\377'; exec >&-; sleep 0.2; echo late >&2"
    )
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        out, err = io.StringIO(), io.StringIO()
        utils.copy_process_streams(process, out, err, verbose)
    assert out.getvalue() == "a\n\n\ufffd"
    assert err.getvalue() == "b\n" + "\0" * 200000 + "late\n"
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ((out.getvalue(), err.getvalue()) if verbose else ("", ""))


def test_archive_dev_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tarfile

    (tmp_path / "pk/sub").mkdir(parents=True)
    (tmp_path / "pk/sub/b.py").touch()
    made = utils.archive_dev_folders([tmp_path / "pk"], outfile=tmp_path / "o.tar.gz")
    assert made == tmp_path / "o.tar.gz"
    with tarfile.open(made) as archive:
        assert archive.getnames() == ["pk", "pk/sub", "pk/sub/b.py"]
    monkeypatch.chdir(tmp_path)
    assert utils.archive_dev_folders([tmp_path / "pk"]) == Path("_dev_folders_.tar.gz")
    with pytest.raises(AssertionError, match="Archive file must have extension .tar.gz"):
        utils.archive_dev_folders([tmp_path / "pk"], outfile="o.txt")


def test_copy_par_file(tmp_path: Path) -> None:
    (tmp_path / "x.par").write_text("x")
    assert utils.copy_par_file(tmp_path / "x.par", tmp_path / "a/b") == tmp_path / "a/b/x.par"
    assert (tmp_path / "a/b/x.par").read_text() == "x"
