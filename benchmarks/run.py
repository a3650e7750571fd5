"""Measures the figures that this library promises, beside the last 1.x in an environment of its own.

    make bench                                    # all
    make bench ARGS="--only import,local --quick"

The version that is measured is the one installed for the interpreter that runs this. A target that is not met is said,
and is no failure: the machine may be busy with something else.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import figures_import
import figures_local
import figures_waiting
import machine
import report
from machine import Bench
from samples import Figure, NoFigureError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


def slurm(bench: Bench) -> Iterator[Figure]:
    # It needs the test support and a recent Python.
    import figures_slurm

    yield from figures_slurm.measure(bench)


GROUPS: dict[str, Callable[[Bench], Iterator[Figure]]] = {
    "import": figures_import.measure,
    "local": figures_local.measure,
    "waiting": figures_waiting.measure,
    "slurm": slurm,
}


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    build = options.build.resolve()
    bench = Bench(
        ours=sys.executable,
        reference=machine.make_reference(build),
        work=machine.make_work(build / "bench-work"),
        in_memory=machine.make_work_in_memory(),
        build=build,
        quick=options.quick,
        slow_reference=options.slow_reference,
    )
    context = {**machine.describe(), "started": time.strftime("%Y-%m-%d %H:%M:%S"), "load before": machine.load()}
    figures: list[Figure] = []
    problems: list[str] = []
    try:
        for name in (known for known in GROUPS if known in options.only):
            print(f"measuring: {name}", file=sys.stderr)
            try:
                # One by one: what was measured before a problem is kept.
                figures.extend(GROUPS[name](bench))
            except (NoFigureError, ImportError) as error:
                problems.append(f"{name}: {error}")
    finally:
        if not options.keep:
            for directory in filter(None, (bench.work, bench.in_memory)):
                shutil.rmtree(directory, ignore_errors=True)
    context["load after"] = machine.load()
    print("\n".join(f"{name + ':':13} {value}" for name, value in context.items()), end="\n\n")
    print(report.table(figures), end="\n\n")
    for problem in problems:
        print(f"not measured: {problem}")
    print(report.summary(figures))
    report.write_json(options.json or build / "bench.json", figures, {**context, "problems": problems})
    return 1 if problems else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The figures of this library, beside those of the last 1.x.")
    parser.add_argument("--only", type=_names, default=list(GROUPS), help=f"some of {','.join(GROUPS)} (default: all)")
    parser.add_argument(
        "--quick", action="store_true", help="few repetitions, and nothing that waits for the reference"
    )
    parser.add_argument("--slow-reference", action="store_true", help="also what takes the reference a minute and more")
    parser.add_argument("--keep", action="store_true", help="keep what the jobs wrote")
    parser.add_argument("--json", type=Path, help="where all values are written (default: bench.json of --build)")
    parser.add_argument(
        "--build",
        type=Path,
        default=machine.ROOT / (os.environ.get("BUILD") or ".build"),
        help="where the reference is installed and the jobs run",
    )
    return parser.parse_args(arguments)


def _names(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in GROUPS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no such group: {', '.join(unknown)}")
    return names


if __name__ == "__main__":
    sys.exit(main())
