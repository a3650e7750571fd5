"""The page: one text of HTML that asks for nothing from anywhere."""

from __future__ import annotations

import base64
import hashlib
import os
import statistics
import time
from collections import Counter
from html import escape
from typing import TYPE_CHECKING

import submitit
from submitit import amounts
from submitit.orchestrator.state import JobState
from submitit.views import advice as advising
from submitit.views import causes as blaming
from submitit.views.report import charts
from submitit.views.report.document import KINDS, document, embedded, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from submitit.views.advice import Advice
    from submitit.views.causes import Cause
    from submitit.views.usage import Row, Seen

#: By which a page is known again: it stands near the beginning of each.
MARK = '<meta name="generator" content="submitit report '
#: What a list shows at most.
_MOST_ADVICE, _MOST_CAUSES, _MOST_KINDS, _EXAMPLES = 12, 25, 25, 5


def render(jobs: Sequence[Seen], where: Sequence[str], now: float | None = None) -> str:
    """The page about some jobs.

    Args:
        jobs: at least one.
        where: the folders that they are of, for the heading.
        now: when the jobs were as told; by default this moment.
    """
    now = time.time() if now is None else now
    rows = [one.row() for one in jobs]
    style, script = _beside("page.css"), _beside("page.js")
    sections = [
        ("summary", "Summary", _summary(jobs, rows)),
        ("advice", "What to ask for next time", _advice(rows)),
        ("timeline", "Timeline", _timeline(jobs, rows, now)),
        ("times", "Times in the queue and at work", _times(rows)),
        ("use", "Asked for and used", _use(rows)),
        ("failures", "Failures by cause", _failures(jobs, rows)),
        ("jobs", "Jobs", _TABLE),
    ]
    title = shown(", ".join(where) if len(where) < 3 else f"{where[0]} and {len(where) - 1} more folders")
    body = "\n".join(
        f'<section id="{name}"><h2>{escape(heading)}</h2>\n{text}\n</section>' for name, heading, text in sections
    )
    links = "".join(f'<a href="#{name}">{escape(heading)}</a>' for name, heading, _ in sections[1:])
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
{MARK}{submitit.__version__}">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; img-src data:; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>Jobs in {escape(title)}</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>Jobs in <span class="path">{escape(title)}</span></h1>
<p>{escape(_span_of(rows, now))}</p>
<nav aria-label="Sections">{links}</nav>
</header>
<main>
<noscript><p class="note">The timeline of single jobs and the table of jobs need JavaScript; everything else stands here without.</p></noscript>
{body}
</main>
<footer><p>As of {amounts.stamp(now)} ({_zone(now)}). Times are those of that machine&rsquo;s zone; GB are 1024³ bytes. &ldquo;&ndash;&rdquo; and &ldquo;not known&rdquo; mean that nothing tells: no footer, no accounts, or a job that has not ended. Made by submitit {submitit.__version__}; the numbers are also <code>submitit report --csv</code> and <code>submitit.usage(folder)</code>.</p></footer>
<script type="application/json" id="data">{embedded(document(jobs, rows, now))}</script>
<script>{script}</script>
</body>
</html>
"""


# ---- the sections


def _summary(jobs: Sequence[Seen], rows: Sequence[Row]) -> str:
    found = Counter(JobState.read(row["state"]).kind for row in rows)
    kinds = [(words, found[kind]) for kind, words in KINDS.items()]
    there = [(kind, number) for kind, number in kinds if number]
    bar = charts.parts_bar([(kind[1], f"{number:,} {kind[0]}", number) for kind, number in there])
    legend = "".join(
        f'<li class="{kind[1]}"><b aria-hidden="true">{kind[2]}</b> {number:,} {escape(kind[0])}</li>'
        for kind, number in there
    )
    tiles = [_tile(label, value, about) for label, value, about in _figures(jobs, rows)]
    return f'{bar}\n<ul class="legend">{legend}</ul>\n<dl class="tiles">{"".join(tiles)}</dl>'


def _figures(jobs: Sequence[Seen], rows: Sequence[Row]) -> Iterable[tuple[str, str, str]]:
    """The tiles: what, how much, and what that means."""
    over = [row for row in rows if row["over"]]
    good = sum(one.entry.succeeded for one in jobs)
    if over:
        yield (
            "Completed",
            amounts.share(good, len(over)),
            f"{good:,} of the {amounts.count(len(over), 'job')} that {'is' if len(over) == 1 else 'are'} over",
        )
    queued = [row["queued_s"] for row in rows if row["queued_s"] is not None]
    if queued:
        yield (
            "Queued (median)",
            amounts.duration(statistics.median(queued)),
            f"the longest {amounts.duration(max(queued))}{_of(queued, rows)}",
        )
    ran = [row["run_s"] for row in rows if row["run_s"] is not None]
    if ran:
        yield (
            "Run (median)",
            amounts.duration(statistics.median(ran)),
            f"{amounts.duration(sum(ran))} together{_of(ran, rows)}",
        )
    busy = [
        (row["cpu_s"], row["run_s"] * row["asked_cpus"])
        for row in rows
        if row["cpu_s"] is not None and row["run_s"] and row["asked_cpus"]
    ]
    if busy:
        used_s, held_s = sum(used for used, _ in busy), sum(held for _, held in busy)
        yield (
            "CPU time used",
            amounts.share(used_s, held_s),
            f"{amounts.duration(used_s)} of the {amounts.duration(held_s)} that CPUs were held{_of(busy, rows)}",
        )
    shares = [
        used / row["asked_mem_mb"]
        for row in rows
        if row["asked_mem_mb"] and (used := advising.memory_used(row)) is not None
    ]
    largest = [used for row in rows if (used := advising.memory_used(row)) is not None]
    if shares:
        yield (
            "Memory used (median)",
            amounts.share(statistics.median(shares), 1),
            f"of what was asked for; the largest job had {amounts.memory(max(largest))}{_of(shares, rows)}",
        )
    elif largest:
        yield "Largest memory", amounts.memory(max(largest)), f"none was asked for{_of(largest, rows)}"
    again = [row for row in rows if row["attempts"] > 1]
    if again:
        lost = sum(row["earlier_s"] or 0.0 for row in again)
        yield (
            "Started again",
            amounts.count(len(again), "job"),
            f"{amounts.count(sum(row['attempts'] - 1 for row in again), 'attempt')} before the last ones"
            + (f" took {amounts.duration(lost)}" if lost else ""),
        )


def _of(known: Sequence[object], rows: Sequence[Row]) -> str:
    """How many are known, where it is not all."""
    return "" if len(known) == len(rows) else f" (known of {len(known):,} of {len(rows):,})"


def _tile(label: str, value: str, about: str) -> str:
    return f"<div><dt>{escape(label)}</dt><dd><strong>{escape(value)}</strong> <span>{escape(about)}</span></dd></div>"


def _advice(rows: Sequence[Row]) -> str:
    found = advising.advice(rows)
    if not found:
        return (
            '<p class="note">Nothing to change, as far as these jobs tell. It takes at least '
            f"{advising.ENOUGH} jobs that asked for the same, came to a good end and told what they had used.</p>"
        )
    items = "\n".join(_one_advice(one) for one in found[:_MOST_ADVICE])
    more = len(found) - _MOST_ADVICE
    rest = f'<p class="note">And {more:,} more that would save less.</p>' if more > 0 else ""
    return f'<ol class="advice">\n{items}\n</ol>{rest}'


def _one_advice(one: Advice) -> str:
    kind = "bad" if one.ended else "waiting" if one.more else "good"
    sign = "▲" if one.more else "▼"
    share = 1000 if one.used is None else min(1000, 1000 * one.used / max(one.asked, one.used))
    return (
        f'<li class="{kind}"><p><b aria-hidden="true">{sign}</b> {escape(one.sentence)}</p>'
        f'<svg class="meter" viewBox="0 0 1000 8" preserveAspectRatio="none" aria-hidden="true"><rect class="asked" width="1000" height="8"/>'
        f'<rect class="used" width="{share:.0f}" height="8"/></svg>'
        f"<p><code>{escape(one.parameter)}</code> <span>for {_kind_of_jobs(one.name, one.function)}</span></p></li>"
    )


def _kind_of_jobs(name: str | None, function: str | None) -> str:
    parts = [f"<b>{escape(shown(name))}</b>"] if name else []
    parts += [f"<code>{escape(shown(function))}</code>"] if function else []
    return " ".join(parts) or "jobs without a name"


def _timeline(jobs: Sequence[Seen], rows: Sequence[Row], now: float) -> str:
    begin = min((row["submitted"] or row["start"] or now for row in rows), default=now)
    waiting = [
        (row["submitted"], _first_start(one) or row["end"] or now)
        for one, row in zip(jobs, rows, strict=True)
        if row["submitted"] is not None and (_first_start(one) or not row["over"])
    ]
    running = [
        (span.start, span.end or now)
        for one, row in zip(jobs, rows, strict=True)
        for span in one.attempts
        if span.start is not None and begin <= span.start and (span.end or not row["over"])
    ]
    end = max((last for _, last in (*waiting, *running)), default=now)
    told = charts.load(waiting, running, begin, max(end, begin + 1e-3))
    return f"""<p>At most {charts.most_at_once(running):,} jobs ran and {charts.most_at_once(waiting):,} waited at a time.</p>
<div id="overview">{charts.load_chart(told)}</div>
<p class="ends"><span>{amounts.stamp(begin)}</span><span>{amounts.stamp(end)}</span></p>
{_TIMELINE}"""


def _first_start(one: Seen) -> float | None:
    return next((span.start for span in one.attempts if span.start is not None), None)


def _times(rows: Sequence[Row]) -> str:
    queued = [row["queued_s"] for row in rows if row["queued_s"] is not None]
    ran = [row["run_s"] for row in rows if row["run_s"] is not None]
    return f"""<div class="charts">
{_figure("In the queue, until the first start", queued, amounts.duration, rows)}
{_figure("At work, newest attempt", ran, amounts.duration, rows)}
</div>"""


def _use(rows: Sequence[Row]) -> str:
    memory = _shares(rows, advising.memory_used, lambda row: row["asked_mem_mb"])
    taken = _shares(rows, lambda row: row["run_s"], lambda row: row["asked_time_s"])
    busy = _shares(rows, advising.cpus_used, lambda row: row["asked_cpus"])
    pictures = "\n".join(
        _figure(f"{what}: used of what was asked for", values, _percent, rows, limit=1.0)
        for what, values in (("Memory", memory), ("CPUs", busy), ("Time", taken))
    )
    return f'<div class="charts">\n{pictures}\n</div>\n{_kinds_table(rows)}'


def _percent(value: float) -> str:
    return amounts.share(value, 1)


def _shares(
    rows: Iterable[Row], used: Callable[[Row], float | None], asked: Callable[[Row], float | None]
) -> list[float]:
    found = []
    for row in rows:
        share, whole = used(row), asked(row)
        if share is not None and whole:
            found.append(share / whole)
    return found


def _figure(
    title: str,
    values: Sequence[float],
    show: Callable[[float], str],
    rows: Sequence[Row],
    *,
    limit: float | None = None,
) -> str:
    if not values:
        return f"<figure><figcaption>{escape(title)}</figcaption><p>Not known of any job.</p></figure>"
    words = (
        f"Half of {amounts.count(len(values), 'job')} up to {show(statistics.median(values))}, nine in ten up to "
        f"{show(advising.quantile(values, 0.9))}, all up to {show(max(values))}."
        if len(values) > 1
        else f"One job: {show(values[0])}."
    )
    unknown = len(rows) - len(values)
    words += f" Not known of {unknown:,}." if unknown else ""
    chart = charts.histogram(values, show, "jobs", limit=limit)
    return f"<figure><figcaption>{escape(title)}</figcaption>{chart}<p>{escape(words)}</p></figure>"


def _kinds_table(rows: Sequence[Row]) -> str:
    """What jobs of one name and function asked for and used."""
    alike: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        key = (row["name"], row["function"], row["asked_mem_mb"], row["asked_cpus"], row["asked_time_s"])
        alike.setdefault(key, []).append(row)
    groups = sorted(alike.values(), key=len, reverse=True)
    lines = "\n".join(_kinds_line(group) for group in groups[:_MOST_KINDS])
    more = len(groups) - _MOST_KINDS
    rest = f'<p class="note">And {more:,} more kinds of jobs.</p>' if more > 0 else ""
    return f"""<div class="scroll"><table class="plain"><caption>Largest use of jobs that asked for the same</caption>
<thead><tr><th scope="col">Jobs</th><th scope="col">Name</th><th scope="col">Function</th><th scope="col">Memory asked</th><th scope="col">used</th>
<th scope="col">CPUs asked</th><th scope="col">busy</th><th scope="col">Time asked</th><th scope="col">run</th></tr></thead>
<tbody>
{lines}
</tbody></table></div>{rest}"""


def _kinds_line(group: Sequence[Row]) -> str:
    first = group[0]
    memory = max((used for row in group if (used := advising.memory_used(row)) is not None), default=None)
    busy = max((used for row in group if (used := advising.cpus_used(row)) is not None), default=None)
    taken = max((seconds for row in group if (seconds := row["run_s"]) is not None), default=None)
    cells = [
        f"{len(group):,}",
        f"<b>{escape(shown(first['name'])) or '&ndash;'}</b>",
        f"<code>{escape(shown(first['function'])) or '&ndash;'}</code>",
        _known(first["asked_mem_mb"], amounts.memory),
        _known(memory, amounts.memory),
        _known(first["asked_cpus"], amounts.number),
        _known(busy, amounts.number),
        _known(first["asked_time_s"], amounts.duration),
        _known(taken, amounts.duration),
    ]
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _known(value: float | None, show: Callable[[float], str]) -> str:
    return "&ndash;" if value is None else escape(show(value))


def _failures(jobs: Sequence[Seen], rows: Sequence[Row]) -> str:
    found = blaming.causes(rows)
    if found:
        items = "\n".join(_one_cause(cause) for cause in found[:_MOST_CAUSES])
        more = len(found) - _MOST_CAUSES
        rest = f'<p class="note">And {more:,} more causes, of fewer jobs each.</p>' if more > 0 else ""
        text = f'<ol class="causes">\n{items}\n</ol>{rest}'
    else:
        text = '<p class="note">No job has failed.</p>'
    return text + _again(jobs)


def _one_cause(cause: Cause) -> str:
    ends = "" if cause.raised else '<p class="said-by">Its log ends with</p>'
    known = (
        f'{ends}<p><code class="said">{escape(cause.line)}</code></p>'
        if cause.line
        else '<p class="note">Its logs say nothing.</p>'
        if cause.read
        else '<p class="note">The logs of these were not read: others that ended so say different things.</p>'
    )
    examples = ", ".join(f"<b>{escape(shown(row['job_id']))}</b>" for row in cause.jobs[:_EXAMPLES])
    more = len(cause.jobs) - _EXAMPLES
    rest = f" and {more:,} more" if more > 0 else ""
    kinds = dict.fromkeys(_kind_of_jobs(row["name"], row["function"]) for row in cause.jobs)
    some = list(kinds)[:2]
    others = f" and {len(kinds) - 2:,} more" if len(kinds) > 2 else ""
    # of what has an exit code Slurm says no more than that it has one
    reason = next((row["reason"] for row in cause.jobs if row["reason"] not in (None, "NonZeroExitCode")), None)
    read = f" {cause.read:,} of their logs were read, which say the same." if 1 < cause.read < len(cause.jobs) else ""
    return (
        f"<li><h3><strong>{len(cause.jobs):,}</strong> <span>{escape(shown(cause.title))}</span></h3>{known}"
        + (f"<p>{escape(shown(reason))}</p>" if reason else "")
        + f"<p>Jobs {examples}{rest}, of {', '.join(some)}{others}.{read} "
        f'The first one&rsquo;s log: <code class="path">{escape(shown(cause.jobs[0]["stderr"]))}</code></p></li>'
    )


def _again(jobs: Sequence[Seen]) -> str:
    """What attempts were ended by after which another followed."""
    reasons: dict[str, int] = {}
    for one in jobs:
        for attempt in one.attempts[:-1]:
            why = attempt.again or attempt.state
            reasons[why] = reasons.get(why, 0) + 1
    if not reasons:
        return ""
    words = ", ".join(
        f"{number:,} &times; {escape(shown(why))}"
        for why, number in sorted(reasons.items(), key=lambda item: -item[1])[:10]
    )
    return f"<p>Attempts after which another followed: {words}.</p>"


# ---- words


def _span_of(rows: Sequence[Row], now: float) -> str:
    times = [row["submitted"] for row in rows if row["submitted"] is not None]
    ends = [row["end"] for row in rows if row["end"] is not None]
    jobs = amounts.count(len(rows), "job")
    if not times:
        return jobs
    over = all(row["over"] for row in rows) and ends
    last = max(ends) if over else now
    until = f"the last ended {amounts.stamp(last)}" if over else "not all of them over"
    return f"{jobs}, submitted from {amounts.stamp(min(times))} on, {until}; {amounts.duration(max(0.0, last - min(times)))}."


def _zone(now: float) -> str:
    offset = time.strftime("%z", time.localtime(now))
    return f"UTC{offset[:3]}:{offset[3:]}"


def _beside(name: str) -> str:
    with open(os.path.join(os.path.dirname(__file__), name), encoding="utf-8") as file:
        return file.read()


def _digest(text: str) -> str:
    """How a policy names the one script, or style, that may run."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


# ---- what the script fills

_TIMELINE = """<div class="tools" id="tools" hidden>
<label>Lanes <select id="lanes-by"><option value="job">a job each</option><option value="node">by node</option></select></label>
<label>Height <select id="lanes-height"><option value="tall">tall</option><option value="low">low</option><option value="all">all at once</option></select></label>
<span class="buttons" role="group" aria-label="Time shown"><button type="button" id="earlier" title="Earlier (Left)">◀</button><button type="button" id="later" title="Later (Right)">▶</button><button type="button" id="in" title="Closer (+)">+</button><button type="button" id="out" title="Further (-)">&minus;</button><button type="button" id="whole" title="All (0)">all</button></span>
<span class="note" id="shown"></span>
</div>
<div id="axis"></div>
<div id="lanes" tabindex="0" role="group" aria-label="Timeline of jobs. Arrow up and down choose a job, left and right move in time, plus and minus change the scale, 0 shows all."></div>
<p class="key note"><span class="k waiting">in the queue</span> <span class="k good">completed</span> <span class="k bad">failed</span> <span class="k cancelled">cancelled</span> <span class="k running">running</span> <span class="k unknown">not known</span> <span class="k again">an attempt after which another followed</span></p>
<p id="about" role="status" class="about note"></p>"""

_TABLE = """<div class="tools" id="filters" hidden>
<label class="wide">Filter <input type="search" id="words" placeholder="id, name, function, node, state, reason" autocomplete="off"></label>
<label>State <select id="kind"><option value="">all</option></select></label>
<span class="buttons" role="group" aria-label="Pages"><button type="button" id="back" title="Previous page">◀</button><button type="button" id="forth" title="Next page">▶</button></span>
<span class="note" id="count" role="status"></span>
</div>
<div class="scroll"><table id="table"><thead></thead><tbody></tbody></table></div>"""
