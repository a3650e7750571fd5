"""check_site.py SITE: fails if the built site needs a network, or if the reference leaves out a public name.

What strictness of the build does not look at: a page that loads something from another host, and a name that nobody wrote a line
for. Needs the checkout and nothing else.
"""

from __future__ import annotations

import re
import sys
import zlib
from html.parser import HTMLParser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

#: What the browser loads by itself when it shows a page; a link that a reader may follow is none of it.
LOADED = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "link": "href",
    "object": "data",
    "use": "href",
}
#: Of a `link`, these name something and load nothing.
NAMED = ("canonical", "next", "prev", "edit", "alternate")
ELSEWHERE = re.compile(r"^(?:https?:)?//")
#: Names of the package that are modules, and of the helpers that are told elsewhere.
SUB_PACKAGES = {
    "auto",
    "client",
    "core",
    "executors",
    "helpers",
    "local",
    "orchestrator",
    "slurm",
    "storage",
    "upkeep",
    "views",
}
TOLD_ELSEWHERE = {"JobEnvironment", "progress"}


class _Loads(HTMLParser):
    """Collects what a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        value = given.get(LOADED.get(tag, "")) or ""
        if ELSEWHERE.match(value) and given.get("rel") not in NAMED:
            self.found.append(value)


def loads_from_elsewhere(site: Path) -> list[str]:
    """What pages and style sheets of the site load from other hosts."""
    found = []
    for page in sorted(site.rglob("*.html")):
        parser = _Loads()
        parser.feed(page.read_text(encoding="utf-8"))
        found += [f"{page.relative_to(site)} loads {what}" for what in parser.found]
    for sheet in sorted(site.rglob("*.css")):
        text = sheet.read_text(encoding="utf-8")
        found += [
            f"{sheet.relative_to(site)} loads {what}"
            for what in re.findall(r"url\([\"']?((?:https?:)?//[^)\"']+)", text)
        ]
    return found


def left_out(site: Path) -> list[str]:
    """Public names that the reference says nothing of."""
    import submitit

    inventory = (site / "objects.inv").read_bytes()
    listed = zlib.decompress(inventory.split(b"\n", 4)[4]).decode().splitlines()
    names = {line.split()[0] for line in listed}
    public = {f"submitit.{name}" for name in set(submitit.__all__) - SUB_PACKAGES}
    helpers = {name for name in set(submitit.helpers.__all__) - TOLD_ELSEWHERE if not name.startswith("_")}
    return [
        f"the reference says nothing of {name}"
        for name in sorted((public | {f"submitit.helpers.{n}" for n in helpers}) - names)
    ]


if __name__ == "__main__":
    site = Path(sys.argv[1])
    wrong = loads_from_elsewhere(site) + left_out(site)
    if wrong:
        sys.exit("\n".join(wrong))
    print(
        f"{len(list(site.rglob('*.html')))} pages, every public name among them, and nothing is loaded from elsewhere"
    )
