"""Statements about events: found through indexes alone at any size, guarded by the database itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from sendctl.states import EventType
from sendctl.store import effects, events, late, listing
from sendctl.store.events import Fact, Named
from sendctl.store.sections import Account
from tests.store.ground import ACCEPTED, START, UNKNOWN, Ground

KEY = "0" * 32


def facts(ground: Ground, *kinds: str) -> list[Fact]:
    """One for each of the first messages."""
    rows = ground.rows("SELECT id, campaign_id, enrollment_id FROM messages ORDER BY id")
    return [
        Fact(f"id::{kind}{row[0]}", row[1], row[2], row[0], kind, 1, START, "{}")
        for row, kind in zip(rows, kinds, strict=False)
    ]


def record(ground: Ground, *some: Fact) -> set[str]:
    with ground.store.write() as connection:
        return events.record(connection, some, START)


def test_an_event_is_written_once(ground: Ground) -> None:
    ground.enqueue(3)
    some = facts(ground, "opened", "clicked")
    assert record(ground, *some) == {fact.dedup_key for fact in some}
    assert record(ground, *some, *facts(ground, "opened", "clicked", "opened")) == {"id::opened3"}
    assert ground.one("SELECT count(*) FROM events") == 3
    with ground.store.read() as connection:
        assert events.counts(connection) == {1: {"opened": 2, "clicked": 1}}
        assert events.counts(connection, 2) == {}


def test_the_earlier_moment_of_an_event_is_kept(ground: Ground) -> None:
    ground.enqueue(1)
    (fact,) = facts(ground, "opened")
    record(ground, fact)
    with ground.store.write() as connection:
        for day, changed in ((3, set()), (1, {fact.dedup_key}), (1, set())):
            assert events.backdate(connection, [fact._replace(occurred_at=START.replace(day=day))]) == changed


@pytest.mark.parametrize(
    "changes",
    ["type = 'seen'", "proves_sent = 2", "message_id = NULL", "message_id = 4711", "enrollment_id = 4711",
     "campaign_id = 4711", "dedup_key = NULL"],
)  # fmt: skip
def test_the_database_refuses_what_is_no_event(ground: Ground, changes: str) -> None:
    ground.enqueue(1)
    record(ground, *facts(ground, "opened"))
    with pytest.raises(IntegrityError):
        ground.change(f"UPDATE events SET {changes}")


def test_a_stronger_reason_takes_the_place_of_a_weaker_and_never_of_an_operators(ground: Ground) -> None:
    steps = [("a", EventType.UNSUBSCRIBED), ("a", EventType.BOUNCED), ("a", EventType.COMPLAINED),
             ("a", EventType.UNSUBSCRIBED), ("b", EventType.COMPLAINED)]  # fmt: skip
    ground.change("INSERT INTO suppressions VALUES ('b', 'asked by phone', '2026-03-02 09:00:00.000000')")
    with ground.store.write() as connection:
        added = [effects.suppress(connection, {key: reason}, START) for key, reason in steps]
    assert added == [["a"], [], [], [], []]
    rows = ground.rows("SELECT address_key, reason FROM suppressions ORDER BY address_key")
    assert [tuple(row) for row in rows] == [("a", "complained"), ("b", "asked by phone")]


def test_of_an_attempt_in_doubt_and_one_given_up_the_doubt_is_proven(ground: Ground) -> None:
    ground.enqueue(1)
    claims = []
    for _ in range(2):
        claims += [item.claim_id for item in ground.pass_with(UNKNOWN).messages]
        if len(claims) == 1:
            ground.recover(in_doubt="resend")
    with ground.store.read() as connection:
        assert effects.unproven(connection, [1]) == [(1, claims[1])]


# -- what a database reads ----------------------------------------------------------------------------------------


@contextmanager
def plans(connection: Connection) -> Iterator[list[str]]:
    """The steps of each statement's plan (SQLite)."""
    found: list[str] = []

    def explain(connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        cursor = connection.connection.cursor()
        found.extend(row[3] for row in cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters))

    sa.event.listen(connection, "before_cursor_execute", explain)
    yield found
    sa.event.remove(connection, "before_cursor_execute", explain)


_TABLES = r"^SCAN (messages|enrollments|attempts|contacts|campaigns|events)\b"


@pytest.mark.parametrize(
    ("find", "name"),
    [
        (events.by_number, Named(0, "1", "")),
        (events.by_key, Named(0, KEY, "")),
        (events.by_provider_id, Named(0, "Q1", "primary")),
        (events.by_token, Named(0, "t", "")),
        (events.by_person, Named(0, "sale", "p00001@x.example")),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_whom_an_event_is_about_is_found_without_reading_a_table(
    sqlite_ground: Ground, find: Callable[..., Any], name: Named
) -> None:
    sqlite_ground.enqueue(50)
    sqlite_ground.pass_with(ACCEPTED)
    with sqlite_ground.store.read() as connection, plans(connection) as steps:
        find(connection, [name])
    assert steps
    assert not [step for step in steps if re.match(_TABLES, step)], steps


@pytest.mark.parametrize(
    "ask", [events.tried, events.of_enrollments, effects.unproven, effects.queued_of, effects.recipients,
            effects.recipient_keys, late.proven]
)  # fmt: skip
def test_what_follows_is_found_without_reading_a_table(sqlite_ground: Ground, ask: Callable[..., Any]) -> None:
    sqlite_ground.enqueue(50)
    with sqlite_ground.store.read() as connection, plans(connection) as steps:
        ask(connection, [1, 2])
    assert not [step for step in steps if re.match(_TABLES, step)], steps


@pytest.mark.parametrize("elsewhere", [None, (), ("relay",)])
def test_who_was_sent_to_from_an_account_is_found_without_reading_a_table(
    sqlite_ground: Ground, elsewhere: tuple[str, ...] | None
) -> None:
    sqlite_ground.enqueue(50)
    sqlite_ground.pass_with(ACCEPTED, limit=2)
    account, people = Account("primary", elsewhere), [f"p{number:05}@x.example" for number in (1, 2, 3)]
    with sqlite_ground.store.read() as connection, plans(connection) as steps:
        assert events.sent_to(connection, people, account) == set(people[:2])
        assert events.sent_to(connection, people, Account("fallback", ("primary",))) == set()
        assert events.by_provider_id(connection, [Named(0, "other", "other")], account) == []
    assert not [step for step in steps if re.match(_TABLES, step) and "campaigns" not in step], steps


def test_how_far_a_message_got_is_one_index_seek_a_row(sqlite_ground: Ground) -> None:
    sqlite_ground.enqueue(2)
    with sqlite_ground.store.read() as connection, plans(connection) as steps:
        listing.by_id(connection, 1)
        listing.events_of(connection, 1)
    touched = [step for step in steps if " events " in step]
    assert touched
    assert all("events_of_enrollment (enrollment_id=?" in step for step in touched), steps


@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
def test_a_provider_id_is_found_by_index_on_postgres_too(ground: Ground) -> None:
    ground.enqueue(1)
    with ground.store.write() as connection:
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        rows = connection.exec_driver_sql("EXPLAIN SELECT message_id FROM attempts WHERE provider_message_id = 'Q1'")
        assert "attempts_by_provider_id" in "\n".join(rows.scalars())


def test_what_a_stop_has_missed_is_looked_for_among_what_is_to_be_retried(sqlite_ground: Ground) -> None:
    sqlite_ground.enqueue(2)
    with sqlite_ground.store.read() as connection, plans(connection) as found:
        assert effects.left_over(connection) == []
    assert [step for step in found if "messages" in step] == [
        "SEARCH messages USING INDEX messages_to_retry (campaign_id>?)"
    ]
