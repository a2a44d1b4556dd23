"""Events: whom each is about, and writing it once. What follows from it is store/effects.py.

A second copy of an event changes nothing, but that of two without an id the earlier moment counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.states import AttemptOutcome
from sendctl.store.bulk import bound, given
from sendctl.store.dialect import insert_ignore
from sendctl.store.ids import take_ids
from sendctl.store.outcomes import given_up
from sendctl.store.sections import Account
from sendctl.store.tables import attempts, campaigns, contacts, enrollments, events, messages

_M, _E, _A, _V = messages.c, enrollments.c, attempts.c, events.c
_PLACE = sa.Column("place", sa.Integer)

# Somebody may have received it, or may still; so may who got what was given up. An event about a message without any
# such attempt proves nothing.
_PERHAPS = (AttemptOutcome.OPEN, AttemptOutcome.ACCEPTED, AttemptOutcome.UNKNOWN)


class Named(NamedTuple):
    """An event's reference, and its place among those that are asked about. `more` is the second word of some."""

    place: int
    name: str
    more: str


class Target(NamedTuple):
    """What the event at `place` is about: a message, or an enrollment as a whole (None)."""

    place: int
    campaign_id: int
    enrollment_id: int
    message_id: int | None


class Tried(NamedTuple):
    """A message that was begun with, and whether anybody may have received it."""

    message_id: int
    enrollment_id: int
    composed_at: datetime
    perhaps: bool
    recipient_key: str


class Fact(NamedTuple):
    """One row of an event."""

    dedup_key: str
    campaign_id: int
    enrollment_id: int
    message_id: int | None
    type: str
    proves_sent: int
    occurred_at: datetime
    detail: str


def by_number(connection: Connection, names: Sequence[Named]) -> list[Target]:
    """Messages by their numbers."""
    rows = given(connection, _PLACE, _M.id)
    statement = sa.select(rows.c.place, _M.campaign_id, _M.enrollment_id, _M.id).join(rows, rows.c.id == _M.id)
    return _targets(connection, statement, [(one.place, int(one.name)) for one in names])


def by_key(connection: Connection, names: Sequence[Named]) -> list[Target]:
    """Messages by their provider keys."""
    rows = given(connection, _PLACE, _M.provider_key)
    same = rows.c.provider_key == _M.provider_key
    statement = sa.select(rows.c.place, _M.campaign_id, _M.enrollment_id, _M.id).join(rows, same)
    return _targets(connection, statement, [(one.place, one.name) for one in names])


def by_provider_id(
    connection: Connection, names: Sequence[Named], account: Account | None = None
) -> list[Target]:  # fmt: skip
    """Messages by the id that a provider gave one of their attempts; `more` is that provider, or "" for any.

    Given an account, whichever section of it that was.
    """
    rows = given(connection, _PLACE, _A.provider_message_id, _A.provider)
    statement = (
        sa.select(rows.c.place, _M.campaign_id, _M.enrollment_id, _M.id)
        .distinct()
        .select_from(rows)
        .join(attempts, _A.provider_message_id == rows.c.provider_message_id)
        .join(messages, _M.id == _A.message_id)
    )
    if account is None:
        statement = statement.where(sa.or_(rows.c.provider == "", rows.c.provider == _A.provider))
    else:
        statement = statement.where(account.tried_by(_A.provider))
    return _targets(connection, statement, [(one.place, one.name, one.more) for one in names])


def by_token(connection: Connection, names: Sequence[Named]) -> list[Target]:
    """Enrollments by the token in their links."""
    rows = given(connection, _PLACE, _E.token)
    statement = sa.select(rows.c.place, _E.campaign_id, _E.id, sa.null()).join(rows, rows.c.token == _E.token)
    return _targets(connection, statement, [(one.place, one.name) for one in names])


def by_person(connection: Connection, names: Sequence[Named]) -> list[Target]:
    """All enrollments in a campaign of a person (`more`, an address key), or of all who have that number."""
    rows = given(connection, _PLACE, campaigns.c.name, contacts.c.address_key)
    # Two looks, each into its index, and not one with OR. A number may be somebody's key and somebody's phone.
    found = [
        sa.select(rows.c.place, _E.campaign_id, _E.id, sa.cast(sa.null(), sa.BigInteger))
        .select_from(rows)
        .join(campaigns, campaigns.c.name == rows.c.name)
        .join(contacts, column == rows.c.address_key)
        .join(enrollments, sa.and_(_E.campaign_id == campaigns.c.id, _E.contact_id == contacts.c.id))
        for column in (contacts.c.address_key, contacts.c.phone)
    ]
    return _targets(connection, sa.union(*found), [(one.place, one.name, one.more) for one in names])


def by_address(connection: Connection, names: Sequence[Named]) -> list[Target]:
    """All enrollments of whoever has an address (`name`, an address key), in whatever campaign."""
    rows = given(connection, _PLACE, contacts.c.address_key)
    found = [
        sa.select(rows.c.place, _E.campaign_id, _E.id, sa.cast(sa.null(), sa.BigInteger))
        .select_from(rows)
        .join(contacts, column == rows.c.address_key)
        .join(enrollments, _E.contact_id == contacts.c.id)
        for column in (contacts.c.address_key, contacts.c.phone)
    ]
    return _targets(connection, sa.union(*found), [(one.place, one.name) for one in names])


def sent_to(connection: Connection, keys: Iterable[str], account: Account) -> set[str]:
    """Those of these addresses to which something was handed over to an account, and perhaps accepted.

    Found through people and enrollments, as no index begins with a recipient, and none of enrollments with a contact.
    """
    theirs = sa.select(given(connection, contacts.c.address_key).c.address_key)
    people = sa.union(
        *(sa.select(contacts.c.id).where(one.in_(theirs)) for one in (contacts.c.address_key, contacts.c.phone))
    )
    places = sa.select(_E.id).where(_E.campaign_id.in_(sa.select(campaigns.c.id)), _E.contact_id.in_(people))
    perhaps = sa.or_(_A.outcome.in_(_PERHAPS), given_up())
    statement = (
        sa.select(_M.recipient_key)
        .distinct()
        .where(_M.enrollment_id.in_(places), _M.recipient_key.in_(theirs))
        .where(sa.exists().where(_A.message_id == _M.id, perhaps, account.tried_by(_A.provider)))
    )
    wanted = bound((key,) for key in sorted(set(keys)))
    return set(connection.execute(statement, wanted).scalars()) if wanted else set()


def _targets(
    connection: Connection, statement: sa.Select[Any] | sa.CompoundSelect[Any], rows: Sequence[tuple[Any, ...]]
) -> list[Target]:
    return [Target(*row) for row in connection.execute(statement, bound(rows))] if rows else []


def tried(connection: Connection, enrollment_ids: Iterable[int]) -> list[Tried]:
    """Messages of enrollments that were begun with."""
    rows = given(connection, _E.id)
    perhaps = sa.exists().where(_A.message_id == _M.id, sa.or_(_A.outcome.in_(_PERHAPS), given_up()))
    statement = sa.select(_M.id, _M.enrollment_id, _M.composed_at, perhaps, _M.recipient_key).where(
        _M.enrollment_id.in_(sa.select(rows.c.id)), _M.composed_at.is_not(None)
    )
    wanted = bound((enrollment_id,) for enrollment_id in sorted(set(enrollment_ids)))
    found: Iterable[Any] = connection.execute(statement, wanted)
    return [Tried(row[0], row[1], row[2], bool(row[3]), row[4]) for row in found]


def known(connection: Connection, keys: Iterable[str]) -> set[str]:
    """Which of these events are written already."""
    rows = given(connection, _V.dedup_key)
    statement = sa.select(_V.dedup_key).join(rows, rows.c.dedup_key == _V.dedup_key)
    return set(connection.execute(statement, bound((key,) for key in keys)).scalars())


_FACT = (
    _V.dedup_key, _V.campaign_id, _V.enrollment_id, _V.message_id, _V.type, _V.proves_sent, _V.occurred_at, _V.detail,
)  # fmt: skip


def record(connection: Connection, facts: Sequence[Fact], now: datetime) -> set[str]:
    """Write events, each with a key of its own; returns the keys of those that were not there."""
    if not facts:
        return set()
    rows = given(connection, _V.id, *_FACT)
    names = ["id", *(column.name for column in _FACT), "received_at"]
    values = sa.select(*rows.c, sa.bindparam("now", now, type_=_V.received_at.type)).where(sa.true())
    statement = insert_ignore(connection, events).from_select(names, values).returning(_V.dedup_key)
    ids = take_ids(connection, "events", len(facts))
    numbered = bound((number, *fact) for number, fact in zip(ids, facts, strict=True))
    return set(connection.execute(statement, numbered).scalars())


def backdate(connection: Connection, facts: Sequence[Fact]) -> set[str]:
    """Give events that are there the earlier moment of these copies; returns the keys of those that had a later one."""
    if not facts:
        return set()
    rows = given(connection, _V.dedup_key, _V.occurred_at, _V.detail)
    statement = (
        sa.update(events)
        .where(_V.dedup_key == rows.c.dedup_key, _V.occurred_at > rows.c.occurred_at)
        .values(occurred_at=rows.c.occurred_at, detail=rows.c.detail)
        .returning(_V.dedup_key)
    )
    earlier = bound((fact.dedup_key, fact.occurred_at, fact.detail) for fact in facts)
    return set(connection.execute(statement, earlier).scalars())


class Ending(NamedTuple):
    """An event of an enrollment, as far as it may end it."""

    enrollment_id: int
    campaign_id: int
    type: str
    occurred_at: datetime
    channel: str | None  # of its message; None where it is about the enrollment


def of_enrollments(
    connection: Connection, enrollment_ids: Iterable[int], types: Iterable[str] | None = None
) -> list[Ending]:  # fmt: skip
    """All that is known of enrollments, or what is of these types."""
    rows = given(connection, _E.id)
    statement = (
        sa.select(_V.enrollment_id, _V.campaign_id, _V.type, _V.occurred_at, _M.channel)
        .outerjoin(messages, _M.id == _V.message_id)
        .where(_V.enrollment_id.in_(sa.select(rows.c.id)))
    )
    if types is not None:
        statement = statement.where(_V.type.in_(list(types)))
    wanted = bound((enrollment_id,) for enrollment_id in sorted(set(enrollment_ids)))
    return [Ending(*row) for row in connection.execute(statement, wanted)]


def counts(connection: Connection, campaign_id: int | None = None) -> dict[int, dict[str, int]]:
    """Events by campaign and type, from the index alone."""
    statement = sa.select(_V.campaign_id, _V.type, sa.func.count()).group_by(_V.campaign_id, _V.type)
    if campaign_id is not None:
        statement = statement.where(_V.campaign_id == campaign_id)
    found: dict[int, dict[str, int]] = {}
    for owner, kind, number in connection.execute(statement):
        found.setdefault(owner, {})[kind] = number
    return found
