"""What cannot be a store, or not for this role, is refused with its cure, and left as it was."""

from __future__ import annotations

import re
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from sendctl.errors import BadConfig, SchemaMissing, SendctlError, Unreachable
from sendctl.passes.context import Context
from sendctl.settings import load_settings
from sendctl.settings.store_url import normalise
from sendctl.store import meta, migrate
from sendctl.store.engine import open_store
from tests.postgres import drop_database


@pytest.fixture(scope="session")
def postgres_template() -> str:
    """Databases of this file are empty."""
    return "template1"


def migrated(url: str) -> None:
    with closing(open_store(normalise(url, Path("/")), create=True)) as store:
        migrate.migrate(store, place="here")


@contextmanager
def role(url: str) -> Iterator[str]:
    """The URL with a role that owns nothing and may do nothing but connect."""
    name = f"role_{urlsplit(url).path.removeprefix('/sendctl_test_')}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'secret-of-role'").format(sql.Identifier(name)))
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        try:
            yield urlunsplit(parts._replace(netloc=f"{name}:secret-of-role@{host}"))
        finally:
            connection.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(name)))
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def refused(url: str) -> SendctlError:
    """How a migrate of this store ends."""
    with pytest.raises(SendctlError) as caught:
        migrated(url)
    return caught.value


def test_role_that_may_not_create_tables_is_told_what_to_grant(pg_database: str) -> None:
    with role(pg_database) as url:
        error = refused(url)
    assert isinstance(error, BadConfig)
    assert "permission denied for schema public" in str(error)
    assert "GRANT USAGE, CREATE ON SCHEMA public" in error.hint


def test_role_without_rights_on_the_tables_is_told_what_to_grant(pg_database: str, tmp_path: Path) -> None:
    migrated(pg_database)
    with role(pg_database) as url:
        settings = load_settings(None, {"SENDCTL_STORE_URL": url, "HOME": str(tmp_path)}, tmp_path)
        with pytest.raises(BadConfig, match="permission denied for table store") as caught:
            _ = Context(settings).store
    assert "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES" in caught.value.hint


def test_role_that_may_not_ask_which_cluster_this_is_uses_the_store_all_the_same(pg_database: str) -> None:
    migrated(pg_database)
    with psycopg.connect(pg_database, autocommit=True) as connection:
        connection.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
        with role(pg_database) as url:
            name = sql.Identifier(urlsplit(url).username or "")
            connection.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}").format(name))
            with closing(open_store(normalise(url, Path("/")))) as store, store.read() as reading:
                assert meta.database_identity(reading) is None
                assert meta.read(reading).store_id


def test_table_of_another_program_stays_as_it_was(pg_database: str) -> None:
    with psycopg.connect(pg_database, autocommit=True) as connection:
        connection.execute("CREATE TABLE campaigns (name text)")
        connection.execute("INSERT INTO campaigns VALUES ('theirs')")
        error = refused(pg_database)
        assert isinstance(error, BadConfig)
        assert 'relation "campaigns" already exists' in str(error)
        assert "a database of its own" in error.hint
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        assert (tables, connection.execute("SELECT * FROM campaigns").fetchall()) == ([("campaigns",)], [("theirs",)])


def test_another_programs_table_named_store_is_no_store_of_ours(pg_database: str) -> None:
    with psycopg.connect(pg_database, autocommit=True) as connection:
        connection.execute("CREATE TABLE store (name text)")
    assert "a table `store` of another program" in str(refused(pg_database))


def test_database_that_cannot_hold_everybodys_name_is_refused_at_once(postgres_url: str) -> None:
    for encoding in ("LATIN1", "SQL_ASCII"):
        name = f"sendctl_test_{encoding.lower()}"
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name}".encode())
            create = f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
            connection.execute(create.encode())
        url = urlunsplit(urlsplit(postgres_url)._replace(path=f"/{name}"))
        try:
            error = refused(url)
        finally:
            drop_database(postgres_url, url)
        assert isinstance(error, BadConfig)
        assert f"has the encoding {encoding}" in str(error)
        assert "CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0" in error.hint


def test_names_of_any_script_arrive_whatever_encoding_the_client_is_said_to_have(
    pg_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    migrated(pg_database)
    with closing(open_store(normalise(pg_database, Path("/")))) as store:
        with store.write() as connection:
            meta.change(connection, last_pass_host="Łódź 東京")
        with store.read() as connection:
            assert meta.read(connection).last_pass_host == "Łódź 東京"


@pytest.mark.parametrize("option", ["colour=red", "sslmode=perhaps", "keepalives=perhaps"])
def test_option_that_postgres_does_not_take_is_bad_configuration(pg_database: str, option: str) -> None:
    error = refused(f"{pg_database}?{option}")
    assert isinstance(error, BadConfig)
    assert "after `?` in [store] url" in error.hint


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("postgresql://me:pass-sentinel@127.0.0.1:abc/shop", 'the port "abc" is no number from 1 to 65535'),
        ("postgresql://me:pass-sentinel@127.0.0.1:99999/shop", 'the port "99999"'),
        ("postgresql://me:pass-sentinel@[::1]:0/shop", 'the port "0"'),
        ("postgresql://me@127.0.0.1/shop?connect_timeout=abc", '"connect_timeout" is "abc": want whole seconds'),
    ],
)
def test_url_that_no_driver_can_read_is_refused_without_its_password(url: str, problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)) as caught:
        normalise(url, Path("/"))
    assert "pass-sentinel" not in str(caught.value)


@pytest.mark.parametrize("password", ["pa/ss", "pa:ss", "pa?ss", "p[a"])
def test_passwords_with_odd_characters_are_no_ports(password: str) -> None:
    url = f"postgresql://me:{password}@127.0.0.1:5432/shop?connect_timeout=3"
    assert normalise(url, Path("/")) == url.replace("postgresql", "postgresql+psycopg", 1)


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_file_that_is_no_database_is_named_as_a_wrong_path_and_left_alone(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"not a database, whatever its name says" * 100)
    path.chmod(mode)
    error = refused(f"sqlite:///{path}")
    assert isinstance(error, BadConfig)
    assert f"{path} is not a SQLite database" in str(error)
    assert "mend [store] url" in error.hint
    assert "restored-backup.md" in error.hint
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert [found.name for found in tmp_path.iterdir()] == ["notes.txt"]


def test_damaged_store_is_no_wrong_path(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    migrated(f"sqlite:///{path}")
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + b"\xff" * (len(whole) - 100))
    with closing(open_store(f"sqlite:///{path}")) as store:
        with pytest.raises(Unreachable, match="file is damaged") as caught, store.read() as connection:
            migrate.version_of(connection)
        assert "restored-backup.md" in caught.value.hint


def test_new_file_without_anything_in_it_has_no_schema(tmp_path: Path) -> None:
    (tmp_path / "store.db").touch(mode=0o600)
    environ = {"SENDCTL_STORE_URL": f"sqlite:///{tmp_path}/store.db", "HOME": str(tmp_path)}
    with pytest.raises(SchemaMissing):
        _ = Context(load_settings(None, environ, tmp_path)).store


@pytest.mark.parametrize("mode", [0o640, 0o644])
def test_store_that_others_could_read_is_closed_to_them_with_all_its_parts(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "store.db"
    migrated(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as other:
        other.execute("UPDATE store SET last_pass_host = 'x'")
        other.commit()
        for part in tmp_path.iterdir():
            part.chmod(mode)
        open_store(f"sqlite:///{path}").close()
        assert {stat.S_IMODE(part.stat().st_mode) for part in tmp_path.iterdir()} == {0o600}
        assert len(list(tmp_path.iterdir())) == 3
