"""Lists sent in parts, against a cluster that is a counter."""

from __future__ import annotations

import logging
import random
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from submitit.errors import SubmissionRefusedError
from submitit.executors.arrays import Part
from submitit.slurm import room, sending, shield

FAILED = "sbatch: error: Batch job submission failed: "
POLICY = f"{FAILED}Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"


class Counter:
    """Takes arrays of at most ``longest`` elements while there are at most ``limit`` jobs; time passes when somebody sleeps."""

    def __init__(self, limit: int = 10**6, longest: int = 1001, reason: str = "AssocMaxSubmitJobLimit") -> None:
        self.limit = limit
        self.longest = longest
        self.reason = reason
        #: What sacctmgr prints; ``None``: it fails.
        self.accounts: str | None = None
        self.config: str | None = f"MaxArraySize = {longest}\nMaxJobCount = {limit}\n"
        self.queue_answers = True
        self.jobs = 0
        self.others = 0
        self.sent: list[Part] = []
        self.refused: list[int] = []
        self.asked: list[str] = []
        self.now = 0.0
        self.generator = random.Random(0)
        #: How many of its jobs end in a second, at most.
        self.rate = 2.0

    def send(self, part: Part, largest: int) -> None:
        assert part.size <= max(1, largest)
        if part.size > self.longest:
            self.refused.append(part.size)
            raise SubmissionRefusedError(
                f"{FAILED}Invalid job array specification\n\nThe script was:\n# MaxJobCount limit"
            )
        if self.jobs + self.others + part.size > self.limit:
            self.refused.append(part.size)
            raise SubmissionRefusedError(
                f"{FAILED}Resource temporarily unavailable"
                if self.reason == "MaxJobCount"
                else f"sbatch: error: {self.reason}\n{POLICY}"
            )
        self.jobs += part.size
        self.sent.append(part)

    def check_output(self, command: list[str], **_: Any) -> str:
        self.asked.append(command[0])
        if command[0] == "squeue" and self.queue_answers:
            jobs = self.jobs + (self.others if self.reason == "MaxJobCount" else 0)
            return "".join(f"12_{index}\n" for index in range(jobs))
        if command[0] == "sacctmgr" and self.accounts is not None:
            return self.accounts
        if command[0] == "scontrol" and self.config is not None:
            return self.config
        raise subprocess.CalledProcessError(1, command, "", "away")

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        assert self.now < 1e5, "this never ends"
        self.jobs -= min(self.jobs, self.generator.randint(0, int(2 * self.rate * seconds)))
        self.others = 0 if self.now > 1000 else self.others

    def places(self) -> list[int]:
        return [place for part in self.sent for place in range(part.first, part.stop)]


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter]:
    made = Counter()
    monkeypatch.setattr("subprocess.check_output", made.check_output)
    for module in (room, shield):
        monkeypatch.setattr(module, "time", made)
    sending._ask.cache_clear()
    yield made
    sending._ask.cache_clear()


def associations(*limits: int) -> str:
    return "Cluster|MaxSubmit|GrpSubmit\n" + "".join(f"c|{limit}|\n" for limit in limits)


def test_a_list_that_fits_is_one_array_and_nobody_is_asked(counter: Counter) -> None:
    sending.in_parts(1001, counter.send)
    assert counter.sent == [Part(0, 1001)]
    assert counter.asked == []


@pytest.mark.parametrize("config", [True, False])
def test_a_long_list_is_split_evenly(counter: Counter, config: bool) -> None:
    if not config:
        counter.config = None
    sending.in_parts(10_000, counter.send)
    assert {part.size for part in counter.sent} == {1000}
    assert counter.places() == list(range(10_000))
    assert counter.refused == ([] if config else [10_000])


def test_a_short_list_is_split_where_arrays_are_shorter_still(counter: Counter) -> None:
    counter.longest, counter.config = 11, "MaxArraySize = 11\n"
    sending.in_parts(25, counter.send)
    assert [part.size for part in counter.sent] == [8, 8, 9]
    assert counter.refused == [25]
    assert counter.asked == ["scontrol"]


def test_an_array_that_is_invalid_at_its_length_is_refused(counter: Counter) -> None:
    counter.longest, counter.config = 2, "MaxArraySize = 1001\n"
    with pytest.raises(SubmissionRefusedError, match="Invalid job array"):
        sending.in_parts(25, counter.send)
    assert counter.refused == [25]


def test_a_cluster_that_takes_no_arrays(counter: Counter) -> None:
    largest: list[int] = []

    def send(part: Part, most: int) -> None:
        largest.append(most)
        if most:
            raise SubmissionRefusedError(f"{FAILED}Invalid job array specification")
        counter.sent.append(part)

    counter.config = "MaxArraySize = 0\n"
    sending.in_parts(3, send)
    assert counter.sent == [Part(0, 1), Part(1, 1), Part(2, 1)]
    assert largest == [3, 0, 0, 0]


@pytest.mark.parametrize("accounts", [None, associations(100), associations(20, 100, 3000), associations(90), ""])
@pytest.mark.parametrize("others", [0, 37])
@pytest.mark.parametrize("reason", ["AssocMaxSubmitJobLimit", "QOSGrpSubmitJobsLimit", "MaxJobCount"])
def test_all_are_sent_once_whatever_is_known(counter: Counter, accounts: str | None, others: int, reason: str) -> None:
    counter.limit, counter.reason, counter.accounts, counter.others = 100, reason, accounts, others
    counter.config = "MaxJobCount = 100\nMaxArraySize = 1001\n"
    sending.in_parts(1500, counter.send)
    assert counter.places() == list(range(1500))
    # What is sent in vain is not much more than what is sent.
    assert len(counter.refused) <= len(counter.sent) + 12


def test_known_room_is_filled_at_once(counter: Counter) -> None:
    counter.limit, counter.jobs, counter.accounts = 100, 30, associations(100)
    sending.in_parts(500, counter.send)
    assert counter.sent[0] == Part(0, 70)
    assert counter.refused[:1] == [500]


def test_unknown_room_is_filled_by_halving(counter: Counter) -> None:
    counter.limit = 100
    counter.rate = 0
    with pytest.raises(AssertionError, match="never ends"):
        sending.in_parts(500, counter.send)
    assert counter.jobs == 100


def test_a_queue_that_cannot_be_seen_is_tried_now_and_then(counter: Counter) -> None:
    counter.limit, counter.queue_answers = 50, False
    sending.in_parts(200, counter.send)
    assert counter.places() == list(range(200))


def test_while_nothing_ends_slurm_is_asked_twice_a_minute(counter: Counter, caplog: pytest.LogCaptureFixture) -> None:
    counter.limit, counter.accounts, counter.rate = 100, associations(100), 0
    with pytest.raises(AssertionError, match="never ends"):
        sending.in_parts(500, counter.send)
    minutes = counter.now / 60
    assert counter.asked.count("squeue") < 3.2 * minutes
    assert len(counter.refused) < 0.6 * minutes
    said = [record.getMessage() for record in caplog.records]
    assert 0.6 * minutes <= len(said) <= minutes + 1
    assert "(AssocMaxSubmitJobLimit): 100 of 500 are sent, 400 wait for jobs of yours to end." in said[0]


def test_a_limit_that_leaves_no_room_for_one_is_no_reason_to_wait(counter: Counter) -> None:
    counter.limit = 0
    with pytest.raises(SubmissionRefusedError, match="AssocMaxSubmitJobLimit"):
        sending.in_parts(3, counter.send)
    assert counter.now < 60


def test_another_refusal_ends_it_and_what_was_sent_is_sent(counter: Counter) -> None:
    def send(part: Part, largest: int) -> None:
        if part.first:
            raise SubmissionRefusedError(f"{FAILED}Invalid qos specification\n\nThe script was:\n# {POLICY}")
        counter.send(part, largest)

    with pytest.raises(SubmissionRefusedError, match="Invalid qos"):
        sending.in_parts(2000, send)
    assert counter.sent == [Part(0, 1000)]


def test_what_is_said_is_a_warning(counter: Counter, caplog: pytest.LogCaptureFixture) -> None:
    counter.limit, counter.reason = 10, "MaxJobCount"
    counter.config = "MaxJobCount = 10\n"
    sending.in_parts(20, counter.send)
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert "(Batch job submission failed: Resource temporarily unavailable)" in caplog.records[0].getMessage()
