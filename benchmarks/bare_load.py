"""What loading costs at least: the rows of an enqueued store, written by the bare driver into an empty one like it.

    BENCH_SOURCE=URL BENCH_TARGET=URL python -m benchmarks.bare_load

The target has its schema already, so tables, indexes and constraints are the same. One transaction; sqlite3's
executemany or psycopg's COPY. Only the writing is timed, not the reading of the source.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql

TABLES = ("campaigns", "contacts", "enrollments", "messages")  # in the order of their references
CHUNK_ROWS = 10_000


@dataclass
class Timer:
    """Wall and CPU seconds of this process, inside `with timer.running()` only."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    rows: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def running(self) -> Iterator[None]:
        wall_s, cpu_s = time.monotonic(), time.process_time()
        yield
        self.wall_s += time.monotonic() - wall_s
        self.cpu_s += time.process_time() - cpu_s


Write = Callable[[str, Sequence[str], list[Any]], None]


def load_sqlite(source: str, target: str, timer: Timer) -> None:
    """As durable as sendctl's own connection: WAL, synchronous=FULL, foreign keys checked."""
    with closing(sqlite3.connect(source)) as reading, closing(sqlite3.connect(target, isolation_level=None)) as writing:
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            writing.execute(f"PRAGMA {pragma}")
        with timer.running():
            writing.execute("BEGIN IMMEDIATE")

        def write(table: str, columns: Sequence[str], rows: list[Any]) -> None:
            marks = ", ".join("?" * len(columns))
            writing.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)  # noqa: S608

        for table in TABLES:
            cursor = reading.execute(f"SELECT * FROM {table}")  # noqa: S608  a constant
            _copy(table, cursor, write, timer)
        with timer.running():
            writing.execute("COMMIT")


def load_postgres(source: str, target: str, timer: Timer) -> None:
    """One COPY for each chunk, so that the server has done its part before the next is read."""
    with psycopg.connect(source) as reading, psycopg.connect(target) as writing:

        def write(table: str, columns: Sequence[str], rows: list[Any]) -> None:
            names = sql.SQL(", ").join(sql.Identifier(name) for name in columns)
            command = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), names)
            with writing.cursor().copy(command) as copy:
                for row in rows:
                    copy.write_row(row)

        for table in TABLES:
            with reading.cursor(name="rows") as cursor:
                cursor.itersize = CHUNK_ROWS
                cursor.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table)))
                _copy(table, cursor, write, timer)
        with timer.running():
            writing.commit()


def _copy(table: str, cursor: Any, write: Write, timer: Timer) -> None:
    columns = [column[0] for column in cursor.description]
    timer.rows[table] = 0
    while rows := cursor.fetchmany(CHUNK_ROWS):
        with timer.running():
            write(table, columns, rows)
        timer.rows[table] += len(rows)


def main() -> None:
    source, target = os.environ["BENCH_SOURCE"], os.environ["BENCH_TARGET"]  # arguments would show passwords
    timer = Timer()
    if source.startswith("sqlite:///"):
        load_sqlite(source.removeprefix("sqlite:///"), target.removeprefix("sqlite:///"), timer)
    else:
        load_postgres(source, target, timer)
    print(json.dumps({"wall_s": timer.wall_s, "cpu_s": timer.cpu_s, "rows": timer.rows}))


if __name__ == "__main__":
    main()
