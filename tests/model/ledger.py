"""One store in memory that can be set to any content it ever had. Contents are numbers: equal content, equal number.

The store itself is real SQLite under the real statements. What a transaction is answered is told to `observe`.
"""

from __future__ import annotations

import re
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.pool import StaticPool

from sendctl.clock import Clock
from sendctl.errors import Unreachable
from sendctl.store.engine import Store
from sendctl.store.tables import metadata, text_of
from tests.model.numbered import Numbered
from tests.model.processes import in_one_go
from tests.store.ground import START

Pause = Callable[[str], str]
READERS_OF_THE_ID = frozenset({"_store_id", "_seen_passes", "_send"})
_WRITES = re.compile(r'\s*(?:INSERT(?: OR \w+)? INTO|UPDATE|DELETE FROM)\s+"?(\w+)', re.IGNORECASE)
TABLES = tuple(table.name for table in metadata.sorted_tables)
_NAMES = re.compile(rf"\b(?:{'|'.join(TABLES)})\b")
# Moments that are printed and never decide (docs/ARCHITECTURE.md: hosts' clocks are never compared). They stand still
# here, so that states which differ in nothing else are one state; NULL stays NULL.
_STILL = {
    "store": {"last_pass_at"}, "hosts": {"last_run_at"}, "runs": {"started_at", "heartbeat_at", "finished_at"},
    "attempts": {"finished_at"}, "messages": {"updated_at"}, "enrollments": {"updated_at"},
    "campaigns": {"updated_at"}, "provider_state": {"updated_at"}, "audit": {"at"},
}  # fmt: skip
_STOOD_AT = text_of(START)
_KEYS = {table.name: [column.name for column in table.primary_key] for table in metadata.sorted_tables}


class _Cursor(sqlite3.Cursor):
    """Tells what the statements of a transaction are answered, and which tables they write."""

    def execute(self, sql: str, *rest: Any) -> _Cursor:
        super().execute(sql, *rest)
        self.connection.told(sql, self.rowcount)
        return self

    def executemany(self, sql: str, *rest: Any) -> _Cursor:
        super().executemany(sql, *rest)
        self.connection.told(sql, self.rowcount)
        return self

    def fetchone(self) -> Any:
        return self.connection.heard(super().fetchone())

    def fetchmany(self, *size: Any) -> Any:
        return self.connection.heard(super().fetchmany(*size))

    def fetchall(self) -> Any:
        return self.connection.heard(super().fetchall())


class _Memory(sqlite3.Connection):
    observe: Callable[[object], None]
    written: set[str]
    touched: set[str]

    def cursor(self, factory: Any = _Cursor) -> Any:
        return super().cursor(factory)

    def told(self, sql: str, rowcount: int) -> None:
        names, written = _tables_in(sql)
        self.touched |= names
        if written:
            self.written.add(written)
            self.observe(rowcount)

    def heard(self, rows: Any) -> Any:
        self.observe(tuple(rows) if isinstance(rows, list) else rows)
        return rows


@cache
def _tables_in(sql: str) -> tuple[frozenset[str], str]:
    """The tables that a statement names, and the one that it writes."""
    found = _WRITES.match(sql)
    return frozenset(_NAMES.findall(sql)), found[1] if found else ""


class Ledger:
    """The database behind every process of the model, and all its contents so far."""

    def __init__(self, observe: Callable[[object], None]) -> None:
        self.raw = sqlite3.connect(
            ":memory:", factory=_Memory, isolation_level=None, check_same_thread=False, cached_statements=1024
        )
        self.raw.observe, self.raw.written, self.raw.touched = observe, set(TABLES), set()
        self._plain = sqlite3.Connection.cursor(self.raw, sqlite3.Cursor)
        self._plain.execute("PRAGMA foreign_keys = ON")
        self.engine = sa.create_engine("sqlite://", creator=lambda: self.raw, poolclass=StaticPool)
        self._contents, self._tables = Numbered(), Numbered()
        self._now: list[int] = [-1] * len(TABLES)  # the number of each table's content as it stands
        self._columns: dict[str, list[str]] = {}
        self._rows: dict[tuple[str, int], list[dict[str, Any]]] = {}

    def capture(self) -> int:
        """The number of what the database holds now."""
        for place, name in enumerate(TABLES):
            if name in self.raw.written:
                found = self._plain.execute(f"SELECT * FROM {name} ORDER BY rowid").fetchall()
                rows = tuple(sorted(map(self._stilled(name), found), key=self._key_of(name)))
                if list(rows) != found:
                    self._write({name: rows})
                self._now[place] = self._tables[rows]
        self.raw.written.clear()
        return self._contents[tuple(self._now)]

    def put(self, number: int) -> None:
        """Make the database hold a content it held before."""
        wanted = self._contents(number)
        moves = {
            TABLES[place]: self._tables(then)
            for place, (now, then) in enumerate(zip(self._now, wanted, strict=True)) if now != then
        }  # fmt: skip
        if moves:
            self._write(moves)
            self._now = list(wanted)

    def _write(self, tables: Mapping[str, Sequence[tuple[Any, ...]]]) -> None:
        """Rows always lie in the order of their keys: a query without an order must find them the same each time."""
        self._plain.execute("PRAGMA foreign_keys = OFF")
        self._plain.execute("BEGIN")
        for name, rows in tables.items():
            self._plain.execute(f"DELETE FROM {name}")
            marks = ", ".join("?" * len(self._columns_of(name)))
            for row in rows:
                self._plain.execute(f"INSERT INTO {name} VALUES ({marks})", row)
        self._plain.execute("COMMIT")
        self._plain.execute("PRAGMA foreign_keys = ON")

    def _stilled(self, name: str) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
        still = [column in _STILL.get(name, ()) for column in self._columns_of(name)]
        return lambda row: tuple(
            _STOOD_AT if stands and value is not None else value for stands, value in zip(still, row, strict=True)
        )

    def _key_of(self, name: str) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
        columns = self._columns_of(name)
        places = [columns.index(key) for key in _KEYS[name]]
        return lambda row: tuple(row[place] for place in places)

    def _columns_of(self, name: str) -> list[str]:
        if name not in self._columns:
            found = self._plain.execute(f"SELECT name FROM pragma_table_info('{name}')").fetchall()
            self._columns[name] = [row[0] for row in found]
        return self._columns[name]

    def parts(self, number: int) -> tuple[int, ...]:
        """A content as the numbers of its tables' contents, in the order of TABLES."""
        parts: tuple[int, ...] = self._contents(number)
        return parts

    def with_parts(self, number: int, changed: Sequence[tuple[int, int]]) -> int:
        """A content with some tables' contents exchanged."""
        parts = list(self.parts(number))
        for place, part in changed:
            parts[place] = part
        return self._contents[tuple(parts)]

    def rows(self, number: int, table: str) -> list[dict[str, Any]]:
        """One table of a content, by column names."""
        part = self.table(number, table)
        if (table, part) not in self._rows:
            columns = self._columns_of(table)
            self._rows[table, part] = [dict(zip(columns, row, strict=True)) for row in self._tables(part)]
        return self._rows[table, part]

    def table(self, number: int, table: str) -> int:
        """The number of one table's content."""
        return self.parts(number)[TABLES.index(table)]


class ModelStore(Store):
    """The real store on the ledger in memory; whoever is scheduled may be stopped before each transaction.

    With `timelines` it answers as Postgres does: its identity changes with a failover (meta.database_identity).
    """

    def __init__(self, ledger: Ledger, clock: Clock, pause: Pause, *, timelines: bool) -> None:
        super().__init__(ledger.engine, clock)
        self.sqlite = not timelines
        self._pause = pause

    @contextmanager
    def write(self, *, rebuilding: bool = False) -> Iterator[Connection]:
        """`rebuilding` needs a connection that is closed at the end: with this one the whole ledger would go."""
        unheard = self._pause(f"write: {_where()}") != "go"
        with in_one_go(), super().write() as connection:
            if not self.sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            connection.info["constant"] = False
            yield connection
        if unheard:
            raise Unreachable("the store cannot be used: the connection broke before the commit was confirmed")

    @contextmanager
    def read(self) -> Iterator[Connection]:
        # Readers of the store's id need not be stopped before: it never changes. They are held to it (seams.Watched).
        constant = sys._getframe(2).f_code.co_name in READERS_OF_THE_ID
        if not constant:
            self._pause(f"read: {_where()}")
        with in_one_go(), self.engine.connect() as connection, connection.begin():
            connection.exec_driver_sql("BEGIN")
            connection.info["constant"] = constant
            yield connection


def _where() -> str:
    """Which function of a pass opens this transaction, in words."""
    frame = sys._getframe(1)
    while frame.f_back and (
        "/sendctl/passes/" not in frame.f_code.co_filename or frame.f_code.co_name == "transaction"
    ):
        frame = frame.f_back
    return frame.f_code.co_name.strip("_").replace("_", " ")
