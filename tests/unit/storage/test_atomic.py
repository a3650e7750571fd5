"""Files appear whole or not at all, with the right modes, and say what went wrong."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from submitit.storage import atomic, names, trust
from support.users import User


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """The nearest thing to a full disk that takes no root: writes beyond fail with EFBIG."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_the_old_content_is_there_until_the_new_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "dir" / "file"
    path.parent.mkdir()
    path.write_bytes(b"old")
    with atomic.replacing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
        assert Path(file.name).parent == path.parent
    assert path.read_bytes() == b"new"
    assert os.listdir(path.parent) == ["file"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_error_in_the_block_leaves_everything_as_it_was(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "dir" / "file"
    path.parent.mkdir()
    path.write_bytes(b"old")
    with pytest.raises(error), atomic.replacing(path) as file:
        file.write(b"new")
        raise error
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == ["file"]


def test_a_full_disk_names_the_file_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "dir" / "file"
    path.parent.mkdir()
    with (
        no_file_larger_than(1000),
        pytest.raises(OSError, match="File too large") as caught,
        atomic.replacing(path) as file,
    ):
        for _ in range(100):
            file.write(b"x" * 1000)
    assert caught.value.filename == str(path)
    assert os.listdir(path.parent) == []


def test_an_error_that_shows_only_at_the_flush_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "dir" / "file"
    path.parent.mkdir()
    with (
        no_file_larger_than(10),
        pytest.raises(OSError, match="File too large") as caught,
        atomic.replacing(path) as file,
    ):
        file.write(b"x" * 100)
    assert caught.value.filename == str(path)
    assert os.listdir(path.parent) == []


def test_a_failing_sync_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    path = tmp_path / "dir" / "file"
    path.parent.mkdir()
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="Input/output error") as caught, atomic.replacing(path, durable=True) as file:
        file.write(b"new")
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == ["file"]


def test_a_missing_directory_names_the_file_itself(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, atomic.replacing(tmp_path / "no" / "file"):
        pass
    assert caught.value.filename == str(tmp_path / "no" / "file")


def test_durable_means_file_then_name_then_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def spy_fsync(descriptor: int) -> None:
        done.append("directory" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")
        fsync(descriptor)

    def spy_replace(source: str, target: str) -> None:
        done.append("replace")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(os, "replace", spy_replace)
    with atomic.replacing(tmp_path / "file") as file:
        file.write(b"x")
    assert done == ["replace"]
    done.clear()
    with atomic.replacing(tmp_path / "file", durable=True) as file:
        file.write(b"x")
    assert done == ["file", "replace", "directory"]


def test_a_relative_path_without_a_directory(tmp_path: Path) -> None:
    with atomic.replacing("plain", durable=True) as file:
        file.write(b"x")
    assert os.listdir() == ["plain"]


def test_a_killed_writer_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "dir" / "file"
    path.parent.mkdir()
    path.write_bytes(b"old")
    program = (
        "import os, signal, sys\n"
        "from submitit.storage import atomic\n"
        "with atomic.replacing(sys.argv[1]) as file:\n"
        "    file.write(b'half')\n"
        "    file.flush()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, path], check=False)
    assert done.returncode == -9
    assert path.read_bytes() == b"old"
    (left,) = set(os.listdir(path.parent)) - {"file"}
    assert left.startswith(".submitit-")
    atomic.write_text(path, "new")
    assert path.read_text() == "new"


def test_a_temporary_of_the_same_name_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken, free = ".submitit-host-1-0.tmp", ".submitit-host-1-1.tmp"
    (tmp_path / taken).write_text("of a killed process with the same id")
    words = iter([taken, free])
    monkeypatch.setattr(names, "temporary_name", lambda: next(words))
    atomic.write_text(tmp_path / "file", "x")
    assert (tmp_path / "file").read_text() == "x"
    assert (tmp_path / taken).read_text() == "of a killed process with the same id"


def test_the_longest_name_that_a_file_system_takes(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    atomic.write_text(path, "x")
    assert path.read_text() == "x"


@pytest.mark.parametrize("mask", [0o000, 0o002, 0o022, 0o077])
def test_modes_follow_the_mask_less_write_for_others(
    tmp_path: Path, mask: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust, "is_own_group", lambda gid: True)
    os.umask(mask)
    atomic.write_text(tmp_path / "file", "x")
    assert mode(tmp_path / "file") == 0o664 & ~mask
    atomic.make_directory(tmp_path / "a" / "b")
    assert mode(tmp_path / "a") == mode(tmp_path / "a" / "b") == 0o775 & ~mask


def test_a_shared_group_may_not_write_what_is_loaded_as_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "is_own_group", lambda gid: False)
    os.umask(0o002)
    atomic.write_text(tmp_path / "file", "x")
    assert mode(tmp_path / "file") == 0o644


def test_make_directory_says_what_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError) as caught:
        atomic.make_directory(tmp_path / "file")
    assert caught.value.filename == str(tmp_path / "file")
    with pytest.raises(NotADirectoryError):
        atomic.make_directory(tmp_path / "file" / "below")


def test_make_directory_follows_links_and_may_be_called_again(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for _ in range(2):
        atomic.make_directory(tmp_path / "link" / "a")
        atomic.make_directory(tmp_path / "link")
    assert (tmp_path / "real" / "a").is_dir()
    atomic.make_directory("relative/b")
    assert Path("relative/b").is_dir()


def test_sync_directory_bears_what_cannot_be_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(descriptor: int) -> None:
        raise OSError(errno.EINVAL, "no such thing here")

    atomic.sync_directory(tmp_path)
    monkeypatch.setattr(os, "fsync", fsync)
    atomic.sync_directory(tmp_path)


def test_link_or_copy_links(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_text("x")
    target.write_text("old")
    atomic.link_or_copy(source, target)
    assert source.samefile(target)
    atomic.link_or_copy(source, target)
    assert source.samefile(target)
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "cwd"]


@pytest.mark.parametrize("links", [True, False])
def test_link_or_copy_exclusive_has_one_winner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    if not links:
        no_links(monkeypatch)
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_text("x")
    atomic.link_or_copy(source, target, exclusive=True)
    assert target.read_text() == "x"
    with pytest.raises(FileExistsError):
        atomic.link_or_copy(source, target, exclusive=True)
    assert target.read_text() == "x"


def test_link_or_copy_copies_where_there_are_no_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_links(monkeypatch)
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_text("x")
    target.write_text("old")
    atomic.link_or_copy(source, target)
    assert target.read_text() == "x"
    assert not source.samefile(target)
    with pytest.raises(FileNotFoundError):
        atomic.link_or_copy(tmp_path / "missing", target)
    with pytest.raises(FileNotFoundError):
        atomic.link_or_copy(tmp_path / "missing", tmp_path / "c", exclusive=True)
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "cwd"]


def test_a_copy_that_fails_gives_the_name_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_links(monkeypatch)
    source, target = tmp_path / "dir" / "a", tmp_path / "dir" / "b"
    source.parent.mkdir()
    source.write_bytes(b"x" * 1000)
    with no_file_larger_than(10), pytest.raises(OSError, match="File too large"):
        atomic.link_or_copy(source, target, exclusive=True)
    assert os.listdir(source.parent) == ["a"]
    atomic.link_or_copy(source, target, exclusive=True)


def no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def link(source: str, target: str) -> None:
        if not os.path.exists(source):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), source)
        raise PermissionError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", link)


def test_temporary_save_path(tmp_path: Path) -> None:
    target = tmp_path / "file"
    with atomic.temporary_save_path(target) as path:
        assert path == Path(f"{target}.save_tmp")
        path.write_text("x")
        assert not target.exists()
    assert target.read_text() == "x"
    assert not path.exists()


def test_temporary_save_path_is_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.readlink(f"/proc/self/fd/{descriptor}")))
    with atomic.temporary_save_path(tmp_path / "file") as path:
        path.write_text("x")
    assert synced == [f"{tmp_path}/file.save_tmp", str(tmp_path)]


def test_temporary_save_path_with_nothing_saved(tmp_path: Path) -> None:
    with (
        pytest.raises(FileNotFoundError, match="No file was saved"),
        atomic.temporary_save_path(str(tmp_path / "file")),
    ):
        pass


def test_temporary_save_path_after_an_error_and_after_a_killed_writer(tmp_path: Path) -> None:
    target = tmp_path / "file"
    with pytest.raises(ZeroDivisionError), atomic.temporary_save_path(target) as path:
        path.write_text("half")
        raise ZeroDivisionError
    assert not target.exists()
    assert not path.exists()
    path.write_text("stale")
    with pytest.raises(FileNotFoundError), atomic.temporary_save_path(target):
        pass
    with atomic.temporary_save_path(target) as path:
        path.write_text("x")
    assert target.read_text() == "x"


def test_an_ordinary_user_is_told_which_folder_cannot_be_written(user: User, tmp_path: Path) -> None:
    program = "from submitit.storage import atomic\natomic.write_text('/usr/file', 'x')"
    done = user.run([sys.executable, "-c", program], check=False)
    assert "PermissionError: [Errno 13] Permission denied: '/usr/file'" in done.stderr
