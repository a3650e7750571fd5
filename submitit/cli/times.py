"""Moments and durations, as people write and read them."""

from __future__ import annotations

import re
import time

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SPAN = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smhdw])")
_DATES = ("%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S")


def seconds(text: str) -> float | None:
    """A duration in seconds: ``90``, ``30s``, ``2h``, ``1h30m``, ``3d``; ``None`` for what is none."""
    text = text.strip().lower()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        return float(text)
    parts = _SPAN.findall(text)
    if not parts or "".join(map("".join, parts)) != text:
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def since(text: str) -> float | None:
    """The moment that lies such a duration back, or a date of this place (``2026-11-20``, ``2026-11-20 14:30``)."""
    if not text.strip().isdecimal() and (span := seconds(text)) is not None:
        return time.time() - span
    for form in _DATES:
        try:
            return time.mktime(time.strptime(text.strip(), form))
        except (ValueError, OverflowError):
            continue
    return None


def moment(when: float, now: float | None = None) -> str:
    """A moment for people: the time of a day of the last half year (``Nov 21 23:05``), otherwise the day (``2025-11-21``)."""
    now = time.time() if now is None else now
    form = "%b %d %H:%M" if now - 180 * 86400 < when < now + 86400 else "%Y-%m-%d"
    return time.strftime(form, time.localtime(when))
