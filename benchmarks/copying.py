"""Multiplies the rows of a store by SQL: each person, enrollment, message and attempt becomes many.

    BENCH_STORE=URL python -m benchmarks.copying COPIES

A program of its own, so that the memory SQLite takes for it is not that of the benchmark. Written against the tables
that schema.sql documents; columns it does not know are copied as they are.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing

import psycopg

TABLES = ("contacts", "enrollments", "messages", "attempts")
_IDS = frozenset({"id", "contact_id", "enrollment_id", "message_id"})
_ADDRESSES = frozenset({"address_key", "email", "recipient", "recipient_key"})
_RANDOM = frozenset({"token", "provider_key"})
_SQLITE_NUMBERS = "WITH RECURSIVE numbers (k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM numbers WHERE k < :copies)"
_POSTGRES_NUMBERS = "WITH numbers AS (SELECT generate_series(1, %(copies)s) AS k)"
_SQLITE_RANDOM = "lower(hex(randomblob(16)))"
_POSTGRES_RANDOM = "md5(random()::text || clock_timestamp()::text)"
_STRIDE = "SELECT 1 + max(next_id) FROM id_blocks"  # ids of copies move by it, so that references fit


def multiply(url: str, copies: int) -> None:
    """Add so many copies of all there is, under ids and addresses of their own."""
    if url.startswith("sqlite:///"):
        _multiply_sqlite(url.removeprefix("sqlite:///"), copies)
    else:
        _multiply_postgres(url, copies)


def _multiply_sqlite(path: str, copies: int) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -400000")
        stride = connection.execute(_STRIDE).fetchone()[0]
        connection.execute("BEGIN")
        for table in TABLES if copies else ():
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            statement = _copies(table, columns, _SQLITE_NUMBERS, _SQLITE_RANDOM, stride)
            connection.execute(statement, {"copies": copies})
        connection.execute("UPDATE id_blocks SET next_id = ?", (stride * (copies + 2),))
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _multiply_postgres(url: str, copies: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        # The copies' references are right by construction; checking each would take most of the time.
        connection.execute("SET session_replication_role = replica")
        (stride,) = connection.execute(_STRIDE).fetchall()[0]
        for table in TABLES if copies else ():
            columns = [
                row[0] for row in connection.execute(
                    "SELECT column_name FROM information_schema.columns "
                    "WHERE table_schema = current_schema() AND table_name = %s ORDER BY ordinal_position", [table],
                )
            ]  # fmt: skip
            statement = _copies(table, columns, _POSTGRES_NUMBERS, _POSTGRES_RANDOM, stride)
            connection.execute(statement.encode(), {"copies": copies})
        connection.execute("UPDATE id_blocks SET next_id = %s", [stride * (copies + 2)])
        connection.execute("VACUUM (ANALYZE)")  # as autovacuum will have done in a store that grew over time


def _copies(table: str, columns: Sequence[str], numbers: str, random: str, stride: int) -> str:
    """INSERT of one copy of each first row for each number."""
    values = ", ".join(_value(column, random, stride) for column in columns)
    key = "message_id" if table == "attempts" else "id"
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) {numbers} "  # noqa: S608  names from the schema
        f"SELECT {values} FROM numbers, {table} t WHERE t.{key} < {stride}"
    )


def _value(column: str, random: str, stride: int) -> str:
    if column in _IDS:
        return f"t.{column} + numbers.k * {stride}"
    if column in _ADDRESSES:
        return f"'copy' || numbers.k || '.' || t.{column}"
    return random if column in _RANDOM else f"t.{column}"


if __name__ == "__main__":
    multiply(os.environ["BENCH_STORE"], int(sys.argv[1]))
