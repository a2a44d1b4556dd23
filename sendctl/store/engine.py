"""Opening a store: SQLite or Postgres behind one `Store`, with durable settings that are read back, never assumed.

A write transaction on SQLite begins IMMEDIATE: SQLAlchemy's default lets two readers claim the same row.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import DBAPIError, OperationalError

from sendctl.clock import Clock, SystemClock
from sendctl.errors import BadConfig, SendctlError, StoppedEarly, Unreachable

BUSY_TIMEOUT_S = 60.0
STATEMENT_TIMEOUT_S = 300
# File systems on which SQLite's locks or shared memory do not hold. Source: https://sqlite.org/wal.html.
NETWORK_FILE_SYSTEMS = frozenset(
    [
        "nfs",
        "nfs4",
        "cifs",
        "smb",
        "smb2",
        "smb3",
        "smbfs",
        "afs",
        "ceph",
        "glusterfs",
        "9p",
        "fuse.sshfs",
        "fuse.s3fs",
        "fuse.rclone",
        "fuse.glusterfs",
    ]
)


class Store:
    """An open store. `sqlite` tells the dialect apart where statements must differ."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self.engine = engine
        self.clock = clock
        self.sqlite = engine.dialect.name == "sqlite"

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One durable write transaction: committed at the end, rolled back on any exception."""
        with _translated(), self.engine.connect() as connection, connection.begin():
            if self.sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent view of the ledger; writes nothing."""
        with _translated(), self.engine.connect() as connection, connection.begin():
            connection.exec_driver_sql("BEGIN" if self.sqlite else "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            yield connection

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


# What drivers say, in the words to look for, and what a person is told: (words, error, problem, hint).
_KNOWN_PROBLEMS: tuple[tuple[tuple[str, ...], type[SendctlError], str, str], ...] = (
    (("database is locked", "lock timeout"), StoppedEarly, "another command kept the store busy for a minute",
     "run the command again."),
    (("deadlock detected", "could not serialize", "statement timeout"), StoppedEarly, "the store was too busy",
     "run the command again."),
    (("disk is full", "No space left", "could not extend file"), Unreachable, "the store cannot grow",
     "free disk space; nothing was half-written. Then run the command again."),
    (("disk I/O error",), Unreachable, "the store's disk does not take what is written",
     "free disk space, or look for a failing disk: dmesg. Nothing was half-written."),
    (("readonly database", "read-only transaction", "read-only"), Unreachable, "the store is read-only",
     "check the owner and mode of the file and its folder, or the server's role."),
    (("malformed", "not a database"), Unreachable, "the store's file is damaged",
     "restore a backup: docs/runbooks/restored-backup.md."),
)  # fmt: skip


def translate(error: DBAPIError) -> Exception:
    """The sendctl error for a driver error, or the error itself where it is a defect of ours."""
    text = " ".join(str(error.orig).split())
    for words, kind, problem, hint in _KNOWN_PROBLEMS:
        if any(word in text for word in words):
            return kind(f"{problem}: {text}", hint=hint)
    if isinstance(error, OperationalError) or error.connection_invalidated:
        return Unreachable(f"the store cannot be used: {text}", hint="check that it is up and [store] url is right.")
    return error


def open_store(url: str, clock: Clock | None = None, *, create: bool = False) -> Store:
    """Open the store at a SQLAlchemy URL. `create` allows a SQLite file that does not exist yet.

    Raises BadConfig for what can never work (network file system, no driver), Unreachable for what may later.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return Store(_sqlite_engine(parsed.database or "", create=create), clock or SystemClock())
    return Store(_postgres_engine(url), clock or SystemClock())


def _sqlite_engine(database: str, *, create: bool) -> Engine:
    path = Path(database)
    _check_sqlite_file(path, create=create)
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=database),
        hide_parameters=True,  # people's data does not belong into a traceback
        connect_args={"timeout": BUSY_TIMEOUT_S, "isolation_level": None, "check_same_thread": False},
    )
    sa.event.listen(engine, "connect", partial(_prepare_sqlite, path=database))
    return engine


def _prepare_sqlite(connection: Any, _record: object, *, path: str) -> None:
    """Durable means durable: WAL with synchronous=FULL, read back (WAL + NORMAL makes no fsync per commit)."""
    _check_ours(connection, path)
    cursor = connection.cursor()
    mode = cursor.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    synchronous = cursor.execute("PRAGMA synchronous").fetchone()[0]
    cursor.close()
    if mode != "wal" or synchronous != 2:
        raise BadConfig(f"SQLite refused a durable mode (journal_mode={mode}, synchronous={synchronous})")


def _check_sqlite_file(path: Path, *, create: bool) -> None:
    if path.is_symlink():
        raise BadConfig(f"the store {path} is a symbolic link", hint="name the file itself in [store] url.")
    if not path.parent.is_dir():
        raise Unreachable(f"the store's folder {path.parent} does not exist", hint="create it, or mend [store] url.")
    kind = _file_system(path.parent)
    if kind in NETWORK_FILE_SYSTEMS:
        raise BadConfig(
            f"the store {path} lies on a network file system ({kind}), where SQLite's locks do not hold",
            hint="put it on a local disk, or use Postgres.",
        )
    if path.exists():
        _check_mode(path)
        _check_writable(path)
        return
    if not create:
        raise BadConfig(f"there is no store at {path}", hint="run `sendctl migrate` to create it.")
    try:
        # 0600 whatever the umask; the -wal and -shm files take the mode of this one.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW, 0o600))
    except OSError as error:
        raise Unreachable(f"the store {path} cannot be created: {error.strerror}") from error


def _check_ours(connection: sqlite3.Connection, path: str) -> None:
    """Another program's database is refused before anything of it is changed."""
    found = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
    if found and "schema_version" not in found.get("store", ""):
        names = ", ".join(sorted(found)[:3]) + (", ..." if len(found) > 3 else "")
        raise BadConfig(
            f"{path} is a database of something else: it has the tables {names}",
            hint="give sendctl a file of its own in [store] url; it was left as it is.",
        )


def _check_mode(path: Path) -> None:
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        raise BadConfig(f"the store {path} is not a regular file")
    if not os.access(path, os.R_OK):
        raise Unreachable(f"the store {path} cannot be read by this user", hint="run as the user that owns it.")
    if mode & 0o077 and path.stat().st_uid == os.geteuid():
        with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as found:
            _check_ours(found, str(path))
        path.chmod(0o600)


def _check_writable(path: Path) -> None:
    """Readers write as well: their locks are in shared memory beside the file. Source: https://sqlite.org/wal.html."""
    shared_memory = path.with_name(f"{path.name}-shm")
    for place in [path] if shared_memory.exists() else [path, path.parent]:
        if os.access(place, os.W_OK):
            continue
        if os.statvfs(place).f_flag & os.ST_RDONLY:
            raise Unreachable(
                f"the store {path} is on a file system that is mounted read-only",
                hint="mount it writable; after an error of the disk the kernel makes it read-only: dmesg.",
            )
        raise Unreachable(f"{place} cannot be written by this user", hint="run as the user that owns the store.")


def _file_system(folder: Path) -> str:
    """The type of the file system that holds `folder`, from the kernel's mount table; "" where there is none."""
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return ""
    target, best, kind = str(folder.resolve()), -1, ""
    for line in lines:
        fields, _, tail = line.partition(" - ")
        point = fields.split()[4].encode().decode("unicode_escape")
        inside = target == point or target.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= best:
            best, kind = len(point), tail.split()[0]
    return kind


def _postgres_engine(url: str) -> Engine:
    try:
        engine = sa.create_engine(
            url,
            hide_parameters=True,
            pool_pre_ping=True,
            # Behind a transaction-pooling pgbouncer a prepared statement may land on another server session.
            connect_args={"connect_timeout": 15, "prepare_threshold": None, "application_name": "sendctl"},
        )
    except ModuleNotFoundError as error:
        raise BadConfig("the Postgres driver is not installed", hint="install `sendctl[postgres]`.") from error
    sa.event.listen(engine, "begin", _prepare_postgres)
    return engine


def _prepare_postgres(connection: Connection) -> None:
    """Per transaction, so that it also holds behind pgbouncer: durable commits, bounded waits."""
    connection.exec_driver_sql(
        f"SET LOCAL synchronous_commit = on; SET LOCAL lock_timeout = '{BUSY_TIMEOUT_S:.0f}s'; "
        f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT_S}s'; SET LOCAL TimeZone = 'UTC'"
    )
