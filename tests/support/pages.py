"""The pages of the documentation, run: what a reader would type, in the order of the page, in one directory.

::

    python -m support.pages PAGE here|slurm        in the directory where the page's files are to lie

A fence says by its title what is to be done with it:

- none: it is run: ``python`` in one namespace a page, ``sh`` by bash;
- ``title="on Slurm"``: it is run where there is a cluster, in a run of the page that passes over all the others;
- ``title="name.py"``: it is the content of a file of that name;
- ``title="Output"``: it is what the block before it has printed, ``…`` standing for anything;
- ``title="not run: why"``: a reader sees it, nobody runs it.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
HERE, SLURM = "here", "slurm"
ON_SLURM, OUTPUT, NOT_RUN = "on Slurm", "Output", "not run: "
#: Languages that are run; what is in others is only looked at, unless it is a file.
RUN = ("python", "sh")
_FENCE = re.compile(
    r"^(?P<indent> *)(?P<ticks>`{3,})(?P<info>[^`\n]*)\n(?P<text>.*?)^(?P=indent)(?P=ticks) *$",
    re.MULTILINE | re.DOTALL,
)
_TITLE = re.compile(r'title="([^"]*)"')
_FILE = re.compile(r"[\w.-]+/[\w./-]+|[\w-]+\.\w+")


class Block(NamedTuple):
    """One fence of a page."""

    language: str
    title: str
    text: str
    #: The line of the page on which the text begins.
    line: int

    @property
    def is_file(self) -> bool:
        """Whether it is the content of a file."""
        return bool(_FILE.fullmatch(self.title))

    @property
    def runs(self) -> str | None:
        """In which run of its page it is run, if in any."""
        if self.language not in RUN or self.is_file or self.title.startswith(NOT_RUN) or self.title == OUTPUT:
            return None
        return SLURM if self.title == ON_SLURM else HERE


def pages() -> list[Path]:
    """All that a reader may copy from."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> Iterator[Block]:
    """The fences of a page. Raises ``ValueError`` for a title that means nothing."""
    text = page.read_text(encoding="utf-8")
    for fence in _FENCE.finditer(text):
        language, _, rest = fence["info"].strip().partition(" ")
        title = (_TITLE.search(rest) or ["", ""])[1]
        block = Block(language, title, textwrap.dedent(fence["text"]), text[: fence.start("text")].count("\n") + 1)
        if title not in ("", ON_SLURM, OUTPUT) and not (title.startswith(NOT_RUN) or block.is_file):
            raise ValueError(
                f"{page.name}, line {block.line}: a block's title is a file's name or says how it is run, not {title!r}"
            )
        yield block


def run(page: Path, where: str) -> None:
    """Run a page in this process and the current directory. Raises what a block raises, ``AssertionError`` for other output."""
    # Not this module's: a function of the page is pickled by value, as it is from a script or a notebook.
    namespace: dict[str, Any] = {"__name__": "__main__"}
    printed = None
    for block in blocks(page):
        if block.is_file:
            Path(block.title).parent.mkdir(parents=True, exist_ok=True)
            Path(block.title).write_text(block.text, encoding="utf-8")
        elif block.runs == where:
            printed = _python(page, block, namespace) if block.language == "python" else _shell(page, block)
        elif block.title == OUTPUT and printed is not None:
            _compare(page, block, printed)
        elif block.title != OUTPUT:
            continue
        if block.title == OUTPUT or block.is_file:
            printed = None


def _python(page: Path, block: Block, namespace: dict[str, Any]) -> str:
    tree = ast.parse(block.text, str(page))
    ast.increment_lineno(tree, block.line - 1)
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(tree, str(page), "exec"), namespace)
    return out.getvalue()


def _shell(page: Path, block: Block) -> str:
    made = subprocess.run(["bash", "-euo", "pipefail", "-c", block.text], capture_output=True, text=True, check=False)
    assert made.returncode == 0, (
        f"{page.name}, line {block.line}: exit code {made.returncode}\n{made.stdout}{made.stderr}"
    )
    return made.stdout


def _compare(page: Path, block: Block, printed: str) -> None:
    # A line of its own that is `…` stands for any lines, none among them.
    pattern = "".join(
        r"(?:.*?\n)??" if line == "…" else ".*?".join(map(re.escape, line.split("…"))) + r"\n"
        for line in block.text.strip().splitlines()
    )
    lines = "".join(f"{line.rstrip()}\n" for line in printed.strip().splitlines())
    assert re.fullmatch(pattern, lines, re.DOTALL), (
        f"{page.name}, line {block.line}: it printed\n{printed}\nand not\n{block.text}"
    )


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2])
