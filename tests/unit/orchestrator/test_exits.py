"""Exit codes in words."""

from __future__ import annotations

import pytest

from submitit.orchestrator import exits


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "ended with exit code 0"),
        (3, "ended with exit code 3"),
        (-9, "was killed by SIGKILL(-9)"),
        (-11, "was killed by SIGSEGV(-11)"),
        (-99, "was killed by signal 99"),
    ],
)
def test_exit_codes_in_words(code: int, words: str) -> None:
    assert exits.in_words(code) == words


@pytest.mark.parametrize(("status", "code"), [(0, 0), (3, 3), (137, -9), (129, -1), (128, 128), (255, 255)])
def test_a_shell_counts_signals_from_128(status: int, code: int) -> None:
    assert exits.of_shell(status) == code
