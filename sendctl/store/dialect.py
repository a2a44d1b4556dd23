"""The few places where SQLite and Postgres want different words, each with its reason."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from sendctl.store.tables import text_of


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


def insert_rows(connection: Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    """Insert many rows of the same columns at the driver's speed: executemany on SQLite, COPY on Postgres.

    Through Core each value passes several Python calls; for a million rows that is most of the time.
    """
    if not rows:
        return
    names = list(rows[0])
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" * len(names))
        values = [tuple(_sqlite_value(row[name]) for name in names) for row in rows]
        connection.exec_driver_sql(f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({marks})", values)  # noqa: S608
        return
    cursor: Any = connection.connection.cursor()
    with driver_errors(connection), cursor.copy(f"COPY {table.name} ({', '.join(names)}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row([row[name] for name in names])


@contextmanager
def driver_errors(connection: Connection) -> Iterator[None]:
    """Around the driver's own cursor: its errors become SQLAlchemy's, as those of every other statement do."""
    base = connection.dialect.loaded_dbapi.Error
    try:
        yield
    except base as error:
        raise sa.exc.DBAPIError.instance(None, None, error, base, dialect=connection.dialect) from error


def _sqlite_value(value: Any) -> Any:
    return text_of(value) if isinstance(value, datetime) else value
