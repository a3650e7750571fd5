"""Amounts, as people read them."""

from __future__ import annotations


def size(count: float) -> str:
    """Bytes: ``0 B``, ``4.0 KB``, ``1.2 GB``, in powers of 1024."""
    if count < 1024:
        return f"{count:.0f} B"
    units = ["KB", "MB", "GB", "TB", "PB"]
    while (count := count / 1024) >= 999.95 and len(units) > 1:
        units.pop(0)
    return f"{count:,.1f} {units[0]}"


def number(count: int, thing: str) -> str:
    """So many things: ``1 job``, ``1,200 jobs``."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
