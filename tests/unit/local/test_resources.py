from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from submitit.local import processes, resources


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A control group directory, and below it one of a job, in which this process seems to be."""
    (tmp_path / "job").mkdir()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)), raising=False)
    monkeypatch.setattr(
        resources, "_cgroup_directories", lambda _name: [(str(tmp_path / "job"), 2), (str(tmp_path), 2)]
    )
    return tmp_path


def test_the_affinity_mask_counts(cgroup: Path) -> None:
    assert resources.available_cpus() == 8


@pytest.mark.parametrize(
    "limits, expected",
    [
        ({"job": "250000 100000"}, 3),
        ({"job": "max 100000", ".": "100000 100000"}, 1),
        ({"job": "50000 100000"}, 1),
        ({"job": "nonsense"}, 8),
    ],
)
def test_the_tightest_quota_counts(cgroup: Path, limits: dict[str, str], expected: int) -> None:
    for directory, text in limits.items():
        (cgroup / directory / "cpu.max").write_text(text + "\n")
    assert resources.available_cpus() == expected


def test_the_older_interface(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpu.cfs_quota_us").write_text("200000\n")
    (tmp_path / "cpu.cfs_period_us").write_text("100000\n")
    monkeypatch.setattr(resources, "_cgroup_directories", lambda _name: [(str(tmp_path), 1)])
    assert resources._cgroup_cpus() == 2
    (tmp_path / "cpu.cfs_quota_us").write_text("-1\n")
    assert resources._cgroup_cpus() is None


def test_where_there_is_no_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "LINUX", False)
    monkeypatch.setattr(resources, "_cgroup_directories", lambda _name: [])
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert resources.available_cpus() == 1


def test_this_machine() -> None:
    assert 1 <= resources.available_cpus() <= (os.cpu_count() or 1)
    memory = resources.available_memory()
    assert memory is not None
    assert 2**26 < memory <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


# ---- memory


@pytest.mark.parametrize(
    "limits, expected",
    [
        ({"job": "300000"}, 300000),
        ({"job": "max", ".": "200000"}, 200000),
        ({"job": "300000", ".": "max"}, 300000),
        ({"job": "nonsense"}, 1000 * 4096),
        ({"job": str(2**62)}, 1000 * 4096),
    ],
)
def test_the_tightest_limit_of_memory_counts(
    cgroup: Path, monkeypatch: pytest.MonkeyPatch, limits: dict[str, str], expected: int
) -> None:
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 1000, "SC_PAGE_SIZE": 4096}.__getitem__)
    for directory, text in limits.items():
        (cgroup / directory / "memory.max").write_text(text + "\n")
    assert resources.available_memory() == expected


def test_the_older_interface_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory.limit_in_bytes").write_text("123456\n")
    monkeypatch.setattr(resources, "_cgroup_directories", lambda _name: [(str(tmp_path), 1)])
    assert resources.available_memory() == 123456


def test_memory_that_cannot_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "_cgroup_directories", lambda _name: [])
    monkeypatch.delattr(os, "sysconf")
    assert resources.available_memory() is None


def test_the_control_groups_of_this_process() -> None:
    for controller in ("cpu", "memory"):
        found = resources._cgroup_directories(controller)
        assert all(
            directory.startswith("/sys/fs/cgroup" if version == 2 else f"/sys/fs/cgroup/{controller}")
            for directory, version in found
        )


# ---- GPUs


@pytest.fixture
def no_driver(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine that has no GPU, whatever this one has."""
    looked = resources.machine_gpus
    monkeypatch.setattr(resources, "machine_gpus", lambda: looked("/nowhere", "/nowhere"))
    yield
    looked.cache_clear()


@pytest.mark.parametrize(
    "value, expected",
    [
        ("3,1", ["3", "1"]),
        (" 2 , 0 ", ["2", "0"]),
        ("GPU-8932f937-d72c,MIG-GPU-8932/1/0,MIG-01ab", ["GPU-8932f937-d72c", "MIG-GPU-8932/1/0", "MIG-01ab"]),
        ("-1", []),
        ("0,-1,1", ["0"]),
        ("1,,2", ["1"]),
        ("NoDevFiles", []),
        ("1,1,2", ["1", "2"]),
    ],
)
def test_the_submitters_gpus(value: str, expected: list[str]) -> None:
    assert resources.visible_gpus({"CUDA_VISIBLE_DEVICES": value}) == expected


@pytest.mark.parametrize("env", [{}, {"CUDA_VISIBLE_DEVICES": ""}], ids=["unset", "empty"])
def test_the_machine_is_asked_where_the_submitter_says_nothing(
    env: dict[str, str], no_driver: None, shim: Path
) -> None:
    assert resources.visible_gpus(env) == ["0", "1"]


def test_the_driver_tells_how_many_gpus_there_are(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "dev").mkdir()
    for name in ("nvidia3", "nvidiactl", "nvidia-uvm", "nvidia10", "null"):
        (tmp_path / "dev" / name).touch()
    places = str(tmp_path / "proc"), str(tmp_path / "dev")
    assert resources.machine_gpus(*places) == ("0", "1")
    for name in ("0000:3b:00.0", "0000:5e:00.0", "0000:af:00.0"):
        (tmp_path / "proc" / name).mkdir()
    resources.machine_gpus.cache_clear()
    assert resources.machine_gpus(*places) == ("0", "1", "2")


@pytest.fixture
def shim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ``nvidia-smi`` on PATH that knows of two GPUs, one of them in parts."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\n"
        '[ "$*" = -L ] || exit 2\n'
        "echo 'GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5c89852c-d268-c3f3-1b07-005d5ae1dc3f)'\n"
        "echo '  MIG 3g.20gb     Device  0: (UUID: MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f)'\n"
        "echo 'GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-0f1b3c1a-7c1d-4d7c-bf0a-0f1b3c1a7c1d)'\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return program


@pytest.mark.parametrize(
    "text", ["#!/bin/sh\necho 'NVIDIA-SMI has failed'; exit 9\n", "", "#!/bin/sh\necho No devices found\n"]
)
def test_a_tool_that_knows_nothing(no_driver: None, shim: Path, text: str) -> None:
    shim.write_text(text)
    assert resources.visible_gpus({}) == []


def test_no_gpu_at_all(no_driver: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert resources.visible_gpus({}) == []
