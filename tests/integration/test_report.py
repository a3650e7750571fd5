"""``submitit report`` as people run it, on jobs that ran, and its page in a real browser."""

from __future__ import annotations

import csv
import html.parser
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import submitit
from submitit.views.report import page
from submitit.views.usage import seen
from support import sweep
from support.browser import open_page, photograph
from support.local_processes import import_path

HOSTILE = "</script><script>document.title='hit'</script><img src=x onerror=\"document.title='hit'\"><!--\x1b]0;hit\x07"


def report(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    code = f"import sys; sys.path[:0] = {import_path()!r}; from submitit.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, "report", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=cwd,
    )


class _Page(html.parser.HTMLParser):
    """The rows of the table of jobs, and the page's words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.words = ""
        self._inside: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside.append(f"{tag} {dict(attrs).get('id') or ''}".strip())
        if tag == "tr" and "table table" in self._inside:
            self.rows.append([])
        elif tag in {"td", "th"} and "table table" in self._inside:
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        while self._inside and self._inside.pop().split()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._inside and self._inside[-1].split()[0] not in {"script", "style"}:
            self.words += data
        if self.rows and "table table" in self._inside and {"td", "th"} & set(self._inside):
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Jobs that succeeded, failed, died, were retried and were cancelled."""
    root = tmp_path_factory.mktemp("jobs")
    executor = submitit.LocalExecutor(root)
    executor.update_parameters(timeout_min=5, name=HOSTILE, mem_gb=1)

    def end(way: str) -> int:
        import signal
        import time

        if way == "raise":
            raise ValueError(f"no way {HOSTILE}")
        if way == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if way == "wait":
            time.sleep(600)
        return len(bytes(1000))

    end.__module__ = "__main__"
    jobs: list[submitit.Job[int]] = [executor.submit(end, way) for way in ("", "", "raise", "raise", "die")]
    executor.update_parameters(retry=submitit.Retry(exception=1), name="again")
    jobs.append(executor.submit(end, "raise"))
    executor.update_parameters(retry=None, name="wait")
    jobs.append(executor.submit(end, "wait"))
    jobs[-1].cancel()
    submitit.wait(jobs)
    return root


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("many")
    sweep.make(root, 5000)
    return root


def test_the_page_in_a_browser(folder: Path, tmp_path: Path) -> None:
    done = report(folder, "-o", tmp_path / "page.html")
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"{tmp_path}/page.html: 7 jobs (4 FAILED, 1 CANCELLED, 2 COMPLETED)\n"
    opened = open_page(tmp_path / "page.html")
    assert (opened.console, opened.requests) == ([], [])
    shown = _Page(opened.dom)
    assert shown.rows[0][:3] == ["State", "Job", "Name"]
    assert [(row[0], row[1]) for row in shown.rows[1:]] == [
        ("✓ COMPLETED", "1"),
        ("✓ COMPLETED", "2"),
        ("✗ FAILED", "3"),
        ("✗ FAILED", "4"),
        ("✗ FAILED", "5"),
        ("✗ FAILED", "6"),
        ("⊘ CANCELLED", "7"),
    ]
    assert [row[7] for row in shown.rows[1:7]] == ["1", "1", "1", "1", "1", "2"]
    assert shown.rows[5][-1] == "SIGKILL(-9)"
    harmless = HOSTILE.partition("\x1b")[0]
    assert shown.rows[1][2] == harmless
    assert f"ValueError: no way {harmless}" in shown.words
    assert "Attempts after which another followed: 1 \xd7 exception." in shown.words
    assert "<title>hit" not in opened.dom
    assert opened.dom.count("<path") > 5, "the timeline is drawn"


def test_thousands_of_jobs(many: Path, tmp_path: Path) -> None:
    done = report(many, "-o", tmp_path / "page.html")
    assert "5,000 jobs" in done.stderr
    assert (tmp_path / "page.html").stat().st_size < 1_000_000
    opened = open_page(tmp_path / "page.html")
    assert (opened.console, opened.requests) == ([], [])
    shown = _Page(opened.dom)
    assert len(shown.rows) == 51
    assert "1 to 50 of 5,000" in shown.words
    assert opened.dom.count("<") < 5000, "a bounded number of elements"


def test_a_browser_tells_what_a_page_does(tmp_path: Path) -> None:
    """The checks above can fail: the policy of the page, and the record of the network."""
    made = tmp_path / "bad.html"
    made.write_text("<script>console.error('bad'); fetch('http://127.0.0.1:9/x').catch(() => 0)</script><p>x")
    opened = open_page(made)
    assert any("bad" in line for line in opened.console)
    assert opened.requests == ["http://127.0.0.1:9/x"]
    text = page.render(seen(_one(tmp_path)), ["x"])
    made.write_text(
        text.replace("<main>", "<main><img src='http://127.0.0.1:9/y'><script>document.title='hit'</script>")
    )
    opened = open_page(made)
    assert len(opened.console) == 2, "both are refused"
    assert opened.requests == []
    assert "<title>hit" not in opened.dom


def _one(root: Path) -> Path:
    sweep.make(root / "one", 1)
    return root / "one"


def test_keys_and_filters(folder: Path, tmp_path: Path) -> None:
    """The page's own script, driven by another that its policy would not let in."""
    done = report(folder, "-o", "-").stdout
    policy = re.search(r"<meta http-equiv=[^>]*>", done)
    assert policy
    driver = """<script>
      const key = (name) => byId("lanes").dispatchEvent(new KeyboardEvent("keydown", {key: name, bubbles: true}));
      const said = (words) => document.body.append(make("pre", {class: "said"}, words));
      const ids = () => [...table.tBodies[0].rows].map((row) => row.cells[1].textContent).join(" ");
      key("ArrowDown"); key("ArrowDown"); key("ArrowDown"); said(about.textContent);
      key("End"); said(about.textContent);
      key("+"); said(String(until - from < last)); key("0"); said(String(from));
      words.value = "NO WAY failed"; words.oninput(); said(ids());
      words.value = "failed"; words.oninput(); said(ids());
      words.value = ""; kindSelect.value = "2"; kindSelect.onchange(); said(ids());
      kindSelect.value = ""; head.cells[6].firstChild.click(); said(ids());
      head.cells[6].firstChild.click(); said(ids() + " " + head.cells[6].getAttribute("aria-sort"));
      byId("lanes-by").value = "node"; arrange(); said(lanes.querySelector("text.head").textContent);
    </script>"""
    made = tmp_path / "page.html"
    made.write_text(done.replace(policy[0], "").replace("</body>", f"{driver}</body>"))
    opened = open_page(made)
    assert opened.console == []
    said = re.findall(r'<pre class="said">(.*?)</pre>', opened.dom, re.DOTALL)
    assert said[0].startswith("3 \xb7 ")
    assert "State: ✗ FAILED (exit code 1)" in said[0]
    assert said[1].startswith("7 \xb7 wait")
    assert said[2:7] == ["true", "0", "", "3 4 5 6", "7"]
    taken = {row["job_id"]: row["run_s"] for row in submitit.usage(folder)}
    known = sorted(seconds for seconds in taken.values() if seconds is not None)
    unknown = [None] * (len(taken) - len(known))
    assert [taken[job] for job in said[7].split()] == [*known, *unknown]
    *falling, order = said[8].split()
    assert ([taken[job] for job in falling], order) == ([*reversed(known), *unknown], "descending")
    assert said[9] == os.uname().nodename


def test_it_is_dark_where_the_reader_has_it_dark(tmp_path: Path) -> None:
    made = tmp_path / "page.html"
    made.write_text(page.render(seen(_one(tmp_path)), ["x"]))
    corners = {}
    for name, scheme, width in (("dark", 0, 390), ("light", 1, 1280)):
        picture = tmp_path / f"{name}.png"
        photograph(made, picture, width, 700, f"--blink-settings=preferredColorScheme={scheme}")
        corners[name] = _first_pixel(picture)
    assert max(corners["dark"]) < 60
    assert min(corners["light"]) > 200


def _first_pixel(picture: Path) -> tuple[int, int, int]:
    import zlib

    data = picture.read_bytes()
    assert data[24:26] in (b"\x08\x06", b"\x08\x02"), "8 bits a colour"
    chunks, at = b"", 8
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"IDAT":
            chunks += data[at + 8 : at + 8 + size]
        at += size + 12
    row = zlib.decompress(chunks)[:8]
    return row[1], row[2], row[3]  # after the filter's number; the first pixel has no neighbours


def test_the_numbers(folder: Path) -> None:
    expected = json.loads(json.dumps(submitit.usage(folder)))
    told = report(folder, "--json")
    assert json.loads(told.stdout) == expected
    read = list(csv.DictReader(io.StringIO(report(folder, "--csv").stdout)))
    assert [row["job_id"] for row in read] == [row["job_id"] for row in expected] == [str(n) for n in range(1, 8)]
    by_id = {row["job_id"]: row for row in expected}
    assert (by_id["6"]["attempts"], by_id["6"]["state"], by_id["5"]["exit_code"]) == (2, "FAILED", -9)
    assert by_id["6"]["earlier_s"] > 0
    assert by_id["1"]["asked_mem_mb"] == 1024
    assert by_id["1"]["max_rss_mb"] > 1
    data = re.search(r'id="data">(.*?)</script>', report(folder, "-o", "-").stdout, re.DOTALL)
    assert data
    columns: Any = json.loads(data[1])["jobs"]
    assert columns["attempts"] == [row["attempts"] for row in expected]
    assert columns["run_s"] == pytest.approx([row["run_s"] for row in expected], abs=0.001)


def test_pandas_takes_the_rows(folder: Path) -> None:
    import pandas  # takes long

    frame = pandas.DataFrame(submitit.usage(folder))
    assert frame.groupby("state").size().to_dict() == {"CANCELLED": 1, "COMPLETED": 2, "FAILED": 4}


def test_what_is_no_report_is_not_written_over(folder: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.html"
    mine.write_text("<!doctype html>mine")
    done = report(folder, "-o", mine)
    assert (done.returncode, mine.read_text()) == (2, "<!doctype html>mine")
    assert f"{mine} is there and is no report of this command" in done.stderr
    for arguments in ([], ["--csv"], ["--json"], []):  # each of ours over the one before it
        assert report(folder, "-o", mine, "--force", *arguments).returncode == 0
        again = report(folder, "-o", mine, *arguments)
        assert again.returncode == 0, again.stderr


def test_without_a_name_it_is_report_html_here(folder: Path, tmp_path: Path) -> None:
    assert report(folder, cwd=tmp_path).returncode == 0
    assert (tmp_path / "report.html").is_file()


@pytest.mark.parametrize(
    "arguments, code, words",
    [
        (["nowhere"], 2, "there is no folder"),
        (["."], 1, "no job was submitted to"),
        ([".", "--csv", "--json"], 2, "give one of them"),
        ([".", "-o", "."], 2, "is a folder"),
        ([".", "-o", "nowhere/x.html"], 2, "there is no folder nowhere"),
        ([], 1, "you have not submitted any job yet"),
    ],
)
def test_what_cannot_be(
    arguments: list[str], code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    done = report(*arguments)
    assert done.returncode == code
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert os.listdir() == []


def test_a_folder_above_those_of_jobs(tmp_path: Path) -> None:
    made = _one(tmp_path)
    done = report(tmp_path)
    assert done.returncode == 1
    assert done.stderr.endswith(f"Below it, these are folders of jobs: {made}\n")


def test_no_jobs_are_no_numbers(tmp_path: Path) -> None:
    assert report(tmp_path, "--csv").stdout.count("\n") == 1
    assert report(tmp_path, "--json").stdout == "[]\n"
