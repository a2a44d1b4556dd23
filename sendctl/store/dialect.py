"""The few places where SQLite and Postgres want different words, each with its reason."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection


def insert_ignore(connection: Connection, table: sa.Table) -> Any:
    """INSERT that skips rows whose unique key is there. Core's generic insert has no ON CONFLICT."""
    make = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    return make(table).on_conflict_do_nothing()


def upsert(connection: Connection, table: sa.Table, key: str, values: dict[str, Any]) -> None:
    """Insert one row, or set its other columns where the key is there."""
    make = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    rest = {name: value for name, value in values.items() if name != key}
    connection.execute(make(table).values(**values).on_conflict_do_update(index_elements=[key], set_=rest))


def skip_locked(connection: Connection, statement: sa.Select[Any], of: sa.Table) -> sa.Select[Any]:
    """Lock the picked rows and pass over those that another pass holds. SQLite has one writer: nothing to skip."""
    if connection.dialect.name == "sqlite":
        return statement
    return statement.with_for_update(skip_locked=True, key_share=True, of=of)


@contextmanager
def driver_errors(connection: Connection) -> Iterator[None]:
    """Around the driver's own cursor: its errors become SQLAlchemy's, as those of every other statement do."""
    base = connection.dialect.loaded_dbapi.Error
    try:
        yield
    except base as error:
        raise sa.exc.DBAPIError.instance(None, None, error, base, dialect=connection.dialect) from error
