"""Whose pickles are loaded, by owner and mode, checked on the opened file."""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path

import pytest

from submitit.errors import UntrustedPickleError
from submitit.storage import outcome, payload, serialization, trust
from submitit.storage.submission import DelayedSubmission
from support.users import User

#: Loads each file in every way there is; prints what became of it.
LOADER = """
import json, sys, warnings
from submitit.storage import outcome, payload, serialization
from submitit.storage.submission import DelayedSubmission
said = {}
for path in sys.argv[1:]:
    for load in (payload.read_submission, DelayedSubmission.load, serialization.pickle_load, outcome.read_result):
        name = path.rsplit("/", 1)[-1] + " " + load.__qualname__
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                load(path)
            except Exception as error:
                said[name] = f"{type(error).__name__}: {error}"
            else:
                said[name] = "loaded" + (" with a warning" if caught else "")
print(json.dumps(said))
"""


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process has become a user that owns nothing here, root aside."""
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    monkeypatch.setattr(os, "getegid", lambda: 54321)


@pytest.fixture
def pickled(tmp_path: Path) -> Path:
    path = tmp_path / "1_submitted.pkl"
    DelayedSubmission(len, "abc").dump(path)
    return path


def test_own_files_are_loaded(pickled: Path) -> None:
    trust.check_trust(pickled)
    assert payload.read_submission(pickled).result() == 3


def test_a_file_that_all_can_write_is_not_loaded(pickled: Path) -> None:
    pickled.chmod(0o666)
    for load in (payload.read_submission, DelayedSubmission.load, serialization.pickle_load):
        with pytest.raises(UntrustedPickleError, match=r"every user can write it \(mode 0666\)") as caught:
            load(pickled)
        assert repr(str(pickled)) in str(caught.value)
        assert "chmod o-w" in str(caught.value)
        assert "SUBMITIT_TRUST_FOREIGN_PICKLES=1" in str(caught.value)


@pytest.mark.usefixtures("foreign")
def test_root_may_write_for_everybody_and_other_users_not(pickled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = pickled.stat().st_uid
    if owner == 0:
        trust.check_trust(pickled)
        os.chown(pickled, 12345, -1)
        owner = 12345
    with pytest.raises(UntrustedPickleError, match=f"it belongs to the user with id {owner}, and you are 54321"):
        trust.check_trust(pickled)
    monkeypatch.setenv("SUBMITIT_TRUST_FOREIGN_PICKLES", "1")
    trust.check_trust(pickled)


@pytest.mark.parametrize(("word", "trusted"), [("1", True), ("yes", True), ("0", False), ("", False), ("False", False)])
def test_the_word_of_the_user(pickled: Path, monkeypatch: pytest.MonkeyPatch, word: str, trusted: bool) -> None:
    pickled.chmod(0o646)
    monkeypatch.setenv("SUBMITIT_TRUST_FOREIGN_PICKLES", word)
    if trusted:
        assert DelayedSubmission.load(pickled).result() == 3
    else:
        with pytest.raises(UntrustedPickleError):
            DelayedSubmission.load(pickled)


def test_a_colleagues_file_is_loaded_when_it_is_asked_for(pickled: Path, tmp_path: Path) -> None:
    pickled.chmod(0o666)
    assert payload.read_submission(pickled, trust=True).result() == 3
    result = tmp_path / "1_0_result.pkl"
    outcome.write_result(result, ("success", 3))
    result.chmod(0o666)
    assert outcome.read_result(result, trust=True).value == 3


def test_a_private_group_may_write(pickled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pickled.chmod(0o664)
    user, group = pickled.stat().st_uid, pickled.stat().st_gid
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(os, "getegid", lambda: user)
    if user == group:
        trust.check_trust(pickled)
    monkeypatch.setattr(os, "getegid", lambda: group + 1)
    with pytest.raises(UntrustedPickleError, match=f"the group with id {group} can write it"):
        trust.check_trust(pickled)


def test_a_shared_primary_group_is_not_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getegid", lambda: 100)
    assert not trust.is_own_group(100)
    assert not trust.is_own_group(1000)
    monkeypatch.setattr(os, "getegid", lambda: 1000)
    assert trust.is_own_group(1000)


@pytest.fixture
def shared_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the files' group is, it is shared with others."""
    monkeypatch.setattr(trust, "is_own_group", lambda gid: False)
    monkeypatch.setattr(trust, "_warned_folders", set())


@pytest.mark.usefixtures("shared_group")
def test_what_this_version_writes_stays_trusted_under_a_group_mask(tmp_path: Path) -> None:
    os.umask(0o002)
    calls = [DelayedSubmission(len, "a" * n) for n in range(3)]
    payload.write_payload(tmp_path / "one.pkl", calls[:1])
    payload.write_payload(tmp_path / "many.pkl", calls)
    outcome.write_result(tmp_path / "result.pkl", ("success", 1))
    calls[0].dump(tmp_path / "dumped.pkl")
    payload.read_submission(tmp_path / "one.pkl")
    payload.read_submission(tmp_path / "many.pkl", 2)
    outcome.read_result(tmp_path / "result.pkl")
    DelayedSubmission.load(tmp_path / "dumped.pkl")


@pytest.mark.usefixtures("shared_group")
def test_files_of_this_version_that_a_shared_group_can_write_are_not_loaded(tmp_path: Path) -> None:
    many, result = tmp_path / "many.pkl", tmp_path / "result.pkl"
    below = tmp_path / ".submitit" / "payloads" / "one.pkl"
    below.parent.mkdir(parents=True)
    calls = [DelayedSubmission(len, "a" * n) for n in range(3)]
    payload.write_payload(many, calls)
    payload.write_payload(below, calls[:1])
    outcome.write_result(result, ("success", 1))
    for path in (many, result, below):
        path.chmod(0o664)
    with pytest.raises(UntrustedPickleError, match="the group with id"):
        payload.read_submission(many, 1)
    with pytest.raises(UntrustedPickleError, match="chmod g-w"):
        payload.read_submission(below)
    with pytest.raises(UntrustedPickleError, match="the group with id"):
        outcome.read_result(result)


@pytest.mark.usefixtures("shared_group")
def test_files_of_version_1_under_a_group_mask_warn_once_a_folder(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
        for name in ("1_0_result.pkl", "2_0_result.pkl"):
            (folder / name).write_bytes(serialization.dumps(("success", name)))
            (folder / name).chmod(0o664)
    for folder in folders:
        with pytest.warns(UserWarning, match="whoever is in that group can run code as you"):
            assert outcome.read_result(folder / "1_0_result.pkl").value == "1_0_result.pkl"
        assert outcome.read_result(folder / "2_0_result.pkl").value == "2_0_result.pkl"


def test_what_is_checked_is_what_is_loaded(pickled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is exchanged in between is not the one that was opened."""
    evil = tmp_path / "evil"
    evil.write_bytes(serialization.dumps("evil"))
    evil.chmod(0o666)
    check = trust.check_trust

    def exchanging(path: Path, descriptor: int | None = None, *, legacy: bool = False) -> None:
        os.replace(evil, path)
        check(path, descriptor, legacy=legacy)

    monkeypatch.setattr(payload, "check_trust", exchanging)
    assert payload.read_submission(pickled).result() == 3
    with pytest.raises(UntrustedPickleError):
        trust.check_trust(pickled)


def test_a_footer_says_nothing_that_needs_trust(tmp_path: Path) -> None:
    outcome.write_result(tmp_path / "r.pkl", ("success", 1), None, outcome.Footer(host="a"))
    (tmp_path / "r.pkl").chmod(0o666)
    footer = outcome.read_footer(tmp_path / "r.pkl")
    assert footer is not None
    assert footer.host == "a"


def test_as_an_ordinary_user(user: User) -> None:
    """The same by real users and modes: files of the user, of root, and of a stranger."""
    folder = user.new_directory()
    stranger = user.uid + 1
    cases = {
        "own": (user.uid, user.gid, 0o644),
        "own-private-group": (user.uid, user.gid, 0o664),
        "own-shared-group": (user.uid, stranger, 0o664),
        "own-all": (user.uid, user.gid, 0o646),
        "root": (0, 0, 0o644),
        "stranger": (stranger, user.gid, 0o644),
    }
    paths = []
    for name, (uid, gid, mode) in cases.items():
        paths.append(folder / name)
        DelayedSubmission(len, "abc").dump(paths[-1])
        os.chown(paths[-1], uid, gid)
        paths[-1].chmod(mode)
    folder.chmod(0o777)
    said = json.loads(user.run([sys.executable, "-c", LOADER, *paths]).stdout)
    for load in ("read_submission", "DelayedSubmission.load", "pickle_load"):
        assert said[f"own {load}"] == said[f"own-private-group {load}"] == said[f"root {load}"] == "loaded"
        assert "every user can write it" in said[f"own-all {load}"]
        assert f"it belongs to the user with id {stranger}" in said[f"stranger {load}"]
    warned = [case for case, words in said.items() if words == "loaded with a warning"]
    assert warned == ["own-shared-group read_submission"]
    for case in ("own-all", "stranger"):
        assert said[f"{case} read_result"].startswith("UntrustedPickleError")
    trusting = user.run([sys.executable, "-c", LOADER, *paths], env={"SUBMITIT_TRUST_FOREIGN_PICKLES": "1"}).stdout
    assert {v for k, v in json.loads(trusting).items() if not k.endswith("read_result")} == {"loaded"}


def test_warnings_are_given_only_where_they_are_due(pickled: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        payload.read_submission(pickled)
