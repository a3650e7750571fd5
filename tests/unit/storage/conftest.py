"""What several tests of the storage need."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from support import users


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """A mask that takes nothing away from the group, as on many clusters."""
    before = os.umask(0o002)
    yield
    os.umask(before)


@pytest.fixture(scope="session")
def user() -> Iterator[users.User]:
    """An ordinary user, to read and write as."""
    if not users.can_make_users():
        pytest.skip("making a user takes root")
    with users.ordinary_user() as made:
        yield made
