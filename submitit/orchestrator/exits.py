"""How a process ended, in words. An exit code here is ``subprocess``'s: a signal is a negative number."""

from __future__ import annotations

import signal


def of_shell(status: int) -> int:
    """The exit code for a shell's, whose 128 + n is signal n where there is such a signal."""
    return 128 - status if status > 128 and _signal_name(status - 128) else status


def name(code: int) -> str:
    """``"exit code 3"``, ``"SIGKILL(-9)"``."""
    if code >= 0:
        return f"exit code {code}"
    known = _signal_name(-code)
    return f"{known}({code})" if known else f"signal {-code}"


def in_words(code: int) -> str:
    """What became of the process: ``"ended with exit code 3"``, ``"was killed by SIGKILL(-9)"``."""
    return f"{'was killed by' if code < 0 else 'ended with'} {name(code)}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return ""
