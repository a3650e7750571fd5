"""Makes docs/pictures/top.svg: ``submitit top`` as it shows a folder of real jobs. Run with an environment that has ``submitit[cli]``.

python tools/top_picture.py [FILE]
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

import submitit
from submitit.cli.tui.app import Top

COLUMNS, ROWS = 100, 24


def train(rate: float) -> float:
    """Fails for large rates, is slow for small ones."""
    print(f"training at rate {rate}", flush=True)
    if rate > 0.5:
        raise FloatingPointError(f"the loss is not finite at rate {rate}")
    time.sleep(60 if rate < 0.1 else 0.2)
    return rate


def submit(folder: Path) -> None:
    """A few jobs in several states."""
    executor = submitit.AutoExecutor(folder / "%j", cluster="local")
    executor.update_parameters(timeout_min=5, name="download", local_max_jobs=4, local_max_cpus=8)
    done = [executor.submit(train, 0.1)]
    executor.update_parameters(name="warm-up")
    done += executor.map_array(train, [0.1, 0.2, 0.3, 0.9])
    submitit.wait(done)
    executor.update_parameters(name="sweep")
    sweep = executor.map_array(train, [0.2, 0.6, 0.3, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06])
    submitit.wait(sweep[:3])
    sweep[-1].cancel()
    executor.update_parameters(name="evaluate")
    executor.submit(train, 0.01)
    while sweep[5].state != "RUNNING":
        time.sleep(0.1)


async def picture(folder: Path) -> str:
    """What stands on the screen with the newest array unfolded."""
    app = Top(str(folder))
    async with app.run_test(size=(COLUMNS, ROWS)) as pilot:
        while not app.jobs_are_shown:
            await pilot.pause(0.05)
        await pilot.press("down", "enter")
        await pilot.pause(2.5)
        return app.export_screenshot(title="submitit top")


def main() -> None:
    """Submit, look, and end what still runs."""
    target = (
        Path(*sys.argv[1:]) if sys.argv[1:] else Path(__file__).resolve().parents[1] / "docs" / "pictures" / "top.svg"
    )
    with tempfile.TemporaryDirectory() as directory:
        os.environ["XDG_STATE_HOME"] = directory
        os.environ["HOME"] = directory  # so that it is a short path
        folder = Path(directory) / "experiments"
        submit(folder)
        svg = asyncio.run(picture(folder))
        from submitit.views.folder import Folder

        model = Folder(folder)
        model.refresh()
        open_jobs = [entry.job_id for entry in model.entries if not entry.over]
        submitit.cancel([submitit.LocalJob(folder / "%j", job_id) for job_id in open_jobs])
        while not all(entry.over for entry in model.entries):
            time.sleep(0.1)
            model.refresh()
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    train.__module__ = "__main__"
    main()
