"""Small charts as SVG, in the page's colours: each says in words what it shows, too."""

from __future__ import annotations

import bisect
import html
import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Values that lie further apart than so many times are told apart on a scale of powers alone.
_LOG_FROM = 100.0
_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 360, 150, 8, 22, 20


class Bins(NamedTuple):
    """How many values lie between each two edges; the last edge belongs to the last bin."""

    edges: list[float]
    counts: list[int]
    #: Whether each bin is wider than the one before it by the same factor, not as wide.
    log: bool


def binned(values: Sequence[float], most: int = 24, limit: float | None = None) -> Bins:
    """Values, none below zero, in at most so many bins of equal width; of equal ratio where they lie far apart.

    With a ``limit`` the scale is linear, from zero to at least there.
    """
    values = [value for value in values if math.isfinite(value)]
    if not values:
        return Bins([], [], log=False)
    low, high = min(values), max(values)
    # Zero has no logarithm: it is in the first bin.
    least = min((value for value in values if value > 0), default=high)
    log = limit is None and high > _LOG_FROM * least
    number = min(most, max(4, 2 * math.ceil(math.sqrt(len(values)))))
    if log:
        begin, end = math.log10(least), math.log10(high)
        edges = [low, *(10 ** (begin + (end - begin) * place / number) for place in range(1, number)), high]
    else:
        begin = 0.0 if limit is not None or low < high / 2 or low == high else low
        end = max(high, limit or 0.0) or 1.0
        edges = [begin + (end - begin) * place / number for place in range(number + 1)]
    counts = [0] * number
    for value in values:
        counts[min(number - 1, max(0, bisect.bisect_right(edges, value) - 1))] += 1
    return Bins(edges, counts, log)


def histogram(values: Sequence[float], show: Callable[[float], str], what: str, *, limit: float | None = None) -> str:
    """How values are spread.

    Args:
        values: none below zero.
        show: a value in words.
        what: of what each value is one: ``"jobs"``.
        limit: a value that is marked, and belongs to the scale.
    """
    bins = binned(values, limit=limit)
    if not bins.counts:
        return ""
    most = max(bins.counts)
    width, height = _WIDTH - 2 * _LEFT, _HEIGHT - _TOP - _BOTTOM
    step, base = width / len(bins.counts), _TOP + height
    parts = []
    for place, count in enumerate(bins.counts):
        tall = max(height * count / most, 1.5) if count else 0
        words = f"{count:,} {what}: {show(bins.edges[place])} to {show(bins.edges[place + 1])}"
        x = _LEFT + place * step
        parts.append(
            f'<g><title>{html.escape(words)}</title><rect class="hit" x="{x:.1f}" y="{_TOP}" width="{step:.1f}" height="{height}"/>'
            f'<rect class="bar" x="{x + 0.5:.1f}" y="{base - tall:.1f}" width="{max(1, step - 1):.1f}" height="{tall:.1f}"/></g>'
        )
    parts.append(f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _LEFT}" y1="{base}" y2="{base}"/>')
    for place, anchor in ((0, "start"), (len(bins.counts) // 2, "middle"), (len(bins.counts), "end")):
        parts.append(_tick(_LEFT + place * step, base + 14, anchor, show(bins.edges[place])))
    parts.append(_tick(_LEFT, 12, "start", f"highest: {most:,} {what}"))
    if bins.log:
        parts.append(_tick(_WIDTH - _LEFT, 12, "end", "logarithmic"))
    if limit is not None:
        x = _LEFT + width * (limit - bins.edges[0]) / (bins.edges[-1] - bins.edges[0])
        parts.append(f'<line class="limit" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{base}"/>')
    label = f"{len(values):,} {what}, from {show(min(values))} to {show(max(values))}"
    return (
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{html.escape(label)}">'
        f"{''.join(parts)}</svg>"
    )


def _tick(x: float, y: float, anchor: str, words: str) -> str:
    return f'<text class="tick" x="{x:.1f}" y="{y}" text-anchor="{anchor}">{html.escape(words)}</text>'


def parts_bar(parts: Sequence[tuple[str, str, int]]) -> str:
    """A bar of parts: the class, the words and the size of each."""
    total, at, drawn = sum(size for _, _, size in parts), 0.0, []
    for kind, words, size in parts:
        wide = 1000 * size / total
        drawn.append(
            f'<g class="{kind}"><title>{html.escape(words)}</title><rect x="{at:.2f}" y="0" width="{wide:.2f}" height="20"/></g>'
        )
        at += wide
    label = html.escape(", ".join(words for _, words, _ in parts))
    return (
        f'<svg class="parts" viewBox="0 0 1000 20" preserveAspectRatio="none" role="img" aria-label="{label}">'
        f"{''.join(drawn)}</svg>"
    )


class Load(NamedTuple):
    """How many jobs waited and ran at moments of equal distance."""

    begin: float
    end: float
    waiting: list[float]
    running: list[float]


def load(
    waiting: Sequence[tuple[float, float]],
    running: Sequence[tuple[float, float]],
    begin: float,
    end: float,
    bins: int = 300,
) -> Load:
    """How many of the spans there were on average in each of so many parts of the time between."""
    return Load(begin, end, _covered(waiting, begin, end, bins), _covered(running, begin, end, bins))


def _covered(spans: Sequence[tuple[float, float]], begin: float, end: float, bins: int) -> list[float]:
    width = (end - begin) / bins
    amount, change = [0.0] * (bins + 1), [0.0] * (bins + 2)
    for since, until in spans:
        first, last = (since - begin) / width, (min(until, end) - begin) / width
        low, high = min(bins, max(0, int(first))), min(bins, max(0, int(last)))
        if low == high:
            amount[low] += last - first
            continue
        # The parts at both ends are covered in part, all between them wholly.
        amount[low] += low + 1 - first
        amount[high] += last - high
        change[low + 1] += 1
        change[high] -= 1
    found, level = [], 0.0
    for place in range(bins):
        level += change[place]
        found.append(max(0.0, level + amount[place]))
    return found


def load_chart(told: Load) -> str:
    """Jobs that wait above jobs that run, over time."""
    most = max([a + b for a, b in zip(told.waiting, told.running, strict=True)], default=0.0) or 1.0
    number = len(told.running)

    def area(low: Sequence[float], high: Sequence[float]) -> str:
        there = [f"{place} {100 - 100 * value / most:.2f}H{place + 1}" for place, value in enumerate(high)]
        back = [
            f"{place + 1} {100 - 100 * value / most:.2f}H{place}" for place, value in reversed(list(enumerate(low)))
        ]
        return f"M{'L'.join([*there, *back])}Z"

    both = [a + b for a, b in zip(told.waiting, told.running, strict=True)]
    return (
        f'<svg class="load" viewBox="0 0 {number} 100" preserveAspectRatio="none" aria-hidden="true">'
        f'<path class="waiting" d="{area(told.running, both)}"/>'
        f'<path class="running" d="{area([0.0] * number, told.running)}"/></svg>'
    )
