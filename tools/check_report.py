"""check_report.py REPORTS -- FOLDERS: fails if a test of pytest's JUnit reports was skipped, or if nothing of a folder ran."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path


def complaints(reports: list[Path], folders: list[Path]) -> list[str]:
    """What was left out, a line each; an expected failure (xfail) did run."""
    found = []
    ran: Counter[str] = Counter()
    for case in (case for report in reports for case in ET.parse(report).getroot().iter("testcase")):
        folder = ".".join(case.get("classname", "").split(".")[:2])
        skipped = case.find("skipped")
        if skipped is not None and skipped.get("type") != "pytest.xfail":
            found.append(f"skipped: {case.get('classname')} {case.get('name')}: {skipped.get('message')}")
        else:
            ran[folder] += 1
    tiers = {path.relative_to(".").parts[:2] for folder in folders for path in folder.rglob("test_*.py")}
    found += [f"nothing ran below {'/'.join(tier)}" for tier in sorted(tiers) if not ran[".".join(tier)]]
    return found


if __name__ == "__main__":
    end = sys.argv.index("--")
    lines = complaints([Path(report) for report in sys.argv[1:end]], [Path(folder) for folder in sys.argv[end + 1 :]])
    sys.exit("\n".join(["with CI=true nothing may be left out:", *lines]) if lines else 0)
