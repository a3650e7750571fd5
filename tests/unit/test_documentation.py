"""The documentation and the code say the same."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from submitit import environ
from submitit.client.parameters import GENERIC
from submitit.local.local import LocalExecutor
from submitit.orchestrator.state import JobState
from submitit.storage import events
from support import pages

DOCS = pages.ROOT / "docs"
REFERENCE = DOCS / "reference"
#: Variables that a user has no reason to set: the library's own, and those of its tests.
INTERNAL = {"SUBMITIT_LOCAL_LEASES", "SUBMITIT_PORTABLE", "SUBMITIT_SNAPSHOT", "SUBMITIT_SNAPSHOT_OF"}


def named(page: str) -> set[str]:
    """What stands in backticks on a page of the reference."""
    return set(re.findall(r"`([\w-]+)`", (REFERENCE / page).read_text(encoding="utf-8")))


def test_tables_of_parameters_are_those_of_the_code() -> None:
    tool = runpy.run_path(str(pages.ROOT / "tools" / "parameter_tables.py"))
    page = (REFERENCE / "parameters.md").read_text(encoding="utf-8")
    assert tool["written"](page) == page, "python tools/parameter_tables.py writes them anew"


def test_local_parameters_are_listed() -> None:
    own = {f"local_{name}" for name in LocalExecutor._valid_parameters()}
    listed = named("parameters.md")
    assert own | set(GENERIC) <= listed
    assert {name for name in listed if name.startswith("local_")} == own


def test_variables_that_a_job_hands_on_are_listed() -> None:
    listed = named("environment-variables.md")
    assert environ._SUBMITIT_KEPT - INTERNAL - listed == set()


def test_kinds_of_markers_and_states_are_listed() -> None:
    text = (REFERENCE / "codes.md").read_text(encoding="utf-8")
    assert {kind for kind in events.KINDS if not re.search(rf"`{kind}[`-]", text)} == set()
    assert set(re.findall(r"`([A-Z_]+)`", text.split("## Exit codes")[0])) - {"QUEUED", "DONE"} <= {
        state.value for state in JobState
    }


def test_a_title_that_says_nothing_of_how_a_block_is_run_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text('```python title="just so"\npass\n```\n')
    with pytest.raises(ValueError, match=r"page\.md, line 2: .*'just so'"):
        list(pages.blocks(page))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('```python\nprint(1)\n```\n\n```text title="Output"\n2\n```\n', "line 6: it printed"),
        ("```python\nx = 1\n```\n\n```python\nassert x == 2\n```\n", None),
        ("```sh\nexit 3\n```\n", "line 2: exit code 3"),
    ],
)
def test_a_page_that_is_not_true_fails(tmp_path: Path, text: str, message: str | None) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(AssertionError, match=message):
        pages.run(page, pages.HERE)


def test_blocks_share_names_files_and_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        '```text title="data/a.txt"\nseven\n```\n\n```sh\ncp data/a.txt b.txt\n```\n\n```python title="on Slurm"\n1 / 0\n```\n\n'
        '```python title="not run: why"\n1 / 0\n```\n\n```python\nfrom pathlib import Path\n\nx = Path("b.txt").read_text()\n```\n\n'
        '```python\nprint(x, "of", id(x))\n```\n\n```text title="Output"\nseven\n of …\n```\n'
    )
    pages.run(page, pages.HERE)
