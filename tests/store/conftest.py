"""A store to stand on, on each database in turn; every test that leaves it whole must leave it provable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

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


@pytest.fixture
def ground(store_url: str, tmp_path: Path) -> Iterator[Ground]:
    made = lay(tmp_path, normalise(store_url, tmp_path))
    yield made
    found = made.violations() if made.provable else []
    made.close()
    assert found == []


@pytest.fixture
def sqlite_ground(tmp_path: Path) -> Iterator[Ground]:
    """The same on SQLite alone, for what does not depend on the database."""
    made = lay(tmp_path, f"sqlite:///{tmp_path / 'store.db'}")
    yield made
    found = made.violations() if made.provable else []
    made.close()
    assert found == []
