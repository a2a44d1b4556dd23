"""Fixtures for every test: stores on both databases, Postgres servers, and a guard against the network.

A store URL given here names an empty database: nothing is migrated.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import in_memory, network_guard
from tests.postgres import PostgresServer, create_database, drop_database, shared_server

pytest_plugins = ["pytester"]  # tests of these fixtures run pytest on a careless test
network_guard.install()
in_memory.prefer()
# No test is timed: on a busy machine every example of every property is slow.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def no_network() -> Iterator[None]:
    """Fails a test that tried to reach another machine, even where the code under test caught the refusal."""
    network_guard.attempts.clear()
    yield
    assert not network_guard.attempts, f"a test used the network: {network_guard.attempts}"


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A URL of the test server, from $SENDCTL_TEST_PG_URL or one server of ours for all processes of a test run."""
    given = os.environ.get("SENDCTL_TEST_PG_URL")
    if given:
        yield given
        return
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # each worker has its own folder inside that of the session
    with shared_server(folder) as url:
        yield url


@pytest.fixture(scope="session")
def postgres_template() -> str:
    """The database that `pg_database` copies: empty. A folder's conftest may override it with a migrated one."""
    return "template1"


@pytest.fixture
def pg_database(postgres_url: str, postgres_template: str) -> Iterator[str]:
    """`postgresql://...` of a database of this test's own."""
    url = create_database(postgres_url, postgres_template)
    yield url
    drop_database(postgres_url, url)


@pytest.fixture
def private_postgres() -> Iterator[PostgresServer]:
    """A server of this test's own (about 2 s), to stop, restart and crash."""
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh, empty store on each database in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    url: str = request.getfixturevalue("pg_database")
    return url
