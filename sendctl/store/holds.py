"""Messages that wait in the queue for another reason than their time: they are marked with it, and so found again.

The mark is the message's `error_class`, in words its `last_error`; it holds as long as the message is queued.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.states import State
from sendctl.store.bulk import bound, given
from sendctl.store.tables import messages

_M = messages.c


class Why(StrEnum):
    """What holds a message back."""

    FREQUENCY_CAP = "frequency_cap"
    DISTANCE = "distance"
    QUIET_HOURS = "quiet_hours"
    ALLOWANCE = "allowance"  # it has no share of its account


# In these very words, without parameters: only then does SQLite see that it is the condition of `messages_held`. Adding
# nothing hides the state from the index on (campaign_id, status), which would read all that is queued.
MARKED: sa.ColumnElement[bool] = sa.literal_column(
    "messages.error_class IN ('frequency_cap', 'distance', 'quiet_hours', 'allowance')"
    " AND messages.status || '' = 'queued'",
    sa.Boolean,
)


class Held(NamedTuple):
    """A queued message and until when it waits, with the reason."""

    message_id: int
    until: datetime
    why: Why
    words: str


class HeldCount(NamedTuple):
    """How many messages wait for one reason, and when the first of them may go."""

    why: Why
    number: int
    first_at: datetime
    example: str


def hold(connection: Connection, held: Sequence[Held], now: datetime) -> None:
    """Let queued messages wait, and say why."""
    if not held:
        return
    rows = given(connection, _M.id, _M.next_attempt_at, _M.error_class, _M.last_error)
    statement = (
        sa.update(messages)
        .where(_M.id == rows.c.id, _M.status == State.QUEUED)
        .values(
            next_attempt_at=rows.c.next_attempt_at, error_class=rows.c.error_class, last_error=rows.c.last_error,
            updated_at=now,
        )
    )  # fmt: skip
    connection.execute(statement, bound(held))


def counts(connection: Connection, campaign_id: int) -> list[HeldCount]:
    """What of a campaign is held back, by reason. Reads the marked messages alone."""
    number, first = sa.func.count(), sa.func.min(_M.next_attempt_at)
    statement = (
        sa.select(_M.error_class, number, first, sa.func.min(_M.last_error))
        .where(_M.campaign_id == campaign_id, MARKED)
        .group_by(_M.error_class)
        .order_by(_M.error_class)
    )
    return [HeldCount(Why(row[0]), row[1], row[2], row[3] or "") for row in connection.execute(statement)]


class Span(NamedTuple):
    """The moments whose share of an account is good for a message that is moved: from `since` until before `until`."""

    since: datetime | None  # None: all before `until`
    until: datetime | None  # None: all that follow


def moved(span: Span | None = None) -> dict[str, Any]:
    """What an UPDATE that plans queued messages for another time says of why they wait: no hold lasts beyond that.

    A share of an account that is missing is missing then, too, and is asked for anew. With a span, what waited for a
    moment outside of it had one of another period, which is given back. None: whatever they have is good.
    """
    lacks: list[sa.ColumnElement[bool]] = [_M.error_class.is_not_distinct_from(Why.ALLOWANCE)]
    if span is not None and span.since is not None:
        lacks.append(_M.next_attempt_at < span.since)
    if span is not None and span.until is not None:
        lacks.append(_M.next_attempt_at >= span.until)
    unpaid = sa.or_(*lacks)
    marked = _M.error_class.in_(list(Why))
    return {
        "error_class": sa.case((unpaid, Why.ALLOWANCE), (marked, sa.null()), else_=_M.error_class),
        "last_error": sa.case((sa.or_(unpaid, marked), sa.null()), else_=_M.last_error),
    }


def ask_again(connection: Connection, why: Sequence[Why], after: datetime, now: datetime) -> int:
    """Let what is held for these reasons beyond a moment be looked at by the next pass; returns how many.

    What was moved to a later time since it was held is not due before that.
    """
    statement = (
        sa.update(messages)
        .where(MARKED, _M.error_class.in_(why), _M.next_attempt_at > after, _M.due_at <= now)
        .values(next_attempt_at=now, updated_at=now)
    )
    return connection.execute(statement).rowcount
