"""Enrollments: one contact's place in a campaign, moved in the same transaction as the outcome that moves it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.definition import Definition
from sendctl.identity import provider_key
from sendctl.schedule import next_open
from sendctl.states import EnrollmentStatus, State
from sendctl.store.bulk import bound, given
from sendctl.store.claims import Due
from sendctl.store.ids import take_ids
from sendctl.store.tables import enrollments, messages

# What the row of a message says that is planned and has not been tried; the first step is that of an enqueue.
NOT_TRIED = {
    "step_index": 0, "occurrence": 0, "status": State.QUEUED.value, "attempts": 0, "charged_attempts": 0,
    "transient": 0,
}  # fmt: skip


class Passed(NamedTuple):
    """A step that is over for one enrollment, and since when (the next step's delay counts from there)."""

    due: Due
    at: datetime


_E = enrollments.c
_PLACE = (_E.id, _E.current_step_index, _E.next_scheduled_at, _E.status)


@cache
def _advance(rows: sa.Subquery) -> Any:
    """Compare-and-set on the step: from the one before `current_step_index`."""
    return (
        sa.update(enrollments)
        .where(
            _E.id == rows.c.id,
            _E.current_step_index == rows.c.current_step_index - 1,
            _E.status.in_([EnrollmentStatus.ACTIVE, EnrollmentStatus.FAILED]),
        )
        .values(
            current_step_index=rows.c.current_step_index,
            next_scheduled_at=rows.c.next_scheduled_at,
            status=rows.c.status,
            updated_at=sa.bindparam("now", type_=_E.updated_at.type),
        )
        .returning(_E.id)
    )


def advance(
    connection: Connection,
    passed: Sequence[Passed],
    definition: Definition,
    *,
    secret: str,
    now: datetime,
) -> None:
    """Move enrollments past a step and plan the next step's message, or complete them.

    Compare-and-set on the step: an enrollment that someone else moved or ended plans nothing.
    """
    if not passed:
        return
    due_at = [_next_due_at(item, definition) for item in passed]
    rows = [
        (item.due.enrollment_id, item.due.step_index + 1, at, _status(at))
        for item, at in zip(passed, due_at, strict=True)
    ]
    statement = _advance(given(connection, *_PLACE))
    moved = {row[0] for row in connection.execute(statement, bound(rows) | {"now": now}).all()}
    going_on = [
        (item.due, at)
        for item, at in zip(passed, due_at, strict=True)
        if at is not None and item.due.enrollment_id in moved
    ]
    if going_on:
        ids = take_ids(connection, "messages", len(going_on))
        planned = [
            next_message(definition, due, due_at, secret=secret, message_id=message_id, now=now)
            for (due, due_at), message_id in zip(going_on, ids, strict=True)
        ]
        connection.execute(sa.insert(messages), planned)


def _status(next_due_at: datetime | None) -> EnrollmentStatus:
    return EnrollmentStatus.COMPLETED if next_due_at is None else EnrollmentStatus.ACTIVE


def _next_due_at(item: Passed, definition: Definition) -> datetime | None:
    """When the following step is due; None after the last."""
    following = item.due.step_index + 1
    if following >= len(definition.steps):
        return None
    wanted = item.at + timedelta(seconds=definition.steps[following].after_s)
    return next_open(wanted, definition.window, item.due.timezone or definition.timezone)


def next_message(
    definition: Definition, due: Due, due_at: datetime, *, secret: str, message_id: int, now: datetime
) -> dict[str, Any]:
    """The row of the message for the step after `due`."""
    step_index = due.step_index + 1
    key = provider_key(
        secret, campaign=definition.name, address_key=due.address_key, subject_key=due.subject_key,
        step_index=step_index, occurrence=0, channel=due.channel,
    )  # fmt: skip
    return planned_message(
        message_id=message_id, campaign_id=due.campaign_id, enrollment_id=due.enrollment_id, step_index=step_index,
        channel=due.channel, recipient=due.recipient, recipient_key=due.recipient_key, key=key, due_at=due_at,
        expires_at=expiry(definition, due_at), now=now,
    )  # fmt: skip


def expiry(definition: Definition, due_at: datetime) -> datetime | None:
    """When a message that was due then is too late to send."""
    return None if definition.expires_after_s is None else due_at + timedelta(seconds=definition.expires_after_s)


def planned_message(
    *, message_id: int, campaign_id: int, enrollment_id: int, step_index: int, channel: str, recipient: str,
    recipient_key: str, key: str, due_at: datetime, expires_at: datetime | None, now: datetime,
) -> dict[str, Any]:  # fmt: skip
    """The row of a message that is planned and has not been tried."""
    return {
        **NOT_TRIED, "id": message_id, "campaign_id": campaign_id, "enrollment_id": enrollment_id,
        "step_index": step_index, "channel": channel, "recipient": recipient, "recipient_key": recipient_key,
        "provider_key": key, "due_at": due_at, "next_attempt_at": due_at, "expires_at": expires_at,
        "created_at": now, "updated_at": now,
    }  # fmt: skip


def end(connection: Connection, ids: Iterable[int], status: EnrollmentStatus, now: datetime) -> None:
    """End active enrollments: nothing more is planned for them."""
    _set(connection, ids, {EnrollmentStatus.ACTIVE}, status=status, next_scheduled_at=None, updated_at=now)


def revive(connection: Connection, ids: Iterable[int], now: datetime) -> None:
    """Take up enrollments again whose step is queued once more."""
    _set(connection, ids, {EnrollmentStatus.FAILED}, status=EnrollmentStatus.ACTIVE, next_scheduled_at=now,
         updated_at=now)  # fmt: skip


def _set(connection: Connection, ids: Iterable[int], sources: set[EnrollmentStatus], **values: Any) -> None:
    wanted = [(enrollment_id,) for enrollment_id in ids]
    if wanted:
        rows = given(connection, _E.id)
        statement = sa.update(enrollments).where(_E.id.in_(sa.select(rows.c.id)), _E.status.in_(sorted(sources)))
        connection.execute(statement.values(**values), bound(wanted))
