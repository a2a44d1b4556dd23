"""A store to stand on, on each database in turn; every test that leaves it whole must leave it provable."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sendctl.journal.home import place_of
from sendctl.settings.store_url import normalise
from tests.postgres import create_database, drop_database
from tests.store.ground import Ground, lay


@pytest.fixture(scope="session")
def postgres_template(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A migrated database to copy: faster than migrating each."""
    url = create_database(postgres_url)
    lay(tmp_path_factory.mktemp("template"), normalise(url, Path("/"))).close()
    yield url.rpartition("/")[2]
    drop_database(postgres_url, url)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same for SQLite."""
    path = tmp_path_factory.mktemp("template") / "store.db"
    lay(path.parent, f"sqlite:///{path}").close()
    return path


def standing_on(url: str, folder: Path, template: Path) -> Iterator[Ground]:
    if url.startswith("sqlite"):
        path = folder / "store.db"
        shutil.copy(template, path)
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE store SET bound_to = ?", [place_of(url)])
    made = Ground(folder, url)
    yield made
    found = made.violations() if made.provable else []
    made.close()
    assert found == []


@pytest.fixture
def ground(store_url: str, tmp_path: Path, sqlite_template: Path) -> Iterator[Ground]:
    yield from standing_on(normalise(store_url, tmp_path), tmp_path, sqlite_template)


@pytest.fixture
def sqlite_ground(tmp_path: Path, sqlite_template: Path) -> Iterator[Ground]:
    """The same on SQLite alone, for what does not depend on the database."""
    yield from standing_on(f"sqlite:///{tmp_path / 'store.db'}", tmp_path, sqlite_template)
