"""The page's parts: charts, the numbers in it, and texts of others."""

from __future__ import annotations

import html.parser
import json
import math
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submitit import amounts
from submitit.client.attempt import Attempt
from submitit.views.entry import JobEntry
from submitit.views.report import charts, document, page
from submitit.views.usage import Seen

HOSTILE = "</script><script>alert(1)</script><!--\"'&<b onload=x>\x00\x1b[31m\u2028\u202eevil\ud800"
amounts_of_any_size = st.floats(0, 1e9) | st.just(0.0)


def job(job_id: str = "1", state: str = "COMPLETED", attempts: list[Attempt] | None = None, **fields: Any) -> Seen:
    submission: Any = {"folder": "/logs/%j", "time": 1e9, "backend": "local", **fields}
    told = [Attempt(0, state, node="n1", start=1e9 + 5, end=1e9 + 65)] if attempts is None else attempts
    over = state not in {"PENDING", "RUNNING"}
    return Seen.of(JobEntry(submission, job_id, state, over, told[-1].number if told else 0), told)


class _Tags(html.parser.HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.update(name for name, _ in attrs)
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.lasttag == "script" and self.scripts:
            self.scripts[-1] += data


def data_of(text: str) -> Any:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])


@given(st.lists(amounts_of_any_size, max_size=60), st.none() | st.just(1.0))
def test_each_value_is_in_one_bin(values: list[float], limit: float | None) -> None:
    bins = charts.binned(values, limit=limit)
    assert sum(bins.counts) == len(values)
    assert bins.edges == sorted(bins.edges)
    assert len(bins.edges) == (len(bins.counts) + 1 if values else 0)
    if values and not bins.log:
        assert bins.edges[-1] >= max(values)


@given(st.lists(st.floats(0.001, 1e6), min_size=1, max_size=40))
def test_bins_hold_what_lies_between_their_edges(values: list[float]) -> None:
    bins = charts.binned(values)
    for low, high, count in zip(bins.edges[:-1], bins.edges[1:], bins.counts, strict=True):
        last = high == bins.edges[-1]
        least = -math.inf if low == bins.edges[0] else low
        assert count == sum(least <= value and (value < high or last) for value in values) or low == high


def test_values_far_apart_are_told_apart_by_powers() -> None:
    assert charts.binned([0.0, 0.5, 3600.0]).log
    assert not charts.binned([30.0, 3000.0]).log
    assert not charts.binned([0.001, 1.0], limit=1.0).log, "of shares the limit is what counts"


@given(st.lists(amounts_of_any_size, max_size=30))
def test_a_histogram_says_how_many(values: list[float]) -> None:
    drawn = charts.histogram(values, amounts.duration, "jobs")
    told = [int(number.replace(",", "")) for number in re.findall(r"<title>([\d,]+) jobs", drawn)]
    assert sum(told) == len(values)
    assert "nan" not in drawn


spans = st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)).map(lambda pair: (min(pair), max(pair))), max_size=20)


@given(spans, st.integers(1, 50))
def test_the_load_is_all_the_time_there_was(found: list[tuple[float, float]], bins: int) -> None:
    told = charts.load([], found, 0.0, 100.0, bins)
    assert len(told.running) == bins
    assert sum(told.running) * 100.0 / bins == pytest.approx(sum(end - begin for begin, end in found), abs=1e-6)
    assert max(told.running, default=0) <= len(found) + 1e-9


def test_how_many_there_are_at_once() -> None:
    assert charts.most_at_once([]) == 0
    assert charts.most_at_once([(0, 1), (1, 2), (2, 3)]) == 1
    assert charts.most_at_once([(0, 3), (1, 2), (1.5, 4), (3, 5)]) == 3


def test_texts_of_jobs_stay_text() -> None:
    jobs = [
        job("1", name=HOSTILE, function=HOSTILE),
        job("2", "FAILED", [Attempt(0, "FAILED", node=HOSTILE, start=1e9, end=1e9 + 1)], folder=f"/{HOSTILE}/%j"),
        job(HOSTILE, HOSTILE, name="x" * 100_000),
    ]
    text = page.render(jobs, [HOSTILE], now=1e9 + 100)
    text.encode()
    for unwanted in ("alert(1)</script>", "<b onload", "\x00", "\x1b", "\u202e", "x" * 1000):
        assert unwanted not in text
    tags = _Tags(text)
    assert tags.tags.count("script") == 2
    assert tags.tags.count("style") == 1
    assert not {name for name in tags.attributes if name.startswith("on")}
    kept = data_of(text)
    assert "</script><script>alert(1)</script><!--\"'&<b onload=x>\u2028evil?" in kept["texts"]


def test_nothing_comes_from_elsewhere() -> None:
    text = page.render([job()], ["logs"], now=1e9 + 100)
    assert re.findall(r'(?:src|href)="([^"#][^"]*)"', text) == ["data:,"]
    assert not re.search(r"url\(|@import|fetch\(|XMLHttp|https?://(?!www\.w3\.org/2000/svg)", text)
    assert "default-src 'none'" in text


def test_the_policy_names_the_one_script_that_runs() -> None:
    text = page.render([job()], ["logs"], now=1e9 + 100)
    script = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert len(script) == 1
    assert f"script-src '{page._digest(script[0])}'" in text


def test_the_numbers_of_the_page() -> None:
    again = [
        Attempt(0, "FAILED", "exception", "n1", start=1e9 + 5, end=1e9 + 9),
        Attempt(1, "COMPLETED", node="n2", start=1e9 + 20, end=1e9 + 30),
    ]
    jobs = [
        job("7", attempts=again),
        job("8", "RUNNING", [Attempt(0, "RUNNING", start=1e9 + 50)]),
        job("9", "PENDING", []),
    ]
    found = document.document(jobs, [one.row() for one in jobs], now=1e9 + 100)
    texts, columns = found["texts"], found["jobs"]
    assert (found["begin"], found["now"]) == (1e9, 100.0)
    assert columns["id"] == ["7", "8", "9"]
    assert [[(span[:2], texts[span[2]], texts[span[5]]) for span in spans] for spans in columns["spans"]] == [
        [([5.0, 9.0], "n1", "exception"), ([20.0, 30.0], "n2", "")],
        [([50.0, None], "", "")],
        [],
    ]
    assert [list(document.KINDS.values())[kind][0] for kind in columns["kind"]] == ["completed", "running", "waiting"]
    assert columns["queued_s"] == [5.0, 50.0, None]
    assert columns["run_s"] == [10.0, None, None]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["COMPLETED", "FAILED", "RUNNING", "PENDING", "UNKNOWN", "odd"]),
            st.none() | st.floats(),
            st.none() | st.floats(),
            st.text(max_size=5),
        ),
        min_size=1,
        max_size=6,
    ),
    st.floats(-1e10, 1e10),
)
@settings(max_examples=30)
def test_whatever_files_say_there_is_a_page(
    told: list[tuple[str, float | None, float | None, str]], submitted: float
) -> None:
    jobs = [
        job(
            str(place),
            state,
            [Attempt(0, state, node=text, start=start, end=end, cpu_s=end, max_rss_mb=start)],
            name=text,
            time=submitted,
        )
        for place, (state, start, end, text) in enumerate(told)
    ]
    assert len(data_of(page.render(jobs, ["logs"], now=1e9))["jobs"]["id"]) == len(jobs)


@given(st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.text()))
def test_what_is_embedded_ends_no_script_and_is_the_same(value: Any) -> None:
    text = document.embedded(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == value


def test_one_advice_and_one_cause() -> None:
    asked: Any = {"parameters": {"mem_gb": 16, "timeout_min": 60}}
    good = [
        job(str(n), attempts=[Attempt(0, "COMPLETED", start=1e9, end=1e9 + 60, max_rss_mb=900.0)], **asked)
        for n in range(12)
    ]
    text = page.render([*good, job("12", "FAILED")], ["logs"], now=1e9 + 100)
    assert "Ask for 1.5 GB instead of 16 GB: the largest of 12 jobs used 900 MB." in text
    assert "<strong>1</strong> <span>FAILED</span>" in text
    assert "/logs/12/12_0_log.err" in text
    assert "92 %" in text


def test_what_is_not_known_is_said_to_be() -> None:
    text = page.render([job("1", "RUNNING", [])], ["logs"], now=1e9 + 100)
    assert text.count("Not known of any job.") == 5
    assert "No job has failed." in text
    assert "Nothing to change" in text
