"""Jobs as HTML, for notebooks: no script, no style sheet, and readable on a light page and on a dark one.

Colours of the page are inherited, and those of states lie beside their words, so that nothing depends on them.
"""

from __future__ import annotations

import os
import time
from html import escape
from typing import TYPE_CHECKING, Any

from submitit import amounts
from submitit.client import summary
from submitit.orchestrator.state import JobState, StateKind, count_states
from submitit.terminal import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from submitit.client.job import Job
    from submitit.client.summary import Summary

#: Of up to so many jobs each is a row. Of more, so many failed ones are, and the first ones where they are asked for.
MANY_JOBS, MOST_FAILED = 20, 10
#: How wide a name and a cause are in a table; the rest is in their tooltips.
_NAME_WIDTH, _CAUSE_WIDTH = "14em", "30em"
#: Characters of one that are in the page at all: a message may be a whole array.
_LONGEST = 500

#: Seen well on white and on black.
COLOURS = {
    StateKind.COMPLETED: "#2f9e44",
    StateKind.FAILED: "#e03131",
    StateKind.CANCELLED: "#ae3ec9",
    StateKind.RUNNING: "#1c8adb",
    StateKind.PENDING: "#e0a106",
    StateKind.UNKNOWN: "#868e96",
}
_MUTED = "opacity:.65"
_LINE = "1px solid rgba(128,128,128,.3)"


# ---------------------------------------------------------------- one job


def of_job(job: Job[Any]) -> str:
    """One job: its state, times and logs. Asks the scheduler as rarely as ``Job.state``."""
    _bring_up_to_date([job])
    told = summary.summary(job)
    colour = COLOURS[JobState.read(told.state).kind]
    lines = [f"<div>{_title(told)} &nbsp;{state(told.state)}</div>", _muted(" · ".join(_facts(told)))]
    if told.cause:
        lines.append(f'<div style="{_CODE};overflow-wrap:anywhere">{_escaped(told.cause)}</div>')
    logs = _logs(told)
    lines.append(f"<div>{logs}</div>" if logs else _muted("no logs yet"))
    return panel(*lines, style=f"border-left:4px solid {colour};padding:2px 0 2px 12px")


def _title(told: Summary) -> str:
    name = f"<b>{_escaped(told.name)}</b> " if told.name else ""
    return f"{name}job&nbsp;{escape(told.job_id)}"


def _facts(told: Summary) -> list[str]:
    facts = []
    if told.tasks > 1:
        facts.append(f"{told.tasks} tasks")
    if told.submitted is not None:
        facts.append(f"submitted {amounts.stamp(told.submitted)}")
    if told.start is not None:
        facts.append(f"started {amounts.stamp(told.start)}")
    if ran := _ran(told):
        facts.append(f"{'ran' if told.end is not None else 'running for'} {ran}")
    if told.node:
        facts.append(f"on {escape(told.node)}")
    return facts


# ---------------------------------------------------------------- several jobs


def of_jobs(jobs: Sequence[Job[Any]]) -> str:
    """Several jobs: how many are in each state, and of few each one, of many the first that failed."""
    _bring_up_to_date(jobs)
    words = [summary.state_of(job) for job in jobs]
    parts = [f"<div><b>{amounts.count(len(jobs), 'job')}</b> &nbsp;{counts(count_states(words))}</div>"]
    if len(jobs) > 1:
        parts.append(bar(count_states(words)))
    if len(jobs) <= MANY_JOBS:
        parts.append(table(map(summary.summary, jobs)))
        return panel(*parts)
    failed = [job for job, word in zip(jobs, words, strict=True) if JobState.read(word).kind is StateKind.FAILED]
    if failed:
        shown = failed[:MOST_FAILED]
        parts.append(table(map(summary.summary, shown)))
        if len(failed) > len(shown):
            parts.append(_muted(f"… and {len(failed) - len(shown):,} more that failed"))
    first = table(map(summary.summary, jobs[:MANY_JOBS]))
    parts.append(
        f'<details style="margin-top:4px"><summary style="cursor:pointer;{_MUTED}">the first {MANY_JOBS}</summary>'
        f"{first}</details>"
    )
    return panel(*parts)


def _bring_up_to_date(jobs: Iterable[Job[Any]]) -> None:
    """Take in what markers and results tell by now, and what the schedulers answer, who are asked as rarely as by ``state``."""
    watchers: dict[int, Job[Any]] = {}
    for job in jobs:
        if not job._runs_when_asked and not job._known_to_be_over():
            watchers.setdefault(id(job.watcher), job)
    for job in watchers.values():
        _ = job.state  # one question is about all


# ---------------------------------------------------------------- their parts


def panel(*parts: str, style: str = "") -> str:
    """What belongs together, one below the other."""
    return f'<div style="font-size:13px;line-height:1.6;{style}">{"".join(parts)}</div>'


def state(word: str) -> str:
    """A state: its word beside its colour."""
    return f'<span style="white-space:nowrap">{_dot(word)}{escape(word)}</span>'


def counts(by_state: Mapping[str, int]) -> str:
    """How many jobs are in each state."""
    shown = (
        f'<span style="white-space:nowrap;margin-right:12px">{_dot(word)}<b>{count:,}</b> {escape(word)}</span> '
        for word, count in by_state.items()
    )
    return "".join(shown)


def bar(by_state: Mapping[str, int]) -> str:
    """The same as a bar, what is over first. What waits is its empty part."""
    parts = []
    for word, count in by_state.items():
        kind = JobState.read(word).kind
        if count and kind is not StateKind.PENDING:
            faint = "" if JobState.read(word).final else ";opacity:.6"
            parts.append(
                f'<div style="flex:{count} 0 0;min-width:4px;background:{COLOURS[kind]}{faint}" title="{count:,} {escape(word)}"></div>'
            )
    waiting = sum(count for word, count in by_state.items() if JobState.read(word).kind is StateKind.PENDING)
    parts.append(f'<div style="flex:{waiting} 0 0"></div>' if waiting else "")
    return (
        '<div style="display:flex;height:6px;max-width:640px;margin:5px 0;border-radius:3px;overflow:hidden;'
        f'background:rgba(128,128,128,.25)">{"".join(parts)}</div>'
    )


def table(rows: Iterable[Summary]) -> str:
    """Jobs, one a row."""
    told = list(rows)
    last = "cause" if any(one.cause for one in told) else ""
    head = "".join(f'<th style="{_CELL};font-weight:600">{name}</th>' for name in ("job", "state", "ran", "logs", last))
    return grid(map(_cells, told), f'<tr style="background:none;border-bottom:{_LINE}">{head}</tr>')


def grid(rows: Iterable[str], head: str = "") -> str:
    """Rows, in columns."""
    head = head and f"<thead>{head}</thead>"
    return (
        '<table style="border-collapse:collapse;margin:6px 0;font-size:13px;border:0">'
        f"{head}<tbody>{''.join(rows)}</tbody></table>"
    )


def row(*cells: str) -> str:
    """One row of a grid."""
    return f'<tr style="background:none">{"".join(f"""<td style="{_CELL}">{cell}</td>""" for cell in cells)}</tr>'


_CELL = "text-align:left;vertical-align:top;padding:2px 16px 2px 0;border:0;white-space:nowrap"
_CODE = "font-family:monospace"


def titled(job_id: str, name: str) -> str:
    """A job's id, and its name."""
    shown = f' <span style="{_MUTED}">{_one_line(name, _NAME_WIDTH)}</span>' if name else ""
    return f"{escape(job_id)}{shown}"


def _cells(told: Summary) -> str:
    ran = f'<span style="font-variant-numeric:tabular-nums">{_ran(told)}</span>'
    return row(titled(told.job_id, told.name), state(told.state), ran, _logs(told), cause(told.cause))


def _ran(told: Summary) -> str:
    if told.start is None or (told.end is None and not JobState.read(told.state).begun):
        return ""
    return amounts.clock(max(0.0, (told.end or time.time()) - told.start))


def _dot(word: str) -> str:
    colour = COLOURS[JobState.read(word).kind]
    return (
        '<span style="display:inline-block;width:9px;height:9px;border-radius:50%;margin-right:5px;'
        f'background:{colour}"></span>'
    )


def _muted(html: str) -> str:
    return f'<div style="{_MUTED}">{html}</div>'


def cause(text: str) -> str:
    """Why a job failed."""
    return f'<span style="{_CODE}">{_one_line(text, _CAUSE_WIDTH)}</span>' if text else ""


def _one_line(text: str, width: str) -> str:
    """Somebody's text, no wider than that; its whole is its tooltip."""
    text = _escaped(text)
    cut = f"display:inline-block;vertical-align:bottom;max-width:{width};overflow:hidden;text-overflow:ellipsis;white-space:nowrap"
    return f'<span style="{cut}" title="{text}">{text}</span>'


def _escaped(text: str) -> str:
    text = one_line(text)
    return escape(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…")


def _logs(told: Summary) -> str:
    named = (("stdout", told.stdout), ("stderr", told.stderr))
    return " ".join(
        f'<a href="{escape(address(path))}" title="{escape(path)}">{name}</a>' for name, path in named if path
    )


def address(path: str) -> str:
    """Where a link in a notebook leads to a file.

    Below the working directory, where notebooks run most often, it is relative: Jupyter, which lets no page open a ``file:``, and
    VS Code open it beside the notebook.
    """
    from pathlib import Path
    from urllib.parse import quote

    try:
        relative = os.path.relpath(path)
    except OSError:  # the working directory is gone
        relative = os.pardir
    return Path(path).as_uri() if relative.split(os.sep)[0] == os.pardir else quote(relative)
