"""Jobs that run from a copy of the code."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import submitit
from submitit import helpers
from support import calls, trees
from support.backends import Backend

pytestmark = pytest.mark.needs("separate")

CODE = """
import os
VERSION = "as submitted"

def observe(go):
    import snapshot_detail
    from support import calls
    calls.wait_for_file(go)
    import snapshot_late
    return [VERSION, snapshot_detail.VERSION, snapshot_late.VERSION], os.getcwd(), __file__

def submit(folder, cluster):
    import submitit
    return submitit.AutoExecutor(folder, cluster, snapshot=True).submit(os.getcwd).result()
"""


@pytest.fixture
def tree(backend: Backend, tmp_path: Path) -> Iterator[Path]:
    """A work tree with modules below ``lib``, which are importable; this process works in ``runs`` below it."""
    version = 'VERSION = "as submitted"\n'
    files = {"lib/snapshot_code.py": CODE, "lib/snapshot_detail.py": version, "lib/snapshot_late.py": version}
    root = trees.make(tmp_path / "tree", {**files, "runs/readme": ""})
    known = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root / "runs")
        patch.syspath_prepend(str(root / "lib"))
        if backend.name == "queue":  # its jobs know the submitter's environment alone
            patch.setenv("PYTHONPATH", str(root / "lib"), prepend=":")
        yield root
    for name in set(sys.modules) - known:
        if name.startswith("snapshot_"):
            del sys.modules[name]


def later(root: Path) -> None:
    for name in ("code", "detail", "late"):
        file = root / "lib" / f"snapshot_{name}.py"
        file.write_text(file.read_text().replace("as submitted", "later"))


def test_a_job_does_not_see_later_edits(backend: Backend, folder: Path, tree: Path) -> None:
    code: Any = importlib.import_module("snapshot_code")
    executor = submitit.AutoExecutor(folder, backend.name, snapshot=True)
    executor.update_parameters(timeout_min=10, **backend.parameters)
    go = tree.parent / "go"
    jobs = [executor.submit(code.observe, str(go)), *executor.map_array(code.observe, [str(go)])]
    later(tree)
    jobs.append(executor.submit(code.observe, str(go)))
    go.write_text("now")
    (one, place, file), again, after = (job.result() for job in jobs)
    assert one == ["as submitted"] * 3
    assert again == (one, place, file)
    snapshot = folder.parent / ".submitit" / "snapshots"
    assert Path(place).name == "runs"
    assert Path(place).parent.parent == snapshot
    assert Path(file) == Path(place).parent / "lib" / "snapshot_code.py"
    assert after[0] == ["later"] * 3
    assert after[1] != place
    assert len(list(snapshot.iterdir())) == 2
    records = [
        json.loads(line) for path in (snapshot.parent / "journal").iterdir() for line in path.read_text().splitlines()
    ]
    used = [record["snapshot"] for record in records if record["event"] == "submitted"]
    assert used == [str(Path(place).parent)] * 2 + [str(Path(after[1]).parent)]


def test_what_a_job_submits_runs_in_its_snapshot(backend: Backend, folder: Path, tree: Path) -> None:
    code: Any = importlib.import_module("snapshot_code")
    executor = submitit.AutoExecutor(folder, backend.name, snapshot=helpers.Snapshot(tree))
    executor.update_parameters(timeout_min=10, **backend.parameters)
    place = executor.submit(code.submit, str(folder), "local").result()
    (snapshot,) = (folder.parent / ".submitit" / "snapshots").iterdir()
    assert place == str(snapshot / "runs")


def test_snapshots_of_living_jobs_are_not_removed(backend: Backend, folder: Path, tree: Path) -> None:
    executor = submitit.AutoExecutor(folder, backend.name, snapshot=True)
    executor.update_parameters(timeout_min=10, **backend.parameters)
    done = executor.submit(os.getcwd)
    first = Path(done.result()).parent
    later(tree)
    go = str(tree.parent / "go")
    jobs = executor.map_array(calls.wait_for_file, [go])
    store = folder.parent / ".submitit" / "snapshots"
    (second,) = set(store.iterdir()) - {first}
    assert helpers.clean_snapshots(folder, days=1) == []
    assert helpers.clean_snapshots(folder, days=0) == [first]
    assert list(store.iterdir()) == [second]
    Path(go).write_text("now")
    assert [job.result() for job in jobs] == ["now"]
    assert helpers.clean_snapshots(folder, days=0) == [second]
    assert helpers.clean_snapshots(folder, days=0) == []


def test_a_snapshot_is_taken_at_submission(backend: Backend, folder: Path, tmp_path: Path) -> None:
    executor = submitit.AutoExecutor(folder, backend.name, snapshot=True)
    with pytest.raises(RuntimeError, match="git work tree"):
        executor.submit(os.getcwd)
    with pytest.raises(TypeError, match=r"snapshot=…\) takes True or a submitit.helpers.Snapshot, not 'yes'$"):
        submitit.AutoExecutor(folder, backend.name, snapshot="yes")
    assert not folder.parent.exists()
