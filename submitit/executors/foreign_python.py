"""``python=`` may name an interpreter that has another version of this library, or none."""

from __future__ import annotations

import shlex

_WORDS = "submitit: this job's Python (python=...) cannot import submitit 2: install there the version that submits"


def check(python: str) -> str:
    """A line of shell that ends the script, and says why, where the command ``python`` finds no version 2 of this library.

    A version 1 there would wait for a file that is not written any more.
    """
    return f"{{ {python} -c 'import submitit.storage'; }} || {{ echo {shlex.quote(_WORDS)} >&2; exit 1; }}"
