"""check_links.py: fails if a relative link of a Markdown file of the repository leads nowhere."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = ["*.md", "docs/**/*.md", "examples/**/*.md", "benchmarks/**/*.md", "tests/**/*.md", "changelog.d/*.md"]
LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def dead_links(document: Path) -> list[str]:
    """The relative links of `document` to files that do not exist."""
    text = CODE.sub("", document.read_text(encoding="utf-8"))
    return [link for link in LINK.findall(text) if not (document.parent / link).exists()]


if __name__ == "__main__":
    documents = sorted({path for pattern in DOCUMENTS for path in ROOT.glob(pattern)})
    dead = [f"{path.relative_to(ROOT)}: {link}" for path in documents for link in dead_links(path)]
    if dead:
        sys.exit("\n".join(["dead links:", *dead]))
    print(f"{len(documents)} documents, every relative link leads somewhere")
