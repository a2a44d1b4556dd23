"""Ends: campaigns whose states add up are completed, and what a campaign that is over got back is cancelled."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.states import TRANSITIONS, CampaignStatus, EnrollmentStatus, State
from sendctl.store.dialect import skip_locked
from sendctl.store.tables import campaigns, enrollments, messages

_OPEN_STATES = (State.QUEUED, State.SENDING, State.IN_DOUBT)


def settle(connection: Connection, now: datetime) -> None:
    """All of it. In a transaction of its own: campaigns are locked before messages."""
    reopen(connection, now)
    sweep_cancelled(connection, now)
    complete(connection, now)


def complete(connection: Connection, now: datetime) -> None:
    """Complete running campaigns that planned something and have nothing queued, in flight or in doubt."""
    statement = sa.select(campaigns.c.id).where(campaigns.c.status == CampaignStatus.RUNNING)
    # Locked first, judged in a second statement: a snapshot from before an enqueue's commit must not decide.
    ids = connection.execute(skip_locked(connection, statement, campaigns)).scalars().all()
    connection.execute(
        sa.update(campaigns)
        .where(campaigns.c.id.in_(ids), campaigns.c.status == CampaignStatus.RUNNING, _has(State))
        .where(~_has(_OPEN_STATES))
        .values(status=CampaignStatus.COMPLETED, updated_at=now)
    )


def reopen(connection: Connection, now: datetime) -> None:
    """Completed campaigns that have something to do again, e.g. a retry, run again."""
    connection.execute(
        sa.update(campaigns)
        .where(campaigns.c.status == CampaignStatus.COMPLETED, _has(_OPEN_STATES))
        .values(status=CampaignStatus.RUNNING, updated_at=now)
    )


def _has(states: Iterable[State]) -> sa.ColumnElement[bool]:
    """Whether a campaign has a message in one of these states: one look into the index for each.

    As EXISTS, a planner may read all messages of the store instead, at each pass, once some campaign is completed.
    """
    m = messages.c
    looks = [
        sa.select(m.id)
        .where(m.campaign_id == campaigns.c.id, m.status == state)
        .order_by(m.next_attempt_at)
        .limit(1)
        .correlate(campaigns)
        .scalar_subquery()
        for state in states
    ]
    return sa.or_(*(look.is_not(None) for look in looks))


def cancel_queued(connection: Connection, campaign_id: int, now: datetime) -> int:
    """Cancel what waits in a campaign, and its enrollments; returns how many messages. What is in flight finishes."""
    rule = TRANSITIONS["cancel"]
    cancelled = connection.execute(
        sa.update(messages)
        .where(messages.c.campaign_id == campaign_id, messages.c.status.in_(sorted(rule.sources)))
        .values(status=rule.target, updated_at=now)
    ).rowcount
    connection.execute(
        sa.update(enrollments)
        .where(enrollments.c.campaign_id == campaign_id, enrollments.c.status == EnrollmentStatus.ACTIVE)
        .values(status=EnrollmentStatus.CANCELLED, next_scheduled_at=None, updated_at=now)
    )
    return cancelled


def sweep_cancelled(connection: Connection, now: datetime) -> int:
    """Cancel what came into the queue of a campaign that was over: in flight at a cancel, or after a late proof."""
    over = campaigns.c.status.in_([CampaignStatus.CANCELLED, CampaignStatus.ARCHIVED])
    ids = connection.execute(sa.select(campaigns.c.id).where(over, _has([State.QUEUED]))).scalars()
    return sum(cancel_queued(connection, campaign_id, now) for campaign_id in list(ids))
