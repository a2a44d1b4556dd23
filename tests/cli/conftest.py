"""A world for each test of the command line; the one of `world` is on SQLite, that of `any_world` on each database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.world import Commands, World, start_commands


@pytest.fixture(scope="session")
def commands() -> Iterator[Commands]:
    """One server for all tests of this process."""
    server = start_commands()
    yield server
    assert server.process.stdin is not None
    server.process.stdin.close()
    server.process.wait(timeout=30)


@pytest.fixture
def bare_world(tmp_path: Path, commands: Commands) -> World:
    """An empty folder."""
    return World(tmp_path, commands)


@pytest.fixture
def world(bare_world: World) -> World:
    """A folder with a configuration for SQLite and a maildir."""
    bare_world.configure()
    return bare_world


@pytest.fixture
def any_world(bare_world: World, store_url: str) -> World:
    """The same on each database in turn."""
    bare_world.configure(store_url)
    return bare_world
