"""A sweep: a support vector classifier over handwritten digits, one job for each of 42 settings.

    make demo                                          # from a clone, nothing prepared
    python examples/digits_sweep.py --cluster slurm    # where submitit, scikit-learn, matplotlib and rich are installed

One row of the grid asks for what scikit-learn rejects: those jobs fail, say why, and the others go on.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib import patheffects
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter
from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

import submitit

if TYPE_CHECKING:
    from collections.abc import Iterator

NUS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0)
GAMMAS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)

# Best settings differ in the last percent, so the colours end where the interesting part begins.
COLOURS = mpl.colormaps["viridis"]
SCALE = Normalize(vmin=0.94, vmax=0.99, clip=True)

Setting = tuple[float, float]
Score = tuple[float, float]


def score(nu: float, gamma: float) -> Score:
    """The job: mean and spread of the accuracy over five folds, for one setting."""
    # Imported here, so that this runs where the job runs and the submitting side needs no scikit-learn.
    from sklearn.datasets import load_digits
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.svm import NuSVC

    pixels, labels = load_digits(return_X_y=True)
    folds = StratifiedKFold(n_splits=5, shuffle=True, random_state=0)
    scores = cross_val_score(NuSVC(nu=nu, gamma=gamma), pixels / 16, labels, cv=folds, error_score="raise")
    return float(scores.mean()), float(scores.std())


@dataclass
class Sweep:
    """The jobs of a grid, and what is known of them so far."""

    nus: tuple[float, ...]
    gammas: tuple[float, ...]
    jobs: dict[Setting, submitit.Job[Score]]
    place: str
    started: float = field(default_factory=time.monotonic)
    scores: dict[Setting, Score] = field(default_factory=dict)
    failures: dict[Setting, str] = field(default_factory=dict)

    def record(self, setting: Setting) -> None:
        """Takes in a job that has ended."""
        error = self.jobs[setting].exception()
        if error is None:
            self.scores[setting] = self.jobs[setting].result()
        else:
            self.failures[setting] = reason(error)

    def ranking(self) -> list[Setting]:
        """The settings that have a score, the best first."""
        return sorted(self.scores, key=lambda setting: self.scores[setting][0], reverse=True)

    def pending(self) -> list[Setting]:
        """The settings whose jobs have not ended, as far as we were told."""
        return [setting for setting in self.jobs if setting not in self.scores and setting not in self.failures]

    def seconds(self) -> float:
        return time.monotonic() - self.started

    def line(self) -> str:
        """How far it is, in one line."""
        ended = len(self.scores) + len(self.failures)
        parts = [f"{ended} of {len(self.jobs)} ended"]
        if self.failures:
            parts.append(f"{len(self.failures)} failed")
        if best := self.ranking()[:1]:
            parts.append(f"best so far {self.scores[best[0]][0]:.2%}")
        return ", ".join([*parts, f"{self.seconds():.0f} s"])


def reason(error: BaseException) -> str:
    """Why a job failed, in one line: the remote exception is the cause of the one that `submitit` raises."""
    if error.__cause__ is not None:
        return f"{type(error.__cause__).__name__}: {error.__cause__}".splitlines()[0]
    lines = [line for line in str(error).splitlines() if line.strip()]
    raised = [line for line in lines if re.match(r"[A-Za-z_][\w.]*(Error|Exception|Exit|Interrupt)\b", line)]
    return raised[-1] if raised else (lines or [type(error).__name__])[0]


# ---------------------------------------------------------------- while it runs


class Picture:
    """What a terminal shows while the sweep runs; drawn anew several times a second."""

    def __init__(self, sweep: Sweep) -> None:
        self.sweep = sweep

    def cell(self, setting: Setting) -> Text:
        if setting in self.sweep.scores:
            mean = self.sweep.scores[setting][0]
            red, green, blue, _ = COLOURS(SCALE(mean), bytes=True)
            ink = "black" if SCALE(mean) > 0.5 else "white"
            return Text(f" {mean:.1%} ", style=f"{ink} on rgb({red},{green},{blue})")
        if setting in self.sweep.failures:
            return Text(" failed ", style="white on red")
        # Cheap to ask: jobs that run have said so by a file, and the scheduler is asked for all of them at once.
        running = self.sweep.jobs[setting].state == "RUNNING"
        return Text(" running", style="cyan") if running else Text(" ·", style="dim")

    def __rich__(self) -> Group:
        sweep = self.sweep
        grid = Table(box=None, padding=(0, 0), header_style="dim")
        grid.add_column("nu \\ gamma  ", style="dim", justify="right")
        for gamma in sweep.gammas:
            grid.add_column(f"{gamma:g} ", justify="right", min_width=9)
        for nu in sweep.nus:
            grid.add_row(f"{nu:g}  ", *(self.cell((nu, gamma)) for gamma in sweep.gammas))
        ended = len(sweep.jobs) - len(sweep.pending())
        bar = ProgressBar(total=len(sweep.jobs), completed=ended, width=30, complete_style="green")
        foot = Table.grid(padding=(0, 2))
        foot.add_row(bar, Text(sweep.line(), style="bold"))
        return Group(grid, Text(), foot)


def follow(sweep: Sweep, console: Console) -> None:
    """Returns when all jobs have ended: as a picture in a terminal, as a line now and then elsewhere."""
    settings = {id(job): setting for setting, job in sweep.jobs.items()}
    ended = submitit.helpers.as_completed(list(sweep.jobs.values()), poll_frequency=0.5)
    if console.is_terminal and not console.is_dumb_terminal:
        with Live(Picture(sweep), console=console, refresh_per_second=8):
            for job in ended:
                sweep.record(settings[id(job)])
        return
    said = sweep.seconds()
    for job in ended:
        sweep.record(settings[id(job)])
        if sweep.seconds() - said >= 3 or not sweep.pending():
            said = sweep.seconds()
            print(sweep.line(), flush=True)


@contextlib.contextmanager
def interrupt_held_back() -> Iterator[None]:
    """A Ctrl-C in the block is raised at its end: in the midst of a submission, there are jobs but no one knows them yet."""
    interrupts: list[int] = []
    previous = signal.signal(signal.SIGINT, lambda number, _: interrupts.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
    if interrupts:
        raise KeyboardInterrupt


def cancel(sweep: Sweep) -> int:
    """Ends all jobs that have not ended, and waits until they have; returns how many there were."""
    left = [job for job in sweep.jobs.values() if not job.done()]
    for job in left:
        # They are asked first and waited for together. `check=False`: one that ends just now is no error.
        job.cancel(check=False)
    deadline = time.monotonic() + 30
    while not all(job.done() for job in left) and time.monotonic() < deadline:
        time.sleep(0.1)
    return len(left)


# ---------------------------------------------------------------- afterwards


def best_table(sweep: Sweep, rows: int = 8) -> Table:
    table = Table(title="The best settings", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for name in ("", "nu", "gamma", "accuracy", "± folds", "job"):
        table.add_column(name, justify="right")
    for rank, setting in enumerate(sweep.ranking()[:rows], start=1):
        mean, spread = sweep.scores[setting]
        row = (
            f"{rank}",
            f"{setting[0]:g}",
            f"{setting[1]:g}",
            f"{mean:.2%}",
            f"{spread:.2%}",
            sweep.jobs[setting].job_id,
        )
        table.add_row(*row, style="bold green" if rank == 1 else None)
    return table


def failure_lines(sweep: Sweep) -> list[str]:
    """A line for each reason, and where the whole traceback stands."""
    lines = []
    for why in dict.fromkeys(sweep.failures.values()):
        settings = [setting for setting, other in sweep.failures.items() if other == why]
        names = ["({:g}, {:g})".format(*setting) for setting in settings]
        lines.append(f"{len(settings)} failed with {why}")
        lines.append(f"  (nu, gamma): {', '.join(names[:6])}{' …' if len(names) > 6 else ''}")
        lines.append(f"  the first one's log: {sweep.jobs[settings[0]].paths.stderr}")
    return lines


def heat_map(sweep: Sweep, path: Path) -> None:
    """Accuracy over the grid, the best cell framed, the failed ones hatched."""
    ink, muted, paper, alarm = "#1b1f27", "#6b7280", "#ffffff", "#b42318"
    rows, columns = len(sweep.nus), len(sweep.gammas)
    figure = Figure(figsize=(8.9, 7.3), dpi=160, facecolor=paper)
    axes = figure.add_axes((0.115, 0.145, 0.74, 0.66))
    for (row, nu), (column, gamma) in itertools.product(enumerate(sweep.nus), enumerate(sweep.gammas)):
        setting, corner = (nu, gamma), (column + 0.02, row + 0.02)
        if setting in sweep.scores:
            mean = sweep.scores[setting][0]
            axes.add_patch(Rectangle(corner, 0.96, 0.96, color=COLOURS(SCALE(mean)), linewidth=0))
            text, colour = f"{100 * mean:.1f}", ink if SCALE(mean) > 0.5 else paper
            weight = "normal"
        else:
            axes.add_patch(
                Rectangle(corner, 0.96, 0.96, facecolor="#f3f4f6", edgecolor="#d5d8de", hatch="/////", linewidth=0)
            )
            text, colour, weight = "failed", alarm, "bold"
        label = axes.text(
            column + 0.5, row + 0.5, text, ha="center", va="center", color=colour, fontsize=10, weight=weight
        )
        if setting not in sweep.scores:
            label.set_path_effects([patheffects.withStroke(linewidth=3, foreground="#f3f4f6")])
    axes.set(xlim=(0, columns), ylim=(rows, 0))
    axes.set_xticks([column + 0.5 for column in range(columns)], [f"{gamma:g}" for gamma in sweep.gammas])
    axes.set_yticks([row + 0.5 for row in range(rows)], [f"{nu:g}" for nu in sweep.nus])
    axes.set_xlabel("$\\gamma$:  how local the kernel is", color=ink, labelpad=9)
    axes.set_ylabel("$\\nu$:  share of the margin that may err", color=ink, labelpad=9)
    axes.tick_params(length=0, colors=muted)
    axes.spines[:].set_visible(False)

    if best := sweep.ranking()[:1]:
        (nu, gamma), (mean, spread) = best[0], sweep.scores[best[0]]
        corner = (sweep.gammas.index(gamma), sweep.nus.index(nu))
        axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor="#e5484d", linewidth=2.5, clip_on=False, zorder=3))
        found = f"best {mean:.2%} ± {spread:.2%} at $\\nu$ = {nu:g}, $\\gamma$ = {gamma:g}"
    else:
        found = "no setting came to an end"
    bar = figure.colorbar(
        mpl.cm.ScalarMappable(SCALE, COLOURS),
        cax=figure.add_axes((0.885, 0.145, 0.022, 0.66)),
        extend="min",
        format=PercentFormatter(1, decimals=0),
    )
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, colors=muted, labelsize=8)
    failed = f", {len(sweep.failures)} of them failed" if sweep.failures else ""
    figure.text(0.115, 0.925, "Handwritten digits, $\\nu$-SVC", fontsize=15, weight="bold", color=ink)
    figure.text(0.115, 0.865, found, fontsize=10.5, color="#e5484d" if best else muted)
    figure.text(
        0.115,
        0.825,
        f"accuracy in %, five folds; {len(sweep.jobs)} jobs{failed}, on {sweep.place} in {sweep.seconds():.0f} s",
        fontsize=9,
        color=muted,
    )
    for why in list(dict.fromkeys(sweep.failures.values()))[:1]:
        figure.text(0.115, 0.035, f"failed: {why[:90]}", fontsize=9, color=alarm)
    figure.savefig(path)


# ---------------------------------------------------------------- the program


def cluster_here() -> str:
    """Slurm where a cluster answers; its commands may be there without one."""
    best = submitit.AutoExecutor.which()
    if best != "slurm":
        return best
    try:
        answers = subprocess.run(["sinfo", "--noheader"], capture_output=True, timeout=20, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        answers = False
    return best if answers else "local"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cluster", help="slurm, local or debug; without it Slurm where there is one, else local")
    parser.add_argument("--partition", help="the partition on Slurm; without it the cluster's default")
    parser.add_argument("--folder", type=Path, default=Path("digits_sweep"), help="where jobs, logs and the picture go")
    parser.add_argument("--tiny", action="store_true", help="four settings instead of all, one of which fails")
    return parser.parse_args()


def main() -> int:
    args = arguments()
    console = Console(highlight=False)
    nus, gammas = (NUS[1:2] + NUS[-1:], GAMMAS[3:5]) if args.tiny else (NUS, GAMMAS)

    # A job gets one core: numpy's libraries would start a thread for every core of the machine. Jobs inherit it.
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

    cluster = args.cluster or cluster_here()
    executor = submitit.AutoExecutor(folder=args.folder / "jobs" / "%j", cluster=cluster)
    executor.update_parameters(name="digits", timeout_min=10, cpus_per_task=1, mem_gb=1)
    if args.partition:
        executor.update_parameters(slurm_partition=args.partition)

    settings = list(itertools.product(nus, gammas))
    sweep = Sweep(nus, gammas, {}, cluster)
    try:
        with interrupt_held_back():
            jobs = executor.map_array(score, *zip(*settings, strict=True))
            sweep.jobs.update(zip(settings, jobs, strict=True))
        ids = f"{jobs[0].job_id} to {jobs[-1].job_id}"
        print(f"{len(jobs)} jobs on {cluster}, {ids}; their files are in {args.folder / 'jobs'}", flush=True)
        follow(sweep, console)
    except KeyboardInterrupt:
        print(f"\nInterrupted: cancelling {len(sweep.pending())} jobs …", file=sys.stderr, flush=True)
        print(f"{cancel(sweep)} jobs were cancelled, {len(sweep.scores)} had brought a result.", file=sys.stderr)
        return 130

    if sweep.scores:
        console.print(best_table(sweep))
    for line in failure_lines(sweep):
        console.print(line, style="red" if line[0] != " " else "dim", markup=False, soft_wrap=True)
    picture = args.folder / "heat_map.png"
    heat_map(sweep, picture)
    console.print(f"The heat map: {picture}", style="bold", soft_wrap=True)
    return 0 if sweep.scores else 1


if __name__ == "__main__":
    sys.exit(main())
