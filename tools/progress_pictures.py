"""progress_pictures.py: makes docs/pictures/progress.svg and notebook.png, from real jobs on this machine.

Needs chromium and the dependency group `pictures`. Arguments: where the pictures go (`docs/pictures`), and `--try` for notebooks to look at
by eye as well: dark, with thousands of jobs, and with names and errors that are too long.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

_SETUP = """import submitit
from sweep import {function}

executor = submitit.AutoExecutor("logs/%j", cluster="local")
executor.update_parameters(name="{name}", local_max_jobs=4)
jobs = executor.map_array({function}, {arguments})"""
_LONG = "<b>a name that is far too long to be shown in a table of jobs, even on a very wide screen</b>"
CELLS = {
    "notebook": [
        _SETUP.format(function="train", name="sweep", arguments="[0.1, 0.03, 0.01, -0.01, 0.003, 0.001]"),
        'for job in submitit.progress(jobs, title="sweep"):\n    ...',
        "jobs",
        "jobs[3]",
    ],
    "many": [
        _SETUP.format(function="quick", name=_LONG, arguments="range(1500)"),
        "submitit.progress(jobs).wait()",
        "jobs",
        "jobs[7]",
        "jobs[:5]",
    ],
}
MODULE = """
import time

def train(lr):
    time.sleep(0.3)
    if lr < 0:
        raise ValueError(f"the learning rate must be positive, not {lr}")
    return lr

def quick(i):
    if i % 400 == 7:
        raise KeyError("<script>alert(1)</script> " + "a very long message that goes on and on " * 12)
"""
#: What is seen of the notebook: its cells, without the margins of the page.
WIDTH = 900


def main() -> None:
    where = Path(sys.argv[1] if len(sys.argv) > 1 and sys.argv[1] != "--try" else "docs/pictures").absolute()
    where.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        os.environ.update(XDG_STATE_HOME=f"{scratch}/state", HOME=scratch, PYTHONPATH=scratch, TZ="UTC")
        Path("sweep.py").write_text(MODULE)
        sys.path.insert(0, scratch)
        in_terminal(where / "progress.svg")
        in_notebook("notebook", where, 650, ["light", "dark"] if "--try" in sys.argv else ["light"])
        if "--try" in sys.argv:
            in_notebook("many", where, 1000, ["light", "dark"])


def in_terminal(path: Path) -> None:
    """What a terminal shows in the middle of a sweep."""
    import sweep  # type: ignore[import-not-found]  # it was just written
    from rich.console import Console

    import submitit
    from submitit.helpers import displays
    from submitit.views.tally import Tally

    executor = submitit.AutoExecutor("logs/%j", cluster="local")
    executor.update_parameters(name="sweep", local_max_jobs=6)
    jobs: list[submitit.Job[Any]] = executor.map_array(sweep.train, [-0.1 if k in (7, 22) else 0.1 for k in range(40)])
    tally = Tally(jobs)
    for job in submitit.as_completed(jobs):
        tally.end(job)
        if tally.over == 27:
            break
    tally.look()
    console = Console(record=True, width=88, file=open(os.devnull, "w"), force_terminal=True, color_system="truecolor")  # noqa: SIM115
    console.print(displays.picture(tally, console, "sweep"))
    svg = console.export_svg(title="for job in submitit.progress(jobs): …")
    # What is looked at without a network asks for no font.
    path.write_text(re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL), encoding="utf-8")
    submitit.cancel(jobs)


def in_notebook(name: str, where: Path, height: int, themes: list[str]) -> None:
    """A notebook that was executed, as a browser shows it."""
    import importlib

    import nbformat
    from nbclient import NotebookClient

    HTMLExporter: Any = importlib.import_module("nbconvert").HTMLExporter  # noqa: N806 - a class
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS[name]])  # type: ignore[no-untyped-call]
    NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
    for theme in themes:
        exporter = HTMLExporter(template_name="lab", theme=theme)
        exporter.exclude_input_prompt = exporter.exclude_output_prompt = True
        page, _ = exporter.from_notebook_node(notebook)
        Path("page.html").write_text(page, encoding="utf-8")
        path = where / (f"{name}.png" if theme == "light" else f"{name}-{theme}.png")
        command = [
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--screenshot={path}",
        ]
        size = [f"--window-size={WIDTH},{height}", "--virtual-time-budget=4000"]
        subprocess.run([*command, *size, "page.html"], check=True, capture_output=True)


if __name__ == "__main__":
    main()
