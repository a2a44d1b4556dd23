"""The same ground as the tests of the store."""

from tests.store.conftest import ground, postgres_template, sqlite_ground, sqlite_template

__all__ = ["ground", "postgres_template", "sqlite_ground", "sqlite_template"]
