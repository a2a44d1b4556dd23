"""Migrations: a new store and an upgraded one are the same, a newer one is refused, a failing one changes nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import sqlalchemy as sa

from sendctl.errors import SchemaMismatch, SchemaMissing, Unreachable
from sendctl.settings.store_url import normalise
from sendctl.store import meta, migrate
from sendctl.store.engine import Store, open_store
from sendctl.store.versions import newest_version
from tests.store.ground import Ground, OwnedClock, dump

HERE = Path(__file__).parent
BASELINE = (HERE / "baseline_v1.sql").read_text()
NOW = "'2026-03-02 09:00:00.000000+00:00'"
# One message that was sent, with all that refers to it, as version 1 wrote it.
ROWS = f"""
INSERT INTO campaigns VALUES (1, 'sale', 'running', 1, '{{}}', {NOW}, {NOW});
INSERT INTO contacts (id, address_key, email, attributes, created_at, updated_at)
VALUES (3, 'ana@x.example', 'ana@x.example', '{{}}', {NOW}, {NOW});
INSERT INTO enrollments (id, campaign_id, contact_id, subject_key, status, current_step_index, current_occurrence,
                         token, snapshot, created_at, updated_at)
VALUES (5, 1, 3, '', 'completed', 0, 0, 'abc', '{{}}', {NOW}, {NOW});
INSERT INTO messages (id, campaign_id, enrollment_id, step_index, occurrence, channel, recipient, recipient_key,
                      provider_key, status, due_at, next_attempt_at, attempts, charged_attempts, sent_at, transient,
                      created_at, updated_at)
VALUES (7, 1, 5, 0, 0, 'email', 'ana@x.example', 'ana@x.example', 'k', 'sent', {NOW}, {NOW}, 1, 1, {NOW}, 0, {NOW},
        {NOW});
INSERT INTO attempts (message_id, number, run_id, worker, claim_id, provider, outcome, started_at, finished_at)
VALUES (7, 1, 'r', 0, 'c', 'primary', 'accepted', {NOW}, {NOW});
INSERT INTO events VALUES (9, 'id::e', 1, 5, 7, 'delivered', 1, {NOW}, {NOW}, '{{}}');
"""
UNCHANGED = ("campaigns", "contacts", "enrollments", "events")


@pytest.fixture
def store(store_url: str, tmp_path: Path) -> Store:
    return open_store(normalise(store_url, tmp_path), OwnedClock(), create=True)


@pytest.fixture
def postgres_template() -> str:
    """Nothing is migrated beforehand."""
    return "template1"


def test_a_schema_that_somebody_loaded_by_hand_becomes_a_store(store: Store) -> None:
    with store.write() as connection:
        migrate._run_script(connection, (migrate.HERE / "schema.sql").read_text())
    with store.read() as connection, pytest.raises(Unreachable, match="the table store is empty") as caught:
        migrate.version_of(connection)
    assert "If schema.sql was loaded by hand, `sendctl migrate` makes a store of it" in caught.value.hint
    newest = newest_version()
    assert migrate.migrate(store, place="here") == (None, newest)
    assert migrate.migrate(store, place="here") == (newest, newest)


def test_a_store_whose_row_a_restore_has_yet_to_bring_is_left_alone(store: Store) -> None:
    migrate.migrate(store, place="here")
    with store.write() as connection:
        connection.execute(sa.text("INSERT INTO hosts VALUES ('h', 'host', 'e', '2026-03-02 09:00:00.000000', NULL)"))
        connection.execute(sa.text("DELETE FROM store"))
    with pytest.raises(Unreachable, match="being put back"):
        migrate.migrate(store, place="here")


def made_by(store: Store, script: str) -> dict[str, object]:
    """What a schema consists of after a script, which is undone: tables, columns, keys, indexes, views."""
    with store.engine.connect() as connection, connection.begin() as transaction:
        if store.sqlite:
            connection.exec_driver_sql("BEGIN")
        migrate._run_script(connection, script)
        seen = described(connection)
        transaction.rollback()
    return seen


def described(connection: sa.Connection) -> dict[str, object]:
    if connection.dialect.name == "sqlite":
        rows = connection.exec_driver_sql("SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        return {f"{row[0]} {row[1]}": plain_sql(row[3]) for row in rows}
    inspector = sa.inspect(connection)
    seen: dict[str, object] = {}
    for name in inspector.get_table_names():
        columns = inspector.get_columns(name)
        seen[f"table {name}"] = [(each["name"], str(each["type"]), each["nullable"]) for each in columns]
        seen[f"checks {name}"] = sorted(each["sqltext"] for each in inspector.get_check_constraints(name))
        seen[f"foreign {name}"] = sorted(str(each["constrained_columns"]) for each in inspector.get_foreign_keys(name))
    for row in connection.exec_driver_sql("SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"):
        seen[f"index {row[0]}"] = row[1]
    for row in connection.exec_driver_sql("SELECT viewname, definition FROM pg_views WHERE schemaname = 'public'"):
        seen[f"view {row[0]}"] = row[1]
    return seen


def plain_sql(sql: str) -> str:
    """SQL without comments and runs of white space."""
    return re.sub(r"\s+", " ", re.sub(r"--[^\n]*", "", sql))


def migrations(folder: Path, **scripts: str) -> Path:
    """A folder of numbered migrations: `migrations(p, _0002_note="ALTER ...")`."""
    folder.mkdir(exist_ok=True)
    for name, script in scripts.items():
        (folder / f"{name.removeprefix('_')}.sql").write_text(script)
    return folder


def version(store: Store) -> int | None:
    with store.read() as connection:
        return migrate.version_of(connection)


def has_column(store: Store, name: str) -> bool:
    with store.read() as connection:
        return name in [column["name"] for column in sa.inspect(connection).get_columns("contacts")]


def test_a_fresh_schema_is_the_baseline_and_its_migrations(store: Store) -> None:
    files = migrate.numbered(store.engine.dialect.name)
    assert list(files) == list(range(2, migrate.newest_version() + 1))  # on each database
    upgraded = made_by(store, BASELINE + "".join(path.read_text() for path in files.values()))
    fresh = made_by(store, (HERE.parents[1] / "schema.sql").read_text())
    assert len(fresh) > 20
    assert upgraded == fresh


def test_a_store_of_the_first_version_keeps_every_row_and_what_they_refer_to(store: Store, tmp_path: Path) -> None:
    with store.write() as connection:
        migrate._run_script(connection, BASELINE)
        migrate._first_rows(connection, store, 1, "here")
        migrate._run_script(connection, ROWS)
        before = dump(connection)
    assert migrate.migrate(store, place="here") == (1, migrate.newest_version())
    with store.read() as connection:
        after = dump(connection)
        assert connection.execute(sa.text("SELECT id, recipient, sent_at IS NOT NULL, copy FROM messages")).all() == [
            (7, "ana@x.example", True, 0)
        ]
    assert {name: after[name] for name in UNCHANGED} == {name: before[name] for name in UNCHANGED}
    assert after["attempts"] == [row.removesuffix(")") + ", None)" for row in before["attempts"]]  # again_at
    for broken in (
        "DELETE FROM messages",
        "INSERT INTO attempts (message_id, number, run_id, worker, claim_id, provider, outcome, started_at,"
        " finished_at)"
        f" VALUES (8, 1, 'r', 0, 'c', 'primary', 'accepted', {NOW}, {NOW})",
    ):  # fmt: skip
        with store.write() as connection, pytest.raises(sa.exc.IntegrityError):
            connection.exec_driver_sql(broken)


def test_a_migration_after_which_a_row_refers_to_nothing_is_not_committed(store: Store, tmp_path: Path) -> None:
    folder = migrations(tmp_path / "m")
    migrate.migrate(store, place="m", folder=folder)
    with store.write() as connection:
        migrate._run_script(connection, ROWS)
    migrations(folder, _0002_wrong="DELETE FROM messages;\n")
    with pytest.raises((AssertionError, sa.exc.IntegrityError), match=r"refers to nothing|attempts"):
        migrate.migrate(store, place="m", folder=folder)
    assert version(store) == 1


def test_a_new_store_gets_its_identity_once(store: Store) -> None:
    assert version(store) is None
    assert migrate.migrate(store, place="m1/here") == (None, migrate.newest_version())
    with store.read() as connection:
        first = meta.read(connection)
    assert migrate.migrate(store, place="m2/there") == (migrate.newest_version(), migrate.newest_version())
    with store.read() as connection:
        assert meta.read(connection) == first
    assert first.bound_to == ("m1/here" if store.sqlite else None)
    assert len(first.secret) == 64


def test_migrations_run_in_order_and_once(store: Store, tmp_path: Path) -> None:
    folder = migrations(tmp_path / "m")
    migrate.migrate(store, place="m", folder=folder)
    migrations(
        folder,
        _0002_note="ALTER TABLE contacts ADD COLUMN note TEXT;\n",
        _0003_filled="UPDATE contacts SET note = 'x; y';\nALTER TABLE contacts ADD COLUMN second TEXT;\n",
    )
    assert migrate.newest_version(folder) == 3
    assert migrate.migrate(store, place="m", folder=folder) == (1, 3)
    assert migrate.migrate(store, place="m", folder=folder) == (3, 3)
    assert has_column(store, "note")
    assert has_column(store, "second")


def test_a_last_statement_without_its_semicolon_is_not_lost(store: Store, tmp_path: Path) -> None:
    folder = migrations(tmp_path / "m")
    migrate.migrate(store, place="m", folder=folder)
    migrations(
        folder, _0002_note="ALTER TABLE contacts ADD COLUMN note TEXT;\nALTER TABLE contacts ADD COLUMN second TEXT\n"
    )
    migrate.migrate(store, place="m", folder=folder)
    assert has_column(store, "second")


def test_a_store_that_is_newer_than_the_program_is_refused_and_left_alone(store: Store, tmp_path: Path) -> None:
    folder = migrations(tmp_path / "m", _0002_note="ALTER TABLE contacts ADD COLUMN note TEXT;\n")
    migrate.migrate(store, place="m", folder=folder)
    with pytest.raises(SchemaMismatch, match="newer than this program's 1"):
        migrate.migrate(store, place="m", folder=migrations(tmp_path / "older"))
    assert version(store) == 2


def test_a_failing_migration_leaves_the_old_version_whole(store: Store, tmp_path: Path) -> None:
    folder = migrations(tmp_path / "m")
    migrate.migrate(store, place="m", folder=folder)
    migrations(
        folder,
        _0002_note="ALTER TABLE contacts ADD COLUMN note TEXT;\n",
        _0003_wrong="ALTER TABLE contacts ADD COLUMN second TEXT;\nUPDATE no_such_table SET a = 1;\n",
    )
    with pytest.raises((sa.exc.DBAPIError, Unreachable), match="no_such_table"):
        migrate.migrate(store, place="m", folder=folder)
    assert version(store) == 1
    assert not has_column(store, "note")
    assert not has_column(store, "second")


def test_commands_refuse_a_store_without_a_schema_or_of_another_version(store: Store, tmp_path: Path) -> None:
    ground = Ground(tmp_path, store.engine.url.render_as_string(hide_password=False))
    with pytest.raises(SchemaMissing):
        _ = ground.context.store
    migrate.migrate(store, place="m")
    newer = migrate.newest_version() + 1
    with store.write() as connection:
        meta.change(connection, schema_version=newer)
    with pytest.raises(SchemaMismatch, match=f"version {newer}, newer than"):
        _ = ground.context.store
    with store.write() as connection:
        meta.change(connection, schema_version=0)
    with pytest.raises(SchemaMismatch, match="run `sendctl migrate`"):
        _ = ground.context.store
