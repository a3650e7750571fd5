"""Times, sizes and counts as people read them."""

from __future__ import annotations

import math

_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def duration(seconds: float | None) -> str:
    """``"0.42 s"``, ``"12 s"``, ``"3 min 20 s"``, ``"2 d 4 h"``: the two largest units."""
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


def memory(megabytes: float | None) -> str:
    """``"512 MB"``, ``"2.1 GB"``, of 1024² bytes and 1024³."""
    if megabytes is None:
        return "not known"
    if round(megabytes) < 1024:
        return f"{_digits(megabytes)} MB"
    return f"{_digits(megabytes / 1024)} GB"


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
