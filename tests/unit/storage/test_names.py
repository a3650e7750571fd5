"""Names are unique, and harmless wherever they are written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from submitit.storage import names


def test_names_are_unique() -> None:
    made = {names.unique_name() for _ in range(1000)} | {names.temporary_name() for _ in range(1000)}
    assert len(made) == 2000


def test_names_begin_with_their_time() -> None:
    assert re.fullmatch(r"20\d{6}-\d{6}-[A-Za-z0-9-]+-\d+-[0-9a-f]{9,}", names.unique_name())


@pytest.mark.parametrize(
    ("host", "label"),
    [("node7.cluster.example", "node7"), ("no$de `x`", "no-de--x"), ("", "host"), ("é", "host"), ("n" * 200, "n" * 32)],
)
def test_a_strange_host_name_makes_no_strange_name(host: str, label: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(nodename=host))
    assert names.host_name() == label
    assert re.fullmatch(r"[A-Za-z0-9.-]+", names.unique_name())


def test_a_client_keeps_its_name_and_its_fork_gets_another() -> None:
    mine = names.client_name()
    assert names.client_name() == mine
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, names.client_name().encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        other = pipe.read().decode()
    os.waitpid(child, 0)
    assert other != mine
    assert f"-{child}-" in other
    assert names.client_name() == mine


def test_two_processes_with_one_id_differ() -> None:
    """Containers: the host name and the process id may be the same on every machine."""
    program = "import os; os.getpid = lambda: 1\nfrom submitit.storage import names\nprint(names.unique_name())"
    made = {subprocess.check_output([sys.executable, "-c", program], text=True) for _ in range(2)}
    assert len(made) == 2
