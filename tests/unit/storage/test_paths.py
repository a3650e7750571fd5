"""Where files lie. The expected paths of jobs are those of 1.5.4, run as a black box."""

from __future__ import annotations

import copy
import os
import pickle
import sys
from pathlib import Path

import cloudpickle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from submitit.storage import atomic, events, journal, outcome, paths, payload
from submitit.storage.paths import JobPaths, Layout, layout_of
from submitit.storage.submission import DelayedSubmission
from support.users import User

FILES = ("folder", "submission_file", "submitted_pickle", "result_pickle", "stdout", "stderr")


def all_files(folder: str, job_id: str | None, task_id: int | None = None) -> list[str]:
    found = JobPaths(folder, job_id, task_id)
    made = [getattr(found, name) for name in FILES]
    assert all(isinstance(path, Path) for path in made)
    assert [os.fspath(path) for path in made] == [found.locate(name) for name in FILES]
    return [os.fspath(path) for path in made]


@pytest.mark.parametrize(
    ("folder", "job_id", "task_id", "where", "prefix", "script"),
    [
        ("/a", "12", 0, "/a", "12_0", "12"),
        ("/a", "12", None, "/a", "12_0", "12"),
        ("/a", "12_3", 2, "/a", "12_3_2", "12"),
        ("/a/%j", "12", 0, "/a/12", "12_0", "12"),
        ("/a/%j", "12_3", 2, "/a/12_3", "12_3_2", "12"),
        ("/a/%A/%a", "12_3", 2, "/a/12/3", "12_3_2", "12"),
        ("/a/%A", "12", 0, "/a/12", "12_0", "12"),
        ("/a/%j/%t", "12", 1, "/a/12/1", "12_1", "12"),
        ("/a/%t/b", "12", 1, "/a/1/b", "12_1", "12"),
        ("/a/x%jy/z", "12", 0, "/a/x12y/z", "12_0", "12"),
        ("/a/%%j/x", "12", 0, "/a/%12/x", "12_0", "12"),
        ("/a/%n/%u/%j", "12", 0, "/a/%n/%u/12", "12_0", "12"),
        ("/a/%A_%a_x/%j", "12_3", 0, "/a/12_3_x/12_3", "12_3_0", "12"),
        ("/%j", "12", 0, "/12", "12_0", "12"),
        ("/a", "DEBUG_123", 0, "/a", "DEBUG_123_0", "DEBUG"),
        ("/a/%A/%a", "12_3_4", 0, "/a/12/3_4", "12_3_4_0", "12"),
        ("/a", None, None, "/a", "%j_%t", "%j"),
        ("/a/%A/%a", None, 1, "/a/%A/%a", "%j_%t", "%j"),
    ],
)
def test_files_of_a_job(
    folder: str, job_id: str | None, task_id: int | None, where: str, prefix: str, script: str
) -> None:
    job = prefix.rpartition("_")[0]
    assert all_files(folder, job_id, task_id) == [
        where,
        f"{where}/{script}_submission.sh",
        f"{where}/{job}_submitted.pkl",
        f"{where}/{prefix}_result.pkl",
        f"{where}/{prefix}_log.out",
        f"{where}/{prefix}_log.err",
    ]
    assert repr(JobPaths(folder, job_id, task_id)) == f"JobPaths({where})"


@pytest.mark.parametrize("name", FILES)
def test_an_index_outside_an_array_is_an_error(name: str) -> None:
    made = JobPaths("/a/%A/%a", "12")
    with pytest.raises(ValueError, match="%a is in the folder path but this is not a job array"):
        getattr(made, name)


@pytest.mark.parametrize(
    ("folder", "root"),
    [
        ("/a/b", "/a/b"),
        ("/a/%j", "/a"),
        ("/a/%A/%a", "/a"),
        ("/a/%t/b", "/a"),
        ("/a/x%jy/z", "/a"),
        ("/a/%%j/x", "/a"),
        ("/a/%n/%u/%j", "/a/%n/%u"),
        ("/%j", "/"),
        ("/", "/"),
        ("/a/../b/%j", "/a/../b"),
    ],
)
def test_the_folder_without_tags(folder: str, root: str) -> None:
    assert JobPaths.get_first_id_independent_folder(folder) == Path(root)
    assert layout_of(folder) == Layout(root)


def test_relative_folders_and_homes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/people/somebody")
    here = os.getcwd()
    assert all_files("logs", "1")[0] == f"{here}/logs"
    assert all_files("a//b/./c/", "1")[0] == f"{here}/a/b/c"
    assert all_files("a/../b/%j", "1")[0] == f"{here}/a/../b/1"
    assert all_files("~/x/%j", "1")[0] == "/people/somebody/x/1"
    assert all_files("%j", "1")[0] == f"{here}/1"
    assert JobPaths.get_first_id_independent_folder("%j") == Path(here)
    made = JobPaths(Path("logs"), "1")
    os.mkdir("elsewhere")
    os.chdir("elsewhere")
    assert made.folder == Path(here, "logs")


@given(st.text(st.characters(blacklist_characters="\0/", blacklist_categories=["Cs"]), min_size=1, max_size=20))
def test_paths_are_those_of_pathlib_whatever_the_directory_is_called(name: str) -> None:
    folder = os.path.join("/r", name.replace("%", "%%j"), "%j")
    assert JobPaths(folder, "7").folder == Path(folder.replace("%j", "7"))
    assert Path(paths.absolute(os.path.join("/r", name))) == Path("/r", name)


def test_attributes_that_programs_read(tmp_path: Path) -> None:
    made = JobPaths(tmp_path / "%j", job_id="1", task_id=2)
    assert (made.job_id, made.task_id, made._folder) == ("1", 2, tmp_path / "%j")
    assert made._format_id("%j_%t_x") == Path("1_2_x")
    assert JobPaths(tmp_path, "1").task_id == 0


@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps])
def test_paths_travel(dumps: object) -> None:
    made = JobPaths("/a/%j", "1", 2)
    assert callable(dumps)
    for other in (pickle.loads(dumps(made)), copy.deepcopy(made), copy.copy(made)):
        assert other.result_pickle == Path("/a/1/1_2_result.pkl")
        assert vars(other) == vars(made)


@pytest.mark.parametrize("keep", [False, True])
def test_a_temporary_file_finds_its_place(tmp_path: Path, keep: bool) -> None:
    script = tmp_path / "script"
    script.write_text("new")
    made = JobPaths(tmp_path / "%j", "1_2")
    (tmp_path / "1_2").mkdir()
    made.submission_file.write_text("old")
    made.move_temporary_file(script, "submission_file", keep_as_symlink=keep)
    assert (tmp_path / "1_2" / "1_submission.sh").read_text() == "new"
    assert script.is_symlink() == keep
    assert not keep or script.read_text() == "new"


def test_a_temporary_file_makes_its_place(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    JobPaths(tmp_path / "a" / "%j", "1").move_temporary_file(str(tmp_path / "x"), "submitted_pickle")
    assert (tmp_path / "a" / "1" / "1_submitted.pkl").exists()
    with pytest.raises(FileNotFoundError):
        JobPaths(tmp_path, "1").move_temporary_file(tmp_path / "missing", "submitted_pickle")
    with pytest.raises(AttributeError):
        JobPaths(tmp_path, "1").move_temporary_file(tmp_path / "x", "no_such_file")


def test_a_temporary_file_crosses_file_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    replace = os.replace

    def across(source: str, target: str) -> None:
        if os.fspath(source) == str(tmp_path / "x"):
            raise OSError(errno.EXDEV, "another device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", across)
    (tmp_path / "x").write_text("text")
    made = JobPaths(tmp_path, "1")
    made.move_temporary_file(tmp_path / "x", "stdout")
    assert made.stdout.read_text() == "text"
    assert not (tmp_path / "x").exists()


def test_thousands_of_them_cost_nothing() -> None:
    """No file system, no `pathlib`: what a job that starts would have to import."""
    import subprocess

    program = (
        "import sys\n"
        "from submitit.storage.paths import JobPaths, layout_of\n"
        "JobPaths('/a/%j', '1', 2).locate('result_pickle'); layout_of('/a/%j')\n"
        "print([m for m in ('pathlib', 're', 'typing', 'pickle', 'cloudpickle', 'shutil') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "[]\n"


def test_the_layout_of_a_folder(tmp_path: Path) -> None:
    layout = layout_of(tmp_path / "logs" / "%j")
    layout.make()
    layout.make()
    root = tmp_path / "logs"
    assert layout.root == root
    assert layout.state == root / ".submitit"
    found = (layout.payloads, layout.journals, layout.events, layout.batch)
    assert found == tuple(root / ".submitit" / name for name in ("payloads", "journal", "events", "batch"))
    assert all(path.is_dir() for path in found)
    assert all(path.stat().st_mode & 0o7777 == 0o775 for path in (root, layout.state, *found))
    assert hash(layout) == hash(layout_of(root))
    assert repr(layout) == f"Layout({str(root)!r})"


def test_a_file_in_the_way_of_the_layout(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("")
    with pytest.raises(NotADirectoryError, match="choose a folder that you can write to") as caught:
        layout_of(tmp_path / "logs" / "%j").make()
    assert caught.value.filename == str(tmp_path / "logs")


@pytest.mark.parametrize("made_before", [False, True])
def test_an_ordinary_user_is_told_about_a_folder_of_somebody_else(user: User, made_before: bool) -> None:
    folder = user.new_directory()
    if made_before:
        layout_of(folder).make()
    program = "import sys\nfrom submitit.storage.paths import layout_of\nlayout_of(sys.argv[1]).make()"
    done = user.run([sys.executable, "-c", program, folder / "%j"], check=False)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("PermissionError: [Errno 13]")
    assert "choose a folder that you can write to" in last
    assert str(folder) in last


@pytest.mark.parametrize(
    "name",
    [
        "a b",
        "it's",
        'say "x"',
        "back\\slash",
        "new\nline",
        "tab\t",
        "ünï",
        "$HOME `x` $(y)",
        "-rf",
        "a#1",
        "100%",
        "%",
        os.fsdecode(b"\xff"),
    ],
)
def test_everything_works_in_a_directory_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name / "%j"
    layout = layout_of(folder)
    assert layout.root == tmp_path / name
    layout.make()
    file = layout.payloads / f"{paths.unique_name()}.pkl"
    payload.write_payload(file, [DelayedSubmission(len, "a" * n) for n in range(3)], durable=True)
    made = JobPaths(folder, "12_2", 0)
    assert made.folder == tmp_path / name / "12_2"
    atomic.make_directory(made.folder)
    value = payload.read_submission(*payload.parse_reference(payload.reference(file, 2))).result()
    outcome.write_result(made.result_pickle, ("success", value), None, outcome.Footer(host="a"))
    assert outcome.read_result(made.result_pickle).value == 2
    atomic.link_or_copy(file, made.submitted_pickle)
    assert payload.read_submission(made.submitted_pickle, 1).result() == 1
    directory = events.EventDirectory(layout.events / paths.client_name())
    assert directory.mark("12_2", 0, 0, "done", "host")
    assert directory.scan() == ["12_2"]
    record = {"event": "submitted", "jobs": {"array": "12", "count": 3, "first": 0}, "folder": str(folder)}
    journal.Journal(layout.journals / "client.jsonl").append(record)
    assert journal.find_submission(layout, "12_2") == record
    atomic.write_text(made.submission_file, f"cd {folder}")
    assert os.fsdecode(made.submission_file.read_bytes()) == f"cd {folder}"
