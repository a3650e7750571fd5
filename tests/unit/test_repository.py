"""The repository itself: what the wheel holds, and what must not stand in any file."""

from __future__ import annotations

import importlib.metadata
import json
import re
import runpy
from pathlib import Path

import pytest

import submitit

ROOT = Path(__file__).resolve().parents[2]
# Recorded output of real programs may hold paths of the machine where it was recorded.
RECORDED = ("tests/data/", "tests/golden/")


def sources() -> list[Path]:
    """The files that people write; a fresh clone need not have git."""
    patterns = ["*.md", "*.toml", "Makefile", ".ci/*", "tools/*"]
    for folder in ("submitit", "tests", "benchmarks", "docs", "examples", "changelog.d"):
        patterns += [f"{folder}/**/*.py", f"{folder}/**/*.md", f"{folder}/**/*.sh"]
    found = {path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()}
    return sorted(path for path in found if not path.relative_to(ROOT).as_posix().startswith(RECORDED))


# In pieces, so that this file passes its own check.
@pytest.mark.parametrize(
    "unwanted",
    [
        pytest.param(
            "|".join([r"(?<!\w)/ro" + "ot/", "/wo" + r"rk/\w", "/ho" + r"me/\w", "/Us" + r"ers/\w"]), id="machine-path"
        ),
        pytest.param("py" + r"pi\.(org|python)|python" + "hosted", id="package-registry"),
    ],
)
def test_no_file_names_a_machine(unwanted: str) -> None:
    hits = []
    for path in sources():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if re.search(unwanted, line):
                hits.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert not hits, "\n".join(hits)


def test_links_between_documents_lead_somewhere() -> None:
    tool = runpy.run_path(str(ROOT / "tools" / "check_links.py"))
    dead = {path.name: tool["dead_links"](path) for path in sources() if path.suffix == ".md"}
    assert not {name: links for name, links in dead.items() if links}


def test_version_is_that_of_the_distribution() -> None:
    assert submitit.__version__ == importlib.metadata.version("submitit")


def test_requirements() -> None:
    metadata = importlib.metadata.metadata("submitit")
    entries = metadata.get_all("Requires-Dist", [])
    required = [re.split(r"[<>=~! ;\[]", entry)[0] for entry in entries if "extra ==" not in entry]
    assert required == ["cloudpickle"]
    assert metadata.get_all("Provides-Extra") == ["cli", "joblib"]
    assert metadata["Requires-Python"] == ">=3.10", "an upper cap would lock users out of new Pythons"


def test_wheel_holds_the_package_alone() -> None:
    distribution = importlib.metadata.distribution("submitit")
    if json.loads(distribution.read_text("direct_url.json") or "{}").get("dir_info", {}).get("editable"):
        pytest.skip("an editable installation; `make test` looks at the wheel")
    files = [path for path in distribution.files or [] if "__pycache__" not in path.parts]
    (command,) = (path for path in files if path.parts[0] == "..")
    assert command.parts[-2:] == ("bin", "submitit")
    files.remove(command)
    assert {path.parts[0] for path in files} == {"submitit", f"submitit-{submitit.__version__}.dist-info"}
    installed = {path.as_posix() for path in files if path.parts[0] == "submitit"}
    written = {path.relative_to(ROOT).as_posix() for path in (ROOT / "submitit").rglob("*.py")}
    pages = {f"submitit/views/report/page.{kind}" for kind in ("css", "js")}
    assert installed == written | pages | {"submitit/py.typed"}
