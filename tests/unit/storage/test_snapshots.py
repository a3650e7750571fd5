"""Copies of git work trees: what is in them, which are the same, and how they are removed."""

from __future__ import annotations

import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from submitit import environ
from submitit.helpers import Snapshot
from submitit.storage import snapshots
from support import trees
from support.trees import contents, git

FILES = {
    "a.txt": "a",
    "sub/b.py": "b",
    ".hidden": "h",
    "with space": "w",
    'quote\'d "x"\n': "q",
    "gone.txt": "g",
    "run": "#!",
}


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A work tree with changes, and the working directory in it."""
    root = trees.make(tmp_path / "a tree", FILES)
    (root / "link").symlink_to("sub/b.py")
    (root / "dangling").symlink_to("/nowhere")
    (root / "run").chmod(0o755)
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "links")
    (root / "a.txt").write_text("modified")
    (root / "gone.txt").unlink()
    trees.write(root, {"staged": "s", "untracked.txt": "u", "data/one.csv": "1", "data/deep/two.csv": "2"})
    git(root, "add", "staged")
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "jobs" / "snapshots"


NOW = {
    **{name: text for name, text in FILES.items() if name != "gone.txt"},
    "a.txt": "modified",
    "staged": "s",
    "link": "-> sub/b.py",
    "dangling": "-> /nowhere",
}


def test_the_tracked_files_as_they_are_now(tree: Path, store: Path) -> None:
    before = git(tree, "status", "--porcelain"), git(tree, "count-objects", "-v")
    index = (tree / ".git" / "index").read_bytes()
    copy = Snapshot().make(store)
    assert contents(copy.path) == NOW
    assert copy.root == str(tree)
    assert copy.directory == copy.path
    assert os.access(f"{copy.path}/run", os.X_OK)
    assert not os.stat(f"{copy.path}/a.txt").st_mode & 0o333
    assert not os.stat(f"{copy.path}/run").st_mode & 0o222
    # the repository was only read
    assert (tree / ".git" / "index").read_bytes() == index
    assert before == (git(tree, "status", "--porcelain"), git(tree, "count-objects", "-v"))


def test_the_same_content_is_the_same_directory(tree: Path, store: Path) -> None:
    first = Snapshot().make(store)
    again = Snapshot(tree / "sub").make(store)
    assert again == first
    git(tree, "commit", "--quiet", "--all", "-m", "what was changed")
    assert Snapshot().make(store) == first
    (tree / "a.txt").write_text("modified again")
    other = Snapshot().make(store)
    assert other.path != first.path
    assert contents(first.path)["a.txt"] == "modified"
    (tree / "run").chmod(0o644)
    assert Snapshot().make(store).path not in {first.path, other.path}
    (tree / "a.txt").write_text("modified")
    (tree / "run").chmod(0o755)
    assert Snapshot().make(store).path == first.path
    assert len(os.listdir(store)) == 3


def test_a_commit(tree: Path, store: Path) -> None:
    copy = Snapshot(commit="HEAD").make(store)
    assert contents(copy.path) == {**FILES, "link": NOW["link"], "dangling": NOW["dangling"]}
    assert set(contents(Snapshot(commit="HEAD~1").make(store).path)) == set(FILES)


def test_named_files_that_git_does_not_track(tree: Path, store: Path) -> None:
    (tree / ".gitignore").write_text("data\n*.txt\n")
    copy = Snapshot(include=["data", tree / "untracked.txt"]).make(store)
    added = {"data/one.csv": "1", "data/deep/two.csv": "2", "untracked.txt": "u"}
    assert contents(copy.path) == {**NOW, **added}
    (tree / "data/one.csv").write_text("another")
    assert Snapshot(include=["data", "untracked.txt"]).make(store).path != copy.path
    with pytest.raises(RuntimeError, match="missing.csv"):
        Snapshot(include=["missing.csv"]).make(store)
    with pytest.raises(TypeError, match=r"include=\['data'\]"):
        Snapshot(include="data")


def test_untracked_modules_are_named(tree: Path, store: Path, caplog: pytest.LogCaptureFixture) -> None:
    trees.write(tree, {"new.py": "", "kept/too.py": "", "ignored.py": "", ".gitignore": "ignored.py"})
    for _ in range(2):
        Snapshot(include=["kept"]).make(store)
    (message,) = [record.getMessage() for record in caplog.records]
    assert "leaves out what git does not track: new.py (" in message


@pytest.mark.parametrize("wanted", [True, False])
def test_submodules(tree: Path, store: Path, tmp_path: Path, wanted: bool) -> None:
    inner = trees.make(tmp_path / "inner", {"deep.py": "1"})
    outer = trees.make(tmp_path / "outer", {"code.py": "1", "gone.py": "1"})
    git(outer, "submodule", "--quiet", "add", str(inner), "in")
    git(outer, "commit", "--quiet", "-m", "in")
    git(tree, "submodule", "--quiet", "add", str(outer), "lib/out")
    git(tree, "submodule", "--quiet", "update", "--init", "--recursive")
    git(tree, "commit", "--quiet", "-m", "lib")
    (tree / "lib/out/code.py").write_text("2")
    (tree / "lib/out/gone.py").unlink()
    (tree / "lib/out/in/deep.py").write_text("2")
    found = contents(Snapshot(submodules=wanted).make(store).path)
    files = {"lib/out/code.py": "2", "lib/out/in/deep.py": "2"}
    assert {name: text for name, text in found.items() if "lib" in name and ".gitmodules" not in name} == (
        files if wanted else {"lib/out/": ""}
    )
    committed = contents(Snapshot(commit="HEAD", submodules=wanted).make(store).path)
    assert committed.get("lib/out/code.py") == ("1" if wanted else None)
    assert committed.get("lib/out/in/deep.py") == ("1" if wanted else None)


def test_jobs_start_where_the_submitter_is(tree: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree / "sub")
    copy = Snapshot().make(store)
    assert copy.directory == f"{copy.path}/sub"
    monkeypatch.chdir(tree / "data" / "deep")
    assert os.path.isdir(Snapshot().make(store).directory)
    monkeypatch.chdir("/")
    assert Snapshot(tree).make(store) == environ.Copy(copy.root, copy.path, copy.path)
    with pytest.raises(RuntimeError, match=r"^A snapshot is a copy of the git work tree .*, but / is in none: "):
        Snapshot().make(store)


def test_a_repository_without_a_commit_and_a_linked_work_tree(tmp_path: Path, tree: Path, store: Path) -> None:
    git(tree, "worktree", "add", "--quiet", str(tmp_path / "linked"))
    (tmp_path / "linked" / "a.txt").write_text("linked")
    assert contents(Snapshot(tmp_path / "linked").make(store).path)["a.txt"] == "linked"
    trees.write(tmp_path / "new", {"a": "1"})
    git(tmp_path / "new", "init", "--quiet")
    assert contents(Snapshot(tmp_path / "new").make(store).path) == {}
    git(tmp_path / "new", "add", ".")
    assert contents(Snapshot(tmp_path / "new").make(store).path) == {"a": "1"}
    with pytest.raises(RuntimeError, match="read-tree says: .*nonsense"):
        Snapshot(commit="nonsense").make(store)


def test_in_the_midst_of_a_merge(tree: Path, store: Path) -> None:
    git(tree, "commit", "--quiet", "--all", "-m", "one")
    git(tree, "checkout", "--quiet", "-b", "other", "HEAD~1")
    (tree / "a.txt").write_text("other")
    git(tree, "commit", "--quiet", "--all", "-m", "other")
    with pytest.raises(subprocess.CalledProcessError):
        git(tree, "merge", "--quiet", "-")
    assert "<<<<" in contents(Snapshot().make(store).path)["a.txt"]


def test_variables_of_another_repository(
    tree: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As git sets them for its hooks."""
    other = trees.make(tmp_path / "other", {"other": ""})
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    assert contents(Snapshot().make(store).path) == NOW


def test_many_at_the_same_time(tree: Path, store: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: Snapshot().make(store), range(8)))
    assert len(made) == 1
    assert os.listdir(store) == [os.path.basename(made.pop().path)]


def test_what_fails_leaves_nothing(tree: Path, store: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shim = tmp_path / "bin" / "git"
    trees.write(
        tmp_path / "bin",
        {"git": f'#!/bin/sh\ncase "$*" in *checkout-index*) echo full >&2; exit 1;; esac\nexec {git_path()} "$@"\n'},
    )
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    with pytest.raises(RuntimeError, match="checkout-index says: full"):
        Snapshot().make(store)
    assert os.listdir(store) == []
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(RuntimeError, match="^A snapshot needs git, and there is none on PATH$"):
        Snapshot().make(store)


def git_path() -> str:
    return subprocess.run(["which", "git"], check=True, capture_output=True, text=True).stdout.strip()


# ---------------------------------------------------------------- removing


def test_removing(tree: Path, store: Path) -> None:
    copy = Snapshot().make(store)
    ((path, last_use),) = snapshots.listed(store)
    assert path == copy.path
    assert abs(last_use - time.time()) < 60
    assert snapshots.remove(path, last_use - 1) is None  # used since
    assert contents(path) == NOW
    assert snapshots.remove(path, last_use) is None
    assert os.listdir(store) == []
    assert snapshots.listed(store / "none") == []


def test_what_jobs_have_written_is_left(tree: Path, store: Path) -> None:
    copy = Snapshot().make(store)
    trees.write(Path(copy.path), {"sub/__pycache__/b.pyc": "", "outputs/model.pt": "weights"})
    left = snapshots.remove(copy.path, time.time())
    assert left is not None
    assert contents(left) == {"outputs/model.pt": "weights"}
    # it is no snapshot any more
    assert snapshots.listed(store) == []
    assert contents(Snapshot().make(store).path) == NOW


def test_a_submission_that_comes_in_between(tree: Path, store: Path) -> None:
    """A copy that is made anew meanwhile is nobody's business, and one that was asked for stays."""
    copy = Snapshot().make(store)
    os.utime(copy.path, (0, 0))
    Snapshot().make(store)
    assert snapshots.remove(copy.path, 1.0) is None
    assert contents(copy.path) == NOW


def test_links_out_of_the_tree_are_not_followed(tree: Path, store: Path, tmp_path: Path) -> None:
    trees.write(tmp_path / "outside", {"data": "precious"})
    (tree / "outside").symlink_to(tmp_path / "outside")
    git(tree, "add", "outside")
    copy = Snapshot().make(store)
    assert snapshots.remove(copy.path, time.time()) is None
    assert not os.path.exists(copy.path)
    assert contents(tmp_path / "outside") == {"data": "precious"}
