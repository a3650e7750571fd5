"""Amounts, as people read them."""

from __future__ import annotations


def size(count: float) -> str:
    """Bytes: ``0 B``, ``4.0 KB``, ``1.2 GB``, in powers of 1024."""
    if count < 1024:
        return f"{count:.0f} B"
    for unit in ("KB", "MB", "GB", "TB"):
        count /= 1024
        if count < 999.95:
            break
    else:
        return f"{count / 1024:,.1f} PB"
    return f"{count:.1f} {unit}"


def number(count: int, thing: str) -> str:
    """So many things: ``1 job``, ``1,200 jobs``."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
