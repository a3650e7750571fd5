"""record_walk.py: makes docs/tutorial/walk.md and its screens in docs/pictures/walk, from real jobs in a real terminal.

Needs the environment of `make venv`, and tmux (tests/support/install_programs).
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests"))

from support import calls  # noqa: E402 - the tests' support is found first
from support.tmux import Terminal  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = ROOT / "docs" / "tutorial" / "walk.md"
PICTURES = ROOT / "docs" / "pictures" / "walk"
COLUMNS, ROWS = 80, 24
#: What the home directory is called in the pictures: just as long, so that lines end where they did.
SHOWN_AS = "/data/ada.lovelace"
#: The programs of the shell: Slurm's are none of them, so that the walk is the same where there is a Slurm.
PROGRAMS = ("bash", "sh", "clear", "echo", "env", "git", "tmux")
#: Bright enough on a dark ground, dark or light page around it; colours 0 to 7, then the bright ones.
THEME = TerminalTheme(
    (24, 27, 33),
    (214, 218, 226),
    [
        (72, 78, 90),
        (240, 113, 120),
        (137, 202, 120),
        (229, 192, 103),
        (97, 175, 239),
        (206, 141, 226),
        (86, 196, 206),
        (214, 218, 226),
    ],
    [
        (132, 140, 154),
        (255, 139, 146),
        (163, 224, 148),
        (245, 214, 138),
        (132, 196, 255),
        (224, 172, 240),
        (122, 222, 230),
        (255, 255, 255),
    ],
)
SCRIPT = """\
import time

import submitit


def train(rate):
    print(f"training at rate {rate}", flush=True)
    if rate > 0.5:
        raise FloatingPointError(f"the loss is not finite at rate {rate}")
    time.sleep(300 if rate < 0.1 else 0.5)
    return {"rate": rate, "accuracy": 1 - rate / 4}


executor = submitit.AutoExecutor(folder="logs/%j")
executor.update_parameters(timeout_min=10, local_max_jobs=4, local_max_cpus=8)
executor.update_parameters(name="first")
executor.submit(train, 0.1)
executor.update_parameters(name="sweep")
executor.map_array(train, [0.2, 0.3, 0.9, 0.4])
executor.update_parameters(name="long")
executor.submit(train, 0.01)
"""


class Step(NamedTuple):
    """A sentence, and what is typed after it."""

    said: str
    typed: str
    #: What the picture shows, for who does not see it.
    alt: str
    #: Once these words are on the screen, the keys are typed.
    asked: str = ""
    keys: str = ""
    #: Whether the screen is taken before the keys, not after the command: of a program that clears up behind itself.
    full_screen: bool = False


STEPS = [
    Step(
        "What can it do? `submitit COMMAND --help` says the same of one command.",
        "submitit --help",
        "The commands, a line each",
    ),
    Step(
        "The script submits six jobs, and ends; they do not. `ls` shows a line for each call that submitted some, the newest last.",
        "python sweep.py && submitit ls",
        "A table: jobs first, sweep and long, with their states",
    ),
    Step(
        "Wait for the sweep, by its name. One of its four jobs fails, and the exit code is 1: a script can go on from there.",
        "submitit wait sweep; echo $?",
        "Three jobs completed and one failed",
    ),
    Step(
        "Each job by itself, and only those that failed:", "submitit ls --all --failed", "A table with one failed job"
    ),
    Step(
        "Why? `show` has the record of a job, and the end of its log where it failed.",
        "submitit show 4",
        "The job's state, times, files, and a traceback",
    ),
    Step(
        "What a job printed; `-f` follows it until the job is over, `--err` is stderr.",
        "submitit logs first",
        "The log of the job first",
    ),
    Step(
        "What it returned, as Python shows it; `--json` prints JSON.",
        "submitit result 1",
        "A dictionary with rate and accuracy",
    ),
    Step(
        "A result that is none says so, and what to do.",
        "submitit result 4",
        "An error: the job has failed, and why",
    ),
    Step(
        "The job `long` takes too long: cancel it. Names, ids and `-1` for the last submission are all the same to every command.",
        "submitit cancel -1; submitit wait long",
        "The job is cancelled, and over",
    ),
    Step(
        "Run the failed one once more, as a new job with the same parameters.",
        "submitit retry 4 && submitit wait 7",
        "Job 4 is submitted once more as job 7, which fails too",
    ),
    Step(
        "A shell command is a job as well; `--follow` shows what it prints, and exits as it does.",
        "submitit run --follow --name hello -- echo 'hello from a job'",
        "The command's output",
    ),
    Step(
        "All of them, live, with keys to filter, sort, read logs, cancel and retry: `?` lists them, `q` leaves.",
        "submitit top logs",
        "The jobs in a full-screen table",
        asked="hello",
        keys="q",
        full_screen=True,
    ),
    Step(
        "The same as a page for the browser: timelines, times, what was used of what was asked for, and why jobs failed.",
        "submitit report logs -o report.html",
        "Where the report was written",
    ),
    Step("What takes the space?", "submitit du logs", "Sizes by kind of file, and by job"),
    Step(
        "Delete what is not wanted any more. It says what goes, and asks; a job that runs is never touched.",
        "submitit clean logs --state FAILED,CANCELLED",
        "What is going to be deleted, a question, and the answer yes",
        asked="y/N",
        keys="y",
    ),
    Step(
        "And is all well here? Each line says what was found and what that means for you; on a cluster, of Slurm too.",
        "submitit doctor",
        "Python, this machine, Slurm and the folder, each with a word about it",
    ),
    Step(
        "A wrong word gets a sentence that says which, and what to do.",
        "submitit ls --state RUNING; submitit show 99; submitit cancl 1",
        "Three mistakes, and what is said of them",
    ),
]


def installed(environment: Path) -> Path:
    """The programs of a new environment that has what this one has, and the package as if it had been installed."""
    venv.create(environment, symlinks=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    shutil.copytree(ROOT / "submitit", packages / "submitit", ignore=shutil.ignore_patterns("__pycache__"))
    (packages / "others.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    script = environment / "bin" / "submitit"
    script.write_text(f"#!{environment}/bin/python\nfrom submitit.cli.main import main\nmain()\n", encoding="utf-8")
    script.chmod(0o755)
    return script.parent


@contextlib.contextmanager
def shell(home: Path) -> Iterator[Terminal]:
    """A bash in a terminal, with nothing of the machine's in its prompt."""
    programs = installed(home / "venv")
    for name in PROGRAMS:
        found = shutil.which(name)
        if found:
            (programs / name).symlink_to(found)
    given = {
        "HOME": str(home),
        "PATH": str(programs),
        "USER": "ada",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "PS1": r"\[\e[1;32m\]$\[\e[0m\] ",
        "PROMPT_COMMAND": "tmux wait-for -S prompt",
    }
    work = home / "digits"
    work.mkdir()
    (work / "sweep.py").write_text(SCRIPT, encoding="utf-8")
    terminal = Terminal(str(home / "socket"))
    command = ["tmux", "-S", str(home / "socket"), "-f", "/dev/null", "new-session", "-d", "-s", "top"]
    subprocess.run(
        [*command, "-x", str(COLUMNS), "-y", str(ROWS), "bash", "--noprofile", "--norc"],
        check=True,
        env=given,
        cwd=work,
    )
    try:
        terminal.tmux("wait-for", "prompt")
        yield terminal
    finally:
        terminal.tmux("kill-server")


def screen(terminal: Terminal, step: Step) -> str:
    """What stands in the terminal after a step, or scrolled out of it, with the sequences for colours."""
    terminal.write("clear")
    terminal.type("Enter")
    terminal.tmux("wait-for", "prompt")
    terminal.tmux("clear-history", "-t", "top")
    terminal.write(step.typed)
    terminal.type("Enter")
    shown = ""
    if step.asked:
        terminal.shows(step.asked)
        shown = terminal.tmux("capture-pane", "-e", "-N", "-p", "-t", "top")
        terminal.write(step.keys)
        if not step.full_screen:
            terminal.type("Enter")
    terminal.tmux("wait-for", "prompt")
    if step.full_screen:
        return shown.rstrip()
    whole = terminal.tmux("capture-pane", "-e", "-p", "-S", "-", "-t", "top").rstrip()
    return whole.rpartition("\n")[0].rstrip() if re.sub(r"\x1b\[[\d;]*m", "", whole).endswith("\n$") else whole


def picture(shown: str) -> str:
    """A screen as SVG that needs no font from elsewhere."""
    console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w"), force_terminal=True)  # noqa: SIM115
    console.print(Text.from_ansi(shown), no_wrap=True, overflow="crop")
    console.print()  # what goes below the last line's letters is cut off
    svg = console.export_svg(title="", theme=THEME, unique_id="walk")
    return re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)


def page(names: list[str]) -> str:
    """The page around the screens."""
    fence = "```"
    lines = [
        "# A walk along the command line",
        "",
        'The command `submitit` (`pip install "submitit[cli]"`) in a terminal of 80 columns, from the first job to the last file.',
        "The screens were recorded by `tools/record_walk.py` from jobs that really ran; [At the command line](../how-to/command-line.md)",
        "has the commands by their purpose.",
        "",
        "Jobs of all kinds come from this script: some that succeed, one that fails, one that takes too long.",
        "",
        f'{fence}python title="sweep.py"',
        SCRIPT.rstrip(),
        fence,
    ]
    for step, name in zip(STEPS, names, strict=True):
        lines += ["", step.said, "", f"![{step.typed}: {step.alt}](../pictures/walk/{name})"]
    return "\n".join(lines) + "\n"


def removed(directory: Path) -> bool:
    """Whether it is gone, now."""
    shutil.rmtree(directory, ignore_errors=True)
    return not directory.exists()


def main() -> None:
    """Walk, and write down what was seen; refuses what names this machine."""
    directory = tempfile.mkdtemp(prefix="walk-", dir="/tmp")
    try:
        with shell(Path(directory)) as terminal:
            shown = [screen(terminal, step).replace(directory, SHOWN_AS) for step in STEPS]
        node = socket.gethostname().partition(".")[0]
        shown = [re.sub(rf"\b{re.escape(node)}\b", "pc".ljust(len(node)), text) for text in shown]
    finally:
        # The scheduler of this machine writes down its end after the last job's.
        calls.wait_for(lambda: removed(Path(directory)))
    for text, step in zip(shown, STEPS, strict=True):
        print(text)
        for word in (str(ROOT), sys.prefix, str(Path.home())):
            if re.search(rf"{re.escape(word)}\b", text):
                sys.exit(f"{step.typed} names this machine by {word!r}:\n{text}")
    shutil.rmtree(PICTURES, ignore_errors=True)
    PICTURES.mkdir(parents=True)
    names = []
    for number, (text, step) in enumerate(zip(shown, STEPS, strict=True), start=1):
        command = re.findall(r"submitit -*(\w+)", step.typed)[0]
        names.append(f"{number:02}-{command}.svg")
        (PICTURES / names[-1]).write_text(picture(text), encoding="utf-8")
    PAGE.write_text(page(names), encoding="utf-8")
    size = sum(path.stat().st_size for path in PICTURES.iterdir())
    print(f"{PAGE.relative_to(ROOT)} and {len(names)} screens: {size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
