"""Creating and upgrading the schema: schema.sql for a new store, numbered files for an old one.

`schema.sql` is always the newest form; a migration `NNNN_name.sql` brings a store from NNNN-1 to NNNN, and a test
holds both ways equal.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.errors import BadConfig, SchemaMismatch
from sendctl.identity import new_id, new_secret
from sendctl.store.dialect import driver_errors
from sendctl.store.engine import Store
from sendctl.store.problems import being_put_back
from sendctl.store.tables import campaigns, contacts, hosts, id_blocks, messages, metadata, runs, store
from sendctl.store.versions import HERE, MIGRATIONS, newest_version, numbered

UNDEFINED_COLUMN = "42703"  # PostgreSQL documentation, appendix A: "undefined_column"
ID_KINDS = ("campaigns", "contacts", "enrollments", "messages", "events", "audit")


def version_of(connection: Connection) -> int | None:
    """The store's schema version; None when it has no schema.

    Raises BadConfig where another program has its place, Unreachable while a restore has not put its row back.
    """
    if not sa.inspect(connection).has_table("store"):
        return None
    try:
        version: int | None = connection.execute(sa.select(store.c.schema_version)).scalar_one_or_none()
    except sa.exc.ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) != UNDEFINED_COLUMN:
            raise
        raise BadConfig(
            "the database has a table `store` of another program",
            hint="give sendctl a database of its own in [store] url; this one was left as it is.",
        ) from error
    if version is None:
        raise being_put_back("the table store is empty")
    return version


def migrate(opened: Store, *, place: str, folder: Path = MIGRATIONS) -> tuple[int | None, int]:
    """Create or upgrade, in one transaction; returns the version before (None: new) and after.

    Raises SchemaMismatch when the store is newer than this program.
    """
    wanted = newest_version(folder)
    with opened.write(rebuilding=True) as connection:
        if not opened.sqlite:
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('sendctl migrate'))")
        found = None if _is_blank(connection) else version_of(connection)
        if found is None and sa.inspect(connection).has_table("store"):
            _first_rows(connection, opened, wanted, place)  # somebody loaded schema.sql by hand
        elif found is None:
            _run_script(connection, (HERE / "schema.sql").read_text())
            _first_rows(connection, opened, wanted, place)
        elif found > wanted:
            raise SchemaMismatch(
                f"the store has schema version {found}, newer than this program's {wanted}: upgrade sendctl here"
            )
        else:
            for number, path in numbered(connection.dialect.name, folder).items():
                if number > found:
                    _run_script(connection, path.read_text())
                    _check_references(connection)
            connection.execute(sa.update(store).values(schema_version=wanted))
        return found, wanted


def _is_blank(connection: Connection) -> bool:
    """Whether all our tables are there, as schema.sql makes them, and nothing is in any of them."""
    if not metadata.tables.keys() <= set(sa.inspect(connection).get_table_names()):
        return False
    with driver_errors(connection):
        return not any(
            connection.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first()
            for table in (store, campaigns, contacts, messages, runs, hosts)
        )


def _run_script(connection: Connection, script: str) -> None:
    """Run SQL statements inside the caller's transaction. sqlite3's executescript would commit it first."""
    if connection.dialect.name != "sqlite":
        with driver_errors(connection):
            connection.connection.cursor().execute(script)
        return
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            connection.exec_driver_sql(statement)
            statement = ""
    if statement.strip():  # the last one need not end in a semicolon
        connection.exec_driver_sql(statement)


def _check_references(connection: Connection) -> None:
    """SQLite does not look at foreign keys while tables are made anew: nothing is committed that breaks one."""
    if connection.dialect.name == "sqlite":
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
        if broken is not None:
            raise AssertionError(f"after the migration a row of {broken[0]} refers to nothing in {broken[2]}")


def _first_rows(connection: Connection, opened: Store, version: int, place: str) -> None:
    connection.execute(
        sa.insert(store).values(
            id=1, store_id=new_id(), secret=new_secret(), schema_version=version, epoch=new_id(), passes=0,
            bound_to=place if opened.sqlite else None, created_at=opened.now(connection),
        )
    )  # fmt: skip
    connection.execute(sa.insert(id_blocks), [{"kind": kind, "next_id": 1} for kind in ID_KINDS])
