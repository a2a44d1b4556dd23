"""schema.sql: both databases load it unchanged, and the tables and enums of the code say the same as it does."""

from __future__ import annotations

import re
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from sendctl.providers.base import Phase
from sendctl.states import AttemptOutcome, CampaignStatus, Channel, EnrollmentStatus, EventType, State
from sendctl.store.tables import metadata

SCHEMA = (Path(__file__).parents[2] / "schema.sql").read_text()

# What the words of each CHECK are in the code.
WORDS: dict[tuple[str, str], set[str]] = {
    ("campaigns", "status"): set(CampaignStatus),
    ("enrollments", "status"): set(EnrollmentStatus),
    ("messages", "status"): set(State),
    ("messages", "channel"): set(Channel),
    ("attempts", "outcome"): set(AttemptOutcome),
    ("attempts", "phase"): set(Phase),
    ("attempts", "evidence"): {
        "reply", "journal", "dead_run", "claim_expired", "mta_log", "lookup", "event", "policy", "operator",
    },
    ("events", "type"): set(EventType),
    ("steps", "kind"): {"initial", "drip", "reminder"},
    ("provider_state", "breaker"): {"closed", "open", "half_open"},
    ("replayed_keys", "outcome"): {"accepted", "unknown"},
    ("runs", "result"): {"done", "stopped", "failed", "died", "replayed"},
}  # fmt: skip


@pytest.fixture(scope="module", params=["sqlite3", "psycopg"])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Inspector]:
    """schema.sql loaded as it is by the driver alone, without any code of ours."""
    folder = tmp_path_factory.mktemp("schema")
    if request.param == "sqlite3":
        with closing(sqlite3.connect(folder / "plain.db")) as connection:
            connection.executescript(SCHEMA)
        engine = sa.create_engine(f"sqlite:///{folder / 'plain.db'}")
    else:
        url: str = request.getfixturevalue("postgres_url")
        schema_name = f"plain_{secrets.token_hex(4)}"
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {schema_name}; SET search_path = {schema_name}".encode())
            connection.execute(SCHEMA.encode())
        options = f"-c search_path={schema_name}"
        engine = sa.create_engine(
            url.replace("postgresql://", "postgresql+psycopg://"), connect_args={"options": options}
        )
    yield sa.inspect(engine)
    if request.param == "psycopg":
        with engine.begin() as connection:
            connection.exec_driver_sql(f"DROP SCHEMA {schema_name} CASCADE")
    engine.dispose()


def kind(column_type: Any) -> str:
    """The class of a column's type, as far as both databases keep it apart."""
    name = type(column_type).__name__.upper()
    if name in ("TIMESTAMP", "UTCTIME", "NUMERIC"):  # SQLite knows no times: it keeps our text under NUMERIC
        return "time"
    if name in ("BIGINT", "BIGINTEGER"):
        return "big integer"
    if name in ("DOUBLE", "DOUBLE_PRECISION", "FLOAT", "REAL"):
        return "float"
    return {"INTEGER": "integer", "TEXT": "text"}[name]


def columns_of(inspector: sa.Inspector, table: str) -> list[tuple[str, str, bool]]:
    return [(column["name"], kind(column["type"]), bool(column["nullable"])) for column in inspector.get_columns(table)]


def test_the_database_has_the_tables_of_the_code(loaded: sa.Inspector) -> None:
    assert set(loaded.get_table_names()) == set(metadata.tables)
    assert set(loaded.get_view_names()) == {"recoverable", "timeline"}


@pytest.mark.parametrize("name", sorted(metadata.tables))
def test_a_table_of_the_code_is_that_of_the_schema(loaded: sa.Inspector, name: str) -> None:
    table = metadata.tables[name]
    assert columns_of(loaded, name) == [
        (column.name, kind(column.type), bool(column.nullable)) for column in table.columns
    ]
    assert set(loaded.get_pk_constraint(name)["constrained_columns"]) == {column.name for column in table.primary_key}
    uniques = {tuple(found["column_names"]) for found in loaded.get_unique_constraints(name)}
    wanted = {
        tuple(column.name for column in constraint.columns)
        for constraint in table.constraints
        if isinstance(constraint, sa.UniqueConstraint)
    }
    assert uniques == wanted
    references = {
        (tuple(found["constrained_columns"]), found["referred_table"], tuple(found["referred_columns"]))
        for found in loaded.get_foreign_keys(name)
    }
    assert references == {
        (
            tuple(constraint.column_keys),
            constraint.referred_table.name,
            tuple(element.column.name for element in constraint.elements),
        )
        for constraint in table.foreign_key_constraints
    }


def checked_words(table: str, column: str) -> set[str]:
    """The words that the schema allows in a column."""
    body = SCHEMA.split(f"CREATE TABLE {table} (")[1].split("\n);")[0]
    found = re.search(rf"CHECK \({column} IN \(([^)]*)\)", body)
    assert found is not None
    return set(re.findall(r"'([^']*)'", found[1]))


@pytest.mark.parametrize(("table", "column"), sorted(WORDS))
def test_the_words_of_a_check_are_those_of_the_code(table: str, column: str) -> None:
    assert checked_words(table, column) == WORDS[table, column]


def test_every_check_of_words_is_compared() -> None:
    checks = re.findall(r"CHECK \((\w+) IN \('", SCHEMA)
    assert len(checks) == len(WORDS)


def test_the_live_attempt_index_covers_open_accepted_and_unknown() -> None:
    found = re.search(
        r"CREATE UNIQUE INDEX attempts_one_live ON attempts \(message_id\) WHERE outcome IN \(([^)]*)\)", SCHEMA
    )
    assert found is not None
    live = {AttemptOutcome.OPEN, AttemptOutcome.ACCEPTED, AttemptOutcome.UNKNOWN}
    assert set(re.findall(r"'([^']*)'", found[1])) == live


def test_each_table_says_what_it_is_for() -> None:
    for name in metadata.tables:
        before = SCHEMA.split(f"CREATE TABLE {name} (")[0].rstrip().splitlines()[-1]
        assert before.startswith("-- "), name
