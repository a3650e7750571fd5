"""Whose files jobs and handles load, as an ordinary user among others: jobs run, and are found, as that user."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import submitit
from submitit.storage import outcome
from submitit.storage.submission import DelayedSubmission
from support import calls, users
from support.local_processes import wait_until_none
from support.reliability import Fault
from support.strangers import Someone, put_a_strangers

pytestmark = pytest.mark.skipif(not users.can_make_users(), reason="takes root, to be somebody else for once")


@pytest.fixture
def someone() -> Iterator[Someone]:
    with users.ordinary_user() as user:
        directory = user.new_directory()
        os.chown(directory, user.uid, user.gid)
        directory.chmod(0o777)
        made = Someone(user, directory, "local")
        yield made
        assert wait_until_none(made.clients) == []


@pytest.mark.parametrize("replaced", ["jobs/1_submitted.pkl", "payload", "a link", "jobs/1_0_result.pkl"])
def test_a_file_that_another_user_put_in_the_place(someone: Someone, fault: Fault, replaced: str) -> None:
    """In the job and in the client: nothing of it is loaded."""
    program = """
executor.update_parameters(setup=["until [ -e go ]; do sleep 0.02; done"])
job, other = executor.submit(calls.add, 1, 2), executor.map_array(calls.add, [1, 2], [3, 4])[0]
print(job.job_id, os.listdir("jobs/.submitit/payloads"), flush=True)
"""
    result = replaced.endswith("result.pkl")
    if result:
        (someone.directory / "go").touch()
    someone.run(f"{program}\njob.wait(), other.wait()" if result else program)
    folder = someone.directory / "jobs"
    evil = DelayedSubmission(os.mkdir, str(someone.directory / "evil"))
    target = folder / "1_0_result.pkl"
    if result:
        put_a_strangers(someone, target, "evil")
    elif replaced == "payload":
        for path in (folder / ".submitit" / "payloads").iterdir():
            put_a_strangers(someone, path, evil)
    elif replaced == "a link":
        elsewhere = put_a_strangers(someone, someone.directory / "elsewhere.pkl", evil)
        (folder / "1_submitted.pkl").unlink()
        (folder / "1_submitted.pkl").symlink_to(elsewhere)
    else:
        put_a_strangers(someone, someone.directory / replaced, evil)
    (someone.directory / "go").touch()
    told = someone.run("for k in '12': end_of(submitit.LocalJob('jobs', k))")
    refused, whole = (told[1], told[0]) if replaced == "payload" else (told[0], told[-1])
    assert f"it belongs to the user with id {someone.user.uid + 1}, and you are {someone.user.uid}" in "\n".join(told)
    assert not (someone.directory / "evil").exists()
    if result:
        assert refused.startswith("UntrustedPickleError Not loading '/jobs/1_0_result.pkl'")
    else:
        assert refused.startswith("FailedJobError")
        assert "submitit.errors.UntrustedPickleError: Not loading '" in "\n".join(told)
    assert whole.startswith("returned")
    fault.seen(
        f"another user has put a file of their own in the place of {'the result' if result else 'the submitted call'}",
        f"`{'' if result else 'FailedJobError`: `'}UntrustedPickleError`: the file, whose it is; nothing of it is loaded",
        backend="local",
        lost="its result" if result else "the call",
        timed=False,
    )


def test_a_colleagues_job_is_opened_with_trust(someone: Someone) -> None:
    """The value, the error and the call; without it nothing, and a handle of several tasks trusts for each."""
    folder = someone.directory / "jobs"
    folder.mkdir()
    DelayedSubmission(calls.add, 1, 2).dump(folder / "1_submitted.pkl")
    for rank in range(2):
        outcome.write_result(folder / f"1_{rank}_result.pkl", ("success", 3 + rank))
    outcome.write_result(folder / "2_0_result.pkl", ("error", "a trace"), ValueError("x"))
    for path in folder.iterdir():
        os.chown(path, someone.user.uid + 1, someone.user.gid)
    told = someone.run(
        """
import pickle
for trust in (False, True):
    job, error = submitit.LocalJob("jobs", "1", [0, 1], trust=trust), submitit.LocalJob("jobs", "2", trust=trust)
    for ask in (job.results, job.submission, error.exception, pickle.loads(pickle.dumps(job)).results, job.task(1).result):
        try:
            print(repr(ask()).partition(" at ")[0].partition("\\\\n")[0])
        except Exception as problem:
            print(type(problem).__name__)
slurm = submitit.SlurmJob("jobs", "1", [0, 1], trust=True)
print([job._trust for job in (slurm, slurm.task(1), submitit.SlurmJob("jobs", "1"))])
"""
    )
    assert told[:5] == ["UntrustedPickleError"] * 5
    assert told[5:] == [
        "[3, 4]",
        "<submitit.core.utils.DelayedSubmission object",
        'FailedJobError("Job (task=0) failed during processing with trace:',
        "[3, 4]",
        "4",
        "[True, True, False]",
    ]


@pytest.mark.parametrize(
    ("umask", "allowed"), [(0o077, 0o700), (0o027, 0o750), (0o022, 0o755), (0o002, 0o775), (0, 0o775)]
)
def test_who_may_read_is_the_umasks_affair(someone: Someone, umask: int, allowed: int) -> None:
    """Results, logs, payloads, journals, whatever the backend writes: nobody else reads them unless the umask says so."""
    someone.run(
        """
jobs = [executor.submit(calls.add, 1, 2), *executor.map_array(calls.add, [1, 2], [3, 4]), executor.submit(calls.fail, "x")]
[job.exception() for job in jobs]
executor.update_parameters(setup=[":"])
assert executor.submit(calls.add, 1, 2).result() == 3
""",
        umask=umask,
    )
    assert wait_until_none(someone.clients) == []
    found = [path for path in (someone.directory / "jobs").rglob("*") if not path.is_symlink()]
    assert {path.name.partition("_")[2] for path in found} >= {
        "0_result.pkl",
        "0_log.out",
        "0_log.err",
        "submitted.pkl",
    }
    modes = {str(path): path.stat().st_mode & 0o777 for path in found}
    assert not {path: oct(mode) for path, mode in modes.items() if mode & ~allowed}
    readable = {mode & 0o044 for path, mode in modes.items() if path.endswith(("result.pkl", ".out", ".err"))}
    assert readable == {0o044 & ~umask}
    # Whoever shares the user's group may write nothing that is loaded as code; the user's own group is another matter.
    assert {mode & 0o002 for mode in modes.values()} == {0}


def test_what_a_default_access_list_lets_others_write_is_kept_from_them(someone: Someone) -> None:
    """In a directory that hands its access list on, files are written so that they stay trusted."""
    named = someone.user.uid + 1
    users.let_pass(someone.directory, named)
    listed = os.getxattr(someone.directory, users.ACL)
    entries = [users._Entry(e.tag, 7, e.id) for e in users._read_acl(someone.directory)]
    users._write_acl(someone.directory, entries)
    os.setxattr(someone.directory, "system.posix_acl_default", os.getxattr(someone.directory, users.ACL))
    assert os.getxattr(someone.directory, users.ACL) != listed
    told = someone.run(
        """
job = executor.submit(calls.add, 1, 2)
end_of(job)
path = job.paths.result_pickle
print(oct(stat.S_IMODE(path.stat().st_mode) & 0o022), len(os.getxattr(path, "system.posix_acl_access")) > 28)
path.chmod(0o664)
end_of(submitit.LocalJob("jobs", job.job_id))
""",
        umask=0o002,
    )
    assert told[:2] == ["returned 3", "0o0 True"]
    assert told[2].startswith(
        "UntrustedPickleError Not loading '/jobs/1_0_result.pkl': whoever its access control list names"
    )


def test_a_link_in_the_place_of_what_is_written(someone: Someone) -> None:
    """In a shared folder somebody may have put links there to what they would like to see overwritten."""
    someone.run("executor.submit(calls.add, 1, 2).result()")
    mine = someone.directory / "mine"
    mine.write_text("all my work")
    os.chown(mine, someone.user.uid, someone.user.gid)
    folder = someone.directory / "jobs"
    for name in ("2_0_result.pkl", "2_submitted.pkl"):
        (folder / name).symlink_to(mine)
    counter = folder / ".submitit" / "local" / "next-id"
    counter.unlink()
    counter.symlink_to(mine)
    told = someone.run(
        """
try:
    executor.submit(calls.add, 1, 2)
except OSError as error:
    print(type(error).__name__, error)
os.unlink("jobs/.submitit/local/next-id")
job = executor.submit(calls.add, 1, 2)
print(job.job_id, job.result())
from submitit.storage.events import EventDirectory
from submitit.storage.journal import Journal
os.symlink("mine", "1-0.0.done")
print(EventDirectory(".").mark("1", 0, 0, "done", "n1"))
try:
    os.symlink("mine", "a.jsonl")
    Journal("a.jsonl").append({})
except OSError as error:
    print(error.errno, error.filename)
"""
    )
    assert told[0].startswith("OSError [Errno 40]")
    assert "next-id" in told[0]
    assert told[1:] == ["3 3", "False", "40 a.jsonl"]
    assert mine.read_text() == "all my work"


@pytest.mark.parametrize("command", ["retry", "result"])
def test_a_command_imports_nothing_from_where_another_user_says(someone: Someone, command: str) -> None:
    """It goes to where the job was submitted from, as its journal has it; not if somebody else could have written that."""
    someone.run("print(executor.submit(calls.add, 1, 2).result())")
    place = someone.directory / "planted"
    place.mkdir(mode=0o755)
    (place / "cloudpickle.py").write_text(f"open({str(someone.directory / 'evil')!r}, 'w')\n")
    for journal in (someone.directory / "jobs" / ".submitit" / "journal").iterdir():
        line = json.loads(journal.read_text().splitlines()[0])
        if line["event"] == "submitted":
            journal.unlink()
            journal.write_text(json.dumps({**line, "cwd": str(place)}) + "\n")
            os.chown(journal, someone.user.uid + 1, someone.user.gid)
    told = someone.run(
        f"""
import subprocess
done = subprocess.run([sys.executable, "-m", "submitit", {command!r}, "1", "-F", "jobs", *{["--all"] if command == "retry" else []!r}],
    stdin=subprocess.DEVNULL, capture_output=True, text=True)
print(done.returncode, done.stderr.replace("\\n", " "), sorted(os.listdir()))
"""
    )
    assert told[0].startswith({"retry": "1 ", "result": "2 "}[command]), "nobody is there to be asked"
    assert "journal" in told[0]
    assert "belongs to the user with id" in told[0]
    assert "'evil'" not in told[0]


def test_a_folder_that_is_read_only(someone: Someone, fault: Fault) -> None:
    """Nothing is submitted, and nothing is left."""
    (someone.directory / "jobs").mkdir(mode=0o555)
    (someone.directory / "open").mkdir(mode=0o555)
    told = someone.run(
        """
for call in (lambda: executor.submit(calls.add, 1, 2), lambda: executor.map_array(calls.add, [1, 2], [3, 4])):
    try:
        call()
    except PermissionError as error:
        print(error)
"""
    )
    for line in told:
        assert "choose a folder that you can write to" in line
        assert str(someone.directory / "jobs") in line
    assert len(told) == 2
    assert list((someone.directory / "jobs").iterdir()) == []
    fault.seen(
        "its folder is read-only, at submission",
        "`PermissionError`: the folder, and to choose another",
        backend="local",
        lost="no job",
        timed=False,
    )


def _colour() -> None:
    print("\x1b[31mred\x1b[0m words \x1b]52;c;cm0=\x07on stdout", flush=True)
    os.write(2, b"\x1b[2J\x1b[Hred words\x1b[8m\r on stderr\n")
    os._exit(3)


_colour.__module__ = "__main__"


def test_what_a_job_prints_does_nothing_to_the_terminal(tmp_path: Path) -> None:
    """In errors; ``stdout()`` and ``stderr()`` return what was printed."""
    executor = submitit.LocalExecutor(tmp_path / "jobs")
    job: submitit.Job[Any] = executor.submit(_colour)
    words = str(job.exception())
    assert "red words on stdout" in words
    assert "red words\n on stderr" in words
    assert not [c for c in words if ord(c) < 32 and c != "\n"]
    assert "\x1b[31mred" in (job.stdout() or "")
