"""The numbers of a page for its script: columns, each distinct text once."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from submitit.orchestrator import exits
from submitit.orchestrator.state import JobState, StateKind
from submitit.terminal import harmless

if TYPE_CHECKING:
    from collections.abc import Sequence

    from submitit.views.usage import Row, Seen

#: Characters of a text of a job that the page keeps.
_LONGEST = 300
#: Of each kind of states the word of the legend, the class on the page, and the sign beside every state's word.
KINDS = {
    StateKind.COMPLETED: ("completed", "good", "✓"),
    StateKind.FAILED: ("failed", "bad", "✗"),
    StateKind.CANCELLED: ("cancelled", "cancelled", "⊘"),
    StateKind.RUNNING: ("running", "running", "▶"),
    StateKind.PENDING: ("waiting", "waiting", "…"),
    StateKind.UNKNOWN: ("not known", "unknown", "?"),
}
#: Of each row, beside what is made of several of its fields.
_TEXTS = ("name", "function", "node", "folder", "state")
_NUMBERS = (
    "queued_s",
    "run_s",
    "attempts",
    "tasks",
    "asked_cpus",
    "asked_mem_mb",
    "asked_time_s",
    "cpu_s",
    "max_rss_mb",
)


def shown(text: str | None) -> str:
    """A job's text as the page has it: without control characters, and no longer than a page can take."""
    text = harmless(text or "").encode(errors="replace").decode()
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def document(jobs: Sequence[Seen], rows: Sequence[Row], now: float) -> dict[str, Any]:
    """What the script draws. Moments are seconds after ``begin``; ``zone`` is how many seconds local time is ahead of UTC."""
    texts = _Texts()
    begin = min((row["submitted"] or row["start"] or now for row in rows), default=now)
    columns: dict[str, list[Any]] = {name: [texts.place(row[name]) for row in rows] for name in _TEXTS}  # type: ignore[literal-required]
    for name in _NUMBERS:
        columns[name] = [_number(row[name]) for row in rows]  # type: ignore[literal-required]
    columns["id"] = [shown(row["job_id"]) for row in rows]
    columns["ended"] = [texts.place(_ended(row)) for row in rows]
    columns["kind"] = [kind_of(row["state"]) for row in rows]
    columns["submitted"] = [_after(begin, row["submitted"]) for row in rows]
    columns["over"] = [int(row["over"]) for row in rows]
    columns["spans"] = [_spans(one, begin, texts) for one in jobs]
    return {
        "begin": begin,
        "now": _after(begin, now),
        "zone": time.localtime(now).tm_gmtoff,
        "texts": texts.listed,
        "kinds": [list(kind) for kind in KINDS.values()],
        "jobs": columns,
    }


def _ended(row: Row) -> str:
    """The exit code by its name, where it is not 0, and the reason."""
    code = exits.name(row["exit_code"]) if row["exit_code"] else ""
    return ", ".join(filter(None, [code, row["reason"]]))


def kind_of(state: str) -> int:
    """The place in ``KINDS`` of a state."""
    return _PLACES[JobState.read(state).kind]


def embedded(value: Any) -> str:
    """A value as JSON that may stand in a page between tags: no text of it can end the script that it is in."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


_PLACES = {kind: place for place, kind in enumerate(KINDS)}


class _Texts:
    """Texts by their places: thousands of jobs have the same."""

    def __init__(self) -> None:
        self.listed: list[str] = [""]
        self._places = {"": 0}
        self._seen: dict[str | None, int] = {}

    def place(self, text: str | None) -> int:
        found = self._seen.get(text)
        if found is None:
            kept = shown(text)
            found = self._places.setdefault(kept, len(self.listed))
            if found == len(self.listed):
                self.listed.append(kept)
            self._seen[text] = found
        return found


def _spans(job: Seen, begin: float, texts: _Texts) -> list[list[float | int | None]]:
    """Of each attempt: when it began and ended, its node, its state and what kind that is, and why another followed.

    One that has begun and not ended goes on, ``None``; or nobody knows when it ended, -1.
    """
    found: list[list[float | int | None]] = []
    for attempt in job.attempts:
        if attempt.start is None:
            continue
        ended: float | None = None
        if attempt.end is not None:
            ended = _after(begin, max(attempt.end, attempt.start))
        elif job.entry.over or attempt is not job.attempts[-1]:
            ended = -1
        found.append(
            [
                _after(begin, attempt.start),
                ended,
                texts.place(attempt.node),
                texts.place(attempt.state),
                kind_of(attempt.state),
                texts.place(attempt.again),
            ]
        )
    return found


def _after(begin: float, moment: float | None) -> float | None:
    return None if moment is None else _number(max(0.0, moment - begin))


def _number(value: float | None) -> float | None:
    if value is None or isinstance(value, int):
        return value
    return round(value, 3) if abs(value) < 100 else round(value, 1)
