"""The client's end of the line, against a controller that the test plays: whole lines, each once, whatever interrupts."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from submitit.local import connection, controller, protocol, records
from submitit.local.connection import Connection
from submitit.local.protocol import Launch
from submitit.local.records import Record

LAUNCH = Launch(
    "/f", ["true"], False, "/", {}, 0o22, 1, 1, None, None, None, 0, 0, [], False, 60, 30, signal.SIGUSR2, False, []
)


class Peer:
    """The controller's side, without a process."""

    def __init__(self) -> None:
        self.ends: list[socket.socket] = []
        self.told = 0

    def launch(self, name: str, log: str) -> tuple[int, socket.socket]:
        ours, theirs = socket.socketpair()
        self.ends.append(theirs)
        self.told = 0
        return 2**22 + 1, ours

    def heard(self, timeout: float = 0.0) -> list[dict[str, Any]]:
        """Every whole message that has arrived, in the order of arrival."""
        data = b""
        while select.select([self.ends[-1]], [], [], timeout)[0]:
            data += self.ends[-1].recv(1 << 20)
        return [message for line in data.splitlines() if (message := protocol.decode(line)) is not None]

    def line(self, root: str, record: Record) -> bytes:
        self.told += 1
        return protocol.encode({"seq": self.told, "root": root, "record": record.write()})

    def tell(self, root: str, record: Record) -> None:
        self.ends[-1].sendall(self.line(root, record))


@pytest.fixture
def peer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Peer]:
    made = Peer()
    monkeypatch.setattr(controller, "launch", made.launch)
    yield made
    for end in made.ends:
        end.close()


@pytest.fixture
def line(peer: Peer) -> Iterator[Connection]:
    made = Connection()
    yield made
    made.leave()


def test_jobs_are_sent_and_told_of(line: Connection, peer: Peer, tmp_path: Path) -> None:
    root = str(tmp_path)
    line.submit(root, LAUNCH, [("1", "p#0"), ("2", "p#1")])
    (message,) = peer.heard()
    assert message["jobs"] == [["1", "p#0", 0], ["2", "p#1", 0]]
    assert Launch(**message["launch"]) == LAUNCH
    pending = line.record(root, "1")
    assert pending is not None
    assert pending.state == "PENDING"
    peer.tell(root, Record("2", "RUNNING", attempt=1))
    descriptor = line.fileno()
    assert descriptor is not None
    assert select.select([descriptor], [], [], 10)[0]
    line.refresh()
    assert line.news == ["2"]
    assert line.record(root, "2") == Record("2", "RUNNING", attempt=1)
    assert line.record(root, "3") is None
    assert line.knows(root, "1")
    assert not line.knows("/elsewhere", "1")


def test_a_line_in_pieces_waits_for_its_end(line: Connection, peer: Peer, tmp_path: Path) -> None:
    line.submit(str(tmp_path), LAUNCH, [("1", None)])
    text = peer.line(str(tmp_path), Record("1", "RUNNING", reason="x" * 5000))
    for cut in (text[:10], text[10:4000], text[4000:]):
        line.refresh()
        assert line.news == []
        peer.ends[-1].sendall(cut)
    line.refresh()
    assert line.news == ["1"]


def test_a_reader_interrupted_anywhere_loses_nothing_and_counts_nothing_twice(
    line: Connection, peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C at every step of taking in three records."""
    root = str(tmp_path)
    line.submit(root, LAUNCH, [(str(k), None) for k in range(3)])
    for k in range(3):
        peer.tell(root, Record(str(k), "COMPLETED", True))
    read = Record.read.__func__  # type: ignore[attr-defined]
    left = 3

    def interrupted(cls: type, text: dict[str, Any]) -> Record:
        nonlocal left
        left -= 1
        if left >= 0:
            raise KeyboardInterrupt
        return read(cls, text)  # type: ignore[no-any-return]

    monkeypatch.setattr(Record, "read", classmethod(interrupted))
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            line.refresh()
    line.refresh()
    assert line.news == ["0", "1", "2"]
    line.refresh()
    assert line.news == ["0", "1", "2"]


def test_a_writer_interrupted_in_the_middle_sends_again(line: Connection, peer: Peer, tmp_path: Path) -> None:
    """The controller drops the torn line by its form and the double by its number."""
    root = str(tmp_path)
    line.submit(root, LAUNCH, [("1", None)])
    assert line._line is not None
    wire, real = line._line, line._line.socket

    class Torn:
        def sendall(self, data: bytes) -> None:
            real.sendall(data[:17])
            raise KeyboardInterrupt

    wire.socket = Torn()  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        line.cancel(root, "1")
    wire.socket = real
    line.interrupt(root, "1")
    assert [(message["seq"], message["op"]) for message in peer.heard()] == [
        (1, "submit"),
        (2, "cancel"),
        (3, "signal"),
    ]


def test_a_finalizer_in_the_middle_of_a_write_is_sent_after_it(line: Connection, peer: Peer, tmp_path: Path) -> None:
    root = str(tmp_path)
    line.submit(root, LAUNCH, [("1", None), ("2", None)])
    assert line._line is not None
    wire, real = line._line, line._line.socket

    class Busy:
        def sendall(self, data: bytes) -> None:
            wire.socket = real
            line.cancel(root, "2")
            real.sendall(data)

    wire.socket = Busy()  # type: ignore[assignment]
    line.cancel(root, "1")
    assert [message.get("job") for message in peer.heard()] == [None, "1", "2"]


def test_a_full_line_is_waited_for(line: Connection, peer: Peer, tmp_path: Path) -> None:
    """A controller that does not read holds the client up, and gets everything."""
    line.submit(str(tmp_path), LAUNCH, [("0", None)])
    jobs = [(str(number), "p" * 100) for number in range(1, 30_001)]
    thread = threading.Thread(target=line.submit, args=(str(tmp_path), LAUNCH, jobs))
    thread.start()
    data = bytearray()
    while data.count(b"\n") < 2:
        data += peer.ends[-1].recv(1 << 20)
    thread.join()
    message = protocol.decode(bytes(data.splitlines()[1]))
    assert message is not None
    assert len(message["jobs"]) == 30_000


def test_many_records_in_one_go(line: Connection, peer: Peer, tmp_path: Path) -> None:
    root = str(tmp_path)
    line.submit(root, LAUNCH, [(str(number), None) for number in range(3000)])

    def tell_all() -> None:
        for number in range(3000):
            peer.tell(root, Record(str(number), "COMPLETED", True))

    teller = threading.Thread(target=tell_all)
    teller.start()
    while len(line.news) < 3000:
        line.refresh()
    teller.join()
    assert line.news == [str(number) for number in range(3000)]
    assert line._open == {}


def test_thousands_of_jobs_that_are_over_take_little_room(line: Connection, peer: Peer, tmp_path: Path) -> None:
    """A client may hold them for days: their words are kept once, and no numbers of processes that are no more."""
    root, count = str(tmp_path), 2000
    line.submit(root, LAUNCH, [(str(number), None) for number in range(count)])
    tracemalloc.start()
    try:
        for number in range(count):
            ran = Record(
                str(number), "RUNNING", start=1.5, node="a-node-with-a-name", pids=[(number + 2**20, "123456789")]
            )
            peer.tell(root, ran)
            peer.tell(root, ran._replace(state="COMPLETED", over=True, end=2.5, exits=[0]))
            line.refresh()
        told, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    over = line.record(root, "7")
    assert over is not None
    assert (over.state, over.node, over.exits, over.pids) == ("COMPLETED", "a-node-with-a-name", [0], [])
    assert told < 750 * count


def test_when_the_controller_is_gone_the_journal_decides(line: Connection, peer: Peer, tmp_path: Path) -> None:
    """What it had begun is lost, what it had ended stands, what waited is submitted again, with its attempt."""
    root = str(tmp_path)
    line.submit(root, LAUNCH, [(str(number), f"p#{number}") for number in range(1, 6)])
    line.submit(root, LAUNCH, [("6", None)])
    assert line._line is not None
    journal = tmp_path / ".submitit" / "journal" / f"{line._line.name}.jsonl"
    journal.parent.mkdir(parents=True)
    peer.tell(root, Record("1", "RUNNING", start=5.0))
    written = [
        Record("1", "RUNNING", start=5.0),
        Record("2", "COMPLETED", True),
        Record("3", "CANCELLED", False),
        Record("4", "PENDING", attempt=2),
    ]
    journal.write_text("".join(json.dumps(record.write()) + "\n" for record in written))
    line.refresh()
    peer.ends[-1].close()
    line.refresh()
    states = {number: line.record(root, number) for number in "123456"}
    assert {number: (record.state, record.over) for number, record in states.items() if record} == {
        "1": ("NODE_FAIL", True),
        "2": ("COMPLETED", True),
        "3": ("CANCELLED", True),
        "4": ("PENDING", False),
        "5": ("PENDING", False),
        "6": ("PENDING", False),
    }
    assert states["1"] is not None
    assert "the controller" in states["1"].reason
    lost, again, other = peer.heard()
    assert (lost["op"], [record["job"] for record in lost["jobs"]]) == ("lost", ["1", "3"])
    assert (again["op"], again["jobs"]) == ("submit", [["4", "p#4", 2], ["5", "p#5", 0]])
    assert other["jobs"] == [["6", None, 0]]
    assert set(line.news) >= {"1", "2", "3"}


def test_what_was_lost_is_said_until_it_is_written_down(line: Connection, peer: Peer, tmp_path: Path) -> None:
    """By a controller that has told so: one may be killed before."""
    root = str(tmp_path)
    line.submit(root, LAUNCH, [(number, None) for number in "123"])
    for number in "12":
        peer.tell(root, Record(number, "RUNNING"))
    line.refresh()
    peer.ends[-1].close()
    line.refresh()
    for _ in range(connection.HOPELESS - 2):
        assert [(message["op"], len(message["jobs"])) for message in peer.heard()] == [("lost", 2), ("submit", 1)]
        peer.ends[-1].close()
        line.refresh()
    for left in (1, 0):
        lost, _ = peer.heard()
        peer.tell(root, Record.read(lost["jobs"][0]))
        line.refresh()
        peer.ends[-1].close()
        line.refresh()
        assert len(line._lost) == left
    assert [message["op"] for message in peer.heard()] == ["submit"]


def test_controllers_that_tell_nothing_are_not_replaced_for_ever(line: Connection, peer: Peer, tmp_path: Path) -> None:
    line.submit(str(tmp_path), LAUNCH, [("1", None)])
    for _ in range(connection.HOPELESS):
        peer.ends[-1].close()
        line.refresh()
    record = line.record(str(tmp_path), "1")
    assert record is not None
    assert (record.state, record.over) == (records.LOST, True)


def test_what_goes_to_a_dead_controller_goes_to_the_next(line: Connection, peer: Peer, tmp_path: Path) -> None:
    line.submit(str(tmp_path), LAUNCH, [("1", None)])
    peer.ends[-1].close()
    line.submit(str(tmp_path), LAUNCH, [("2", None)])
    line.refresh()
    jobs = [job for message in peer.heard() if message["op"] == "submit" for job in message["jobs"]]
    assert jobs == [["1", None, 0], ["2", None, 0]]


def test_a_forked_child_leaves_its_parents_line_alone(line: Connection, peer: Peer, tmp_path: Path) -> None:
    line.submit(str(tmp_path), LAUNCH, [("1", None)])
    pid = os.fork()
    if not pid:
        line.cancel(str(tmp_path), "1")
        line.refresh()
        os._exit(0 if line.fileno() is None and not line.news else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert [message["op"] for message in peer.heard()] == ["submit"]


def test_a_launch_is_told_once(line: Connection, peer: Peer, tmp_path: Path) -> None:
    """The environment of a thousand jobs that are submitted one by one is sent and kept once."""
    root = str(tmp_path)
    for number in range(3):
        line.submit(root, Launch(**{**LAUNCH._asdict(), "env": {"A": "1"}}), [(str(number), None)])
    line.submit(root, LAUNCH, [("3", None)])
    line.submit(root, LAUNCH, [("4", None)])
    told = [message["launch"] and message["launch"]["env"] for message in peer.heard()]
    assert told == [{"A": "1"}, None, None, {}, None]
    assert len({id(submission.launch) for submission, _, _ in line._open.values()}) == 2
    peer.ends[-1].close()
    line.refresh()
    told = [message["launch"] and message["launch"]["env"] for message in peer.heard()]
    assert told == [{"A": "1"}, None, None, {}, None]


def test_no_room_for_another_controller(
    line: Connection, peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried again, and in the end nobody waits for ever."""
    root = str(tmp_path)
    line.submit(root, LAUNCH, [("1", None)])

    def no_room(name: str, log: str) -> tuple[int, socket.socket]:
        raise OSError(11, "no room")

    monkeypatch.setattr(connection, "RETRY_S", 0)
    monkeypatch.setattr(controller, "launch", no_room)
    peer.ends[-1].close()
    for _ in range(10):
        line.refresh()
    record = line.record(root, "1")
    assert record is not None
    assert record.state == "PENDING"
    monkeypatch.setattr(controller, "launch", peer.launch)
    line.refresh()
    assert [message["jobs"] for message in peer.heard()] == [[["1", None, 0]]]
    peer.tell(root, Record("1", "PENDING"))
    line.refresh()
    monkeypatch.setattr(connection, "GIVE_UP_S", 0)
    monkeypatch.setattr(controller, "launch", no_room)
    peer.ends[-1].close()
    for _ in range(2):
        line.refresh()
    record = line.record(root, "1")
    assert record is not None
    assert (record.state, record.over) == (records.LOST, True)
    assert "another cannot be started: [Errno 11] no room" in record.reason


def test_the_next_submission_takes_along_what_could_not_be_started_again(
    line: Connection, peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(name: str, log: str) -> tuple[int, socket.socket]:
        raise OSError(11, "no room")

    line.submit(str(tmp_path), LAUNCH, [("1", None)])
    peer.ends[-1].close()
    monkeypatch.setattr(controller, "launch", no_room)
    line.refresh()
    with pytest.raises(OSError, match="no room"):
        line.submit(str(tmp_path), LAUNCH, [("2", None)])
    assert not line.knows(str(tmp_path), "2")
    monkeypatch.setattr(controller, "launch", peer.launch)
    line.submit(str(tmp_path), LAUNCH, [("3", None)])
    assert [message["jobs"] for message in peer.heard()] == [[["1", None, 0]], [["3", None, 0]]]
