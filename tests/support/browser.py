"""A real browser without a screen, which opens pages from files and tells what became of them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

#: It runs as root, starts nothing of its own that uses the network, and says what pages print to the console.
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--enable-logging=stderr",
    "--force-device-scale-factor=1",
)
#: Of the page's own clock: its script has ended long before.
_UNTIL_MS = 2000
_CONSOLE = re.compile(r":CONSOLE:?\S*\] (.*)")


class Opened(NamedTuple):
    """What became of a page."""

    #: Its elements when its script had run, as HTML.
    dom: str
    #: What it printed to the console, errors and violations of its policy among them.
    console: list[str]
    #: What it asked the network for.
    requests: list[str]


def open_page(page: Path, *flags: str) -> Opened:
    """Open a page, from a directory of its own, and close the browser."""
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory, "net.json")
        done = _run(page, directory, f"--log-net-log={log}", "--dump-dom", *flags)
        console = _CONSOLE.findall(done.stderr)
        return Opened(done.stdout, console, list(_requests(log)))


def photograph(page: Path, picture: Path, width: int, height: int, *flags: str) -> None:
    """What the page looks like in a window of this size."""
    with tempfile.TemporaryDirectory() as directory:
        _run(page, directory, f"--screenshot={picture}", f"--window-size={width},{height}", *flags)


def _run(page: Path, directory: str, *flags: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium here")
    command = [program, *_FLAGS, f"--user-data-dir={directory}/profile", f"--virtual-time-budget={_UNTIL_MS}"]
    return subprocess.run(
        [*command, *flags, page.as_uri()], check=True, capture_output=True, text=True, timeout=120, cwd=directory
    )


def _requests(log: Path) -> Iterator[str]:
    """The addresses in the browser's own record of its network, but for those that it asks for by itself."""
    for event in json.loads(log.read_text())["events"]:
        about = event.get("params", {})
        if about.get("initiator", "not an origin") != "not an origin":
            yield about["url"]
