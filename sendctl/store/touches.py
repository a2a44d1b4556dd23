"""What people have been sent, over campaigns: asked at a claim, and never kept beside the messages themselves.

A touch is an attempt that somebody may have received: it is open, was accepted, or nobody knows. So a claim reserves
by being one, definite non-acceptance gives back, doubt keeps, and a journal's replay brings touches back with the
messages. Several messages for one place of an enrollment (channels, copies) are one touch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.states import AttemptOutcome, CampaignStatus
from sendctl.store.bulk import bound, given
from sendctl.store.dialect import skip_locked
from sendctl.store.tables import attempts, campaigns, contacts, enrollments, messages, replayed_keys

_A, _C, _E, _M = attempts.c, campaigns.c, enrollments.c, messages.c
_PERHAPS = (AttemptOutcome.OPEN, AttemptOutcome.ACCEPTED, AttemptOutcome.UNKNOWN, AttemptOutcome.ABANDONED)
_LIVING = (CampaignStatus.RUNNING, CampaignStatus.PAUSED)
# What is in flight when a campaign is cancelled finishes within its claim, of whatever host: generous.
LONGEST_FLIGHT = timedelta(days=1)


class Touch(NamedTuple):
    """Somebody was sent the message of a place, perhaps; `at` is the last that is known of it."""

    contact_id: int
    enrollment_id: int
    step_index: int
    occurrence: int
    at: datetime


def hold_people(connection: Connection, contact_ids: Iterable[int]) -> set[int]:
    """Hold people until commit; returns those whom no other claim holds. SQLite has one writer.

    In a statement before that which asks for their touches: it must see what the last holder has committed.
    """
    wanted = sorted(set(contact_ids))
    if connection.dialect.name == "sqlite":
        return set(wanted)
    rows = given(connection, contacts.c.id)
    statement = sa.select(contacts.c.id).where(contacts.c.id.in_(sa.select(rows.c.id)))
    held = connection.execute(skip_locked(connection, statement, contacts), bound((one,) for one in wanted))
    return set(held.scalars())


def campaigns_since(connection: Connection, since: datetime) -> list[tuple[int, int]]:
    """(id, revision) of campaigns that may have sent something since a moment: also what was in flight at their end."""
    alive = sa.or_(_C.status.in_(_LIVING), _C.updated_at >= since - LONGEST_FLIGHT)
    found: Iterable[Any] = connection.execute(sa.select(_C.id, _C.revision).where(alive).order_by(_C.id))
    return [(row[0], row[1]) for row in found]


def of_people(
    connection: Connection, campaign_ids: Sequence[int], contact_ids: Iterable[int], since: datetime
) -> list[Touch]:  # fmt: skip
    """Touches since a moment, in no order. One index seek for each person and campaign, whatever the store's size."""
    rows = given(connection, _E.contact_id)
    known_at = sa.func.coalesce(_A.finished_at, _A.started_at)
    last_at = sa.case((_A.again_at > known_at, _A.again_at), else_=known_at)
    at = sa.func.max(last_at, type_=_A.started_at.type)
    statement = (
        sa.select(_E.contact_id, _E.id, _M.step_index, _M.occurrence, at)
        .select_from(rows)
        .join(enrollments, sa.and_(_E.contact_id == rows.c.contact_id, _E.campaign_id.in_(campaign_ids)))
        .join(messages, _M.enrollment_id == _E.id)
        .join(attempts, sa.and_(_A.message_id == _M.id, _A.outcome.in_(_PERHAPS)))
        .group_by(_E.contact_id, _E.id, _M.step_index, _M.occurrence)
        .having(at > since)
    )
    found = connection.execute(statement, bound((one,) for one in sorted(set(contact_ids))))
    return [Touch(*row) for row in found]


def unknown_since(connection: Connection, since: datetime) -> int:
    """What journals know to have been sent since a moment, of messages that the store has not: to whom is not known."""
    r = replayed_keys.c
    theirs = sa.exists().where(_M.provider_key == r.provider_key)
    return connection.execute(
        sa.select(sa.func.count()).select_from(replayed_keys).where(r.at > since, ~theirs)
    ).scalar_one()


def note_change(connection: Connection, campaign_ids: Iterable[int], now: datetime) -> None:
    """What a replay put back into campaigns that had ended is asked for again."""
    ids = sorted(set(campaign_ids))
    if ids:
        connection.execute(sa.update(campaigns).where(_C.id.in_(ids)).values(updated_at=now))
