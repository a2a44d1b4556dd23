"""What `status` asks the ledger. Reads only; each statement is one range of `messages_by_state`, at any size."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.states import State
from sendctl.store.tables import audit, messages

RATE_WINDOW_S = 60
RATE_LEAST_S = 5.0
RATE_SAMPLE = 5000

_M = messages.c


def counts(connection: Connection, campaign_id: int | None = None) -> dict[int, dict[State, int]]:
    """Messages by campaign and state; every state is there. Derived each time from the index alone."""
    statement = sa.select(_M.campaign_id, _M.status, sa.func.count()).group_by(_M.campaign_id, _M.status)
    if campaign_id is not None:
        statement = statement.where(_M.campaign_id == campaign_id)
    found: dict[int, dict[State, int]] = defaultdict(lambda: dict.fromkeys(State, 0))
    for owner, status, number in connection.execute(statement):
        found[owner][State(status)] = number
    return found


def _in_state(campaign_id: int, state: State) -> sa.ColumnElement[bool]:
    return sa.and_(_M.campaign_id == campaign_id, _M.status == state)


def oldest_in_doubt(connection: Connection, campaign_id: int) -> datetime | None:
    """Since when the longest doubt lasts."""
    statement = sa.select(sa.func.min(_M.in_doubt_at)).where(_in_state(campaign_id, State.IN_DOUBT))
    found: datetime | None = connection.execute(statement).scalar_one()
    return found


def next_due(connection: Connection, campaign_id: int) -> datetime | None:
    """When the first queued message may go; in the past when it is due."""
    statement = sa.select(sa.func.min(_M.next_attempt_at)).where(_in_state(campaign_id, State.QUEUED))
    found: datetime | None = connection.execute(statement).scalar_one()
    return found


def due_before(connection: Connection, campaign_id: int, moment: datetime) -> int:
    """Queued messages that could have gone before a moment."""
    statement = sa.select(sa.func.count()).where(_in_state(campaign_id, State.QUEUED), _M.next_attempt_at < moment)
    return connection.execute(statement).scalar_one()


def failed_since(connection: Connection, campaign_id: int, moment: datetime) -> int:
    """Messages that failed since a moment and are still failed."""
    statement = sa.select(sa.func.count()).where(_in_state(campaign_id, State.FAILED), _M.failed_at >= moment)
    return connection.execute(statement).scalar_one()


def sent_per_s(connection: Connection, campaign_id: int, now: datetime) -> float | None:
    """About how many messages a second were accepted in the last minute; None when none was.

    An estimate from the newest few thousand by order of sending: no index on `sent_at` is kept for a figure that is
    only looked at, since every message would pay for it.
    """
    newest = (
        sa.select(_M.sent_at)
        .where(_in_state(campaign_id, State.SENT))
        .order_by(_M.next_attempt_at.desc())
        .limit(RATE_SAMPLE)
        .subquery()
    )
    since = now - timedelta(seconds=RATE_WINDOW_S)
    statement = sa.select(sa.func.count(), sa.func.min(newest.c.sent_at)).where(newest.c.sent_at >= since)
    number, first = connection.execute(statement).one()
    if not number:
        return None
    # Since the first of them: sending may have begun within the window, and a full sample reaches back less.
    length_s: float = max((now - first).total_seconds(), RATE_LEAST_S)
    return float(number) / length_s


def claims_expired(connection: Connection, campaign_id: int, now: datetime) -> int:
    """Messages in flight whose claim is over: their run is dead, stopped, or on a host that is."""
    statement = sa.select(sa.func.count()).where(_in_state(campaign_id, State.SENDING), _M.claim_expires_at < now)
    return connection.execute(statement).scalar_one()


def in_flight(connection: Connection, campaign_id: int) -> int:
    """How many messages of a campaign are being handed over at this moment."""
    return connection.execute(sa.select(sa.func.count()).where(_in_state(campaign_id, State.SENDING))).scalar_one()


def halt_reason(connection: Connection, campaign_id: int) -> str | None:
    """Why sendctl itself paused the campaign, when that was the last thing done to its life; else None."""
    statement = (
        sa.select(audit.c.action, audit.c.reason)
        .where(audit.c.campaign_id == campaign_id, audit.c.action.in_(["halt", "pause", "resume", "cancel"]))
        .order_by(audit.c.id.desc())
        .limit(1)
    )
    row = connection.execute(statement).one_or_none()
    return row.reason if row is not None and row.action == "halt" else None
