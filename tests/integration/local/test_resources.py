"""What jobs share: they wait for each other, nobody gets what another has, and no wait is for ever."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import submitit
from submitit.local import processes, resources
from support import calls
from support.local_processes import Clients, put

FIRST_GPUS: Any = {"gpus_per_node": 1, "visible_gpus": (3, 5)}


def of_main(function: Callable[..., Any]) -> Callable[..., Any]:
    """Pickled with its code: jobs cannot import this module."""
    function.__module__ = "__main__"
    return function


@of_main
def meet(directory: str, number: int, others: int) -> str:
    """Wait until so many others are there as well; return the GPUs that this job sees."""
    import os

    from support import calls

    open(os.path.join(directory, str(number)), "w").close()
    calls.wait_for(lambda: len(os.listdir(directory)) > others)
    return os.environ["CUDA_VISIBLE_DEVICES"]


def heard(executor: submitit.LocalExecutor) -> None:
    """Return when all that was submitted before has been considered: a job that nothing keeps waiting has run."""
    witness = submitit.LocalExecutor(executor.folder)
    # It is over before any other has to be.
    witness.update_parameters(timeout_min=1, max_cpus=1000)
    assert witness.submit(calls.add, 1, 2).result() == 3


def memory_gb(part: float) -> float:
    total = resources.available_memory()
    assert total is not None
    return total * part / 2**30


@pytest.mark.parametrize(
    "parameters",
    [
        {"mem_gb": 0.6},
        {"max_jobs": 1},
        {"max_cpus": 3, "cpus_per_task": 2},
        {"array_parallelism": 1},
        {"gpus_per_node": 2, "visible_gpus": (3, 5, 7)},
        {"gpus_per_node": 1, "visible_gpus": (3,)},
    ],
    ids=lambda parameters: next(iter(parameters)),
)
def test_jobs_that_do_not_fit_together_wait_for_each_other(
    executor: submitit.LocalExecutor, tmp_path: Path, parameters: dict[str, Any]
) -> None:
    if "mem_gb" in parameters:
        parameters = {"mem_gb": memory_gb(parameters["mem_gb"])}
    executor.update_parameters(**{"max_cpus": 100, **parameters})
    started = [str(tmp_path / f"s{k}") for k in range(2)]
    first, second = executor.map_array(calls.touch_and_wait, started, [str(tmp_path / "go")] * 2)
    heard(executor)
    calls.wait_for(lambda: first.state == "RUNNING")
    assert second.state == "PENDING"
    put(tmp_path / "go", "went")
    assert [first.result(), second.result()] == ["went", "went"]


@pytest.mark.parametrize("parameters", [{"mem_gb": 0.4}, {"max_jobs": 2}, FIRST_GPUS, {}], ids=str)
def test_jobs_that_fit_together_run_together(
    executor: submitit.LocalExecutor, tmp_path: Path, parameters: dict[str, Any]
) -> None:
    """And no two of them see the same GPU."""
    if "mem_gb" in parameters:
        parameters = {"mem_gb": memory_gb(parameters["mem_gb"])}
    executor.update_parameters(max_cpus=100, **parameters)
    (tmp_path / "there").mkdir()
    jobs = executor.map_array(meet, [str(tmp_path / "there")] * 2, range(2), [1, 1])
    seen = [job.result() for job in jobs]
    assert sorted(seen) == (["3", "5"] if "gpus_per_node" in parameters else ["", ""])
    for job, gpus in zip(jobs, seen, strict=True):
        assert job.get_info().get("GPUs", "") == gpus


@pytest.mark.parametrize(
    "size, words",
    [
        ({"mem_gb": 10**6}, "asks for 1e+06 GB of memory (mem_gb), more than there is to have: it will run alone"),
        ({"gpus_per_node": 3}, "asks for 3 GPUs (gpus_per_node), more than there are to have (4,GPU-a): it will run"),
    ],
    ids=["memory", "gpus"],
)
def test_a_job_larger_than_the_machine_runs_alone(
    executor: submitit.LocalExecutor,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    size: dict[str, Any],
    words: str,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-a")
    executor.update_parameters(max_cpus=100)
    before = executor.submit(calls.touch_and_wait, str(tmp_path / "before"), str(tmp_path / "go"))
    executor.update_parameters(**size)
    big = executor.submit(calls.touch_and_wait, str(tmp_path / "big"), str(tmp_path / "go big"))
    executor.submit(calls.add, 1, 2)
    assert caplog.text.count(words) == 1, "it is said once"
    executor.update_parameters(**dict.fromkeys(size, submitit.UNSET))
    heard(executor)
    assert big.state == "PENDING"
    put(tmp_path / "go", "went")
    assert before.result() == "went"
    calls.wait_for_file(str(tmp_path / "big"))
    late = executor.submit(calls.add, 1, 2)
    for _ in range(2):  # once the second is heard of, what was submitted before the first has been considered
        cancelled = executor.submit(calls.add, 1, 2)
        cancelled.cancel()
        calls.wait_for(lambda job=cancelled: job.get_info()["State"] == "CANCELLED")  # type: ignore[misc]
    assert late.state == "PENDING"
    assert big.get_info().get("GPUs", "") == ("4,GPU-a" if "gpus_per_node" in size else "")
    put(tmp_path / "go big", "went")
    assert (big.result(), late.result()) == ("went", 3)


def test_jobs_are_given_the_submitters_gpus(executor: submitit.LocalExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-8932f937-d72c,7,6")
    executor.update_parameters(gpus_per_node=2)
    assert executor.submit(calls.environment).result()["CUDA_VISIBLE_DEVICES"] == "GPU-8932f937-d72c,7"
    executor.update_parameters(visible_gpus=(1, 2, 3))
    assert executor.submit(calls.environment).result()["CUDA_VISIBLE_DEVICES"] == "1,2"


def test_where_there_is_no_gpu_nobody_waits_for_one(
    executor: submitit.LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    executor.update_parameters(max_cpus=100, gpus_per_node=2)
    (tmp_path / "there").mkdir()
    jobs = executor.map_array(meet, [str(tmp_path / "there")] * 2, range(2), [2, 2])
    calls.wait_for(lambda: [job.state for job in jobs] == ["RUNNING"] * 2)
    executor.update_parameters(visible_gpus=(0, 1))
    jobs.append(executor.submit(meet, str(tmp_path / "there"), 2, 2))
    assert [job.result() for job in jobs] == ["0,1"] * 3


# ---------------------------------------------------------------- several clients


PROGRAM = """
    executor.update_parameters(gpus_per_node=1, visible_gpus=(3,), max_cpus=100)
    job = executor.submit(calls.touch_and_wait, f"started{os.getpid()}", f"go{os.getpid()}")
    executor.update_parameters(gpus_per_node=0, timeout_min=1)
    executor.submit(calls.add, 1, 2).result()
    say(job.job_id, job.state, current().controller)
    if job.state == "RUNNING":
        time.sleep(600)
    say(job.result())
"""


class Rivals:
    """Two clients whose jobs want the same GPU: the first's runs, the second's is seen to wait."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self.first, state, _, self.controller = self._start()
        assert state == "RUNNING"
        self.second, state, self.waiting, _ = self._start()
        assert state == "PENDING"

    def _start(self) -> tuple[subprocess.Popen[str], str, submitit.LocalJob[object], int]:
        client = self._clients.start(PROGRAM)
        assert client.stdout is not None
        job_id, state, controller = client.stdout.readline().split()
        return client, state, self._clients.job(job_id), int(controller)

    def let_go(self, client: subprocess.Popen[str]) -> None:
        """The client's job ends as soon as it runs."""
        put(self._clients.directory / f"go{client.pid}", "went")


def test_two_clients_never_share_a_gpu(clients: Clients) -> None:
    """Not even when the client that submitted the first job was killed: that runs on."""
    rivals = Rivals(clients)
    rivals.first.kill()
    rivals.first.wait()
    rivals.let_go(rivals.second)
    assert rivals.waiting.state == "PENDING"
    rivals.let_go(rivals.first)
    assert rivals.second.communicate(timeout=60)[0] == "went\n"
    assert rivals.waiting.get_info()["GPUs"] == "3"


def test_a_killed_controller_leases_nothing(clients: Clients) -> None:
    rivals = Rivals(clients)
    rivals.first.send_signal(signal.SIGSTOP)  # it would start another
    os.kill(rivals.controller, signal.SIGKILL)
    rivals.let_go(rivals.second)
    assert rivals.second.communicate(timeout=60)[0] == "went\n"


# ---------------------------------------------------------------- jobs of jobs


@pytest.mark.parametrize("clean", [False, True], ids=["", "clean_env"])
def test_a_jobs_gpus_are_those_of_its_jobs(executor: submitit.LocalExecutor, tmp_path: Path, clean: bool) -> None:
    """A job that waits for the jobs which it has submitted never waits for itself, at any depth."""

    @of_main
    def outer(folder: str, depth: int) -> list[str]:
        import contextlib
        import os

        import submitit

        own = os.environ["CUDA_VISIBLE_DEVICES"]
        if not depth:
            return [own]
        inner = submitit.LocalExecutor(folder)
        inner.update_parameters(gpus_per_node=1)
        leases = os.environ["SUBMITIT_LOCAL_LEASES"]
        with submitit.helpers.clean_env() if clean else contextlib.nullcontext():
            os.environ["SUBMITIT_LOCAL_LEASES"] = leases
            return [own, *inner.submit(outer, folder, depth - 1).result()]

    executor.update_parameters(gpus_per_node=2, visible_gpus=(4, 6))
    assert executor.submit(outer, str(tmp_path / "inner"), 2).result() == ["4,6", "4", "4"]


def test_the_tasks_of_a_job_share_out_its_gpus(executor: submitit.LocalExecutor, tmp_path: Path) -> None:
    """Each is a client of its own, and their jobs see different ones."""

    @of_main
    def outer(folder: str, there: str) -> str:
        import submitit

        inner = submitit.LocalExecutor(folder)
        inner.update_parameters(gpus_per_node=1)
        job: submitit.Job[str] = inner.submit(meet, there, submitit.JobEnvironment().global_rank, 1)
        return job.result()

    (tmp_path / "there").mkdir()
    executor.update_parameters(gpus_per_node=2, visible_gpus=(4, 6), tasks_per_node=2)
    assert sorted(executor.submit(outer, str(tmp_path / "inner"), str(tmp_path / "there")).results()) == ["4", "6"]


def test_a_gpu_is_not_free_while_a_job_of_the_job_has_it(clients: Clients) -> None:
    """Though the job that was given it is over, and the client that submitted that is gone."""
    inner = clients.run(
        """
        executor.update_parameters(gpus_per_node=1, visible_gpus=(4,))
        def outer():
            inner = submitit.LocalExecutor("jobs")
            inner.update_parameters(gpus_per_node=1, max_cpus=100)
            job = inner.submit(calls.touch_and_wait, "started", "go")
            inner.update_parameters(gpus_per_node=0)
            inner.submit(calls.wait_for_file, "end")  # its controller lives on
            calls.wait_for_file("started")
            return job.job_id
        say(executor.submit(outer).result())
        """
    )
    second = clients.start(
        """
        executor.update_parameters(gpus_per_node=1, visible_gpus=(4,), max_cpus=100)
        job = executor.submit(calls.add, 1, 2)
        executor.update_parameters(gpus_per_node=0, timeout_min=1)
        executor.submit(calls.add, 1, 2).result()
        say(job.state)
        say(job.result())
        """
    )
    assert second.stdout is not None
    assert (second.stdout.readline(), clients.job(inner.strip()).state) == ("PENDING\n", "RUNNING")
    put(clients.directory / "go", "went")
    assert second.communicate(timeout=60)[0] == "3\n"
    put(clients.directory / "end", "went")


def test_a_job_without_a_gpu_submits_to_those_of_its_submitter(
    executor: submitit.LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @of_main
    def outer(folder: str, depth: int) -> list[str]:
        import os

        import submitit

        inner = submitit.LocalExecutor(folder)
        if not depth:
            inner.update_parameters(gpus_per_node=1)
            return [os.environ["CUDA_VISIBLE_DEVICES"], *inner.submit(visible).results()]
        return [os.environ["CUDA_VISIBLE_DEVICES"], *inner.submit(outer, folder, depth - 1).result()]

    @of_main
    def visible() -> str:
        import os

        return os.environ["CUDA_VISIBLE_DEVICES"]

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "6,7")
    assert executor.submit(outer, str(tmp_path / "inner"), 1).result() == ["", "", "6"]


def test_a_job_of_a_job_has_the_whole_machine(executor: submitit.LocalExecutor, tmp_path: Path) -> None:
    """But for GPUs: what waits for its own jobs hardly needs what it holds."""

    @of_main
    def outer(folder: str, memory: float, cpus: int) -> float:
        import submitit
        from support import calls

        inner = submitit.LocalExecutor(folder)
        inner.update_parameters(mem_gb=memory, cpus_per_task=cpus, max_jobs=1)
        return inner.submit(calls.add, 1, 2).result()

    memory, cpus = memory_gb(0.9), resources.available_cpus()
    executor.update_parameters(mem_gb=memory, cpus_per_task=cpus, max_jobs=1)
    assert executor.submit(outer, str(tmp_path / "inner"), memory, cpus).result() == 3


def test_the_lease_is_not_a_descriptor_of_the_job(executor: submitit.LocalExecutor) -> None:
    @of_main
    def descriptors() -> list[str]:
        import os

        found = []
        for name in os.listdir("/proc/self/fd"):
            try:
                found.append(os.readlink(f"/proc/self/fd/{name}"))
            except OSError:
                continue
        return found

    executor.update_parameters(**FIRST_GPUS)
    seen = executor.submit(descriptors).result()
    assert seen
    assert not any(path.startswith(os.environ["SUBMITIT_LOCAL_LEASES"]) for path in seen)
    assert processes.children(os.getpid()), "the controller of this process, which has it"
