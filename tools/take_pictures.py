"""take_pictures.py: makes docs/pictures/report.png, the page of `submitit report` on a sweep that was made up.

Needs the environment of `make venv`, and Chromium (tests/support/install_programs).
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests"))

from submitit.views.report import page  # noqa: E402 - the tests' support is found first
from submitit.views.usage import seen  # noqa: E402
from support import sweep  # noqa: E402
from support.browser import photograph  # noqa: E402

JOBS, SEED = 2000, 3
WIDTH, HEIGHT = 1280, 1400
#: What the folder is called in the picture.
SHOWN_AS = "/scratch/me/sweep"


def main() -> None:
    os.environ["TZ"] = "UTC"
    time.tzset()
    picture = ROOT / "docs" / "pictures" / "report.png"
    picture.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory, "sweep")
        sweep.make(folder, JOBS, SEED)
        made = Path(directory, "report.html")
        text = page.render(seen(folder, ask=False), [SHOWN_AS], now=sweep.BEGIN + 86400)
        # by node, which shows more of so many jobs in one look
        text = text.replace('<option value="node">', '<option value="node" selected>')
        made.write_text(text.replace(str(folder), SHOWN_AS), encoding="utf-8")
        photograph(made, picture, WIDTH, HEIGHT, "--blink-settings=preferredColorScheme=1")
    print(f"{picture.relative_to(ROOT)}: {picture.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
