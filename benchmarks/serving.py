"""The other end of `processes.Client`: a program that does what it is asked to, one thing after the other.

run.py ── {"do": "submit_array", "folder": …} ──▶ this process ── {"value": …} or {"error": …} ──▶ run.py
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def serve(actions: Iterable[Callable[..., Any]]) -> NoReturn:
    """Answer requests, which name an action, until there are no more."""
    named = {action.__name__: action for action in actions}
    # What is printed here, or by a job that inherits a descriptor, must not reach the one that answers go to.
    with os.fdopen(os.dup(0)) as requests, os.fdopen(os.dup(1), "w", buffering=1) as answers:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)
        for line in requests:
            request = json.loads(line)
            try:
                answer = {"value": named[request.pop("do")](**request)}
            except Exception as error:  # noqa: BLE001 - reported as the reason why there is no figure
                # The first line alone: an error of a job may bring its whole log with it.
                answer = {"error": f"{type(error).__name__}: {error}".partition("\n")[0][:300]}
            print(json.dumps(answer), file=answers)
    sys.exit()
