"""Times, sizes and counts, as people read them."""

from __future__ import annotations

import math
import time

_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def duration(seconds: float | None) -> str:
    """In a sentence: ``"0.42 s"``, ``"12 s"``, ``"3 min 20 s"``, ``"2 d 4 h"``: the two largest units."""
    if seconds is None:
        return "not known"
    if seconds < 10:
        return f"{_digits(seconds)} s"
    left = round(seconds)
    parts: list[str] = []
    for unit, size in _UNITS:
        if left >= size or parts:
            count, left = divmod(left, size)
            parts.append(f"{count} {unit}" if count else "")
        if len(parts) == 2:
            break
    return " ".join(filter(None, parts))


def clock(seconds: float | None) -> str:
    """A duration as Slurm writes it, for columns and for what is written anew each second.

    ``"0:05"``, ``"1:02:03"``, ``"2-03:04:05"``; below ten seconds with a tenth: ``"4.2s"``; nothing for ``None``.
    """
    if seconds is None:
        return ""
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f}s"
    days, rest = divmod(round(seconds), 86400)
    hours, rest = divmod(rest, 3600)
    minutes, left = divmod(rest, 60)
    if days:
        return f"{days}-{hours:02}:{minutes:02}:{left:02}"
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def stamp(moment: float) -> str:
    """A moment, in seconds since the epoch, to the second: ``"2026-11-21 23:05:07"``."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))


def memory(megabytes: float | None) -> str:
    """``"512 MB"``, ``"2.1 GB"``, of 1024² bytes and 1024³."""
    if megabytes is None:
        return "not known"
    if round(megabytes) < 1024:
        return f"{_digits(megabytes)} MB"
    return f"{_digits(megabytes / 1024)} GB"


def size(count: float) -> str:
    """Bytes for a column: ``"0 B"``, ``"4.0 KB"``, ``"1.2 GB"``, in powers of 1024."""
    if count < 1024:
        return f"{count:.0f} B"
    units = ["KB", "MB", "GB", "TB", "PB"]
    while (count := count / 1024) >= 999.95 and len(units) > 1:
        units.pop(0)
    return f"{count:,.1f} {units[0]}"


def number(value: float) -> str:
    """``"5,000"``, ``"1.3"``."""
    return _digits(value)


def count(many: int, one: str, several: str = "") -> str:
    """``"1 job"``, ``"5,000 jobs"``."""
    return f"{many:,} {one if many == 1 else several or one + 's'}"


def share(part: float, whole: float) -> str:
    """``"12 %"``; of something the least that is shown is ``"<1 %"``, and all alone is ``"100 %"``."""
    percent = 100 * part / whole
    if 0 < percent < 1:
        return "<1 %"
    return f"{min(99, round(percent)) if percent < 100 else round(percent):,} %"


def _digits(value: float) -> str:
    """Two digits that count, and all before the point."""
    if value == 0:
        return "0"
    places = max(0, 1 - math.floor(math.log10(abs(value)))) if abs(value) < 10 else 0
    text = f"{value:,.{min(places, 3)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
