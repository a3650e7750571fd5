"""A copy of the code to run jobs from."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from submitit import helpers

needs_rsync = pytest.mark.skipif(shutil.which("rsync") is None, reason="no rsync here")


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "protocol.file.allow=always"]
    done = subprocess.run(["git", "-C", folder, *identity, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def write(root: Path, names: Iterable[str]) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "a tree"
    write(root, ["a.txt", "sub/b.py", "sub/data.csv", ".hidden", "with space", 'quote\'d "x"\n', "gone.txt"])
    (root / "link").symlink_to("a.txt")
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "x")
    write(root, ["untracked", "other/untracked"])
    (root / "a.txt").write_text("modified")
    (root / "gone.txt").unlink()
    return root


def files(folder: Path) -> set[str]:
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_symlink() or path.is_file()}
    return {name for name in found if not name.startswith(".git/")}


TRACKED = {"a.txt", "sub/b.py", "sub/data.csv", ".hidden", "with space", 'quote\'d "x"\n', "link"}


@needs_rsync
@pytest.mark.parametrize("given", [False, True])
def test_the_tracked_files_as_they_are_now(tree: Path, tmp_path: Path, given: bool) -> None:
    os.chdir(tmp_path if given else tree / "sub")
    before = Path.cwd()
    snapshot = tmp_path / "snapshots/one"
    with helpers.RsyncSnapshot(snapshot, root_dir=tree if given else None):
        assert Path.cwd() == snapshot
        assert files(snapshot) == TRACKED
        assert Path("a.txt").read_text() == "modified"
        (tree / "a.txt").write_text("later")
        assert Path("a.txt").read_text() == "modified"
        assert Path("link").is_symlink()
    assert Path.cwd() == before


@needs_rsync
def test_the_copy_knows_its_commit_and_what_differs(tree: Path, tmp_path: Path) -> None:
    with helpers.RsyncSnapshot(tmp_path / "copy", root_dir=tree):
        pass
    assert git(tmp_path / "copy", "rev-parse", "HEAD") == git(tree, "rev-parse", "HEAD")
    assert git(tmp_path / "copy", "status", "--short").split("\n") == ["M a.txt", " D gone.txt"]


@needs_rsync
def test_exclude_and_include(tree: Path, tmp_path: Path) -> None:
    with helpers.RsyncSnapshot(
        tmp_path / "copy", root_dir=tree, exclude=["*.csv", "*.log"], include=["other/untracked"]
    ):
        assert files(tmp_path / "copy") == (TRACKED - {"sub/data.csv"}) | {"other/untracked"}


@needs_rsync
@pytest.mark.parametrize("wanted", [False, True])
def test_submodules(tree: Path, tmp_path: Path, wanted: bool) -> None:
    library = tmp_path / "library"
    write(library, ["code.py"])
    git(library, "init", "--quiet")
    git(library, "add", ".")
    git(library, "commit", "--quiet", "-m", "x")
    git(tree, "submodule", "--quiet", "add", str(library), "lib")
    git(tree, "commit", "--quiet", "-m", "lib")
    with helpers.RsyncSnapshot(tmp_path / "copy", root_dir=tree, with_submodules=wanted):
        assert Path("lib/code.py").exists() == wanted
        assert Path("a.txt").exists()


@needs_rsync
def test_an_existing_directory_is_updated(tree: Path, tmp_path: Path) -> None:
    write(tmp_path / "copy", ["old"])
    for text in ("one", "other"):
        (tree / "a.txt").write_text(text)
        with helpers.RsyncSnapshot(tmp_path / "copy", root_dir=tree):
            assert files(tmp_path / "copy") == TRACKED | {"old"}
            assert Path("a.txt").read_text() == text


@needs_rsync
def test_a_repository_without_a_commit(tmp_path: Path) -> None:
    write(tmp_path / "tree", ["a"])
    git(tmp_path / "tree", "init", "--quiet")
    git(tmp_path / "tree", "add", ".")
    with helpers.RsyncSnapshot(tmp_path / "copy", root_dir=tmp_path / "tree"):
        assert files(tmp_path / "copy") == {"a"}


@needs_rsync
def test_the_directory_is_restored_after_an_exception(tree: Path, tmp_path: Path) -> None:
    before = Path.cwd()
    with pytest.raises(KeyError), helpers.RsyncSnapshot(tmp_path / "copy", root_dir=tree):
        raise KeyError
    assert Path.cwd() == before


@needs_rsync
def test_outside_of_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(subprocess.CalledProcessError):
        helpers.RsyncSnapshot(tmp_path / "copy")


def test_without_rsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert not helpers.RsyncSnapshot.available()
    with pytest.raises(RuntimeError, match="^RsyncSnapshot requires rsync to be installed.$"):
        helpers.RsyncSnapshot.available(throw=True)
    with pytest.raises(RuntimeError, match="rsync"):
        helpers.RsyncSnapshot(tmp_path / "copy", root_dir=tmp_path)
