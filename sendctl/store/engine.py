"""Opening a store: SQLite or Postgres behind one `Store`, with durable settings that are read back, never assumed.

A write transaction on SQLite begins IMMEDIATE: SQLAlchemy's default lets two readers claim the same row.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from sendctl import stopping
from sendctl.clock import Clock, SystemClock
from sendctl.errors import BadConfig, Unreachable
from sendctl.store.problems import BUSY_TIMEOUT_S, CONNECT_TIMEOUT_S, explained, plain
from sendctl.store.sqlite_file import OpenedFile, check_ours, check_sqlite_file

STATEMENT_TIMEOUT_S = 300
# A server that vanished without a word: noticed after a minute, not after the two hours of the kernel's default.
_KEEPALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 60_000}

# A connection that cannot even be rolled back is thrown away, and what broke it is raised and said: the pool's own
# words would be a traceback on a cron job's stderr. Source: sqlalchemy/pool/base.py, _finalize_fairy.
logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)


class Store:
    """An open store. `sqlite` tells the dialect apart where statements must differ."""

    def __init__(self, engine: Engine, clock: Clock, file: OpenedFile | None = None) -> None:
        self.engine = engine
        self._file = file
        self.clock = clock
        self.sqlite = engine.dialect.name == "sqlite"

    @contextmanager
    def write(self, *, rebuilding: bool = False) -> Iterator[Connection]:
        """One durable write transaction: committed at the end, rolled back on any exception.

        `rebuilding` lets tables be made anew to which others refer; the caller looks at what they refer to.
        """
        stopping.check()
        with _translated(), self.engine.connect() as connection, connection.begin():
            if self.sqlite and rebuilding:
                connection.detach()  # it is closed at the end, and nobody else goes on without foreign keys
                connection.exec_driver_sql("PRAGMA foreign_keys = OFF")  # in a transaction it would do nothing
            if self.sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            self._check_file()
            yield connection
            self._check_file()  # nothing is committed to a file that nobody will see

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent view of the ledger; writes nothing."""
        stopping.check()
        with _translated(), self.engine.connect() as connection, connection.begin():
            connection.exec_driver_sql("BEGIN" if self.sqlite else "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            self._check_file()
            yield connection

    def _check_file(self) -> None:
        if self._file is not None:
            self._file.check()

    def now(self, connection: Connection) -> datetime:
        """The database's time: hosts' clocks are never compared. SQLite's is this host's."""
        if self.sqlite or not isinstance(self.clock, SystemClock):
            return self.clock.utc_now()
        value: datetime = connection.execute(sa.text("SELECT clock_timestamp()")).scalar_one()
        return value

    def close(self) -> None:
        """Give back connections."""
        self.engine.dispose()


@contextmanager
def _translated() -> Iterator[None]:
    """Turn driver errors that a person can act on into ours, without the statement and its parameters."""
    try:
        yield
    except DBAPIError as error:
        raise translate(error) from error


def translate(error: DBAPIError) -> Exception:
    """The sendctl error for a driver error, or the error itself where it is a defect of ours."""
    if isinstance(error, IntegrityError):
        return error  # a race that the caller knows of; its words name people
    known = explained(str(error.orig), getattr(error.orig, "sqlstate", None) or "")
    if known is not None:
        return known
    if isinstance(error, OperationalError) or error.connection_invalidated:
        text = plain(str(error.orig))
        return Unreachable(f"the store cannot be used: {text}", hint="check that it is up and [store] url is right.")
    return error


def open_store(url: str, clock: Clock | None = None, *, create: bool = False) -> Store:
    """Open the store at a SQLAlchemy URL. `create` allows a SQLite file that does not exist yet.

    Raises BadConfig for what can never work (network file system, no driver), Unreachable for what may later.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        database = parsed.database or ""
        check_sqlite_file(Path(database), create=create)
        file = OpenedFile.at(Path(database))  # before SQLite opens it: what takes its place meanwhile is noticed
        return Store(_sqlite_engine(database), clock or SystemClock(), file)
    return Store(_postgres_engine(url), clock or SystemClock())


def _sqlite_engine(database: str) -> Engine:
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=database),
        hide_parameters=True,  # people's data does not belong into a traceback
        connect_args={"timeout": BUSY_TIMEOUT_S, "isolation_level": None, "check_same_thread": False},
    )
    sa.event.listen(engine, "connect", partial(_prepare_sqlite, path=database))
    return engine


def _prepare_sqlite(connection: Any, _record: object, *, path: str) -> None:
    """Durable means durable: WAL with synchronous=FULL, read back (WAL + NORMAL makes no fsync per commit)."""
    check_ours(connection, path)
    cursor = connection.cursor()
    mode = cursor.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    synchronous = cursor.execute("PRAGMA synchronous").fetchone()[0]
    cursor.close()
    if mode != "wal" or synchronous != 2:
        raise BadConfig(f"SQLite refused a durable mode (journal_mode={mode}, synchronous={synchronous})")


def _postgres_engine(url: str) -> Engine:
    try:
        engine = sa.create_engine(
            url,
            hide_parameters=True,
            pool_pre_ping=True,
            connect_args={
                # Behind a transaction-pooling pgbouncer a prepared statement may land on another server session.
                "prepare_threshold": None,
                # People's names: whatever this process's environment or the role says.
                "client_encoding": "utf8",
                **_unless_given(url, connect_timeout=CONNECT_TIMEOUT_S, application_name="sendctl", **_KEEPALIVE),
            },
        )
    except ModuleNotFoundError as error:
        raise BadConfig("the Postgres driver is not installed", hint="install `sendctl[postgres]`.") from error
    # First of all: SQLAlchemy's own first questions cannot read the answers of an SQL_ASCII database.
    sa.event.listen(engine, "connect", _check_encoding, insert=True)
    sa.event.listen(engine, "begin", _prepare_postgres)
    return engine


def _unless_given(url: str, **defaults: object) -> dict[str, object]:
    """Connection options that the URL does not set itself."""
    given = make_url(url).query
    return {name: value for name, value in defaults.items() if name not in given}


def _check_encoding(connection: Any, _record: object) -> None:
    """Anything but UTF8 cannot hold everybody's name. The server says it with the connection: no question is asked."""
    encoding = connection.info.parameter_status("server_encoding")
    if encoding not in (None, "UTF8"):
        raise BadConfig(
            f"the database {connection.info.dbname} has the encoding {encoding}, which cannot hold everybody's name",
            hint="make one that can: CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0, and name it in"
            " [store] url.",
        )


def _prepare_postgres(connection: Connection) -> None:
    """Per transaction, so that it also holds behind pgbouncer: durable commits, bounded waits."""
    connection.exec_driver_sql(
        f"SET LOCAL synchronous_commit = on; SET LOCAL lock_timeout = {round(BUSY_TIMEOUT_S * 1000)}; "
        f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT_S}s'; SET LOCAL TimeZone = 'UTC'"
    )
