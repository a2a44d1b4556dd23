"""Moving what is planned when a campaign's steps change: the queued messages of some steps, a range of ids at a time.

The caller holds the campaign: nothing of it is claimed or recorded meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.states import EnrollmentStatus, State
from sendctl.store import holds
from sendctl.store.bulk import bound, given
from sendctl.store.holds import Span
from sendctl.store.receipts import MAY_BE_HAD
from sendctl.store.tables import enrollments, messages

RANGE_IDS = 20_000
_M, _E = messages.c, enrollments.c


class Waiting(NamedTuple):
    """A queued message, and since when its delay counts (None: it is its enrollment's first)."""

    id: int
    enrollment_id: int
    step_index: int
    occurrence: int
    attempts: int
    due_at: datetime
    expires_at: datetime | None
    advanced_at: datetime | None
    timezone: str | None


class Lifetime(NamedTuple):
    """When a waiting message is too late from now on; None: never."""

    id: int
    expires_at: datetime | None


class Moved(NamedTuple):
    """When a waiting message is due from now on."""

    id: int
    enrollment_id: int
    due_at: datetime
    expires_at: datetime | None


def waiting(
    connection: Connection, campaign_id: int, steps: Iterable[int] | None = None
) -> Iterator[list[Waiting]]:  # fmt: skip
    """The queued messages, or those of these steps, in pieces: each is read whole before the caller changes it.

    Without copies that an operator had sent once more: nobody's way leads over them.
    """
    mine = (_M.campaign_id == campaign_id, _M.status == State.QUEUED, _M.copy == 0)
    first, last = connection.execute(sa.select(sa.func.min(_M.id), sa.func.max(_M.id)).where(*mine)).one()
    if first is None:
        return
    statement = (
        sa.select(
            _M.id, _M.enrollment_id, _M.step_index, _M.occurrence, _M.attempts, _M.due_at, _M.expires_at,
            _E.advanced_at, _E.timezone,
        )
        .join(enrollments, _E.id == _M.enrollment_id)
        .where(*mine, _E.status == EnrollmentStatus.ACTIVE)
    )  # fmt: skip
    if steps is not None:
        statement = statement.where(_M.step_index.in_(list(steps)))
    for start in range(first, last + 1, RANGE_IDS):
        rows = connection.execute(statement.where(_M.id.between(start, min(start + RANGE_IDS - 1, last))))
        found = [Waiting(*row) for row in rows]
        if found:
            yield found


def move(connection: Connection, moved: Sequence[Moved], now: datetime, *, span: Span | None = None) -> None:
    """Let queued messages be due at other times. `span`: who keeps their share of an account for that (holds.moved)."""
    if not moved:
        return
    rows = given(connection, _M.id, _M.due_at, _M.expires_at)
    connection.execute(
        sa.update(messages)
        .where(_M.id == rows.c.id, _M.status == State.QUEUED)
        .values(
            due_at=rows.c.due_at,
            next_attempt_at=rows.c.due_at,
            expires_at=rows.c.expires_at,
            updated_at=now,
            **holds.moved(span),
        ),
        bound((item.id, item.due_at, item.expires_at) for item in moved),
    )
    # Not for a copy that an operator had sent once more, nor for the late message of a place that was left.
    rows = given(connection, _M.id, _M.due_at)
    here = (
        sa.select(_M.enrollment_id, _M.step_index, _M.occurrence, rows.c.due_at)
        .join(rows, rows.c.id == _M.id)
        .where(_M.copy == 0)
        .subquery("here")
    )
    connection.execute(
        sa.update(enrollments)
        .where(
            _E.id == here.c.enrollment_id, _E.current_step_index == here.c.step_index,
            _E.current_occurrence == here.c.occurrence,
        )
        .values(next_scheduled_at=here.c.due_at, updated_at=now),
        bound((item.id, item.due_at) for item in moved),
    )  # fmt: skip


def live(connection: Connection, lifetimes: Sequence[Lifetime], now: datetime) -> None:
    """Let queued messages be too late at other moments; none is held beyond its own."""
    if not lifetimes:
        return
    rows = given(connection, _M.id, _M.expires_at)
    sooner = sa.case((rows.c.expires_at < _M.next_attempt_at, rows.c.expires_at), else_=_M.next_attempt_at)
    connection.execute(
        sa.update(messages)
        .where(_M.id == rows.c.id, _M.status == State.QUEUED)
        .values(expires_at=rows.c.expires_at, next_attempt_at=sooner, updated_at=now),
        bound(lifetimes),
    )


def count_at(connection: Connection, campaign_id: int, step: int) -> int:
    """How many enrollments that go on stand at a step."""
    statement = sa.select(sa.func.count()).where(
        _E.campaign_id == campaign_id, _E.status == EnrollmentStatus.ACTIVE, _E.current_step_index == step
    )
    return int(connection.execute(statement).scalar_one())


def past(connection: Connection, campaign_id: int, later: Sequence[int], earlier: Sequence[int] = ()) -> int:
    """How many enrollments are completed, stand at one of these later steps, or may have had one of the earlier."""
    going = _E.status.in_((EnrollmentStatus.ACTIVE, EnrollmentStatus.FAILED))
    had = sa.exists().where(_M.enrollment_id == _E.id, _M.step_index.in_(list(earlier)), MAY_BE_HAD)
    reached = sa.or_(_E.current_step_index.in_(list(later)), *([had] if earlier else []))
    statement = sa.select(sa.func.count()).where(
        _E.campaign_id == campaign_id,
        sa.or_(_E.status == EnrollmentStatus.COMPLETED, sa.and_(going, reached)),
    )
    return int(connection.execute(statement).scalar_one())
