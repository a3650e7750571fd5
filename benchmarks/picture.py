"""Draws the published figures: beside 1.5.4, beside the peers, and growth; an SVG that is readable on light and on dark pages."""

from __future__ import annotations

import math
import re
from html import escape
from typing import TYPE_CHECKING, Final, NamedTuple

from report import duration, size
from samples import Figure, Growth, Race, Sample, fitted_exponent, one_more

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from results import Group
    from samples import Outcome

WIDTH: Final = 960
LEFT: Final = 40
#: Where labels end and the plots begin.
AXIS: Final = 330
RIGHT: Final = WIDTH - 110
ROW: Final = 30

STYLE: Final = """\
text { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: #1f2328 }
.title { font-size: 22px; font-weight: 650 }
.heading { font-size: 16px; font-weight: 650 }
.muted { fill: #59636e }
.small { font-size: 11.5px }
.strong { font-weight: 650 }
.end { text-anchor: end }
.middle { text-anchor: middle }
.card { fill: #ffffff; stroke: #d1d9e0 }
.grid { stroke: #e4e8ec }
.link { stroke: #c8d0d8; stroke-width: 2 }
.dot-ours { fill: #0969da } .text-ours { fill: #0969da }
.dot-other { fill: #bc4c00 } .text-other { fill: #bc4c00 }
.dot-kept { fill: #ffffff; stroke: #59636e; stroke-width: 2 }
.dot-new { fill: #59636e }
.line { fill: none; stroke-width: 2.25; stroke-linejoin: round }
.hue-0 { stroke: #0969da } .fill-0 { fill: #0969da }
.hue-1 { stroke: #1a7f37 } .fill-1 { fill: #1a7f37 }
.hue-2 { stroke: #8250df } .fill-2 { fill: #8250df }
.hue-3 { stroke: #bc4c00 } .fill-3 { fill: #bc4c00 }
.old { stroke-dasharray: 3 4; stroke-width: 1.75 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.muted { fill: #9198a1 }
.card { fill: #0d1117; stroke: #3d444d }
.grid { stroke: #262c34 }
.link { stroke: #3d444d }
.dot-ours, .text-ours { fill: #4493f8 }
.dot-other, .text-other { fill: #f0883e }
.dot-kept { fill: #0d1117; stroke: #9198a1 }
.dot-new { fill: #9198a1 }
.hue-0 { stroke: #4493f8 } .fill-0 { fill: #4493f8 }
.hue-1 { stroke: #3fb950 } .fill-1 { fill: #3fb950 }
.hue-2 { stroke: #ab7df8 } .fill-2 { fill: #ab7df8 }
.hue-3 { stroke: #f0883e } .fill-3 { fill: #f0883e }
}"""

#: Which figures are shown beside 1.5.4, by their names, and how they are called.
SHOWN: Final = {
    r"import submitit,": "import submitit",
    r"runner up to": "runner, up to the function's call",
    r"local: the same, beside 1\.5\.4": "local: submit to result",
    r"local: \d+ jobs in a loop, time a job, on disk": "local: jobs at once, time a job",
    r"Slurm: map_array of 1,000, time": "Slurm: array of 1,000, submission",
    r"Slurm: map_array of 10,000, time": "Slurm: array of 10,000, submission",
    r"Slurm with srun: script's start": "Slurm: script's start to result",
    r"Slurm: SIGKILL of a function, to": "Slurm: killed, to the error",
    r"waking: end of a job to result\(\), after about 0\.3 s": "waiting: end of a job to result",
}
#: The peers that start a process for each call, as we do.
A_PROCESS_A_CALL: Final = ("submitit", "process pool, a process a call", "executorlib")
#: What grows, by name: time on the left, memory on the right.
GROWING: Final = {
    "ms": {
        "local: map_array, submission": "submission, local",
        "Slurm: map_array, time of the client": "submission, Slurm",
        "waiting for jobs that have ended": "wait for ended jobs",
    },
    "MB": {
        "local: map_array, the client's peak memory": "client, submission",
        "waiting for jobs that have ended, the client's peak memory": "client, waiting",
        "local: map_array, payload": "payload on disk",
        "local: map_array, the controller's peak memory": "controller, local",
    },
}


def draw(groups: Mapping[str, Group]) -> str:
    """The text of the picture. A panel for which nothing was measured is left out."""
    outcomes = [outcome for group in groups.values() for outcome in group.outcomes]
    parts: list[str] = []
    y = _head(parts, groups)
    for panel in (_reference, _peers, _growth):
        y = panel(parts, outcomes, y)
    frame = f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{y - 1}" rx="10"/>'
    about = f'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" role="img"'
    title = "<title>submitit beside version 1.5.4, beside its peers, and at growing numbers of jobs</title>"
    return "\n".join([f"<svg {about}>", title, f"<style>\n{STYLE}\n</style>", frame, *parts, "</svg>", ""])


def _head(parts: list[str], groups: Mapping[str, Group]) -> int:
    context = next((group.context for group in groups.values()), {})
    words = [f"submitit {context.get('submitit', '')}", context.get("python", ""), context.get("processor", "")]
    words.append(f"medians, {context.get('started', '')[:10]}")
    if any("quick" in group.context for group in groups.values()):
        words.append("a quick run")
    parts.append(_text(LEFT, 48, "How fast it is", "title"))
    parts.append(_text(LEFT, 70, " · ".join(word for word in words if word), "muted"))
    return 86


# ---------------------------------------------------------------- beside 1.5.4


def _reference(parts: list[str], outcomes: Iterable[Outcome], y: int) -> int:
    figures = [outcome for outcome in outcomes if isinstance(outcome, Figure) and outcome.ours and outcome.reference]
    rows = [
        (label, figure)
        for pattern, label in SHOWN.items()
        for figure in figures
        if re.match(pattern, figure.name) and figure.ratio is not None
    ]
    if not rows:
        return y
    y = _heading(parts, y, "Beside 1.5.4", "how long each takes; to the left is faster, and the scale is logarithmic")
    _legend(parts, y - 4, [("dot-ours", "submitit 2"), ("dot-other", "1.5.4")])
    medians = [sample.median for _, figure in rows for sample in (figure.ours, figure.reference) if sample]
    scale = _Scale.around(medians, AXIS, RIGHT)
    bottom = y + 14 + ROW * len(rows)
    _time_grid(parts, scale, y + 10, bottom)
    for index, (label, figure) in enumerate(rows):
        middle = y + 26 + ROW * index
        assert figure.ours is not None
        assert figure.reference is not None
        ours, theirs = scale(figure.ours.median), scale(figure.reference.median)
        parts.append(_text(AXIS - 22, middle + 4, label, "end"))
        parts.append(_line(ours, middle, theirs, middle, "link"))
        parts += [_spread(scale, figure.reference, middle, "dot-other"), _dot(theirs, middle, "dot-other")]
        parts += [_spread(scale, figure.ours, middle, "dot-ours"), _dot(ours, middle, "dot-ours")]
        # Beyond the farther of the two.
        parts.append(_text(max(ours, theirs) + 14, middle + 4.5, _times(figure.ratio or 0), "strong text-ours"))
    return bottom + 36


# ---------------------------------------------------------------- beside the peers


def _peers(parts: list[str], outcomes: Iterable[Outcome], y: int) -> int:
    races = [
        outcome for outcome in outcomes if isinstance(outcome, Race) and outcome.others and "first" not in outcome.name
    ]
    if not races:
        return y
    y = _heading(
        parts,
        y,
        "Beside what else there is",
        "time a call, on one machine; a kept process costs less than a new one, and keeps less",
    )
    _legend(parts, y - 4, [("dot-ours", "submitit"), ("dot-new", "a process a call"), ("dot-kept", "kept processes")])
    names = ["submitit", *dict.fromkeys(name for race in races for name in race.others)]
    left, gap = 250, 34
    width = (WIDTH - LEFT - left - gap * (len(races) - 1)) / len(races)
    bottom = y + 34 + ROW * len(names)
    for index, name in enumerate(names):
        style = "end strong text-ours" if name == "submitit" else "end"
        parts.append(_text(left - 16, y + 50 + ROW * index, name, style))
    for column, race in enumerate(races):
        start = left + column * (width + gap)
        samples = {name: race.ours if name == "submitit" else race.others.get(name) for name in names}
        scale = _Scale.around([sample.median for sample in samples.values() if sample], start, start + width - 44)
        title = race.name.removeprefix("peers: ").removesuffix(", time a call")
        parts.append(_text(start, y + 22, title, "strong small"))
        _time_grid(parts, scale, y + 32, bottom, small=True)
        for index, (name, sample) in enumerate(samples.items()):
            middle = y + 46 + ROW * index
            if sample is None:
                parts.append(_text(start, middle + 4, "not measured", "muted small"))
                continue
            style = "dot-ours" if name == "submitit" else "dot-new" if name in A_PROCESS_A_CALL else "dot-kept"
            parts.append(_line(start, middle, scale(sample.median), middle, "link"))
            parts.append(_dot(scale(sample.median), middle, style))
            words = "small text-ours strong" if name == "submitit" else "small muted"
            parts.append(_text(scale(sample.median) + 10, middle + 4, duration(sample.median), words))
    return bottom + 40


# ---------------------------------------------------------------- growth


def _growth(parts: list[str], outcomes: Iterable[Outcome], y: int) -> int:
    growths = {outcome.name: outcome for outcome in outcomes if isinstance(outcome, Growth) and len(outcome.ours) > 1}
    if not any(name in growths for names in GROWING.values() for name in names):
        return y
    y = _heading(
        parts,
        y,
        "Growth",
        "with the number of jobs, both axes logarithmic; in brackets the exponent (1 is linear); dashed: 1.5.4",
    )
    height = 250
    plots: list[tuple[str, str, Callable[[float], str], Callable[[dict[int, Sample]], str]]] = [
        ("ms", "time", duration, _power),
        ("MB", "memory", size, _each),
    ]
    for column, (unit, title, words, about) in enumerate(plots):
        shown = {label: growths[name] for name, label in GROWING[unit].items() if name in growths}
        left = LEFT + 52 + column * 440
        if shown:
            parts.append(_text(left, y + 14, title, "strong small"))
            _plot(parts, shown, _Box(left, left + 215, y + 26, y + 26 + height), words, about)
    return y + 26 + height + 54


class _Box(NamedTuple):
    left: float
    right: float
    top: float
    bottom: float


def _times(ratio: float) -> str:
    return f"{ratio:.0f}x" if ratio >= 9.5 else f"{ratio:.1f}x"


def _power(samples: dict[int, Sample]) -> str:
    exponent = fitted_exponent(samples)
    return "" if exponent is None else f" ({exponent:.2f})"


def _each(samples: dict[int, Sample]) -> str:
    each = one_more(samples)
    return "" if each is None else f", {size(each)} a job"


def _plot(
    parts: list[str],
    shown: dict[str, Growth],
    box: _Box,
    words: Callable[[float], str],
    about: Callable[[dict[int, Sample]], str],
) -> None:
    every = [samples for growth in shown.values() for samples in (growth.ours, growth.reference) if samples]
    sizes = sorted({count for samples in every for count in samples})
    across = _Scale(math.log10(sizes[0]), math.log10(sizes[-1]), box.left, box.right)
    medians = [sample.median for samples in every for sample in samples.values() if sample.median > 0]
    up = _Scale.around(medians, box.bottom, box.top)
    for tick in up.decades():
        parts.append(_line(box.left, up(tick), box.right, up(tick), "grid"))
        parts.append(_text(box.left - 10, up(tick) + 4, words(tick), "small muted end"))
    for count in sizes:
        parts.append(_line(across(count), box.top, across(count), box.bottom, "grid"))
        parts.append(_text(across(count), box.bottom + 19, f"{count:,}", "small muted middle"))
    labels: list[tuple[float, str, int]] = []
    for hue, (label, growth) in enumerate(shown.items()):
        for samples, style in ((growth.reference, " old"), (growth.ours, "")):
            points = [
                (across(count), up(sample.median)) for count, sample in sorted(samples.items()) if sample.median > 0
            ]
            if points:
                path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
                parts.append(f'<polyline class="line hue-{hue}{style}" points="{path}"/>')
                if not style:
                    parts += [_dot(x, y, f"fill-{hue}", 3.5) for x, y in points]
                    labels.append((points[-1][1], f"{label}{about(samples)}", hue))
    for height, label, hue in _apart(labels, 17):
        parts.append(_text(box.right + 14, height + 4, label, f"small fill-{hue}"))


def _apart(labels: Sequence[tuple[float, str, int]], distance: float) -> list[tuple[float, str, int]]:
    """The labels in the order of their heights, moved down where they would overlap."""
    placed: list[tuple[float, str, int]] = []
    for height, label, hue in sorted(labels):
        placed.append((max(height, placed[-1][0] + distance) if placed else height, label, hue))
    return placed


# ---------------------------------------------------------------- what they are made of


class _Scale(NamedTuple):
    """From values to places, by their logarithms."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def around(cls, values: Sequence[float], start: float, end: float) -> _Scale:
        """With room for all of them, from one power of ten to another."""
        low, high = math.floor(math.log10(min(values)) - 0.05), math.ceil(math.log10(max(values)) + 0.05)
        return cls(low, max(high, low + 1), start, end)

    def __call__(self, value: float) -> float:
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return self.start + min(1.0, max(0.0, share)) * (self.end - self.start)

    def decades(self) -> list[float]:
        return [10.0**power for power in range(math.ceil(self.low), math.floor(self.high) + 1)]


def _heading(parts: list[str], y: int, title: str, words: str) -> int:
    parts.append(_line(LEFT, y + 4, WIDTH - LEFT, y + 4, "grid"))
    parts.append(_text(LEFT, y + 34, title, "heading"))
    parts.append(_text(LEFT, y + 54, words, "small muted"))
    return y + 62


def _legend(parts: list[str], y: float, entries: Sequence[tuple[str, str]]) -> None:
    x = float(WIDTH - LEFT)
    for style, words in reversed(entries):
        x -= 6.6 * len(words) + 12
        parts.append(_dot(x, y - 28, style))
        parts.append(_text(x + 11, y - 24, words, "small"))
        x -= 18


def _time_grid(parts: list[str], scale: _Scale, top: float, bottom: float, *, small: bool = False) -> None:
    ticks = scale.decades()
    every = 2 if small and len(ticks) > 4 else 1
    for index, tick in enumerate(ticks):
        parts.append(_line(scale(tick), top, scale(tick), bottom, "grid"))
        if index % every == 0:
            parts.append(_text(scale(tick), bottom + 17, duration(tick), "small muted middle"))


def _spread(scale: _Scale, sample: Sample, y: float, style: str) -> str:
    lower, upper = (scale(max(value, 1e-9)) for value in sample.quartiles)
    return f'<rect class="{style}" x="{lower:.1f}" y="{y - 2:.1f}" width="{upper - lower:.1f}" height="4" rx="2" opacity="0.45"/>'


def _dot(x: float, y: float, style: str, radius: float = 5.5) -> str:
    return f'<circle class="{style}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"/>'


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    return f'<line class="{style}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, words: str, style: str = "") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}">{escape(words)}</text>'
