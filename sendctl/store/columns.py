"""Inserting many rows, given column by column, at the driver's speed: executemany on SQLite, COPY on Postgres.

Through Core each value passes several Python calls, and psycopg formats each value of a COPY by itself; for a million
rows either is more than what the database does. Never skips a row: a key that is there already is an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import repeat
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.store.dialect import driver_errors
from sendctl.store.tables import text_of

# COPY's text format: https://www.postgresql.org/docs/current/sql-copy.html, "File Formats". The backslash comes first.
_ESCAPES = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"))
_NULL = "\\N"


def insert_columns(
    connection: Connection, table: sa.Table, each: Mapping[str, Sequence[Any]], same: Mapping[str, Any]
) -> None:
    """Insert a row for each place of the columns `each`, of equal length; `same` has what all rows have in common."""
    if connection.dialect.name == "sqlite":
        _insert_sqlite(connection, table, each, same)
    else:
        _copy_postgres(connection, table, each, same)


def _insert_sqlite(
    connection: Connection, table: sa.Table, each: Mapping[str, Sequence[Any]], same: Mapping[str, Any]
) -> None:
    names = [*each, *same]
    marks = ", ".join("?" * len(names))
    values = [_moments_as_text(table.c[name], column) for name, column in each.items()]
    shared = [repeat(_moments_as_text(table.c[name], [value])[0]) for name, value in same.items()]
    rows = list(zip(*values, *shared))  # noqa: B905  repeat() has no end
    if rows:
        connection.exec_driver_sql(f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({marks})", rows)  # noqa: S608


def _copy_postgres(
    connection: Connection, table: sa.Table, each: Mapping[str, Sequence[Any]], same: Mapping[str, Any]
) -> None:
    shared = [_copied(table.c[name], [value])[0].replace("%", "%%") for name, value in same.items()]
    pattern = "\t".join(["%s"] * len(each) + shared) + "\n"
    columns = [_copied(table.c[name], column) for name, column in each.items()]
    text = "".join(map(pattern.__mod__, zip(*columns, strict=True)))
    cursor: Any = connection.connection.cursor()
    command = f"COPY {table.name} ({', '.join([*each, *same])}) FROM STDIN"
    with driver_errors(connection), cursor.copy(command) as copy:
        copy.write(text.encode())


def _copied(column: sa.Column[Any], values: Sequence[Any]) -> Sequence[str]:
    """The values as COPY reads them."""
    if isinstance(column.type, sa.Integer):
        texts: Iterable[str] = map(str, values)
    else:
        # No text in a store has a NUL: the readers of all inputs refuse it, and Postgres could not keep it.
        joined = "\0".join(["" if value is None else value for value in _moments_as_text(column, values)])
        for character, escape in _ESCAPES:
            joined = joined.replace(character, escape)
        texts = joined.split("\0") if values else ()
    return [_NULL if value is None else text for value, text in zip(values, texts, strict=True)]


def _moments_as_text(column: sa.Column[Any], values: Sequence[Any]) -> Sequence[Any]:
    """The values of a column of moments as text, in UTC; those of others as they are."""
    if not isinstance(column.type, sa.TypeDecorator):
        return values
    texts: dict[datetime | None, str | None] = {value: text_of(value) for value in set(values) if value is not None}
    return [texts.get(value) for value in values]
