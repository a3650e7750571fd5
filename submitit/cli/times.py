"""Moments and durations, as people write and read them."""

from __future__ import annotations

import re
import time

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_DATES = ("%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S")


def seconds(text: str) -> float | None:
    """A duration in seconds: ``90``, ``30s``, ``2h``, ``1h30m``, ``3d``; ``None`` for what is none."""
    text = text.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", text):
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


def duration(span: float) -> str:
    """A duration as Slurm writes it: ``0:05``, ``1:02:03``, ``2-03:04:05``; below ten seconds with a tenth."""
    if span < 9.95:
        return f"{max(span, 0.0):.1f}s"
    whole = round(span)
    days, rest = divmod(whole, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, left = divmod(rest, 60)
    if days:
        return f"{days}-{hours:02}:{minutes:02}:{left:02}"
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def moment(when: float, now: float | None = None) -> str:
    """A moment for people: the time of a day of the last half year (``Nov 21 23:05``), otherwise the day (``2025-11-21``)."""
    now = time.time() if now is None else now
    form = "%b %d %H:%M" if now - 180 * 86400 < when < now + 86400 else "%Y-%m-%d"
    return time.strftime(form, time.localtime(when))


def stamp(when: float) -> str:
    """A moment to the second: ``2026-11-21 23:05:07``."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when))
