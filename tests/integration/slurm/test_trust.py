"""Whose files jobs and handles load on a real Slurm, as an ordinary user among others."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from submitit.storage.submission import DelayedSubmission
from support import users
from support.reliability import Fault
from support.slurm_cluster import SlurmCluster
from support.slurm_jobs import clear_away
from support.strangers import Someone, put_a_strangers

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(not users.can_make_users(), reason="takes root, to be somebody else for once"),
]


@pytest.fixture
def someone(slurm: SlurmCluster) -> Iterator[Someone]:
    with users.ordinary_user() as user:
        slurm.add_user(user.name)
        directory = user.new_directory()
        os.chown(directory, user.uid, user.gid)
        directory.chmod(0o777)
        yield Someone(user, directory, "slurm", slurm.env)
        clear_away(slurm, directory)


def test_nobody_else_loads_writes_or_reads(someone: Someone, fault: Fault) -> None:
    """The folder is everybody's; what lies in it is read as the umask says, and loaded if it is the user's own."""
    someone.run(
        """
executor.update_parameters(slurm_setup=["until [ -e go ]; do sleep 0.1; done"])
executor.submit(calls.add, 1, 2), executor.map_array(calls.add, [1, 2], [3, 4])
""",
        umask=0o077,
    )
    folder = someone.directory / "jobs"
    (single,) = (path.name.partition("_")[0] for path in folder.glob("*_submitted.pkl"))
    evil = DelayedSubmission(os.mkdir, str(someone.directory / "evil"))
    put_a_strangers(someone, folder / f"{single}_submitted.pkl", evil)
    (someone.directory / "go").touch()
    (array,) = {path.name.partition("_")[0] for path in folder.glob("*_submission.sh")} - {single}
    told = "\n".join(
        someone.run(f"for k in ('{single}', '{array}_0', '{array}_1'): end_of(submitit.SlurmJob('jobs', k))")
    )
    assert told.startswith("FailedJobError")
    assert "UntrustedPickleError: Not loading '" in told
    assert f"it belongs to the user with id {someone.user.uid + 1}, and you are {someone.user.uid}" in told
    assert told.endswith("returned 4\nreturned 6")
    assert not (someone.directory / "evil").exists()
    fault.seen(
        "another user has put a file of their own in the place of the submitted call",
        "`FailedJobError`: `UntrustedPickleError`: the file, whose it is; nothing of it is loaded",
        lost="the call",
        timed=False,
    )
    own = [path for path in folder.rglob("*") if path.stat().st_uid == someone.user.uid and not path.is_symlink()]
    assert {path.suffix for path in own} >= {".pkl", ".out", ".err", ".sh", ".jsonl"}
    assert not {str(path): oct(path.stat().st_mode) for path in own if path.stat().st_mode & 0o077}
    result = folder / f"{array}_0_0_result.pkl"
    put_a_strangers(someone, result, "evil")
    (told,) = someone.run(f"end_of(submitit.SlurmJob('jobs', '{array}_0'))")
    assert told.startswith(f"UntrustedPickleError Not loading '/jobs/{result.name}'")
    assert someone.run(f"end_of(submitit.SlurmJob('jobs', '{array}_0', trust=True))") == ["returned evil"]
    fault.seen(
        "another user has put a file of their own in the place of the result",
        "`UntrustedPickleError`: the file, whose it is; nothing of it is loaded",
        lost="its result",
        timed=False,
    )


def test_a_folder_that_is_read_only(someone: Someone, fault: Fault) -> None:
    (someone.directory / "jobs").mkdir(mode=0o555)
    (told,) = someone.run("try: executor.submit(calls.add, 1, 2)\nexcept PermissionError as error: print(error)")
    assert "choose a folder that you can write to" in told
    assert str(someone.directory / "jobs") in told
    assert list((someone.directory / "jobs").iterdir()) == []
    fault.seen(
        "its folder is read-only, at submission",
        "`PermissionError`: the folder, and to choose another",
        lost="no job",
        timed=False,
    )
