"""The states of jobs, as schedulers print them."""

from __future__ import annotations

import pytest

from submitit.orchestrator.state import JobState


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("COMPLETED", JobState.COMPLETED),
        ("CANCELLED by 1000", JobState.CANCELLED),
        ("CANCELLED+", JobState.CANCELLED),
        ("OUT_OF_ME+", JobState.OUT_OF_MEMORY),
        ("completed", JobState.COMPLETED),
        ("FINISHED", JobState.COMPLETED),
        ("", JobState.UNKNOWN),
        ("  ", JobState.UNKNOWN),
        ("SOMETHING_NEW", JobState.UNKNOWN),
    ],
)
def test_words_are_read_by_table(word: str, state: JobState) -> None:
    assert JobState.read(word) is state


def test_only_endings_are_final() -> None:
    final = {state.value for state in JobState if state.final}
    assert final == {
        "COMPLETED",
        "FAILED",
        "CANCELLED",
        "TIMEOUT",
        "DEADLINE",
        "OUT_OF_MEMORY",
        "LAUNCH_FAILED",
        "RECONFIG_FAIL",
    }


def test_what_slurm_may_run_again_is_over_only_when_gone() -> None:
    for state in (JobState.PREEMPTED, JobState.NODE_FAIL, JobState.BOOT_FAIL, JobState.REVOKED):
        assert not state.final
        assert state.over_if_gone
    assert not JobState.UNKNOWN.over_if_gone
    assert not JobState.COMPLETING.over_if_gone
