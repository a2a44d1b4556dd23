"""A store whose provider `primary` is a service with events, in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.pulling.world import World
from tests.store.conftest import ground, postgres_template, sqlite_ground, sqlite_template
from tests.store.ground import Ground

__all__ = ["ground", "lite", "postgres_template", "sqlite_ground", "sqlite_template", "world"]


@pytest.fixture
def world(ground: Ground, tmp_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(ground, tmp_path, stack)


@pytest.fixture
def lite(sqlite_ground: Ground, tmp_path: Path) -> Iterator[World]:
    """The same on SQLite alone, for what does not depend on the database."""
    with ExitStack() as stack:
        yield World(sqlite_ground, tmp_path, stack)
