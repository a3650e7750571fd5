"""One attempt of a job, and its part of logs that all attempts share."""

from __future__ import annotations

from submitit.client.attempt import Attempt, part_of
from submitit.storage.outcome import Footer

STDOUT = """submitit INFO (2026-11-21 20:47:28,328) - Starting with JobEnvironment(job_id=5, hostname=n1)
first
Starting with nothing, attempt 9
submitit INFO (2026-11-21 20:48:28,328) - Starting with JobEnvironment(job_id=5, hostname=n1), attempt 2
second
submitit INFO (2026-11-21 20:49:28,328) - Starting with JobEnvironment(job_id=5, hostname=n2), attempt 4
fourth
"""
STDERR = """slurmstepd: error
submitit WARNING (2026-11-21 20:48:28,328) - Attempt 2 of job 5 begins: what stands above is of earlier ones
second
"""


def test_parts_of_a_log() -> None:
    assert "first" in part_of(STDOUT, 0)
    assert "second" not in part_of(STDOUT, 0)
    assert part_of(STDOUT, 1).splitlines()[1:] == ["second"]
    assert part_of(STDOUT, 2) == "", "it never got to say that it begins"
    assert part_of(STDOUT, 3).splitlines()[1:] == ["fourth"]
    assert "".join(part_of(STDOUT, number) for number in range(5)) == STDOUT
    assert part_of(STDERR, 0) == "slurmstepd: error\n"
    assert part_of(STDERR, 1).endswith("ones\nsecond\n")
    assert part_of("", 0) == ""


def test_what_a_task_has_written_down_fills_the_gaps() -> None:
    footer = Footer(host="vm", start=1.0, end=2.0, cpu_s=0.5, max_rss_mb=100.0)
    told = Attempt(0, "FAILED", node="n1", cpu_s=0.7, max_rss_mb=40.0).told_by(footer)
    assert (told.node, told.start, told.end, told.cpu_s, told.max_rss_mb) == ("n1", 1.0, 2.0, 0.7, 100.0)
    assert Attempt(0, "FAILED").told_by(None) == Attempt(0, "FAILED")


def test_no_log() -> None:
    assert Attempt(0, "FAILED").stdout() is None
