"""Addresses never to be contacted: the list, and the messages that wait for somebody on it.

The claim asks the list itself (claims.suppressed), so that what is queued here later goes nowhere either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.states import CampaignStatus, State
from sendctl.store.bulk import bound, given
from sendctl.store.dialect import insert_ignore
from sendctl.store.tables import campaigns, contacts, enrollments, messages, suppressions

_S, _M, _C, _E = suppressions.c, messages.c, contacts.c, enrollments.c


@dataclass(frozen=True, slots=True)
class Suppression:
    """One address on the list: since when, and why, in the words of whoever asked."""

    address_key: str
    reason: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Addressed:
    """A message to somebody on the list."""

    message_id: int
    enrollment_id: int
    campaign_id: int


def only_one_changes(connection: Connection) -> None:
    """One change of the list at a time, so that two never wait for each other's rows. SQLite has one writer anyway."""
    if connection.dialect.name != "sqlite":
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('sendctl suppress'))")


def add(connection: Connection, keys: Sequence[str], reason: str, now: datetime) -> list[str]:
    """Put addresses on the list; returns those that were not there. The others keep their reason and their time."""
    rows = given(connection, _S.address_key)
    values = sa.select(
        rows.c.address_key,
        sa.bindparam("reason", reason, type_=_S.reason.type),
        sa.bindparam("now", now, type_=_S.created_at.type),
    ).where(sa.true())  # SQLite takes ON for a join's where the SELECT has no WHERE: sqlite.org/lang_upsert.html
    statement = insert_ignore(connection, suppressions).from_select(["address_key", "reason", "created_at"], values)
    return list(connection.execute(statement.returning(_S.address_key), bound((key,) for key in keys)).scalars())


def remove(connection: Connection, keys: Sequence[str]) -> list[str]:
    """Take addresses off the list; returns those that were on it."""
    rows = given(connection, _S.address_key)
    statement = sa.delete(suppressions).where(_S.address_key.in_(sa.select(rows.c.address_key)))
    return list(connection.execute(statement.returning(_S.address_key), bound((key,) for key in keys)).scalars())


def listed(connection: Connection, keys: Iterable[str]) -> set[str]:
    """Those of these addresses that are on the list."""
    rows = given(connection, _S.address_key)
    statement = sa.select(_S.address_key).join(rows, rows.c.address_key == _S.address_key)
    return set(connection.execute(statement, bound((key,) for key in keys)).scalars())


def every(connection: Connection) -> Iterator[Suppression]:
    """The list in order of address, streamed."""
    statement = sa.select(_S.address_key, _S.reason, _S.created_at).order_by(_S.address_key)
    rows = connection.execution_options(stream_results=True, max_row_buffer=1000).execute(statement)
    return (Suppression(*row) for row in rows)


def of(connection: Connection, address_key: str) -> Suppression | None:
    """What the list says of one address."""
    row = connection.execute(
        sa.select(_S.address_key, _S.reason, _S.created_at).where(_S.address_key == address_key)
    ).one_or_none()
    return Suppression(*row) if row else None


def live_campaigns(connection: Connection) -> list[int]:
    """Campaigns that have anything queued or in flight, by id: two index seeks for each."""
    open_states = sa.exists().where(_M.campaign_id == campaigns.c.id, _M.status.in_([State.QUEUED, State.SENDING]))
    statement = sa.select(campaigns.c.id).where(campaigns.c.status != CampaignStatus.ARCHIVED, open_states)
    return list(connection.execute(statement.order_by(campaigns.c.id)).scalars())


def messages_to(connection: Connection, keys: Sequence[str], live: Sequence[int], state: State) -> list[Addressed]:
    """Messages to these addresses that are in a state, in the `live` campaigns.

    Found through people and enrollments, as no index begins with a recipient; nested, as SQLite would begin a join with
    all enrollments.
    """
    theirs = sa.select(given(connection, _C.address_key).c.address_key)
    people = sa.union(*(sa.select(_C.id).where(column.in_(theirs)) for column in (_C.address_key, _C.phone)))
    places = sa.select(_E.id).where(_E.campaign_id.in_(live), _E.contact_id.in_(people))
    statement = sa.select(_M.id, _M.enrollment_id, _M.campaign_id).where(
        _M.enrollment_id.in_(places), _M.recipient_key.in_(theirs), _M.status == state
    )
    found: Iterable[Any] = connection.execute(statement, bound((key,) for key in keys))
    return [Addressed(*row) for row in found]
