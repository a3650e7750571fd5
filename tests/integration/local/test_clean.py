"""What takes space, and what of it goes: real jobs of this machine and the real command."""

from __future__ import annotations

import functools
import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import submitit
from submitit.errors import JobVanishedError
from submitit.local import journals
from submitit.storage import journal
from submitit.views.folder import Folder
from support import calls, users
from support.command import Command
from support.local_processes import Clients, put


def listed(folder: Path) -> list[str]:
    """What `ls` would list."""
    found = Folder(folder)
    found.refresh()
    return [entry.job_id for entry in found.entries]


def until_over(folder: Path, *job_ids: str) -> None:
    """Their controller has written down that they are over."""
    found = Folder(folder)

    def over() -> bool:
        found.refresh()
        return {entry.job_id for entry in found.entries if entry.over} >= set(job_ids)

    calls.wait_for(over)


def found_again(folder: Path, job_id: str) -> submitit.LocalJob[Any]:
    """A handle, as another process would make it."""
    journals._SOURCES.clear()
    journal._indexes.clear()
    return submitit.LocalJob(folder, job_id)


def test_du_tells_what_takes_space(executor: submitit.LocalExecutor, tmp_path: Path) -> None:
    big = executor.submit(functools.partial(bytes, 2_000_000))
    small = executor.map_array(calls.add, [1, 2], [3, 4])
    assert [len(big.result()), *(job.result() for job in small)] == [2_000_000, 4, 6]
    until_over(executor.folder, "1", "2", "3")
    (told,) = Command().answer("du", executor.folder)
    assert told["folder"] == str(executor.folder)
    assert told["jobs"] == 3
    assert told["kinds"]["results"]["files"] == 3
    assert told["kinds"]["results"]["size"] > 2_000_000
    # The call of a single job is one file of two names.
    assert told["kinds"]["payloads"]["files"] == 2
    assert told["size"] == sum(kind["size"] for kind in told["kinds"].values())
    assert told["largest"][0]["job_id"] == "1"
    text = Command()("du", executor.folder).out
    assert "results" in text
    assert str(executor.folder) in text


def test_what_is_over_goes_and_what_runs_or_waits_has_all_it_needs(
    executor: submitit.LocalExecutor, tmp_path: Path
) -> None:
    executor.update_parameters(array_parallelism=1)
    names = [str(tmp_path / name) for name in ("before", "running", "waiting")]
    put(tmp_path / "before", "done")
    jobs = executor.map_array(calls.wait_for_file, names)
    jobs[0].result()
    calls.wait_for(lambda: jobs[1].state == "RUNNING")
    until_over(executor.folder, "1")
    shown = Command()("clean", executor.folder)
    assert "1 COMPLETED" in shown.out
    assert "2 jobs stay: running or waiting" in shown.out
    assert "Nothing was deleted" in shown.err
    assert listed(executor.folder) == ["1", "2", "3"]
    Command()("clean", executor.folder, "--yes")
    assert listed(executor.folder) == ["2", "3"]
    assert not list(executor.folder.glob("1_*"))
    for name in names[1:]:
        put(Path(name), "went on")
    assert [job.result() for job in jobs[1:]] == ["went on"] * 2
    until_over(executor.folder, "2", "3")
    Command()("clean", executor.folder, "--yes")
    assert listed(executor.folder) == []
    assert not list(executor.folder.glob("[0-9]*"))
    assert not list((executor.folder / ".submitit" / "payloads").iterdir())
    # This process lives, and submits on.
    assert executor.submit(calls.add, 1, 2).result() == 3
    assert listed(executor.folder) == ["4"]


def test_a_handle_of_a_cleaned_job_says_so(executor: submitit.LocalExecutor) -> None:
    job = executor.submit(calls.add, 1, 2)
    job.wait()
    until_over(executor.folder, job.job_id)
    Command()("clean", executor.folder, "--yes")
    for handle in (job, found_again(executor.folder, job.job_id)):
        with pytest.raises(JobVanishedError, match=r"Job 1 was cleaned by .* at 20\d\d-.*submitit clean"):
            handle.result()
        with pytest.raises(FileNotFoundError, match="The call of job 1 is gone: it was cleaned by"):
            handle.submission()
        assert handle.done()


def test_parts_of_jobs(executor: submitit.LocalExecutor) -> None:
    job = executor.submit(calls.add, 1, 2)
    job.wait()
    until_over(executor.folder, job.job_id)
    Command()("clean", executor.folder, "--logs-only", "--yes")
    assert job.stdout() is None
    assert found_again(executor.folder, "1").submission().args == (1, 2)
    Command()("clean", executor.folder, "--keep-results", "--yes")
    assert found_again(executor.folder, "1").result() == 3
    assert listed(executor.folder) == ["1"]
    with pytest.raises(FileNotFoundError, match=r"The call of job 1 is gone: its payload was deleted"):
        found_again(executor.folder, "1").submission()


def test_the_results_that_a_job_waits_for_stay(executor: submitit.LocalExecutor, tmp_path: Path) -> None:
    first, other, slow = executor.submit(calls.add, 1, 2), executor.submit(calls.add, 3, 4), str(tmp_path / "go")
    blocking = executor.submit(calls.wait_for_file, slow)
    executor.update_parameters(after_any=[blocking])
    waiting = executor.submit(calls.add, submitit.result_of(first), 10)
    elsewhere = submitit.LocalExecutor(tmp_path / "elsewhere")
    elsewhere.update_parameters(after_any=[blocking])
    too = elsewhere.submit(calls.add, submitit.result_of(other), 10)
    first.wait()
    other.wait()
    until_over(executor.folder, "1", "2")
    (plan,) = Command().answer("clean", executor.folder, "--yes")
    assert plan["jobs"] == []
    assert plan["kept"] == {"needed": 2, "alive": 2}
    put(Path(slow), "now")
    assert (waiting.result(), too.result()) == (13, 17)


def test_calls_that_jobs_share_out_are_there_until_the_last_is_over(
    executor: submitit.LocalExecutor, tmp_path: Path
) -> None:
    executor.update_parameters(max_jobs=2, array_parallelism=2)
    files = [str(tmp_path / f"file-{number}") for number in range(6)]
    results = executor.map(calls.wait_for_file, files, chunksize=1)
    for file in [files[0], *files[2:]]:
        put(Path(file), "a")
    calls.wait_for(lambda: any(job.done() for job in results.jobs))
    (blocked,) = [job for job in results.jobs if not job.done()]
    until_over(executor.folder, *{"1", "2"} - {blocked.job_id})
    payloads = executor.folder / ".submitit" / "payloads"
    before = sorted(path.name for path in payloads.iterdir())
    assert len(before) == 3
    Command()("clean", executor.folder, "--yes")
    assert listed(executor.folder) == [blocked.job_id]
    assert sorted(path.name for path in payloads.iterdir()) == before
    put(Path(files[1]), "a")
    blocked.wait()
    assert blocked.exception() is None
    until_over(executor.folder, blocked.job_id)
    Command()("clean", executor.folder, "--yes")
    assert not list(payloads.iterdir())


_KILLED = """
import os, signal, sys
from submitit.upkeep import cleaning, removal, survey
from submitit.views.folder import Folder
folder, left = Folder(sys.argv[1]), [int(sys.argv[2])]
folder.refresh()
wanted = cleaning.Wanted()
plan = cleaning.decide(survey.take(folder), wanted)
def counted(call):
    def one(*args, **kwargs):
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
        return call(*args, **kwargs)
    return one
os.unlink, os.rmdir, os.replace = map(counted, (os.unlink, os.rmdir, os.replace))
removal.remove(folder, wanted, plan)
"""


@pytest.mark.parametrize("after", [0, 1, 4])
def test_a_clean_that_is_killed_leaves_whole_jobs(clients: Clients, after: int) -> None:
    clients.run("""
executor.update_parameters(array_parallelism=2)
jobs = executor.map_array(calls.add, [1, 2], [3, 4]) + [executor.submit(calls.add, 5, 6)]
[job.wait() for job in jobs]
""")
    until_over(clients.folder, "1", "2", "3")
    done = subprocess.run([sys.executable, "-c", _KILLED, clients.folder, str(after)], check=False)
    assert done.returncode == -9
    whole = listed(clients.folder)
    assert whole == (["1", "2", "3"] if not after else [])
    for job_id in whole:
        job = found_again(clients.folder, job_id)
        assert job.result() == sum(job.submission().args)
        assert job.stdout() is not None
    Command()("clean", clients.folder, "--yes")
    assert listed(clients.folder) == []
    assert not list(clients.folder.glob("[0-9]*"))
    names = os.listdir(clients.folder / ".submitit" / "journal")
    assert not [name for name in names if "cleaned" not in name and not name.endswith(".tmp")]


def test_others_submit_meanwhile(clients: Clients) -> None:
    """Jobs that fail are cleaned all the time; those that share their payloads, and all others, know nothing of it."""
    client = clients.start("""
executor.update_parameters(array_parallelism=4)
def divide(one, other):
    return one // other
for round in range(12):
    jobs = executor.map_array(divide, [round] * 4, [1, 0, 1, 0])
    single = executor.submit(divide, round, 1)
    assert [jobs[0].result(), jobs[2].result(), single.result()] == [round] * 3
    assert jobs[2].submission().args == single.submission().args == (round, 1)
    say(round)
""")
    rounds = 0
    while client.poll() is None:
        if clients.folder.exists():
            Command()("clean", clients.folder, "--state", "FAILED", "--yes", code=None)
            rounds += 1
    assert client.wait(60) == 0
    assert rounds > 1
    found = Folder(clients.folder)
    found.refresh()
    kept = [entry for entry in found.entries if entry.state == "COMPLETED"]
    assert len(kept) == 36
    assert all(found_again(clients.folder, entry.job_id).result() is not None for entry in kept)


@pytest.mark.skipif(not users.can_make_users(), reason="takes root, to be somebody else for once")
def test_somebody_elses_jobs_stay_and_nobody_hides_them(executor: submitit.LocalExecutor, tmp_path: Path) -> None:
    with users.ordinary_user() as user:
        folder = Path(user.new_directory()) / "jobs"
        own = submitit.LocalExecutor(folder)
        own.submit(calls.add, 1, 2).wait()
        until_over(folder, "1")
        for path in (folder, folder / ".submitit" / "journal"):
            path.chmod(0o777)
        words = [sys.executable, "-m", "submitit", "clean", str(folder), "--yes"]
        done = user.run(words, env={"XDG_STATE_HOME": str(user.home / "state")})
        assert "1 job stays: of other users" in done.stdout
        forged = {"event": "cleaned", "folder": str(folder), "time": time.time(), "until": time.time() + 1}
        line = json.dumps({**forged, "spans": {"": [[1, 9]]}, "named": []})
        path = folder / ".submitit" / "journal" / "20330101-000000-x-1-00000000.cleaned.jsonl"
        user.run(["sh", "-c", f"echo '{line}' > {path}"])
        assert listed(folder) == ["1"]
        os.chown(path, os.geteuid(), os.getegid())
        assert listed(folder) == []


def test_an_id_that_comes_round_again_is_the_new_jobs(executor: submitit.LocalExecutor, tmp_path: Path) -> None:
    """As on a cluster whose counter was reset: the old job's record is not the new job's."""
    executor.submit(calls.add, 1, 2).wait()
    until_over(executor.folder, "1")
    Command()("clean", executor.folder, "--yes")
    (executor.folder / ".submitit" / "local" / "next-id").unlink()
    again = submitit.LocalExecutor(executor.folder)
    job = again.submit(calls.wait_for_file, str(tmp_path / "go"))
    assert job.job_id == "1"
    assert listed(executor.folder) == ["1"]
    Command()("clean", executor.folder, "--yes")
    put(tmp_path / "go", "on")
    assert job.result() == "on"
    assert found_again(executor.folder, "1").result() == "on"


def test_it_asks(executor: submitit.LocalExecutor) -> None:
    executor.submit(calls.add, 1, 2).wait()
    until_over(executor.folder, "1")
    for answer, left in (("n", ["1"]), ("", ["1"]), ("y", [])):
        ours, theirs = pty.openpty()
        words = [sys.executable, "-m", "submitit", "clean", str(executor.folder)]
        with subprocess.Popen(words, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as asked:
            os.close(theirs)
            os.write(ours, f"{answer}\n".encode())
            printed, complaints = asked.communicate(timeout=60)
        os.close(ours)
        assert asked.returncode == 0
        assert b"Delete this? [y/N]" in printed + complaints
        assert listed(executor.folder) == left


@pytest.mark.parametrize(
    "words, said",
    [
        (["--older-than", "30"], "--older-than takes an age with its unit, such as 30d, 12h or 2w, not '30'"),
        (["--older-than", "long"], "such as 30d, 12h or 2w, not 'long'"),
        (["--state", "FALED"], "FALED is no state of a job. Did you mean FAILED?"),
        (["--state", "xyz"], "XYZ is no state of a job. The states in which jobs are over are COMPLETED"),
        (["--state", "running"], "jobs that are RUNNING are not over, and are never deleted"),
        (["--logs-only", "--keep-results"], "give one of them"),
        (["--yes", "--dry-run"], "give one of them"),
        (["--yes"], "--yes alone would delete every job that is over"),
        (["nowhere"], "there is no folder"),
    ],
)
def test_wrong_use(words: list[str], said: str) -> None:
    done = Command()("clean", *words, code=2)
    assert said in " ".join(done.err.split())
    assert done.out == ""


def test_a_folder_without_jobs(tmp_path: Path) -> None:
    for command in ("du", "clean"):
        done = Command()(command, tmp_path, code=1)
        assert f"no job was submitted to {tmp_path}" in done.err
