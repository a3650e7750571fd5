"""Lists that are longer than an array may be, or than there is room for in the queue."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import submitit
from submitit import errors
from submitit.slurm import room, sending
from submitit.storage import journal
from support import calls
from support.reliability import Fault
from support.shims import Shims
from support.slurm_cluster import SlurmCluster, missing_programs
from support.slurm_jobs import DEADLINE_S, Client, until, use

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(bool(missing_programs()), reason="no Slurm here"),
]

LONGEST = 11
"""Elements of an array."""


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    settings = {"MaxArraySize": LONGEST, "AccountingStorageEnforce": "limits,qos"}
    with SlurmCluster(tmp_path_factory.mktemp("limited"), settings=settings) as cluster:
        yield cluster


@pytest.fixture
def slurm(limited: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> SlurmCluster:
    """In the place of the shared cluster."""
    use(limited, monkeypatch)
    monkeypatch.setattr(room, "FIRST_INTERVAL_S", 0.2)
    monkeypatch.setattr(room, "LAST_INTERVAL_S", 1.0)
    return limited


@pytest.fixture
def limit(slurm: SlurmCluster) -> Iterator[Callable[[str, int], None]]:
    """Sets a limit; there is none again after the test."""
    kinds = {
        "MaxSubmitJobs": ("user", "root", "users=root flags=assoc", "MaxSubmitJobs"),
        "GrpSubmitJobs": ("qos", "normal", "qos=normal flags=qos", "GrpSubmitJobs"),
    }
    used: set[str] = set()

    def set_limit(kind: str, jobs: int) -> None:
        what, name, shown, column = kinds[kind]
        used.add(kind)
        slurm.run("sacctmgr", "-i", "modify", what, name, "set", f"{kind}={jobs}")
        wanted = f"{column}={jobs}(" if jobs >= 0 else f"{column}=N("

        def slurmctld_knows() -> bool:
            text = slurm.run("scontrol", "show", "assoc_mgr", *shown.split()).stdout
            if jobs < 0:
                return all(f"{column}={digit}" not in text for digit in range(10))
            return wanted in text or f"{column}={jobs} " in text

        until(slurmctld_knows, f"{kind}={jobs} in slurmctld")

    yield set_limit
    for kind in used:
        set_limit(kind, -1)


class Administrator(logging.Handler):
    """Does something when the user is told to wait."""

    def __init__(self, act: Callable[[], object]) -> None:
        super().__init__()
        self.act = act
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if "takes no more jobs now" in record.getMessage():
            self.told.append(record.getMessage())
            self.act()

    def __enter__(self) -> Administrator:
        logging.getLogger("submitit").addHandler(self)
        return self

    def __exit__(self, *error: object) -> None:
        logging.getLogger("submitit").removeHandler(self)


def array_of(job: submitit.Job[Any]) -> str:
    return job.job_id.partition("_")[0]


def found_again(client: Client, job: submitit.Job[Any]) -> submitit.Job[Any]:
    """A handle made as another process would make it."""
    journal._indexes.clear()
    return client.find(job.job_id)


def queued(client: Client) -> int:
    """Jobs of this test that have not ended."""
    lines = client.cluster.run("squeue", "-h", "-r", "-o", "%T|%Z").stdout.splitlines()
    return sum(not line.startswith("COMPLETING") and str(client.directory) in line for line in lines)


# ---------------------------------------------------------------- MaxArraySize


def test_a_list_longer_than_an_array_may_be(client: Client, shims: Shims) -> None:
    sending._ask.cache_clear()
    shims.put("sbatch")
    shims.put("scontrol")
    count = 2 * LONGEST + 3
    jobs = client.executor(slurm_array_parallelism=12).map_array(calls.add, range(count), [100] * count)
    assert len(shims.calls("sbatch")) == 1 + 3
    assert shims.calls("scontrol") == ["show config"]
    arrays = list(dict.fromkeys(map(array_of, jobs)))
    sizes = [[array_of(job) for job in jobs].count(array) for array in arrays]
    assert sizes == [8, 8, 9]
    scripts = [(client.directory / "jobs" / array / f"{array}_submission.sh").read_text() for array in arrays]
    assert [f"#SBATCH --array=0-{size - 1}%4" in script for size, script in zip(sizes, scripts, strict=True)] == [
        True
    ] * 3
    assert len({job.job_id for job in jobs}) == count
    assert len(list((client.directory / "jobs/.submitit/payloads").iterdir())) == 1
    for place in (0, 7, 8, 16, 24):
        for job in (jobs[place], found_again(client, jobs[place])):
            assert job.submission().args == (place, 100)
    assert [job.result(DEADLINE_S) for job in jobs] == [100 + place for place in range(count)]

    again = client.executor().map_array(calls.add, range(count), [200] * count)
    assert shims.calls("scontrol") == ["show config"]
    assert [job.result(DEADLINE_S) for job in again] == [200 + place for place in range(count)]


def test_a_batch_longer_than_an_array_may_be(client: Client) -> None:
    executor = client.executor()
    with executor.batch():
        jobs = [executor.submit(calls.add, place, 1) for place in range(LONGEST + 1)]
    assert len(set(map(array_of, jobs))) == 2
    assert [job.result(DEADLINE_S) for job in jobs] == [place + 1 for place in range(LONGEST + 1)]


def test_arrays_that_are_invalid_for_another_reason(client: Client) -> None:
    executor = client.executor(slurm_additional_parameters={"array": "5-1"})
    with pytest.raises(errors.SubmissionRefusedError, match="Invalid job array specification"):
        executor.map_array(calls.add, [1, 2], [3, 4])
    assert [path for path in (client.directory / "jobs").rglob("*") if path.is_file()] == []


def test_an_interrupt_between_two_arrays(
    client: Client, shims: Shims, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    """The first is sent; the answer to the second is lost to an interrupt, and its jobs are not."""
    shims.put("sbatch", 'answer=$($real "$@") || exit 1; if [ $call = 3 ]; then kill -INT $PPID; fi; echo "$answer"')
    executor = client.executor()
    count = 3 * LONGEST
    fault.injected()
    with pytest.raises(KeyboardInterrupt):
        executor.map_array(calls.add, range(count), [100] * count)
    fault.seen(
        "Ctrl-C while the second of several arrays is sent", "`KeyboardInterrupt`, and the ids of what is in the queue"
    )
    assert f"after {2 * LONGEST} of {count} jobs, which are in the queue: " in caplog.records[-1].getMessage()
    first, second = (
        word.partition("_")[0] for word in caplog.records[-1].getMessage().partition("queue: ")[2].split(", ")
    )
    journal._indexes.clear()
    assert client.find(f"{first}_1").submission().args == (1, 100)
    assert client.find(f"{second}_1").submission().args == (LONGEST + 1, 100)
    assert client.find(f"{second}_1").result(DEADLINE_S) == LONGEST + 101


@pytest.mark.long
def test_a_cluster_without_arrays(
    client: Client, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path_factory.mktemp("no-arrays")
    with SlurmCluster(directory, accounting=False, settings={"MaxArraySize": 0}) as cluster:
        monkeypatch.setenv("SLURM_CONF", cluster.env["SLURM_CONF"])
        jobs = client.executor().map_array(calls.add, range(3), [100] * 3)
        assert [job.job_id for job in jobs] == ["1", "2", "3"]
        assert [found_again(client, job).submission().args for job in jobs] == [(0, 100), (1, 100), (2, 100)]
        assert [job.result(DEADLINE_S) for job in jobs] == [100, 101, 102]


# ---------------------------------------------------------------- limits on the number of jobs


@contextlib.contextmanager
def waiting_list(client: Client, count: int, go: Path) -> Iterator[list[submitit.Job[Any]]]:
    """Send a list of jobs that wait for a file, in a thread; at the end of the block all are sent and in the list."""
    jobs: list[submitit.Job[Any]] = []
    executor = client.executor()
    thread = threading.Thread(target=lambda: jobs.extend(executor.map_array(calls.wait_for_file, [str(go)] * count)))
    thread.start()
    try:
        yield jobs
    finally:
        go.write_text("gone")
        thread.join(DEADLINE_S)
    assert not thread.is_alive()


@pytest.mark.parametrize("kind", ["MaxSubmitJobs", "GrpSubmitJobs"])
def test_a_list_that_there_is_no_room_for_is_sent_little_by_little(
    client: Client, limit: Callable[[str, int], None], shims: Shims, fault: Fault, kind: str
) -> None:
    """Up to the limit at once, the others when some have ended."""
    limit(kind, 5)
    shims.put("sbatch")
    go = client.directory / "go"
    told = threading.Event()
    with Administrator(told.set) as administrator, waiting_list(client, 13, go) as jobs:
        fault.injected()
        assert told.wait(DEADLINE_S)
        assert queued(client) == 5
        assert (
            f"({'AssocMaxSubmitJobLimit' if kind == 'MaxSubmitJobs' else 'QOSGrpSubmitJobsLimit'})"
            in administrator.told[0]
        )
        assert "5 of 13 are sent, 8 wait" in administrator.told[0]
        assert len(shims.calls("sbatch")) <= 4
    fault.seen(f"{kind} is reached", "what fits is sent, one log record a minute, then the rest", timed=False)
    assert len(jobs) == len({job.job_id for job in jobs}) == 13
    assert [job.result(DEADLINE_S) for job in jobs] == ["gone"] * 13
    assert found_again(client, jobs[12]).submission().args == (str(go),)


def test_an_interrupt_while_waiting_for_room(
    client: Client, limit: Callable[[str, int], None], fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    limit("MaxSubmitJobs", 4)
    executor = client.executor()
    go = client.directory / "go"
    with Administrator(lambda: os.kill(os.getpid(), signal.SIGINT)), pytest.raises(KeyboardInterrupt):
        fault.injected()
        executor.map_array(calls.wait_for_file, [str(go)] * 10)
    fault.seen("Ctrl-C while `map_array` waits for room", "`KeyboardInterrupt`, and the ids of what is in the queue")
    assert queued(client) == 4
    said = caplog.records[-1].getMessage()
    assert "after 4 of 10 jobs, which are in the queue: " in said
    array = said.rpartition(" ")[2].partition("_")[0]
    journal._indexes.clear()
    found = [client.find(f"{array}_{index}") for index in range(4)]
    go.write_text("gone")
    assert [job.result(DEADLINE_S) for job in found] == ["gone"] * 4


def test_a_single_job_is_refused_at_once(client: Client, limit: Callable[[str, int], None]) -> None:
    limit("MaxSubmitJobs", 1)
    go = client.directory / "go"
    executor = client.executor()
    first = executor.submit(calls.wait_for_file, str(go))
    files = {
        path for path in (client.directory / "jobs").rglob("*") if "submission" in path.name or path.suffix == ".pkl"
    }
    with pytest.raises(errors.SubmissionRefusedError, match="AssocMaxSubmitJobLimit") as raised:
        executor.submit(calls.wait_for_file, str(go))
    assert isinstance(raised.value, errors.FailedJobError)
    assert "map_array, submit_array or batch" in str(raised.value)
    after = {
        path for path in (client.directory / "jobs").rglob("*") if "submission" in path.name or path.suffix == ".pkl"
    }
    assert after == files
    go.write_text("gone")
    assert first.result(DEADLINE_S) == "gone"


def test_nobody_waits_for_room_that_will_never_be(client: Client, limit: Callable[[str, int], None]) -> None:
    limit("MaxSubmitJobs", 0)
    with pytest.raises(errors.SubmissionRefusedError, match="AssocMaxSubmitJobLimit"):
        client.executor().map_array(calls.add, [1, 2, 3], [4, 5, 6])
    assert [path for path in (client.directory / "jobs").rglob("*") if path.is_file()] == []


def test_without_the_accounts_the_room_is_found_by_trying(
    client: Client, limit: Callable[[str, int], None], shims: Shims
) -> None:
    limit("MaxSubmitJobs", 7)
    shims.put("sbatch")
    shims.put("sacctmgr", "exit 1")
    go = client.directory / "go"
    told = threading.Event()
    with Administrator(told.set), waiting_list(client, 11, go) as jobs:
        assert told.wait(DEADLINE_S)
        assert queued(client) == 7
        assert len(shims.calls("sbatch")) <= 8
    assert [job.result(DEADLINE_S) for job in jobs] == ["gone"] * 11
