"""All that is known of one job, in lines for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from submitit import amounts
from submitit.cli.endings import again_text, why
from submitit.cli.resources import asked_text, used_text
from submitit.cli.times import moment
from submitit.cli.tui.columns import age, plain
from submitit.cli.tui.pager import Said
from submitit.orchestrator import exits
from submitit.views.asked import asked
from submitit.views.colours import style_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from submitit.client.attempt import Attempt
    from submitit.views.entry import JobEntry

_INDENT = 12


def describe(entry: JobEntry, attempts: list[Attempt], now: float, errors: list[str]) -> list[Said]:
    """The record of a job, its attempts, what it asked for and used, and where its files lie.

    Args:
        entry: with its details, see ``Folder.detailed``.
        attempts: all of them, see ``views.attempts``.
        now: for what goes on.
        errors: where it has failed, what it printed last.
    """
    return list(_described(entry, attempts, now, errors))


def _described(entry: JobEntry, attempts: list[Attempt], now: float, errors: list[str]) -> Iterator[Said]:
    def line(label: str, text: str, style: str = "") -> Iterator[Said]:
        if text:
            yield Said(plain(text), style, label, _INDENT)

    given = entry.submission
    yield from line("Job", f"{entry.job_id}  ({entry.backend}{_place(entry)})")
    yield from line("Name", entry.name)
    yield from line("Function", entry.function)
    yield from line("State", entry.state, style_of(entry.state))
    yield from line("Reason", why(entry))
    yield from line("Error", errors[-1] if errors else "")
    yield from line(
        "Submitted",
        f"{amounts.stamp(entry.submitted)}, {age(now - entry.submitted)} ago{_by(given.get('user', ''), given.get('host', ''))}",
    )
    if entry.start:
        waited = amounts.clock(entry.start - entry.submitted) if not entry.attempt else ""
        yield from line("Started", amounts.stamp(entry.start) + (f", after {waited}" if waited else ""))
    if entry.end:
        yield from line("Ended", amounts.stamp(entry.end))
    yield from line("Time", amounts.clock(entry.ran_s(now)))
    yield from line("Node", entry.node)
    yield from line("Asked for", asked_text(asked(entry)))
    yield from line("Used", used_text(entry, asked(entry)))
    if len(attempts) > 1:
        yield Said("")
        yield Said(f"{'#':>2}  {'STATE':14}{'STARTED':14}{'TIME':>8}  {'NODE':10}WHY", "bold", "Attempts", _INDENT)
        for one in attempts:
            took = amounts.clock(one.end - one.start if one.end and one.start else None)
            ended = exits.name(one.exit_code) if one.exit_code else ""
            reason = ", ".join(filter(None, (ended, again_text(one.again) if one is not attempts[-1] else "")))
            started = moment(one.start) if one.start else ""
            text = f"{one.number + 1:>2}  {one.state:14}{started:14}{took:>8}  {one.node:10}{reason}"
            yield Said(plain(text, blanks=True), style_of(one.state), "", _INDENT)
    if errors:
        yield Said("")
        for number, text in enumerate(errors):
            yield Said(text, "", "" if number else "Last words", _INDENT)
    yield Said("")
    paths = entry.paths()
    yield from line("Folder", paths.locate("folder"))
    yield from line("Stdout", paths.locate("stdout"))
    yield from line("Stderr", paths.locate("stderr"))
    yield from line("Result", paths.locate("result_pickle"))
    yield from line("Started in", given.get("cwd", ""))
    yield from line("Snapshot", str(given.get("snapshot") or ""))
    if entry.parameters:
        yield Said("")
        for number, (name, value) in enumerate(sorted(entry.parameters.items())):
            yield Said(plain(f"{name} = {value!r}"), "", "" if number else "Parameters", _INDENT)


def _place(entry: JobEntry) -> str:
    jobs = entry.submission["jobs"]
    if isinstance(jobs, dict):
        return f", element {entry.job_id.partition('_')[2]} of {jobs['count']}"
    return f", {jobs.index(entry.job_id) + 1} of {len(jobs)} of one call" if len(jobs) > 1 else ""


def _by(user: str, host: str) -> str:
    return (f" by {user}" if user else "") + (f" on {host}" if host else "")
