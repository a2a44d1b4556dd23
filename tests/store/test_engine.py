"""Opening a store: durable means durable, private means private, and each trouble has its own clear error."""

from __future__ import annotations

import os
import socket
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from sendctl.errors import BadConfig, SendctlError, StoppedEarly, Unreachable
from sendctl.store import engine, migrate, sqlite_file
from sendctl.store.engine import open_store
from tests.store.ground import Ground

_TCP_OPTIONS = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)


def test_every_write_on_sqlite_is_synced_and_foreign_keys_hold(sqlite_ground: Ground) -> None:
    with sqlite_ground.store.write() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
def test_every_write_on_postgres_waits_for_the_disk_and_for_no_lock_for_ever(ground: Ground) -> None:
    names = ("synchronous_commit", "lock_timeout", "statement_timeout", "TimeZone")
    with ground.store.write() as connection:
        found = [connection.exec_driver_sql(f"SHOW {name}").scalar_one() for name in names]
    assert found == ["on", "30s", "5min", "UTC"]


@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
def test_a_server_that_vanished_is_noticed_within_a_minute(ground: Ground) -> None:
    """A machine that lost its power says nothing: without this a pass would wait for hours."""
    with ground.store.read() as connection:
        driver: Any = connection.connection.driver_connection
        with socket.socket(fileno=os.dup(driver.fileno())) as wire:
            found = [wire.getsockopt(socket.IPPROTO_TCP, option) for option in _TCP_OPTIONS]
            assert wire.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert found == [30, 10, 3, 60_000]


@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
@pytest.mark.parametrize("whose", ["DATABASE", "ROLE"])
def test_a_commit_waits_for_the_disk_whatever_the_servers_default_is(ground: Ground, whose: str) -> None:
    name = ground.one("SELECT current_database()")
    owner = f"ROLE CURRENT_USER IN DATABASE {name}" if whose == "ROLE" else f"DATABASE {name}"
    ground.change(f"ALTER {owner} SET synchronous_commit = off")
    ground.close()  # sessions have the default that held when they began
    query = "SELECT reset_val, setting FROM pg_settings WHERE name = 'synchronous_commit'"
    with ground.store.write() as connection:
        assert connection.exec_driver_sql(query).one() == ("off", "on")


def test_files_are_the_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = open_store(f"sqlite:///{tmp_path / 'store.db'}", create=True)
        migrate.migrate(store, place="here")
        with store.write() as connection:
            connection.exec_driver_sql("UPDATE store SET last_pass_host = 'x'")
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert set(modes) == {"store.db", "store.db-wal", "store.db-shm"}
    assert set(modes.values()) == {0o600}
    store.close()


def test_a_file_that_others_may_read_is_closed_to_them(sqlite_ground: Ground) -> None:
    path = sqlite_ground.folder / "store.db"
    path.chmod(0o644)
    sqlite_ground.close()
    sqlite_ground.one("SELECT 1")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_can_never_be_a_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.db").mkdir()
    (tmp_path / "link.db").symlink_to(tmp_path / "real.db")
    cases: list[tuple[str, type[SendctlError], str]] = [
        ("missing.db", BadConfig, "there is no store at"),
        ("nowhere/store.db", Unreachable, "folder .* does not exist"),
        ("folder.db", BadConfig, "not a regular file"),
        ("link.db", BadConfig, "symbolic link"),
    ]
    for name, error, problem in cases:
        with pytest.raises(error, match=problem):
            open_store(f"sqlite:///{tmp_path / name}")
    assert not (tmp_path / "missing.db").exists()


@pytest.mark.parametrize("mode", [0o600, 0o640])
@pytest.mark.parametrize("table", ["orders", "store"])
def test_another_programs_database_is_refused_and_left_as_it_is(tmp_path: Path, table: str, mode: int) -> None:
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"CREATE TABLE {table} (name TEXT)")
    path.chmod(mode)
    before = path.read_bytes()
    with pytest.raises(BadConfig, match=f"a database of something else: it has the tables {table}"):
        migrate.migrate(open_store(f"sqlite:///{path}", create=True), place="here")
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (before, mode)
    assert [file.name for file in tmp_path.iterdir()] == ["shop.db"]


@pytest.mark.parametrize(
    ("flags", "problem"), [(os.ST_RDONLY, "mounted read-only"), (0, "store.db cannot be written by this user")]
)
def test_a_store_that_cannot_be_written_says_why(
    sqlite_ground: Ground, monkeypatch: pytest.MonkeyPatch, flags: int, problem: str
) -> None:
    sqlite_ground.close()
    status = [*os.statvfs(sqlite_ground.folder), 0]
    status[8] = flags
    monkeypatch.setattr(os, "access", lambda _path, mode: mode != os.W_OK)
    monkeypatch.setattr(os, "statvfs", lambda _path: os.statvfs_result(status))
    with pytest.raises(Unreachable, match=problem):
        open_store(sqlite_ground.url)


def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = sqlite_file.file_system(tmp_path)
    assert kind
    monkeypatch.setattr(sqlite_file, "NETWORK_FILE_SYSTEMS", frozenset({kind}))
    with pytest.raises(BadConfig, match=r"network file system \("):
        open_store(f"sqlite:///{tmp_path / 'store.db'}", create=True)
    assert not list(tmp_path.iterdir())


def test_a_busy_sqlite_store_asks_to_run_again(sqlite_ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    sqlite_ground.close()
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_S", 0.05)
    with closing(sqlite3.connect(sqlite_ground.folder / "store.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoppedEarly, match="kept the store busy"):
            sqlite_ground.change("UPDATE store SET last_pass_host = 'x'")


def test_a_server_that_is_not_there_is_unreachable() -> None:
    store = open_store("postgresql+psycopg://nobody:secret@127.0.0.1:1/none")
    with pytest.raises(Unreachable) as caught, store.read():
        pass
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
def test_a_connection_that_the_server_ends_is_unreachable_and_the_next_one_works(ground: Ground) -> None:
    end = sa.text("SELECT pg_terminate_backend(pg_backend_pid())")
    with pytest.raises(Unreachable), ground.store.write() as connection:
        connection.execute(end)
    assert ground.one("SELECT 1") == 1


@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
def test_a_connection_that_cannot_even_be_rolled_back_is_one_error_without_a_traceback(
    ground: Ground, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Unreachable), ground.store.write() as connection:
        _ask_twice(connection)
    assert not caplog.records


def _ask_twice(connection: sa.Connection) -> None:
    """As after a crash of the server: the first answer is never read."""
    driver: Any = connection.connection.dbapi_connection
    driver.pgconn.send_query(b"SELECT 1")
    connection.execute(sa.text("SELECT 2"))


def test_an_error_undoes_the_whole_transaction(ground: Ground) -> None:
    ground.enqueue(2)
    before = ground.dump()

    def half_done() -> None:
        with ground.store.write() as connection:
            connection.execute(sa.text("UPDATE enrollments SET status = 'cancelled'"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half_done()
    assert ground.dump() == before


def test_a_reader_sees_one_moment_while_others_write(ground: Ground) -> None:
    ground.enqueue(1)
    other = Ground(ground.folder, ground.url, ground.clock, ground.journal, ground.send)
    count = sa.text("SELECT count(*) FROM messages")
    with ground.store.read() as connection:
        assert connection.execute(count).scalar_one() == 1
        other.enqueue(3)
        assert connection.execute(count).scalar_one() == 1
    assert ground.one("SELECT count(*) FROM messages") == 3
    other.close()


def test_personal_data_stays_out_of_error_messages(sqlite_ground: Ground) -> None:
    with pytest.raises(sa.exc.IntegrityError) as caught:
        sqlite_ground.change("INSERT INTO suppressions VALUES (:key, NULL, NULL)", key="ana@secret.example")
    assert "ana@secret.example" not in str(caught.value)
