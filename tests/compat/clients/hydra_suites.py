"""Hydra's own suites for launchers, over hydra-submitit-launcher: its distribution holds no tests, hydra-core's holds these.

Run in an environment that has both, with the launcher's name in ``CLIENT_LAUNCHER`` (see tests/support/clients.py).
"""

from __future__ import annotations

import os

import pytest
from hydra.test_utils.launcher_common_tests import BatchedSweeperTestSuite, IntegrationTestSuite, LauncherTestSuite

LAUNCHER = os.environ["CLIENT_LAUNCHER"]
# The warning of Hydra's default comes two minutes before the end.
OPTIONS = ["hydra.launcher.timeout_min=10"]


@pytest.mark.parametrize("launcher_name, overrides", [(LAUNCHER, OPTIONS)])
class TestLauncher(LauncherTestSuite):  # type: ignore[misc]  # no types where the types are checked
    pass


@pytest.mark.parametrize("launcher_name, overrides", [(LAUNCHER, [*OPTIONS, "hydra.sweeper.max_batch_size=2"])])
class TestBatches(BatchedSweeperTestSuite):  # type: ignore[misc]
    pass


@pytest.mark.parametrize("task_launcher_cfg, extra_flags", [({}, ["-m", f"hydra/launcher={LAUNCHER}", *OPTIONS])])
class TestPrograms(IntegrationTestSuite):  # type: ignore[misc]
    pass
