"""What a folder's files tell of its jobs, to who has submitted none of them."""

from __future__ import annotations

from pathlib import Path

import pytest

import submitit
from submitit.orchestrator.sources import Attempt
from submitit.storage import registry
from submitit.views import asked, attempts, told
from submitit.views.entry import JobEntry
from submitit.views.folder import Folder
from support import calls, failing
from support.backends import Backend

pytestmark = [pytest.mark.needs("separate")]


def ended(folder: Folder) -> int:
    """How many jobs have ended, for all that the folder knows now."""
    folder.refresh()
    return sum(entry.over for entry in folder.entries)


def test_every_job_is_listed_with_how_it_ended(backend: Backend, folder: Path, tmp_path: Path) -> None:
    go = str(tmp_path / "go")
    executor = backend.executor(folder, name="listed")
    good, bad = executor.submit(calls.add, 1, 2), executor.submit(calls.fail, "as asked")
    killed = executor.submit(calls.exit_at_once, 3)
    array = executor.map_array(calls.add, [1, 2], [3, 4])
    waiting = executor.submit(calls.wait_for_file, go)
    for job in (good, bad, killed, *array):
        job.wait()
    view = Folder(folder)
    calls.wait_for(lambda: ended(view) == 5)
    assert [entry.job_id for entry in view.entries] == [job.job_id for job in (good, bad, killed, *array, waiting)]
    states = {entry.job_id: entry.state for entry in view.entries}
    assert [states[job.job_id] for job in (good, *array)] == ["COMPLETED"] * 3
    assert [states[job.job_id] for job in (bad, killed)] == ["FAILED"] * 2
    (entry,) = view.find(good.job_id)
    assert (entry.name, entry.function, entry.backend, entry.folder) == (
        "listed",
        "support.calls.add",
        backend.name,
        str(folder),
    )
    assert entry.succeeded
    assert not entry.failed
    (last,) = view.find(waiting.job_id)
    assert not last.over
    Path(go).write_text("go")
    waiting.result()
    calls.wait_for(lambda: ended(view) == 6)
    assert view.find(waiting.job_id)[0].succeeded
    assert not view.refresh(), "nothing has changed"
    detailed = view.detailed(entry)
    assert detailed.start is not None
    assert detailed.end is not None
    assert entry.submitted - 1 < detailed.start <= detailed.end
    assert detailed.node
    assert detailed.max_rss_mb
    assert asked.asked(entry).time_s == (600 if backend.name != "queue" else 120)


def test_a_folder_is_known_to_the_user_who_submitted_to_it(
    backend: Backend, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    other = tmp_path / "other"
    backend.executor(folder).submit(calls.add, 1, 2).result()
    backend.executor(other / "%j").submit(calls.add, 1, 2).result()
    assert {known.root for known in registry.folders()} == {str(folder.parent), str(other)}
    other.rename(tmp_path / "moved")
    assert [known.root for known in registry.folders()] == [str(folder.parent)], "what is gone is left out"


@pytest.mark.needs("requeues", "prompt")  # the same on Slurm takes as long as that waits before it kills
def test_what_was_told_to_end_is_over_once_the_scheduler_says_so(
    backend: Backend, folder: Path, tmp_path: Path
) -> None:
    started = tmp_path / "started"
    job = backend.executor(folder).submit(calls.touch_and_wait, str(started), str(tmp_path / "never"))
    calls.wait_for(started.exists)
    job.cancel()
    view = Folder(folder)
    calls.wait_for(lambda: ended(view))
    assert view.entries[0].state == "CANCELLED"
    markers = Attempt(0, frozenset("0"), frozenset(), {"0": 143, "batch": 143}, terminated=True)
    waited = JobEntry(view.entries[0].submission, job.job_id, reason="Resources")
    told_to_end, settled = told.by_markers(waited, markers)
    assert (told_to_end.over, settled) == (False, False), "it may have been preempted, and run again"
    assert told_to_end.reason == "", "it waits no more"


@pytest.mark.needs("requeues")
def test_attempts_are_told_without_asking(backend: Backend, folder: Path, tmp_path: Path) -> None:
    retry = submitit.Retry(exception=submitit.OnException(failing.FlakyError, times=2))
    job = backend.executor(folder, retry=retry).submit(failing.first_by, str(tmp_path), "job", "exception", 2)
    job.result()
    view = Folder(folder)
    calls.wait_for(lambda: ended(view) == 1)
    (entry,) = view.entries
    told = attempts.attempts(view, entry)
    assert [(one.number, one.state, one.again) for one in told] == [
        (0, "FAILED", "exception"),
        (1, "FAILED", "exception"),
        (2, "COMPLETED", ""),
    ]
    assert all(one.start and one.end and one.node for one in told)
    assert [one.start for one in told] == sorted(one.start or 0 for one in told)


def test_what_others_wrote_into_a_journal_is_left_out(backend: Backend, folder: Path) -> None:
    backend.executor(folder).submit(calls.add, 1, 2).result()
    (journal,) = [
        path for path in (folder.parent / ".submitit" / "journal").iterdir() if b"submitted" in path.read_bytes()
    ]
    line = journal.read_text().splitlines()[0]
    with open(journal, "a") as file:
        file.writelines(
            line[:-1] + f",{wrong}}}\n"
            for wrong in (
                '"tasks":"many"',
                '"jobs":{"array":"9","count":1e99}',
                '"time":NaN',
                '"folder":"jobs"',
                '"folder":"/jobs/%j/../../elsewhere"',
            )
        )
        file.write("[1]\nnot JSON\n")
    view = Folder(folder)
    calls.wait_for(lambda: ended(view) == 1)
    assert len(view.entries) == 1


def test_a_folder_has_several_names_and_may_be_moved(backend: Backend, folder: Path, tmp_path: Path) -> None:
    job = backend.executor(folder).submit(calls.add, 1, 2)
    job.result()
    calls.wait_for(lambda: ended(Folder(folder)) == 1)
    (tmp_path / "link").symlink_to(folder.parent)
    for place in ("link", "moved"):
        view = Folder(tmp_path / place)
        calls.wait_for(lambda view=view: ended(view) == 1)  # type: ignore[misc]
        (entry,) = view.entries
        assert entry.folder == str(tmp_path / place / "%j")
        assert entry.succeeded
        assert view.detailed(entry).max_rss_mb, "its files are found there"
        if place == "link":
            folder.parent.rename(tmp_path / "moved")


def test_a_folder_that_is_not_there_has_no_jobs(tmp_path: Path) -> None:
    view = Folder(tmp_path / "nowhere" / "%j")
    assert not view.refresh()
    assert view.entries == []
    assert view.find("1") == []
