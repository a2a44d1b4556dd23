"""Backups of a store as operators make them: a file copied through SQLite, tables copied in one view of Postgres."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
from psycopg import sql


def take_copy(store_url: str, folder: Path, *, live: bool = False) -> Callable[[], None]:
    """Copy a store as a backup does; the answer puts the copy back, `live` where processes have it open."""
    return _copy_file(store_url, folder, live) if store_url.startswith("sqlite") else _copy_tables(store_url)


def _copy_file(store_url: str, folder: Path, live: bool) -> Callable[[], None]:
    store, copy = Path(store_url.removeprefix("sqlite:///")), folder / "backup.db"
    with closing(sqlite3.connect(store)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)

    def put_back() -> None:
        if live:
            with closing(sqlite3.connect(copy)) as source, closing(sqlite3.connect(store)) as target:
                source.backup(target)
            return
        for leftover in (f"{store}-wal", f"{store}-shm"):
            Path(leftover).unlink(missing_ok=True)
        store.write_bytes(copy.read_bytes())

    return put_back


def _copy_tables(store_url: str) -> Callable[[], None]:
    """What a dump, restored into the same database, does."""
    with psycopg.connect(store_url) as connection:
        # One view of all tables, as pg_dump takes it: passes go on meanwhile.
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        names = [sql.Identifier(row[0]) for row in rows]
        connection.execute("DROP SCHEMA IF EXISTS backup CASCADE")
        connection.execute("CREATE SCHEMA backup")
        for name in names:
            connection.execute(sql.SQL("CREATE TABLE backup.{} AS TABLE public.{}").format(name, name))

    def put_back() -> None:
        with psycopg.connect(store_url) as connection:
            connection.execute("SET session_replication_role = replica")  # no order among the tables
            connection.execute(sql.SQL("TRUNCATE {}").format(sql.SQL(", ").join(names)))
            for name in names:
                connection.execute(sql.SQL("INSERT INTO public.{} SELECT * FROM backup.{}").format(name, name))

    return put_back
