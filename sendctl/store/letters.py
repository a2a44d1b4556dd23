"""The one message of a letter, and moving what nobody has tried yet to another time. The caller holds the campaign."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.states import State
from sendctl.store import holds
from sendctl.store.holds import Span
from sendctl.store.tables import contacts, enrollments, messages

_M, _E = messages.c, enrollments.c


class LetterRow(NamedTuple):
    """A letter's message, and the person whom it goes to."""

    id: int
    enrollment_id: int
    status: State
    recipient: str
    address_key: str
    due_at: datetime
    sent_at: datetime | None
    timezone: str | None
    snapshot: str


def of_campaign(connection: Connection, campaign_id: int) -> LetterRow | None:
    """The message of the letter, or the last copy that an operator had sent once more; None where it has none.

    Not a copy that was set aside: what was sent, or failed, before it is what became of the letter. Who will change it
    holds the campaign.
    """
    set_aside = sa.case((_M.status.in_([State.SUPPRESSED, State.CANCELLED, State.EXPIRED]), 1), else_=0)
    statement = (
        sa.select(
            _M.id, _M.enrollment_id, _M.status, _M.recipient, contacts.c.address_key, _M.due_at, _M.sent_at,
            _E.timezone, _E.snapshot,
        )
        .join(enrollments, _E.id == _M.enrollment_id)
        .join(contacts, contacts.c.id == _E.contact_id)
        .where(_M.campaign_id == campaign_id)
        .order_by(set_aside, _M.copy.desc())
        .limit(1)
    )  # fmt: skip
    row: Any = connection.execute(statement).one_or_none()
    return None if row is None else LetterRow(row[0], row[1], State(row[2]), *row[3:])


def message_of(connection: Connection, campaign_id: int) -> int:
    """The id of a letter's message."""
    statement = sa.select(sa.func.min(_M.id)).where(_M.campaign_id == campaign_id)
    return int(connection.execute(statement).scalar_one())


def tried(connection: Connection, campaign_id: int) -> int:
    """How many messages of a campaign were begun with, or are beyond the queue."""
    beyond = sa.or_(_M.status.not_in([State.QUEUED, State.CANCELLED, State.SUPPRESSED]), _M.attempts > 0)
    statement = sa.select(sa.func.count()).where(_M.campaign_id == campaign_id, beyond)
    return connection.execute(statement).scalar_one()


def zones(connection: Connection, campaign_id: int) -> list[str | None]:
    """The time zones of those whose message is queued; None where it is the campaign's."""
    statement = (
        sa.select(_E.timezone)
        .distinct()
        .join(messages, _M.enrollment_id == _E.id)
        .where(_M.campaign_id == campaign_id, _M.status == State.QUEUED)
    )
    return list(connection.execute(statement).scalars())


def first_due(connection: Connection, campaign_id: int) -> datetime | None:
    """When the first queued message is planned for."""
    statement = sa.select(sa.func.min(_M.due_at)).where(_M.campaign_id == campaign_id, _M.status == State.QUEUED)
    found: datetime | None = connection.execute(statement).scalar_one()
    return found


def move(
    connection: Connection, campaign_id: int, timezone: str | None, due_at: datetime, expires_at: datetime | None,
    now: datetime, *, span: Span | None,
) -> int:  # fmt: skip
    """Let the queued messages of people in a time zone be due at another moment; returns how many are not yet.

    `span`: who keeps their share of an account for that (holds.moved).
    """
    here = _E.timezone.is_(None) if timezone is None else _E.timezone == timezone
    people = sa.select(_E.id).where(_E.campaign_id == campaign_id, here)
    moved = connection.execute(
        sa.update(messages)
        .where(_M.campaign_id == campaign_id, _M.status == State.QUEUED, _M.due_at != due_at)
        .where(_M.enrollment_id.in_(people))
        .values(due_at=due_at, next_attempt_at=due_at, expires_at=expires_at, updated_at=now, **holds.moved(span))
        .returning(_M.enrollment_id)
    )
    return _plan(connection, list(moved.scalars()), due_at, now)


def _plan(connection: Connection, enrollment_ids: Sequence[int], due_at: datetime, now: datetime) -> int:
    for some in _pieces(enrollment_ids, 500):
        values = {"next_scheduled_at": due_at, "updated_at": now}
        connection.execute(sa.update(enrollments).where(_E.id.in_(some)).values(**values))
    return len(enrollment_ids)


def _pieces(ids: Sequence[int], size: int) -> Iterable[Sequence[int]]:
    return (ids[start : start + size] for start in range(0, len(ids), size))
