"""Libraries that run their work through this one, over 1.5.4 and over this package: what passes there has to pass here.

Each version has an environment of its own below the build directory, with the same clients from PyPI. A suite is tests that
submit jobs: the client's own where its distribution holds some, else those of its framework, and examples written as its users
would (tests/compat/clients).

By hand: ``python tests/support/clients.py [DOCUMENT]`` prints the table, and writes it into the document; ``make compat``.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

if not __package__:
    # Run as a program: the tests' own folder is not on the path then.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from support import environments
from support.slurm_cluster import SlurmCluster, missing_programs

OURS: Final = Path(__file__).resolve().parents[1] / "compat" / "clients"
REFERENCE: Final = "1.5.4"
#: What is installed beside the library, the same for both versions. pandas and psutil are what exca's tests import.
CLIENTS: Final = (
    "hydra-core==1.3.2",
    "hydra-submitit-launcher==1.2.0",
    "exca==0.6.0",
    "cloudpickle==3.1.2",
    "pandas",
    "psutil",
    "pytest>=9",
)
_NOT_FOR_CLIENTS: Final = ("PYTHONPATH", "PYTEST_CURRENT_TEST", "SLURM_CONF")
_BEGIN, _END = "<!-- rows -->", "<!-- end of rows -->"


class Suite(NamedTuple):
    """Tests that are run in both environments."""

    client: str
    tests: str
    backend: str
    #: for pytest
    arguments: Sequence[str]

    def __str__(self) -> str:
        return f"{self.client}, {self.tests}, {self.backend}"

    def environment(self) -> dict[str, str]:
        cluster = self.backend.lower()
        return {"CLIENT_CLUSTER": cluster, "CLIENT_LAUNCHER": f"submitit_{cluster}"}


_EXCA: Final = tuple(f"exca.{name}" for name in ("test_task", "test_map", "test_submit", "steps.test_backends"))
_BY_HAND: Final = "an example by hand"
_SUITES: Final = str(OURS / "hydra_suites.py")
_LAUNCHER: Final = "hydra-submitit-launcher 1.2.0"
SUITES: Final = (
    Suite("exca 0.6.0", "its own", "local", ("--pyargs", *_EXCA)),
    Suite("exca 0.6.0", _BY_HAND, "local", (str(OURS / "exca_infra.py"),)),
    Suite("exca 0.6.0", _BY_HAND, "Slurm", (str(OURS / "exca_infra.py"),)),
    Suite(_LAUNCHER, "hydra-core's suites for launchers", "local", (_SUITES,)),
    Suite(_LAUNCHER, "hydra-core's suites for launchers", "Slurm", (f"{_SUITES}::TestLauncher",)),
    Suite(_LAUNCHER, _BY_HAND, "local", (str(OURS / "hydra_multirun.py"),)),
    Suite(_LAUNCHER, _BY_HAND, "Slurm", (str(OURS / "hydra_multirun.py"),)),
)


class Comparison(NamedTuple):
    """What a suite gave over both versions: the names of the tests that passed, of all that there are."""

    suite: Suite
    tests: frozenset[str]
    passed_over_1_x: frozenset[str]
    passed_here: frozenset[str]
    #: what pytest printed over this package
    output: str

    @property
    def lost(self) -> list[str]:
        """Tests that pass over 1.x and not here."""
        return sorted(self.passed_over_1_x - self.passed_here)


# ---------------------------------------------------------------- running


def compare(suite: Suite, work: Path, slurm_conf: str | None) -> Comparison:
    """Run the suite over both versions, at the same time, below the new directory ``work``."""
    env = {} if slurm_conf is None else _as_if_installed(work / "bin", slurm_conf)
    runs = {name: _start(python, suite, work / name, env) for name, python in _versions().items()}
    outputs = {name: run.communicate()[0] for name, run in runs.items()}
    old, new = (_outcomes(work / name / "report.xml", outputs[name]) for name in runs)
    return Comparison(suite, frozenset(old | new), _passed(old), _passed(new), outputs["2.x"])


def _as_if_installed(directory: Path, slurm_conf: str) -> dict[str, str]:
    """Variables with which Slurm's commands find this configuration, as a site's does, without ``SLURM_CONF``.

    exca takes that away when it submits, with 1.5.4's ``clean_env``.
    """
    directory.mkdir(parents=True)
    for command in ("sbatch", "srun", "squeue", "sacct", "scancel", "scontrol"):
        shim = directory / command
        shim.write_text(f'#!/bin/sh\nSLURM_CONF={shlex.quote(slurm_conf)} exec {shutil.which(command)} "$@"\n')
        shim.chmod(0o755)
    return {"PATH": f"{directory}{os.pathsep}{os.environ['PATH']}"}


def _versions() -> dict[str, Path]:
    return {
        "1.x": environments.make("clients-1", [f"submitit=={REFERENCE}", *CLIENTS]),
        "2.x": environments.make_with_this_package("clients-2", CLIENTS),
    }


def _start(python: Path, suite: Suite, work: Path, env: Mapping[str, str]) -> subprocess.Popen[str]:
    """Start pytest in a directory where there is nothing to import, without our configuration and fixtures."""
    cwd = work / "cwd"
    cwd.mkdir(parents=True)
    command: list[str | Path] = [python, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", cwd]
    options = [
        "-p",
        "no:cacheprovider",
        f"--confcutdir={OURS}",
        f"--basetemp={work / 'tmp'}",
        f"--junitxml={work / 'report.xml'}",
    ]
    clean = {name: value for name, value in os.environ.items() if name not in _NOT_FOR_CLIENTS}
    return subprocess.Popen(
        [*command, *options, *suite.arguments],
        cwd=cwd,
        env={**clean, **suite.environment(), **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _outcomes(report: Path, output: str) -> dict[str, bool]:
    """Of each test that was not skipped, whether it passed."""
    if not report.exists():
        raise RuntimeError(f"pytest wrote no report, but this:\n{output}")
    return {
        f"{case.get('classname')}::{case.get('name')}": case.find("failure") is None and case.find("error") is None
        for case in ET.parse(report).iter("testcase")
        if case.find("skipped") is None
    }


def _passed(outcomes: Mapping[str, bool]) -> frozenset[str]:
    return frozenset(name for name, passed in outcomes.items() if passed)


# ---------------------------------------------------------------- the table


def table(comparisons: Sequence[Comparison]) -> str:
    lines = [
        f"| client | tests | on | number | passed over {REFERENCE} | passed over this package |",
        "|---|---|---|---:|---:|---:|",
    ]
    for suite, tests, old, new, _ in comparisons:
        lines.append(f"| {suite.client} | {suite.tests} | {suite.backend} | {len(tests)} | {len(old)} | {len(new)} |")
    return "\n".join(lines)


def write(document: Path, text: str) -> None:
    before, begin, rest = document.read_text().partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise ValueError(f"{document} lacks {_BEGIN} or {_END}")
    document.write_text(f"{before}{_BEGIN}\n{text}\n{_END}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Run the clients' tests over both versions, and print the counts.")
    parser.add_argument("document", nargs="?", type=Path, help="where the table is written to")
    arguments = parser.parse_args()
    if missing := missing_programs():
        sys.exit(f"no Slurm here: {', '.join(missing)} (tests/support/install_programs)")
    with contextlib.ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="submitit-clients-")))
        cluster = stack.enter_context(SlurmCluster(work / "slurm"))
        comparisons = [
            compare(suite, work / str(number), cluster.env["SLURM_CONF"]) for number, suite in enumerate(SUITES)
        ]
    print(table(comparisons))
    if arguments.document:
        write(arguments.document, table(comparisons))
    lost = {str(comparison.suite): comparison.lost for comparison in comparisons if comparison.lost}
    if lost:
        sys.exit(f"These pass over {REFERENCE} and not over this package: {lost}")


if __name__ == "__main__":
    main()
