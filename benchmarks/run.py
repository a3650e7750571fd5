"""Measures the figures that this library promises, beside the last 1.x and its peers, each in an environment of its own.

    make bench                                    # all
    make bench ARGS="--only import,local --quick"
    make bench ARGS="--publish"                   # and docs/performance.md anew, with its picture

The version that is measured is the one installed for the interpreter that runs this. A target that is not met is said,
and is no failure: the machine may be busy with something else.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import figures_growth
import figures_import
import figures_local
import figures_map
import figures_peers
import figures_waiting
import figures_waking
import machine
import publish
import report
import results
from machine import Bench
from results import Group
from samples import NoFigureError, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


def slurm(bench: Bench) -> Iterator[Outcome]:
    # It needs the test support and a recent Python.
    import figures_slurm

    yield from figures_slurm.measure(bench)


def views(bench: Bench) -> Iterator[Outcome]:
    # It needs the test support as well.
    import figures_views

    yield from figures_views.measure(bench)


GROUPS: dict[str, Callable[[Bench], Iterator[Outcome]]] = {
    "import": figures_import.measure,
    "local": figures_local.measure,
    "map": figures_map.measure,
    "slurm": slurm,
    "waiting": figures_waiting.measure,
    "waking": figures_waking.measure,
    "views": views,
    "peers": figures_peers.measure,
    "growth": figures_growth.measure,
}


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    build = options.build.resolve()
    if options.make_peers:
        return _make_peers(build)
    try:
        reference = machine.make_reference(build)
    except NoFigureError as error:
        print(error, file=sys.stderr)
        return 1
    bench = Bench(
        ours=sys.executable,
        reference=reference,
        work=machine.make_work(build / "bench-work"),
        in_memory=machine.make_work_in_memory(),
        build=build,
        quick=options.quick,
        slow_reference=options.slow_reference,
        largest=options.largest or (10_000 if options.quick else 100_000),
    )
    os.environ["XDG_STATE_HOME"] = str(bench.work / "state")  # the user's list of folders is not about these
    groups: dict[str, Group] = {}
    try:
        for name in (known for known in GROUPS if known in options.only):
            print(f"measuring: {name}", file=sys.stderr)
            groups[name] = _measure(bench, name)
            results.write(options.json or build / "bench.json", groups)
    finally:
        if not options.keep:
            for directory in filter(None, (bench.work, bench.in_memory)):
                shutil.rmtree(directory, ignore_errors=True)
    problems = [f"{name}: {problem}" for name, group in groups.items() for problem in group.problems]
    figures = results.figures(groups.values())
    context = {key: value for group in groups.values() for key, value in group.context.items()}
    print("\n".join(f"{name + ':':17} {value}" for name, value in context.items()), end="\n\n")
    print(report.table(figures), end="\n\n")
    for problem in problems:
        print(f"not measured: {problem}")
    print(report.summary(figures))
    if options.publish:
        publish.publish(groups)
    return 1 if problems else 0


def _measure(bench: Bench, name: str) -> Group:
    group = Group({**machine.describe(), "started": time.strftime("%Y-%m-%d %H:%M:%S"), "load before": machine.load()})
    if bench.quick:
        group.context["quick"] = "few repetitions and small numbers"
    bench.versions.clear()
    try:
        # One by one: what was measured before a problem is kept.
        for outcome in GROUPS[name](bench):
            group.outcomes.append(outcome)
            print(f"  {outcome.name}", file=sys.stderr)
    except (NoFigureError, ImportError) as error:
        group.problems.append(str(error))
    except Exception as error:  # noqa: BLE001 - an hour of other figures is not lost by it
        traceback.print_exc()
        group.problems.append(f"{type(error).__name__}: {error}")
    group.context.update({**bench.versions, "load after": machine.load()})
    return group


def _make_peers(build: Path) -> int:
    failures = 0
    for name in machine.PEERS:
        print(f"== preparing {name}", file=sys.stderr)
        try:
            machine.make_peer(build, name, renew=True)
        except NoFigureError as error:
            failures += 1
            print(error, file=sys.stderr)
    return 1 if failures else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The figures of this library, beside those of the last 1.x.")
    parser.add_argument("--only", type=_names, default=list(GROUPS), help=f"some of {','.join(GROUPS)} (default: all)")
    parser.add_argument(
        "--quick", action="store_true", help="few repetitions, and nothing that waits for the reference"
    )
    parser.add_argument("--slow-reference", action="store_true", help="also what takes the reference a minute and more")
    parser.add_argument(
        "--largest", type=int, help="the largest number of jobs whose growth is measured (100,000; 10,000 with --quick)"
    )
    parser.add_argument("--publish", action="store_true", help="write docs/performance.md and its picture anew")
    parser.add_argument("--make-peers", action="store_true", help="only install the peers, in their newest versions")
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
